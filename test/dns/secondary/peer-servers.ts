/** BIND 9, Knot and NSD of a test's own, as primary or secondary of one zone: a process, a folder, a loopback port each. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TsigKey } from '../../../src/dns/config.ts';
import { formatKeyFile } from '../../../src/dns/keyfile.ts';
import { freePort } from '../../free-port.ts';

export const peerKinds = ['bind', 'knot', 'nsd'] as const;
export type PeerKind = (typeof peerKinds)[number];

export interface PeerOptions {
  readonly zone: string;
  readonly key: TsigKey;
  /** Where we are. */
  readonly us: number;
  /** The zone file of a primary; none: a secondary of ours. */
  readonly file?: string;
}

export interface Peer {
  readonly port: number;
  log(): string;
  /** Puts another zone file in place and has it read. */
  replace(file: string): void;
  stop(): Promise<void>;
}

interface Setup {
  readonly argv: readonly string[];
  readonly config: string;
  /** What the log says when it serves. */
  readonly ready: RegExp;
}

export async function startPeer(kind: PeerKind, options: PeerOptions): Promise<Peer> {
  const dir = mkdtempSync(join(tmpdir(), `v6edge-${kind}-`));
  const port = await freePort('::1');
  const { argv, config, ready } = setups[kind](dir, port, options);
  mkdirSync(join(dir, 'run'));
  const zoneFile = join(dir, 'zone.db');
  if (options.file !== undefined) writeFileSync(zoneFile, options.file);
  writeFileSync(join(dir, 'conf'), config, { mode: 0o600 });
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 5000);
      await once(child, 'exit');
      clearTimeout(force);
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await running(child, ready, (text) => {
      log += text;
      return log;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    port,
    log: () => log,
    replace(file) {
      writeFileSync(zoneFile, file);
      child.kill('SIGHUP');
    },
    stop,
  };
}

function running(child: ChildProcess, ready: RegExp, read: (text: string) => string): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const take = (data: Buffer) => {
      log = read(data.toString());
      if (ready.test(log)) resolve();
    };
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`it ended with ${code}:\n${log}`)));
    child.stdout!.on('data', take);
    child.stderr!.on('data', take);
  });
}

const setups: Record<PeerKind, (dir: string, port: number, options: PeerOptions) => Setup> = {
  bind(dir, port, { zone, key, us, file }) {
    const role =
      file === undefined
        ? `type secondary; file "copy.db"; primaries { ::1 port ${us} key "${key.name}"; };`
        : `type primary; file "zone.db"; notify explicit; also-notify { ::1 port ${us} key "${key.name}"; };
  allow-update { key "${key.name}"; };`;
    const config = `options {
  directory "${dir}"; pid-file "${dir}/run/pid"; session-keyfile "${dir}/run/key"; lock-file none;
  managed-keys-directory "${dir}"; listen-on { none; }; listen-on-v6 port ${port} { ::1; };
  recursion no; notify no; dnssec-validation no; notify-delay 0; startup-notify-rate 100; check-names primary ignore; zero-no-soa-ttl no;
};
controls { };
${formatKeyFile(key)}
zone "${zone}" { ${role} allow-transfer { key "${key.name}"; }; };
`;
    return { argv: ['named', '-g', '-n', '1', '-c', join(dir, 'conf')], config, ready: /^.* running$/m };
  },
  knot(dir, port, { zone, key, us, file }) {
    const role = file === undefined ? 'master: us' : 'file: zone.db\n    notify: us';
    const config = `server:
    rundir: ${dir}/run
    listen: ::1@${port}
    background-workers: 1
    udp-workers: 1
    tcp-workers: 1
log:
  - target: stdout
    any: info
database:
    storage: ${dir}
key:
  - id: ${key.name}
    algorithm: ${key.algorithm}
    secret: ${Buffer.from(key.secret).toString('base64')}
remote:
  - id: us
    address: ::1@${us}
    key: ${key.name}
acl:
  - id: us
    key: ${key.name}
    action: [transfer, notify, update]
zone:
  - domain: ${zone}
    storage: ${dir}
    acl: us
    ${role}
`;
    return { argv: ['knotd', '-c', join(dir, 'conf')], config, ready: /server started/ };
  },
  nsd(dir, port, { zone, key, us, file }) {
    const role =
      file === undefined
        ? `request-xfr: ::1@${us} ${key.name}\n  allow-notify: ::1 ${key.name}`
        : `notify: ::1@${us} ${key.name}\n  store-ixfr: yes\n  create-ixfr: yes`;
    const config = `server:
  ip-address: ::1@${port}
  username: ""
  chroot: ""
  zonesdir: "${dir}"
  database: ""
  pidfile: "${dir}/run/pid"
  xfrdfile: "${dir}/run/xfrd.state"
  zonelistfile: "${dir}/run/zone.list"
  xfrdir: "${dir}/run"
  xfrd-reload-timeout: 0
  server-count: 1
  verbosity: 2
remote-control:
  control-enable: no
key:
  name: ${key.name}
  algorithm: ${key.algorithm}
  secret: "${Buffer.from(key.secret).toString('base64')}"
zone:
  name: ${zone}
  zonefile: "zone.db"
  provide-xfr: ::1 ${key.name}
  ${role}
`;
    return { argv: ['nsd', '-d', '-c', join(dir, 'conf')], config, ready: /nsd started/ };
  },
};
