/** Random scripts of what both peers do: delivered bytes are those that were sent, and nothing is left behind. */
import { createHash, randomFillSync } from 'node:crypto';
import net from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { freePort, Harness, listener, member, openDescriptors, pool, snapshot, Upstream, until } from './harness.ts';

type Side = 'client' | 'member';
type Step =
  | { readonly kind: 'send'; readonly side: Side; readonly bytes: number }
  | { readonly kind: 'fin' | 'rst' | 'pause' | 'resume'; readonly side: Side }
  | { readonly kind: 'breathe' };

const side = fc.constantFrom<Side>('client', 'member');
const size = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.constantFrom(32_768, 65_536, 65_537, 400_000));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('send' as const), side, bytes: size }) },
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'breathe' }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const), side }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fin' as const), side }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rst' as const), side }) },
);

const material = randomFillSync(Buffer.alloc(1 << 20));

/** One end of a session: what it sent and received, as bytes and hash. */
class End {
  readonly socket: net.Socket;
  readonly sent: Buffer[] = [];
  readonly got: Buffer[] = [];
  finished = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.got.push(chunk));
  }

  send(bytes: number): void {
    if (this.finished) return;
    // Each piece begins elsewhere, so that one lost, doubled or out of place shows.
    const piece = material.subarray((this.sent.length * 7919) % 500_000).subarray(0, bytes);
    this.sent.push(piece);
    this.socket.write(piece);
  }

  /** False when it cannot: Node loses a socket that is reset while its FIN is on the way. */
  reset(): boolean {
    if (this.finished && !this.socket.writableFinished) return false;
    this.finished = true;
    this.socket.resetAndDestroy();
    return true;
  }

  fin(): void {
    this.finished = true;
    this.socket.end();
  }
}

t.test('any script of sends, FINs and RSTs: what is delivered is what was sent', async (t) => {
  // Before the count: the first port draws a descriptor that holds the process's block of ports.
  const port = await freePort();
  const before = openDescriptors();
  const harness = new Harness();
  const upstream = await new Upstream().listen();
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  let count = 0;
  let resets = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 24 }), async (script) => {
      const client = new End(net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
      await until(() => upstream.sockets.length > count, 'the connection');
      const ends = { client, member: new End(upstream.sockets[count]!) };
      count++;
      let reset = false;
      for (const each of script) {
        if (each.kind === 'breathe') await new Promise((resolve) => setImmediate(resolve));
        else if (each.kind === 'send') ends[each.side].send(each.bytes);
        else if (each.kind === 'fin') ends[each.side].fin();
        else if (each.kind === 'rst') {
          reset = ends[each.side].reset() || reset;
        } else ends[each.side].socket[each.kind]();
      }
      if (reset) resets++;
      for (const end of Object.values(ends)) {
        end.socket.resume();
        end.fin();
      }
      await until(() => ends.client.socket.closed && ends.member.socket.closed, 'both ends to be closed');
      const line = await harness.session(count);
      for (const [from, to] of [
        [ends.client, ends.member],
        [ends.member, ends.client],
      ] as const) {
        const [sent, got] = [Buffer.concat(from.sent), Buffer.concat(to.got)];
        if (reset) {
          if (!sent.subarray(0, got.length).equals(got))
            throw new Error('bytes that were not sent, or not in that order');
        } else if (hashOf(sent) !== hashOf(got)) throw new Error(`${got.length} of ${sent.length} bytes arrived`);
      }
      if (reset) return;
      if (line.cause !== 'done') throw new Error(`ended by: ${line.cause}`);
      const sums = [Buffer.concat(ends.client.sent).length, Buffer.concat(ends.member.sent).length];
      if (line.bytesIn !== sums[0] || line.bytesOut !== sums[1]) throw new Error(`counted wrongly, not ${sums}`);
    }),
    { seed: 20261123, numRuns: 150 },
  );
  t.ok(resets > 20 && resets < 130, `${resets} of ${count} scripts had a RST`);
  upstream.close();
  harness.close();
  await until(() => openDescriptors() <= before, `no more than ${before} descriptors`);
});

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
