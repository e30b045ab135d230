import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseEndpoint } from '../../src/core/address.ts';
import { AF_INET, AF_INET6, AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno } from '../../src/linux/libc.ts';
import { ListenFds } from '../../src/linux/listenfds.ts';
import { decodeSockaddr, encodeSockaddr } from '../../src/linux/sockaddr.ts';
import { encodeSockaddrUn } from '../../src/linux/sockaddr-un.ts';

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, void *address, uint length)',
);
const listenCall = libcCall<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const getsocknameCall = libcCall<(fd: number, address: Uint8Array, length: Uint8Array) => number>(
  'int getsockname(int fd, void *address, void *length)',
);

/** A bound socket, listening if of type stream; `port` is 0 for UNIX ones. */
function bound(family: number, type: number, address: Buffer): { fd: number; port: number } {
  const fd = check(orErrno(socketCall(family, type | SOCK_CLOEXEC, 0)), 'socket');
  check(orErrno(bindCall(fd, address, address.length)), 'bind');
  if (type === SOCK_STREAM) check(orErrno(listenCall(fd, 16)), 'listen');
  const name = kernelBuffer(128);
  const length = kernelBuffer(4);
  length.writeUInt32LE(128, 0);
  check(orErrno(getsocknameCall(fd, name, length)), 'getsockname');
  return { fd, port: decodeSockaddr(name)?.port ?? 0 };
}

const module = join(import.meta.dirname, '../../src/linux/listenfds.ts');

/** Runs `script` in a child that has `fds` from 3 on, with `take` and `endpoint` in reach; returns what it prints as JSON. */
function inChild(fds: number[], variables: string, script: string): unknown {
  const program = `
    import { readFileSync } from 'node:fs';
    import { formatEndpoint, parseEndpoint } from ${JSON.stringify(join(import.meta.dirname, '../../src/core/address.ts'))};
    import { ListenFds } from ${JSON.stringify(module)};
    const print = (value) => process.stdout.write(JSON.stringify(value));
    const show = ({ endpoint, ...rest }) => ({ ...rest, endpoint: endpoint && formatEndpoint(endpoint) });
    ${script}`;
  // The shell sets LISTEN_PID to its own pid and becomes the program, as a service manager's child does.
  const child = spawnSync(
    'sh',
    ['-c', `${variables} exec "$0" --input-type=module-typescript -e "$1"`, process.execPath, program],
    { stdio: ['ignore', 'pipe', 'pipe', ...fds], encoding: 'utf8', timeout: 20_000 },
  );
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout);
}

t.test('sockets of a service manager', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'v6edge-listen-'));
  const path = join(directory, 'admin.sock');
  const tcp6 = bound(AF_INET6, SOCK_STREAM, encodeSockaddr(parseAddress('::1'), 0));
  const udp4 = bound(AF_INET, SOCK_DGRAM, encodeSockaddr(parseAddress('127.0.0.1'), 0));
  const unix = bound(AF_UNIX, SOCK_STREAM, encodeSockaddrUn(path));
  const abstract = bound(AF_UNIX, SOCK_DGRAM, encodeSockaddrUn(`@v6edge-listen-${process.pid}`));
  const wildcard = bound(AF_INET6, SOCK_STREAM, encodeSockaddr(parseAddress('::'), 0));
  const file = openSync('/dev/null', 'r');
  const fds = [tcp6.fd, udp4.fd, unix.fd, abstract.fd, wildcard.fd, file];
  t.teardown(() => {
    for (const { fd } of [tcp6, udp4, unix, abstract, wildcard]) closeFd(fd);
    closeSync(file);
    rmSync(directory, { recursive: true });
  });
  const variables = 'LISTEN_PID=$$ LISTEN_FDS=6 LISTEN_FDNAMES=api:dns::other:web:null';

  t.strictSame(
    inChild(fds, variables, 'print(ListenFds.take().unclaimed.map(show));'),
    [
      { fd: 3, name: 'api', type: 'stream', listening: true, dualStack: false, endpoint: `[::1]:${tcp6.port}` },
      { fd: 4, name: 'dns', type: 'dgram', listening: false, dualStack: false, endpoint: `127.0.0.1:${udp4.port}` },
      { fd: 5, name: 'unknown', type: 'stream', listening: true, dualStack: false, endpoint: `unix:${path}` },
      {
        fd: 6,
        name: 'other',
        type: 'dgram',
        listening: false,
        dualStack: false,
        endpoint: `unix:@v6edge-listen-${process.pid}`,
      },
      { fd: 7, name: 'web', type: 'stream', listening: true, dualStack: true, endpoint: `[::]:${wildcard.port}` },
      { fd: 8, name: 'null', type: 'other', listening: false, dualStack: false },
    ],
    'are known by name, type and address',
  );

  t.strictSame(
    inChild(
      fds,
      variables,
      `const fds = ListenFds.take();
       const flags = (fd) => Number.parseInt(/flags:\\s+(\\d+)/.exec(readFileSync('/proc/self/fdinfo/' + fd, 'ascii'))[1], 8);
       print([3, 4, 5, 6, 7, 8].map((fd) => [flags(fd) & 0o4000, flags(fd) & 0o2000000]));`,
    ),
    Array(6).fill([0o4000, 0o2000000]),
    'are non-blocking and close-on-exec, by /proc',
  );

  t.strictSame(
    inChild(
      fds,
      variables,
      `const fds = ListenFds.take();
       const claim = (text, type) => fds.claim(parseEndpoint(text), type)?.fd ?? null;
       print([
         claim('[::1]:${tcp6.port}', 'dgram'), claim('[::1]:${tcp6.port}', 'stream'), claim('[::1]:${tcp6.port}', 'stream'),
         claim('127.0.0.1:${udp4.port}', 'dgram'), claim('unix:${path}', 'stream'), claim('unix:${path}x', 'stream'),
         claim('[::%nowhere0]:${wildcard.port}', 'stream'), claim('[::]:${wildcard.port}', 'stream'),
         fds.unclaimed.map(({ fd }) => fd), process.env.LISTEN_FDS ?? null,
       ]);`,
    ),
    [null, 3, null, 4, 5, null, null, 7, [6, 8], null],
    'are claimed once, by address and type; the variables are gone',
  );

  t.strictSame(
    inChild(
      fds,
      variables,
      `import { existsSync } from 'node:fs';
       const fds = ListenFds.take();
       fds.claim(parseEndpoint('[::1]:${tcp6.port}'), 'stream');
       fds.close();
       print([fds.unclaimed.length, [3, 4, 5].map((fd) => { try { readFileSync('/proc/self/fdinfo/' + fd); return true; } catch { return false; } })]);`,
    ),
    [0, [true, false, false]],
    'are closed when nobody claimed them',
  );
  t.end();
});

t.test('variables that are not for us, or wrong', (t) => {
  const cases: [string, Record<string, string>, RegExp | undefined][] = [
    ['none', {}, undefined],
    ['for another process', { LISTEN_PID: '1', LISTEN_FDS: '2' }, undefined],
    ['without a pid', { LISTEN_FDS: '2' }, undefined],
    ['no descriptors', { LISTEN_PID: '99', LISTEN_FDS: '0', LISTEN_FDNAMES: '' }, /names 1/],
    ['zero descriptors', { LISTEN_PID: '99', LISTEN_FDS: '0' }, undefined],
    ['no number', { LISTEN_PID: '99', LISTEN_FDS: '-1' }, /is no number/],
    ['too many', { LISTEN_PID: '99', LISTEN_FDS: '1025' }, /is no number/],
    ['names do not fit', { LISTEN_PID: '99', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a' }, /names 1 descriptors/],
  ];
  for (const [name, environment, fault] of cases) {
    if (fault === undefined) t.strictSame(ListenFds.take(environment, 99).unclaimed, [], name);
    else t.throws(() => ListenFds.take(environment, 99), { code: 'V6_VALUE', message: fault }, name);
    t.strictSame(environment, {}, 'the variables are gone');
  }
  t.throws(
    () => inChild([], 'LISTEN_PID=$$ LISTEN_FDS=1020', 'ListenFds.take();'),
    /EBADF/,
    'a descriptor that is not open',
  );
  t.equal(new ListenFds([]).claim(parseEndpoint('[::1]:1'), 'stream'), undefined);
  t.end();
});
