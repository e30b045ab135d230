/**
 * Code that the rehearsal had compiled is there when a node asks: V8 gives up none of it in the collection after the start, at the
 * first real answers, or at the first scrape of metrics. V8's own log of what it gives up judges.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DaemonHome } from '../edge/daemon-process.ts';
import { waitFor } from '../lab/process.ts';
import { inNamespace } from '../linux/netns.ts';
import { nodeLink } from './node-link.ts';

const root = join(import.meta.dirname, '../..');
const node = join(root, 'node_modules/node/bin/node');
const questions = 30;
/** All that runs from packet to packet, and little else. */
const path =
  /src\/(linux\/icmp6|linux\/poll|core\/token-bucket|ra\/replies|ra\/rate-limit|ra\/transmitter|ra\/wire\/packet|ra\/wire\/router-sol\w+)\.ts/;
/** What V8 says when it is told to collect, with the thread's isolate. */
const collected = /\[\d+:(0x[0-9a-f]+)\].*\btesting;/g;

if (inNamespace(t, import.meta.filename)) {
  const peer = await nodeLink(t);
  for (let i = 1; i <= questions; i++) peer.ip(`addr add fe80::1:${i.toString(16)}/64 dev node0 nodad`);

  t.test('nothing of the path is given up', async (t) => {
    const folder = t.testdir({});
    const [program, log] = [join(folder, 'v6edge'), join(folder, 'v8.log')];
    const flags = `--trace-gc --log-deopt --logfile=${log} --no-logfile-per-isolate`;
    writeFileSync(program, `#!/bin/sh\nexec ${node} ${flags} ${root}/src/edge/main.ts "$@"\n`, { mode: 0o755 });
    const home = new DaemonHome(t, program);
    home.configure('ra: [{ interface: eth1, maxDelay: 0s, prefixes: [{ prefix: "fd00:6:6::/64" }] }]', 1);
    const daemon = await home.start();
    // The data thread's, and the control thread's.
    const threads = () => new Set([...daemon.output.matchAll(collected)].map((match) => match[1]));
    await waitFor('both collections', () => threads().size >= 2, { timeoutMs: 30_000, why: () => daemon.output });
    const script = join(root, 'bench/solicit.ts');
    const nodes = peer.spawn('env', 'NODE_OPTIONS=', node, script, 'node0', String(questions), String(questions), '5');
    t.teardown(() => nodes.kill('SIGKILL'));
    t.equal(await new Promise((resolve) => nodes.on('close', resolve)), 0, 'all have asked');
    const answers = async () => (await home.metrics()).get('v6edge_ra_advertisements_sent_total{to="unicast"}') ?? 0;
    await waitFor('answers', async () => (await answers()) >= questions);
    // A restart's end: it says nothing more, and V8 writes the rest of its log.
    daemon.kill('SIGUSR2');
    await daemon.exited;
    const givenUp = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('code-deopt'));
    t.not(givenUp.length, 0, 'V8 keeps that log');
    t.strictSame(
      givenUp.filter((line) => path.test(line)),
      [],
    );
  });
}
