/** Listening sockets that outlive the daemon: kept in the service manager's descriptor store. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { listenTcp } from '../../src/linux/tcp.ts';
import { waitFor } from '../lab/process.ts';
import { DaemonHome, freePort, logged } from './daemon-process.ts';
import { ask, config, Load, member, restart, start } from './restarts.ts';
import { ServiceManager } from './service-manager.ts';

t.test('sockets in the descriptor store', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const [port, dropped] = [await freePort(), await freePort()];
  const upstream = await member(t, 'm');
  const names = (list: readonly number[], threads: number) =>
    list.flatMap((each) => Array.from({ length: threads }, (_, i) => `v6edge.127.0.0.1_${each}.${i}`)).sort();
  const kept = () => manager.store.map(({ name }) => name).sort();
  const both = { web: [`127.0.0.1:${port}`], dropped: [`127.0.0.1:${dropped}`] };
  home.configure(config(both, upstream));
  let daemon = await start(home, manager);
  t.strictSame(kept(), names([port, dropped], 2), 'each of each thread');

  const load = new Load(port, ['127.0.0.1']);
  await load.more();
  await t.test('restarts refuse nobody and cut nobody off', async (t) => {
    for (let i = 0; i < 3; i++) {
      daemon = await restart(home, manager, daemon);
      await load.more();
    }
    t.ok(
      load.got.every((each) => each === 'm'),
      `${load.got.length} clients`,
    );
    t.strictSame(kept(), names([port, dropped], 2), 'the same sockets all along');
  });

  await t.test('a session that lasts: clients are accepted until the grace time is over', async (t) => {
    const before = load.got.length;
    const lasting = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    t.teardown(() => lasting.destroy());
    // The member's greeting and end have come; the client's own end has not.
    lasting.on('error', () => undefined).resume();
    await once(lasting, 'data');
    daemon.kill('SIGUSR2');
    await load.more();
    t.equal(daemon.result, undefined, 'the daemon waits for it');
    lasting.end();
    t.equal((await daemon.exited).code, 0);
    daemon = await start(home, manager);
    await load.more();
    t.ok(
      load.got.slice(before).every((each) => each === 'm'),
      `${load.got.length - before} clients`,
    );
  });

  await t.test('a kill: nobody but those being served notices', async (t) => {
    const before = load.got.length;
    daemon.kill('SIGKILL');
    await daemon.exited;
    daemon = await start(home, manager);
    await load.more();
    const failed = load.got.slice(before).filter((each) => each !== 'm');
    t.notOk(failed.includes('ECONNREFUSED'));
    t.ok(failed.length <= 20, `${failed.length} were being served`);
    t.strictSame(kept(), names([port, dropped], 2));
  });

  await t.test('a thread that fails takes its sockets out, and its successor puts new ones in', async (t) => {
    const old = manager.store.map(({ fd }) => fd);
    daemon.kill('SIGWINCH');
    await waitFor('the thread', () => logged(daemon, /data thread ended/).length === 1);
    await waitFor('its sockets', () => kept().length === 4 && manager.store.some(({ fd }) => !old.includes(fd)));
    t.strictSame(kept(), names([port, dropped], 2));
    await load.more();
  });

  await t.test('fewer threads, and a listener less', async (t) => {
    const before = load.got.length;
    home.configure(config({ web: both.web }, upstream), 1);
    daemon = await restart(home, manager, daemon);
    await load.more();
    t.ok(
      load.got.slice(before).every((each) => each === 'm'),
      `${load.got.length - before} clients`,
    );
    t.strictSame(kept(), names([port], 1));
    t.equal(await ask(dropped), 'ECONNREFUSED');
  });

  await t.test('a reload', async (t) => {
    home.configure(config(both, upstream), 1);
    t.equal((await home.api('POST', '/v1/reload')).status, 200);
    await waitFor('the new socket', () => kept().length === 2);
    home.configure(config({ web: both.web }, upstream), 1);
    t.equal((await home.api('POST', '/v1/reload')).status, 200);
    await waitFor('it to be taken out', () => kept().length === 1);
    t.equal(await ask(dropped), 'ECONNREFUSED');
  });

  await t.test('a real stop leaves nothing behind', async (t) => {
    await load.end();
    t.equal((await daemon.stop()).code, 0);
    await waitFor('the store to be empty', () => kept().length === 0);
    t.equal(await ask(port), 'ECONNREFUSED');
  });
});

t.test('a start that fails closes what was kept: nobody waits for it', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const port = await freePort();
  const fd = listenTcp(parseInetEndpoint(`127.0.0.1:${port}`), { backlog: 64, keepaliveSeconds: 0 });
  manager.store.push({ name: `v6edge.127.0.0.1_${port}.0`, fd });
  const taken = await member(t, 'other');
  home.configure(config({ web: [`127.0.0.1:${port}`], other: [`127.0.0.1:${taken}`] }, await freePort()));
  t.equal((await home.spawn(manager.passed).exited).code, 1);
  await waitFor('the store to be empty', () => manager.store.length === 0);
  t.equal(await ask(port), 'ECONNREFUSED');
});

t.test('a port that another process still has is waited for', async (t) => {
  const home = new DaemonHome(t);
  const manager = new ServiceManager(t);
  const port = await freePort();
  const holder = createServer().listen(port, '127.0.0.1');
  await once(holder, 'listening');
  home.configure(config({ web: [`127.0.0.1:${port}`] }, await member(t, 'm')));
  const daemon = home.spawn(manager.passed);
  await waitFor('it to wait', () => daemon.output.includes(`waits for tcp 127.0.0.1:${port}: another process`), {
    timeoutMs: 20_000,
    why: () => daemon.output,
  });
  holder.close();
  await waitFor('it to serve', async () => (await ask(port)) === 'm', { timeoutMs: 20_000, why: () => daemon.output });
  t.match(readFileSync(`/proc/${daemon.pid}/comm`, 'utf8'), /^v6edge$/m, 'what ss and top call it');
  t.equal((await daemon.stop()).code, 0);
});
