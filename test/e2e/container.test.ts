/** The container that other tests stand on: boots, has what they need, and leaves nothing behind. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import { exec, waitFor } from '../lab/process.ts';
import { inNamespace, ip, run } from '../linux/netns.ts';
import { Container } from './container.ts';

if (inNamespace(t, import.meta.filename)) {
  let name = '';
  let pids: number[] = [];

  t.test('boots whole, with a link of ours that networkd takes', async (t) => {
    const container = await Container.boot(t, {
      prepare: (root) => {
        run('mkdir', '-p', `${root}/etc/systemd/network`);
        run(
          'sh',
          '-c',
          `printf '[Match]\\nName=prv0\\n[Network]\\nAddress=fd00:6:6::9/64\\nIPv6AcceptRA=no\\n' >${root}/etc/systemd/network/prv0.network`,
        );
      },
    });
    name = container.name;
    t.equal(await container.must(['systemctl', '--failed', '--quiet']), '');
    await container.must(['systemctl', 'start', 'systemd-networkd']);
    await container.attach('to-it', 'prv0', '02:00:00:00:00:09');
    ip('addr add fd00:6:6::1/64 dev to-it nodad');
    await waitFor('an answer', async () => (await exec(['ping', '-c1', '-W1', 'fd00:6:6::9'])).code === 0);
    container.write('/etc/some/file', 'text');
    t.equal(await container.must(['cat', '/etc/some/file']), 'text');
    t.match(await container.journal('-u', 'systemd-networkd'), /prv0: Gained carrier/);
    pids = [container.leader];
  });

  t.test('leaves no process, link, control group or folder', async (t) => {
    t.strictSame(
      pids.filter((pid) => existsSync(`/proc/${pid}`)),
      [],
    );
    t.notMatch(run('ip', '-br', 'link'), /to-it/);
    t.notMatch(run('find', '/sys/fs/cgroup', '-maxdepth', '2', '-name', `${name}*`), name);
    t.notOk(readdirSync(tmpdir()).some((each) => each.startsWith(`${name}-`)));
    t.notMatch(readFileSync('/proc/self/mounts', 'utf8'), name);
  });

  t.test('shuts down in order', async (t) => {
    const container = await Container.boot(t);
    await container.powerOff();
    t.notOk(existsSync(`/proc/${container.leader}`));
  });
}
