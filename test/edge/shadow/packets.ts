/** Captured packets and pcap files, field by field. */

export const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
export const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);
export const zeros = (octets: number) => Buffer.alloc(octets);

// Golden packets, field by field.
export const udp = (data: Uint8Array, to = 53) =>
  Buffer.concat([u16(40_000), u16(to), u16(8 + data.length), u16(0), data]);
export const tcp = (data: Uint8Array) =>
  Buffer.concat([u16(40_000), u16(53), u32(1), u32(1), Buffer.from([0x50, 0x18]), u16(512), u32(0), data]);
export const framed = (data: Uint8Array) => Buffer.concat([u16(data.length), data]);
export const ipv4 = (protocol: number, payload: Buffer, fragment = 0) =>
  Buffer.concat([
    Buffer.from([0x45, 0]),
    u16(20 + payload.length),
    u16(1),
    u16(fragment),
    Buffer.from([64, protocol]),
    u16(0),
    Buffer.from([127, 0, 0, 1, 127, 0, 0, 1]),
    payload,
  ]);
export const loopback6 = Buffer.concat([zeros(15), Buffer.from([1])]);
export const ipv6 = (next: number, payload: Buffer) =>
  Buffer.concat([u32(0x6000_0000), u16(payload.length), Buffer.from([next, 64]), loopback6, loopback6, payload]);
export const ethernet = (type: number, packet: Buffer, ...tags: Buffer[]) =>
  Buffer.concat([zeros(12), ...tags, u16(type), packet]);
export const vlan = Buffer.concat([u16(0x8100), u16(7)]);
/** Words of a file in one byte order. */
export const ordered = (isBig: boolean) => (octets: number, value: number) => {
  const bytes = Buffer.alloc(octets);
  if (isBig) bytes.writeUIntBE(value, 0, octets);
  else bytes.writeUIntLE(value, 0, octets);
  return bytes;
};

export function pcap(isBig: boolean, packets: readonly Buffer[], magic = 0xa1b2c3d4): Buffer {
  const word = ordered(isBig);
  const head = [word(4, magic), word(2, 2), word(2, 4), word(4, 0), word(4, 0), word(4, 65_535), word(4, 101)];
  const records = packets.map((each) =>
    Buffer.concat([word(4, 1), word(4, 2), word(4, each.length), word(4, each.length), each]),
  );
  return Buffer.concat([...head, ...records]);
}
