/** Whoever was told that an order was carried out finds it so at every data thread: the next session goes by it. */
import t from 'tap';
import { ask, naming } from '../proxy/harness.ts';
import { DaemonHome, freePort } from './daemon-process.ts';

const rounds = 30;
/** At once: with two threads, one in 128 rounds has all of them at one. */
const clients = 8;

t.test('orders of the admin API', async (t) => {
  const [m1, m2, port] = [await naming('m1').listen(), await naming('m2').listen(), await freePort()];
  t.teardown(() => {
    m1.close();
    m2.close();
  });
  const home = new DaemonHome(t);
  const place = (port: number) => `address: 127.0.0.1, port: ${port}`;
  home.configure(
    [
      'proxy:',
      `  listeners: [{ name: web, bind: ["127.0.0.1:${port}"], pool: web, log: false }]`,
      `  pools: { web: { check: { type: none }, members: [{ name: m1, ${place(m1.port)} }, { name: m2, ${place(m2.port)} }] } }`,
    ].join('\n'),
  );
  await home.start();
  const members = '/v1/pools/web/members';
  const order = async (status: number, method: string, path: string, body?: unknown) =>
    t.equal((await home.api(method, `${members}${path}`, {}, body)).status, status, `${method} ${path}`);
  /** Who serves those that come now. */
  const serving = async () => [...new Set(await Promise.all(Array.from({ length: clients }, () => ask(port))))].sort();

  for (let i = 0; i < rounds; i++) {
    const [out, other] = i % 2 === 0 ? ['m1', 'm2'] : ['m2', 'm1'];
    const change = [{ state: 'drain' }, { state: 'maint' }, { weight: 0 }][i % 3]!;
    await order(200, 'PATCH', `/${out}`, change);
    t.strictSame(await serving(), [other], `${out} ${JSON.stringify(change)}`);
    await order(200, 'PATCH', `/${out}`, { state: 'ready', weight: 100 });
    t.strictSame(await serving(), ['m1', 'm2'], `${out} is back`);
  }
  for (let i = 0; i < rounds; i++) {
    await order(200, 'DELETE', '/m2?force=true');
    t.strictSame(await serving(), ['m1'], 'm2 was removed');
    await order(201, 'POST', '', { name: 'm2', address: '127.0.0.1', port: m2.port });
    t.strictSame(await serving(), ['m1', 'm2'], 'm2 was added');
  }
});
