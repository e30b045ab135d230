/** Memory at addresses that are small integers, against the kernel's own list of mappings. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { SOCK_STREAM } from '../../src/linux/constants.ts';
import { closeFd, kernelBuffer, libcCall } from '../../src/linux/libc.ts';
import { mapAt, mapLow } from '../../src/linux/low-memory.ts';
import { Memory, receive, send } from '../../src/linux/tcp.ts';

const { EEXIST, EINVAL } = constants.errno;
const AF_UNIX = 1;
const socketpairCall = libcCall<(domain: number, type: number, protocol: number, pair: Uint8Array) => number>(
  'int socketpair(int domain, int type, int protocol, void *pair)',
);

const smallest = 0x4000_0000;
const limit = 0x8000_0000;

/** Whether an address is mapped, by /proc/self/maps. */
function isMapped(address: number): boolean {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .some((line) => {
      const [from, to] = line
        .split(' ')[0]!
        .split('-')
        .map((text) => Number.parseInt(text, 16));
      return from! <= address && address < to!;
    });
}

t.test('nothing that is mapped is mapped over', (t) => {
  const { bytes, address } = mapLow(65_536)!;
  bytes.fill(7);
  t.equal(mapAt(address, 65_536), -EEXIST, 'the same place');
  t.equal(mapAt(address - 65_536, 2 * 65_536), -EEXIST, 'a place that overlaps');
  t.equal(mapAt(address + 1, 4096), -EINVAL, 'an address that is no page');
  t.ok(bytes.every((byte) => byte === 7));
  t.end();
});

t.test('what does not fit is refused', (t) => {
  t.equal(mapLow(limit), undefined);
  t.equal(mapLow(limit - smallest + 1), undefined);
  t.end();
});

t.test('memory of many lengths', (t) => {
  const held = [1, 4095, 65_535, 65_536, 65_537, 1 << 20].map((length) => ({ length, ...mapLow(length)! }));
  for (const { length, bytes, address } of held) {
    t.equal(bytes.length, length);
    t.ok(address >= smallest && address + length <= limit, `0x${address.toString(16)}`);
    t.ok(isMapped(address) && isMapped(address + length - 1));
    t.ok(
      bytes.every((byte) => byte === 0),
      'zeroed',
    );
    bytes.fill(length & 0xff);
  }
  for (const { length, bytes } of held) t.ok(bytes.every((byte) => byte === (length & 0xff)));
  t.end();
});

t.test('what the kernel writes at the address is what the bytes show', (t) => {
  const text = Buffer.from('from a pipe');
  const fds = kernelBuffer(8);
  t.equal(socketpairCall(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  const [socket, other] = [fds.readInt32LE(0), fds.readInt32LE(4)];
  const memory = Memory.lasting(4096);
  t.ok(memory.address < limit);
  const from = Memory.of(text);
  t.equal(send(socket, from.address, text.length), text.length);
  t.equal(receive(other, memory.address, 4096), text.length);
  t.same(memory.bytes.subarray(0, text.length), text);
  closeFd(socket);
  closeFd(other);
  t.end();
});

t.test('it is unmapped with its last view', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let view: Buffer | undefined;
  const address = (() => {
    const memory = mapLow(65_536)!;
    view = memory.bytes.subarray(100, 200);
    return memory.address;
  })();
  for (let i = 0; i < 3; i++) {
    collect();
    await setImmediate();
  }
  t.ok(isMapped(address), 'a part of it is in use');
  view.fill(1);
  view = undefined;
  for (let i = 0; i < 100 && isMapped(address); i++) {
    collect();
    await setImmediate();
  }
  t.notOk(isMapped(address));
});
