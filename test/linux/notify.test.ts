import { mkdtempSync, openSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ValueError } from '../../src/core/errors.ts';
import { AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from '../../src/linux/constants.ts';
import { check, SystemError } from '../../src/linux/errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno } from '../../src/linux/libc.ts';
import { Notifier } from '../../src/linux/notify.ts';
import { encodeSockaddrUn } from '../../src/linux/sockaddr-un.ts';
import { ServiceManager } from '../edge/service-manager.ts';
import { waitFor } from '../lab/process.ts';

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, void *address, uint length)',
);
const recvCall = libcCall<(fd: number, bytes: Uint8Array, length: number, flags: number) => number>(
  'int64 recv(int fd, void *bytes, size_t length, int flags)',
);
const clockCall = libcCall<(id: number, time: Uint8Array) => number>('int clock_gettime(int id, void *time)');
const CLOCK_MONOTONIC = 1;

/** The service manager's side: a bound datagram socket. */
class Manager {
  readonly fd = check(orErrno(socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 'socket');
  constructor(path: string) {
    const address = encodeSockaddrUn(path);
    check(orErrno(bindCall(this.fd, address, address.length)), 'bind', path);
  }
  receive(): string {
    const bytes = kernelBuffer(4096);
    return bytes.toString('utf8', 0, check(orErrno(recvCall(this.fd, bytes, bytes.length, MSG_DONTWAIT)), 'recv'));
  }
}

const EBADF = 9;
const directory = mkdtempSync(join(tmpdir(), 'v6edge-notify-'));
t.teardown(() => rmSync(directory, { recursive: true }));

t.test('messages as the service manager receives them', (t) => {
  for (const path of [join(directory, 'socket'), `@v6edge-notify-${process.pid}`]) {
    const manager = new Manager(path);
    const notifier = new Notifier({ NOTIFY_SOCKET: path });
    t.equal(notifier.enabled, true);
    const cases: [string, () => number, RegExp][] = [
      ['ready', () => notifier.ready(), /^READY=1$/],
      ['ready with a status', () => notifier.ready('serving 2 pools'), /^READY=1\nSTATUS=serving 2 pools$/],
      ['reloading', () => notifier.reloading(), /^RELOADING=1\nMONOTONIC_USEC=\d+$/],
      ['stopping', () => notifier.stopping('2 sessions left'), /^STOPPING=1\nSTATUS=2 sessions left$/],
      ['status', () => notifier.status('grüße'), /^STATUS=grüße$/],
      ['a status cannot smuggle in an assignment', () => notifier.status('a\nMAINPID=1'), /^STATUS=a MAINPID=1$/],
      ['watchdog', () => notifier.watchdog(), /^WATCHDOG=1$/],
    ];
    for (const [name, send, expected] of cases) {
      t.equal(send(), 0, `${name} is sent`);
      t.match(manager.receive(), expected, name);
    }
    notifier.close();
    t.equal(notifier.enabled, false);
    t.equal(notifier.ready(), 0, 'nothing happens after close');
    t.throws(() => manager.receive(), { code: 'EAGAIN' });
    closeFd(manager.fd);
  }
  t.end();
});

t.test('the time of a reload is CLOCK_MONOTONIC, which systemd compares with', (t) => {
  const path = join(directory, 'reload');
  const manager = new Manager(path);
  const notifier = new Notifier({ NOTIFY_SOCKET: path });
  const before = monotonicMicroseconds();
  notifier.reloading();
  const after = monotonicMicroseconds();
  const sent = Number(/MONOTONIC_USEC=(\d+)/.exec(manager.receive())![1]);
  t.ok(sent >= before - 1 && sent <= after, `${before} <= ${sent} <= ${after}`);
  notifier.close();
  closeFd(manager.fd);
  t.end();
});

t.test('nothing without NOTIFY_SOCKET', (t) => {
  for (const environment of [{}, { NOTIFY_SOCKET: '' }]) {
    const notifier = new Notifier(environment);
    t.equal(notifier.enabled, false);
    t.equal(notifier.ready(), 0);
    notifier.close();
  }
  t.end();
});

t.test('a manager that cannot be reached costs an errno, no exception', (t) => {
  const notifier = new Notifier({ NOTIFY_SOCKET: join(directory, 'nobody') });
  t.equal(new SystemError('sendto', -notifier.ready()).code, 'ENOENT');
  notifier.close();
  t.throws(() => new Notifier({ NOTIFY_SOCKET: 'relative' }), ValueError);
  t.throws(() => new Notifier({ NOTIFY_SOCKET: 'vsock:2:1234' }), ValueError);
  t.throws(() => new Notifier({ NOTIFY_SOCKET: '/' + 'x'.repeat(107) }), ValueError, 'path too long for sun_path');
  t.end();
});

t.test('watchdog interval', (t) => {
  const cases: [string, Record<string, string>, number | undefined][] = [
    ['none', {}, undefined],
    ['half of what is allowed', { WATCHDOG_USEC: '30000000' }, 15_000],
    ['for this process', { WATCHDOG_USEC: '2000000', WATCHDOG_PID: '77' }, 1000],
    ['for another process', { WATCHDOG_USEC: '2000000', WATCHDOG_PID: '78' }, undefined],
    ['zero', { WATCHDOG_USEC: '0' }, undefined],
    ['negative', { WATCHDOG_USEC: '-5' }, undefined],
    ['no number', { WATCHDOG_USEC: '10s' }, undefined],
  ];
  for (const [name, environment, expected] of cases) t.equal(new Notifier(environment, 77).watchdogMs, expected, name);
  t.end();
});

function monotonicMicroseconds(): number {
  const time = kernelBuffer(16);
  clockCall(CLOCK_MONOTONIC, time);
  return Number(time.readBigInt64LE(0)) * 1e6 + Number(time.readBigInt64LE(8)) / 1e3;
}

t.test('a descriptor is left with the service manager, and taken back', async (t) => {
  const manager = new ServiceManager(t);
  const notifier = new Notifier({ NOTIFY_SOCKET: manager.address });
  const fd = openSync('/proc/self/status', 'r');
  t.equal(notifier.store(fd, 'status'), 0);
  t.equal(notifier.store(-1, 'none'), -EBADF, 'no descriptor');
  closeFd(fd);
  await waitFor('the descriptor', () => manager.store.length === 1);
  t.equal(manager.store[0]!.name, 'status');
  t.equal(readlinkSync(`/proc/self/fd/${manager.store[0]!.fd}`), `/proc/${process.pid}/status`);
  t.equal(notifier.unstore('status'), 0);
  await waitFor('it to be gone', () => manager.store.length === 0);
  notifier.close();
  t.equal(notifier.store(0, 'late'), 0, 'nothing happens after close');
});
