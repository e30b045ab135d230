/** A real daemon with a join listener, and a machine that joins: this one with a /var/lib of its own (a mount namespace). */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { runCli } from '../../../src/edge/cli.ts';
import { exec, type Result } from '../../lab/process.ts';
import { DaemonHome, freePort } from '../daemon-process.ts';

const example = join(import.meta.dirname, '../../../scripts/node-bootstrap/edge.env.example');
const material = `BOOTSTRAP_TOKEN=abcdef.0123456789abcdef\nCA_CERT_HASHES=sha256:${'0'.repeat(64)}\n`;
const joinScript =
  '#!/bin/bash\nprintf "%s\\n" "$@" >"$OUT/arguments"\ncp "$(dirname "$0")/../node.key" "$OUT/"\ncat >"$OUT/stdin"\n';

export interface JoinStage {
  readonly home: DaemonHome;
  readonly port: number;
  readonly dnsPort: number;
  readonly pool: () => Promise<{ members: { name: string; address: string }[] }>;
  /** Makes a token and returns its URL. */
  token(...options: string[]): Promise<string>;
}

/** Starts it; its join.sh is one that writes down how it was called. */
export async function startJoinStage(t: Test): Promise<JoinStage> {
  const home = new DaemonHome(t);
  const [port, dnsPort, proxyPort] = [await freePort('::1'), await freePort('::1'), await freePort()];
  const scripts = join(home.folder, 'scripts');
  mkdirSync(scripts);
  writeFileSync(join(scripts, 'join.sh'), joinScript);
  writeFileSync(join(scripts, 'lib.sh'), '');
  writeFileSync(join(scripts, 'edge.env.example'), readFileSync(example));
  home.configure(
    [
      `dns: { listen: ["[::1]:${dnsPort}"], zones: [{ name: cluster.test, ns: [edge.cluster.test], lease: 2h } ] }`,
      `proxy: { listeners: [{ name: http, bind: ["127.0.0.1:${proxyPort}"], pool: web }],`,
      '  pools: { web: { check: { type: none }, discover: { srv: _http._tcp.cluster.test } } } }',
      `join: { listen: ["[::1]:${port}"], scripts: ${scripts} }`,
    ].join('\n'),
    1,
  );
  await home.start();
  const made = await cli(home, 'node', 'material', 'set', writeMaterial(home));
  if (made.code !== 0) throw new Error(made.err);
  return {
    home,
    port,
    dnsPort,
    pool: () => home.json('/v1/pools/web'),
    token: async (...options) => {
      const { out, err } = await cli(home, 'node', 'token', 'create', '--role', 'worker', ...options);
      const url = /curl -fsSg '([^']+)' \| bash -s\n/.exec(out)?.[1];
      if (url === undefined) throw new Error(out + err);
      return url;
    },
  };
}

/** A file with what kubeadm join needs. */
export function writeMaterial(home: DaemonHome): string {
  const file = join(home.folder, 'material');
  writeFileSync(file, material);
  return file;
}

/** Runs a command line against it. */
export async function cli(home: DaemonHome, ...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const context = {
    stdout: (text: string) => {
      out += text;
    },
    stderr: (text: string) => {
      err += text;
    },
    isTerminal: false,
    now: Date.now,
    env: {},
  };
  const code = await runCli([...argv, '--api', `unix:${home.socket}`], context);
  return { code, out, err };
}

/** Runs a command line as a node would, with a /var/lib of its own; `$OUT` is where join.sh writes. */
export function onNode(out: string, line: string): Promise<Result> {
  mkdirSync(out, { recursive: true });
  const run = `mount -t tmpfs none /var/lib && ${line}; code=$?; ls /var/lib >"$OUT/left"; exit $code`;
  return exec(['unshare', '-m', 'bash', '-c', run], { env: { OUT: out }, timeoutMs: 60_000 });
}

/** Sends lines to nsupdate; the response code, or what it said. */
export async function update(dnsPort: number, key: string, ...lines: string[]): Promise<string> {
  const input = [`server ::1 ${dnsPort}`, 'zone cluster.test', ...lines, 'send', ''].join('\n');
  const { code, stderr } = await exec(['nsupdate', '-t', '5', '-k', key], { input });
  return code === 0 ? 'NOERROR' : stderr.trim();
}
