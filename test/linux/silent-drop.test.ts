/** Connections that are dropped without a word: what the peer and the wire see, with CAP_NET_ADMIN and without. */
import { execFileSync, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { AF_INET, AF_INET6, EAGAIN, ECONNRESET } from '../../src/linux/constants.ts';
import { closeFd } from '../../src/linux/libc.ts';
import { decodeSockaddr, encodeSockaddr } from '../../src/linux/sockaddr.ts';
import * as tcp from '../../src/linux/tcp.ts';
import { inNamespace } from './netns.ts';

const childMark = 'V6EDGE_TEST_DROP';

/** A connection over loopback, which the kernel makes within the connect. */
function pair(host: string): { client: number; accepted: number } {
  const listening = tcp.listenTcp(parseInetEndpoint(`${host}:0`), { backlog: 4, keepaliveSeconds: 0 });
  const slot = new tcp.SockaddrSlot();
  tcp.localAddress(listening, slot);
  const { address, port } = decodeSockaddr(slot.bytes)!;
  const client = tcp.openTcp(address.family === 4 ? AF_INET : AF_INET6);
  tcp.connectTcp(client, tcp.Memory.of(encodeSockaddr(address, port)));
  const accepted = tcp.acceptTcp(listening, slot);
  closeFd(listening);
  return { client, accepted };
}

/** What the client reads at once: loopback delivers within the call that sends. */
function clientSees(host: string, close: (fd: number) => void): number {
  const { client, accepted } = pair(host);
  close(accepted);
  const memory = tcp.Memory.make(16);
  const seen = tcp.receive(client, memory.address, 16);
  closeFd(client);
  return seen;
}

const hosts = ['127.0.0.1', '[::1]'];

async function tests(): Promise<void> {
  t.test('a reset is seen; with CAP_NET_ADMIN a drop is not', async (t) => {
    for (const host of hosts) {
      t.equal(clientSees(host, tcp.resetTcp), -ECONNRESET, host);
      t.equal(clientSees(host, tcp.dropTcp), -EAGAIN, host);
    }
  });

  t.test('without it the reset dies at the first router', async (t) => {
    const resets = 'tcp[tcpflags] & tcp-rst != 0 or (ip6 proto 6 and ip6[40 + 13] & 4 != 0)';
    const words = ['--pdeathsig', 'KILL', 'tcpdump', '-i', 'lo', '-nnv', '-U', '-c', '2', resets];
    const capture = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => capture.kill('SIGKILL'));
    await new Promise<void>((resolve) =>
      capture.stderr.on('data', (said: Buffer) => said.includes('listening on') && resolve()),
    );
    const bounding = ['--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
    execFileSync('setpriv', [...bounding, process.execPath, import.meta.filename], {
      env: { ...process.env, [childMark]: '1' },
    });
    const seen = await text(capture.stdout);
    t.match(seen, /ttl 1,.*Flags \[R/s, 'IPv4');
    t.match(seen, /hlim 1,.*Flags \[R/s, 'IPv6');
  });
}

if (process.env[childMark] !== undefined) for (const host of hosts) clientSees(host, tcp.dropTcp);
else if (inNamespace(t, import.meta.filename)) await tests();
