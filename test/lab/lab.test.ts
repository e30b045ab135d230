import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Lab } from './lab.ts';
import { edgePublic4, slaacAddress, upstream6 } from './plan.ts';
import { exec, LabProcess, waitFor } from './process.ts';
import { isAlive, readRecords, takeDownAbandoned } from './record.ts';

if (process.getuid?.() !== 0) t.plan(0, 'network namespaces need root');
else {
  /** What a lab with this id has left: records, namespaces, directories. */
  const remains = (id: string): string[] => [
    ...readRecords().flatMap((record) => (record.id === id ? [`record ${id}`] : [])),
    ...(existsSync('/run/netns') ? readdirSync('/run/netns') : []).filter((name) => name.startsWith(`v6e-${id}-`)),
    ...readdirSync(tmpdir()).filter((name) => name.startsWith(`v6edge-lab-${id}-`)),
    ...(existsSync('/etc/netns') ? readdirSync('/etc/netns') : []).filter((name) => name.startsWith(`v6e-${id}-`)),
  ];

  t.test('two labs at once are strangers to each other', async (t) => {
    const labs = await Promise.all([Lab.create(), Lab.create()]);
    t.teardown(() => labs.forEach((lab) => void lab.close()));
    for (const lab of labs) {
      const ping = await lab.node('client').exec(['ping', '-c1', '-W2', edgePublic4]);
      t.equal(ping.code, 0, ping.stdout + ping.stderr);
      const node = await lab.node('worker1').exec(['ping', '-c1', '-W2', upstream6]);
      t.equal(node.code, 0, node.stdout + node.stderr);
    }
  });

  t.test('nodes solicit only once connected, and have only a link-local address without a router', async (t) => {
    const lab = await Lab.create();
    t.teardown(() => lab.close());
    t.strictSame(await lab.node('worker1').addresses('prv0'), []);
    await lab.connect(['worker1']);
    const [address, ...more] = await waitFor('an address', async () => {
      const found = await lab.node('worker1').addresses('prv0');
      return found.length > 0 && found;
    });
    t.match(address, { scope: 'link', local: /^fe80::/ });
    t.strictSame(more, []);
    t.match(slaacAddress('worker1'), /^fd00:6:6::ff:fe06:6/);
  });

  t.test('nothing is left after close, not even programs and files', async (t) => {
    const lab = await Lab.create();
    lab.node('client').writeResolvConf('nameserver ::1\n');
    const sleeper = lab.node('client').spawn(['sleep', '1000']);
    await waitFor('the sleeper', () => existsSync(`/proc/${sleeper.pid}`));
    t.not(remains(lab.id).length, 0);
    lab.close();
    lab.close();
    t.equal((await sleeper.exited).signal, 'SIGKILL');
    t.strictSame(remains(lab.id), []);
  });

  const script = `
    const { Lab } = await import(${JSON.stringify(join(import.meta.dirname, 'lab.ts'))});
    const lab = await Lab.create();
    lab.node('client').spawn(['sleep', '1000']);
    console.log(lab.id);
    if (process.argv[1] === 'throw') throw new Error('on purpose');
    setInterval(() => {}, 1000);
  `;
  const runner = async (mode: string): Promise<{ process: LabProcess; id: string }> => {
    const child = new LabProcess('runner', [process.execPath, '--input-type=module', '-e', script, mode], {});
    const id = await waitFor('the runner', () => child.stdout.trim() || undefined, { why: () => child.output });
    return { process: child, id };
  };

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    t.test(`a runner that gets ${signal} takes its lab down`, async (t) => {
      const { process: child, id } = await runner('stay');
      t.not(remains(id).length, 0);
      child.kill(signal);
      t.equal((await child.exited).code, signal === 'SIGINT' ? 130 : 143);
      t.strictSame(remains(id), []);
    });
  }

  t.test('a runner that throws takes its lab down', async (t) => {
    const { process: child, id } = await runner('throw');
    t.equal((await child.exited).code, 1);
    t.strictSame(remains(id), []);
  });

  t.test('a runner that is killed leaves a record by which the next one cleans up', async (t) => {
    const { process: child, id } = await runner('stay');
    child.kill('SIGKILL');
    await child.exited;
    const record = readRecords().find((one) => one.id === id);
    t.ok(record && !isAlive(record), 'the record is there, its runner is not');
    // Another test file's lab may be quicker and clean up for us.
    takeDownAbandoned();
    t.strictSame(remains(id), []);
  });

  t.test('a program that overstays is killed and says so', async (t) => {
    t.match(await exec(['sleep', '100'], { timeoutMs: 50 }), { timedOut: true, signal: 'SIGKILL' });
    t.match(await exec(['/does/not/exist']), { code: 127, stderr: /ENOENT/ });
  });
}
