/** For engine-limits.test.ts: a proxy from port argv[2] to port argv[3] under whatever limits its parent set; a line in asks for a line out. */
import { ProxyCounter } from '../../src/proxy/counters.ts';
import { Harness, listener, member, pool, snapshot } from './harness.ts';

const [port, memberPort] = process.argv.slice(2).map(Number);
const harness = new Harness();
harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', memberPort!)])]));

function tell(): void {
  const pauses = harness.counters.get(ProxyCounter.acceptPauses);
  const { user, system } = process.cpuUsage();
  const logged = harness.log.lines.length;
  process.stdout.write(`${JSON.stringify({ pauses, cpuMs: (user + system) / 1000, logged })}\n`);
}
process.stdin.on('data', tell).on('end', () => process.exit(0));
tell();
