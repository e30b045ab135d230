/** Ports for tests are free, and two processes never draw the same. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { freePort } from './free-port.ts';

const module = join(import.meta.dirname, 'free-port.ts');

/** What another process draws. */
async function drawnElsewhere(count: number): Promise<number[]> {
  const script = `import { freePort } from ${JSON.stringify(module)};
    const ports = []; for (let i = 0; i < ${count}; i++) ports.push(await freePort());
    console.log(ports.join(' ')); process.stdin.resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return line.toString().trim().split(' ').map(Number);
}

t.test('ports are below those that the kernel gives out, and never twice', async (t) => {
  const here = [];
  for (let i = 0; i < 20; i++) here.push(await freePort());
  const there = (await Promise.all([drawnElsewhere(20), drawnElsewhere(20)])).flat();
  const all = [...here, ...there];
  t.equal(new Set(all).size, all.length, 'three processes at once');
  t.ok(
    all.every((port) => port >= 12_000 && port < 32_000),
    'in range',
  );
});

t.test('a port that somebody has is passed over', async (t) => {
  const first = await freePort();
  const server = createServer().listen(first + 1, '127.0.0.1');
  await once(server, 'listening');
  t.not(await freePort(), first + 1);
  server.close();
  await once(server, 'close');
});
