import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import t from 'tap';
import { type Address, equalAddress, formatEndpoint, parseAddress } from '../../src/core/address.ts';
import { ValueError } from '../../src/core/errors.ts';
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno } from '../../src/linux/libc.ts';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_IN_BYTES, SOCKADDR_IN6_BYTES } from '../../src/linux/sockaddr.ts';

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, void *address, uint length)',
);
const getsocknameCall = libcCall<(fd: number, address: Uint8Array, length: Uint8Array) => number>(
  'int getsockname(int fd, void *address, void *length)',
);

t.test('zones that name nothing', (t) => {
  for (const zone of ['nowhere0', '../eth0', 'eth0/..', '..']) {
    t.throws(
      () => encodeSockaddr({ family: 6, bytes: parseAddress('fe80::1').bytes, zone }, 53),
      { code: 'V6_VALUE', message: /there is no interface/ },
      zone,
    );
  }
  for (const zone of ['99999999999', '4294967296', '-1', '1.5', '0x1']) {
    t.throws(() => encodeSockaddr({ family: 6, bytes: parseAddress('fe80::1').bytes, zone }, 53), ValueError, zone);
  }
  t.end();
});

t.test('layouts', (t) => {
  const cases: [string, number, string][] = [
    // family · port · address · zero
    ['192.0.2.1', 53, '0200' + '0035' + 'c0000201' + '0000000000000000'],
    // family · port · flowinfo · address · scope
    ['2001:db8::1', 6443, '0a00' + '192b' + '00000000' + '20010db8000000000000000000000001' + '00000000'],
    ['fe80::1%7', 65535, '0a00' + 'ffff' + '00000000' + 'fe800000000000000000000000000001' + '07000000'],
    ['fe80::1%lo', 0, '0a00' + '0000' + '00000000' + 'fe800000000000000000000000000001' + '01000000'],
  ];
  for (const [text, port, hex] of cases) t.equal(encodeSockaddr(parseAddress(text), port).toString('hex'), hex, text);
  t.equal(encodeSockaddr(parseAddress('::'), 1).length, SOCKADDR_IN6_BYTES);
  t.equal(encodeSockaddr(parseAddress('0.0.0.0'), 1).length, SOCKADDR_IN_BYTES);
  t.equal(decodeSockaddr(Buffer.from('01002f746d70', 'hex')), undefined, 'AF_UNIX');
  t.end();
});

t.test('the kernel reads and writes the same', (t) => {
  const linkLocal = Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? []).filter(({ address }) => address.startsWith('fe80:')).map(({ address }) => `${address}%${name}`),
  );
  for (const text of ['127.0.0.1', '127.1.2.3', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1', ...linkLocal]) {
    const address = parseAddress(text);
    const fd = check(
      orErrno(socketCall(address.family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
      'socket',
    );
    const wanted = encodeSockaddr(address, 0);
    check(orErrno(bindCall(fd, wanted, wanted.length)), 'bind', text);
    const name = kernelBuffer(128);
    const length = kernelBuffer(4);
    length.writeUInt32LE(128, 0);
    check(orErrno(getsocknameCall(fd, name, length)), 'getsockname');
    closeFd(fd);
    t.equal(length.readUInt32LE(0), wanted.length, `${text}: the length of the structure`);
    const seen = decodeSockaddr(name)!;
    t.ok(seen.port > 0, `${text}: bound to ${formatEndpoint(seen)}`);
    // The kernel says the zone by its number: compared as socket addresses.
    t.strictSame(encodeSockaddr(seen.address, 0), wanted, text);
  }
  t.end();
});

t.test('any address, at any offset, comes back', (t) => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const address: fc.Arbitrary<Address> = fc.oneof(
    bytes(4).map((b) => ({ family: 4 as const, bytes: b })),
    bytes(16).map((b) => ({ family: 6 as const, bytes: b })),
    fc.tuple(bytes(16), fc.integer({ min: 1, max: 0xffffffff })).map(([b, zone]) => ({
      family: 6 as const,
      bytes: b,
      zone: String(zone),
    })),
  );
  fc.assert(
    fc.property(address, fc.nat(65535), fc.nat(40), (original, port, offset) => {
      const field = Buffer.concat([Buffer.alloc(offset, 0xff), encodeSockaddr(original, port)]);
      const seen = decodeSockaddr(field, offset)!;
      if (!equalAddress(seen.address, original) || seen.port !== port) throw new Error(formatEndpoint(seen));
      field.fill(0);
      if (!equalAddress(seen.address, original)) throw new Error('the address shares memory with the message');
    }),
    { seed: 2003 },
  );
  t.end();
});
