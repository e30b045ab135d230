import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCli } from '../../src/edge/cli.ts';
import { loadKeys } from '../../src/edge/config/keys.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'v6edge-cli-'));
t.teardown(() => rmSync(folder, { recursive: true }));
/** What the command line takes for the present. */
const now = Date.UTC(2027, 0, 31, 12);

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCli(argv, {
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    isTerminal: false,
    now: () => now,
    env: {},
  });
  return { code, out, err };
}

/** An admin API that answers what it is told to. */
async function listen(
  t: Test,
  answer: (req: IncomingMessage, res: ServerResponse, body: string) => void,
): Promise<string> {
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => answer(req, res, body));
  });
  const path = join(folder, `${Math.random().toString(36).slice(2)}.sock`);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  return `unix:${path}`;
}

t.test('wrong usage: exit code 2, a reason and a pointer', async (t) => {
  const cases: [argv: string[], reason: RegExp][] = [
    [[], /^v6edge COMMAND\n.*v6edge status .*\nv6edge: say what to do\n$/s],
    [['frobnicate'], /no such command: frobnicate\nSee: v6edge --help\n$/],
    [['stauts'], /there is no such command; did you mean status\?/],
    [['status', '--jsno'], /no such option: jsno\nSee: v6edge status --help\n$/],
    [['status', 'now'], /no such command: now/],
    [['status', '--api', 'localhost:8653'], /--api localhost:8653: write unix:/],
    [['status', '--token-file', '/nonexistent'], /--token-file: ENOENT/],
    [['records'], /0 of 1 arguments given/],
    [['records', 'a.test', '--export', '--type', 'A'], /--export writes the whole zone/],
    [['member', 'p', 'm'], /give --state, --weight, --add ADDRESS:PORT or --remove/],
    [['member', 'p', 'm', '--add', 'worker3:80'], /--add: "worker3:80"/],
    [['member', 'p', 'm', '--add', '[::1]:80', '--remove'], /give --add or --remove, not both/],
    [['member', 'p', 'm', '--remove', '--state', 'drain'], /give --remove or --state, not both/],
    [['member', 'p', 'm', '--state', 'drain', '--force'], /--force is for --remove\nSee: v6edge member --help/],
    [['member', 'p', 'm', '--state', 'on'], /Invalid values/],
    [['member', 'p', 'm', '--weight', '50%'], /^v6edge: --weight: a number is wanted\nSee: v6edge member --help\n$/],
    [['member', 'p', 'm', '--weight', '300'], /^v6edge: --weight 300: whole numbers from 0 to 256 are allowed\n/],
    [['member', 'p', 'm', '--weight', '0.5'], /--weight 0\.5: whole numbers from 0 to 256/],
    [['member', 'p', 'm', '--add', '[::1]:80', '--max-connections', 'all'], /--max-connections: a number is wanted/],
    [['sessions', '--limit', 'all'], /--limit: a number is wanted\nSee: v6edge sessions --help/],
    [['key'], /^v6edge key\n.*v6edge key new <name> .*as in: v6edge key new NAME\n$/s],
    [['query', 'a..b'], /empty label/],
    [['query', 'a.test', 'AAAAA'], /no DNS record type/],
    [['query', 'a.test', '--server', 'localhost'], /is no endpoint/],
    [['key', 'new', 'k', '--algorithm', 'rot13'], /Invalid values/],
    [['key', 'new', 'a..b'], /empty label/],
  ];
  for (const [argv, reason] of cases) {
    const { code, out, err } = await cli(...argv);
    t.equal(code, 2, argv.join(' '));
    t.match(err, reason);
    t.equal(out, '');
  }
});

t.test('a daemon that is not there: exit code 1 and what to do', async (t) => {
  t.match(await cli('status', '--api', 'unix:/nonexistent/s'), {
    code: 1,
    err: /there is no \/nonexistent\/s: is v6edge running\?/,
  });
  t.match(await cli('zones', '--api', 'http://127.0.0.1:1'), {
    code: 1,
    err: /nobody listens on http:\/\/127.0.0.1:1/,
  });
  if (process.getuid?.() !== 0) return;
  const api = await listen(t, (_, res) => res.end('{}'));
  chmodSync(api.slice(5), 0o600);
  chmodSync(folder, 0o755);
  const asNobody = (verb: string) => {
    const script = `
      process.setgid(65534); process.setuid(65534);
      const { runCli } = await import(${JSON.stringify(join(root, 'src/edge/cli.ts'))});
      process.exitCode = await runCli(['${verb}', '--api', ${JSON.stringify(api)}], { stdout(x) { process.stdout.write(x); }, stderr: (x) => process.stderr.write(x), now: Date.now, env: {} });`;
    const node = join(root, 'node_modules/node/bin/node');
    return spawnSync(node, ['-e', script, '--input-type=module'], { encoding: 'utf8' });
  };
  for (const verb of ['status', 'doctor']) {
    const nobody = asNobody(verb);
    t.match(nobody.stderr, /no permission to use .*group v6edge/, verb);
    t.equal(nobody.stdout, '', `${verb}: it knows of no daemon that is down`);
    t.equal(nobody.status, 1);
  }
});

t.test('a daemon that says no', async (t) => {
  const problem = (status: number, body: string) =>
    listen(t, (_, res) => res.writeHead(status, { 'content-type': 'application/problem+json' }).end(body));
  t.match(
    await cli('pools', 'x', '--api', await problem(404, '{"title":"Not Found","detail":"there is no pool \\"x\\""}')),
    {
      code: 1,
      err: 'v6edge: there is no pool "x"\n',
    },
  );
  t.match(await cli('status', '--api', await problem(401, '{"title":"Unauthorized"}')), {
    code: 1,
    err: 'v6edge: Unauthorized (give the token with --token-file)\n',
  });
  const tokenFile = join(t.testdir({ token: 'x\n' }), 'token');
  const wrong = await problem(401, '{"detail":"this is not the token"}');
  t.match(await cli('status', '--api', wrong, '--token-file', tokenFile), {
    code: 1,
    err: 'v6edge: this is not the token (it came from --token-file)\n',
  });
  t.match(await cli('reload', '--api', await problem(422, '{"detail":"nothing changed","errors":["a.yaml:1:1: x"]}')), {
    code: 1,
    err: 'v6edge: nothing changed\na.yaml:1:1: x\n',
  });
  const twice = '{"detail":"ttl: too short; role: wanted","errors":["ttl: too short","role: wanted"]}';
  t.match(await cli('reload', '--api', await problem(400, twice)), {
    code: 1,
    err: 'v6edge: ttl: too short\nrole: wanted\n',
  });
  t.match(await cli('status', '--api', await problem(502, '<html>')), { code: 1, err: 'v6edge: status 502\n' });
  t.match(await cli('status', '--api', await problem(200, '<html>')), { code: 1, err: /no JSON; is this v6edge\?/ });
});

t.test('what is asked of the daemon, and what people see', async (t) => {
  const seen: string[] = [];
  const member = {
    name: 'w1',
    address: 'fd00::21',
    port: 80,
    state: 'up',
    admin: 'ready',
    weight: 100,
    active: 3,
    inStateMs: 3_723_000,
    reason: 'check passed',
    backup: false,
  };
  const answers: Record<string, unknown> = {
    '/v1/status': {
      version: '9.9.9',
      pid: 7,
      uptimeSeconds: 61,
      configFile: '/c.yaml',
      threads: [{ name: 'data-0', state: 'running', restarts: 2 }],
      listeners: [{ name: 'http', kind: 'proxy', endpoint: '[::]:80' }],
      totals: { sessions: 5, bytesIn: 1500 },
    },
    '/readyz': { status: 'ready', notes: [] },
    '/v1/dns': { upstreams: [], cache: {}, totals: {} },
    '/v1/pools': [
      {
        name: 'workers',
        members: [member, { ...member, name: 'w2', state: 'down', reason: 'connect: refused' }],
        removed: [{ name: 'w9', address: 'fd00::29', port: 80 }],
      },
      { name: 'none', members: [], removed: [] },
    ],
    '/v1/pools/workers': { name: 'workers', members: [member], removed: [] },
    '/v1/pools/a%2Fb/members/w1': { ...member, admin: 'drain' },
    '/v1/pools/a%2Fb/members/w1?force=true': { pool: 'a/b', member: 'w1', removed: true },
    '/v1/pools/a%2Fb/members': { ...member, name: 'w3', state: 'down', health: 'unknown', weight: 50 },
    '/v1/zones': [{ name: 'a.test', serial: 12, records: 3, lastUpdate: undefined, role: 'primary' }],
    '/v1/zones/a.test/notify': { zone: 'a.test', notified: ['[::1]:53', '[::2]:53'] },
    '/v1/dns/cache/flush': { flushed: 'b.test' },
    '/v1/zones/b.test/refresh': { zone: 'b.test', whole: true },
    '/v1/zones/a.test/records?name=l.a.test': [
      {
        name: 'l.a.test',
        type: 'A',
        ttl: 60,
        data: ['192.0.2.1', '192.0.2.2'],
        expiresAt: [now + 60_000, null],
      },
    ],
    '/v1/zones/a.test/records?type=A': [{ name: 'x.a.test', type: 'A', ttl: 60, data: ['192.0.2.1', '192.0.2.2'] }],
    '/v1/ra': [
      {
        interface: 'eth1',
        state: 'advertising',
        reason: '',
        lastSent: now - 5000,
        source: 'fe80::1',
        nextMulticastInMs: 90_000,
        asConfig: {
          entry: { managed: false, prefixes: [{ prefix: 'fd00::/64', valid: '1d' }] },
          remarks: ['option 253: 00'],
        },
        withdrawn: [{ kind: 'rdnss', servers: ['fd00::1', 'fd00::2'], lifetime: 0 }],
        routers: [
          {
            source: 'fe80::bad',
            lastSeen: new Date(now - 7000),
            advertisement: { lifetime: 1800, preference: 'high' },
            contradictions: [{ what: 'AdvCurHopLimit', ours: '64', theirs: '32' }],
          },
        ],
      },
    ],
  };
  const api = await listen(t, (req, res, body) => {
    seen.push(`${req.method} ${req.url} ${req.headers.authorization ?? '-'} ${req.headers.accept} ${body}`.trim());
    if (req.headers.accept === 'text/dns') res.end('$ORIGIN a.test.\n');
    else res.end(JSON.stringify(answers[req.url!]));
  });
  const see = async (...argv: string[]) => {
    const result = await cli(...argv, '--api', api);
    t.match(result, { code: 0, err: '' }, argv.join(' '));
    return result.out;
  };
  t.match(
    await see('status'),
    /v6edge 9\.9\.9, pid 7, up 1m 1s: ready\n {2}workers\/w2 is down: connect: refused\n[\s\S]*restarted 2 times[\s\S]*1\.5 kB in[\s\S]*http on \[::\]:80\n/,
  );
  t.equal(
    await see('pools'),
    [
      'POOL     MEMBER      ADDRESS        STATE    FOR  WEIGHT  ACTIVE  WHY',
      'workers  w1          [fd00::21]:80  up     1h 2m     100       3  check passed',
      '         w2          [fd00::21]:80  down   1h 2m     100       3  connect: refused',
      'none     no members',
      "workers/w9 of the configuration was removed at run time; to have it back: v6edge member workers w9 --add '[fd00::29]:80'",
      '',
    ].join('\n'),
  );
  t.match(await see('pools', 'workers'), /w1/);
  t.equal(
    await see('member', 'a/b', 'w1', '--state', 'drain', '--weight', '5'),
    'a/b/w1: ordered drain, is up, weight 100\n',
  );
  t.equal(seen.at(-1), 'PATCH /v1/pools/a%2Fb/members/w1 - application/json {"state":"drain","weight":5}');
  const added = ['--add', '[fd00::23]:80', '--weight', '50', '--backup', '--max-connections', '7'];
  t.equal(
    await see('member', 'a/b', 'w3', ...added),
    'a/b/w3: ordered ready, is down until its first check, weight 50\n',
  );
  t.equal(
    seen.at(-1),
    'POST /v1/pools/a%2Fb/members - application/json {"name":"w3","address":"fd00::23","port":80,"weight":50,"backup":true,"maxConnections":7}',
  );
  t.equal(
    await see('member', 'a/b', 'w1', '--remove'),
    'a/b/w1: drains, and is removed when its sessions have ended\n',
  );
  t.equal(await see('member', 'a/b', 'w1', '--remove', '--force'), 'a/b/w1: removed\n');
  t.equal(seen.at(-1), 'DELETE /v1/pools/a%2Fb/members/w1?force=true - application/json');
  t.match(await see('zones'), /a\.test +primary +12 +3 +not since start\n/);
  t.equal(
    await see('refresh', 'b.test', '--whole'),
    'b.test: its primaries are being asked; v6edge zones shows what came of it\n',
  );
  t.equal(seen.at(-1), 'POST /v1/zones/b.test/refresh - application/json {"whole":true}');
  t.equal(await see('notify', 'a.test'), 'a.test: telling [::1]:53, [::2]:53\n');
  t.match(seen.at(-1), /^POST \/v1\/zones\/a\.test\/notify /);
  t.equal(await see('flush', 'b.test'), 'forgotten: b.test\n');
  t.equal(seen.at(-1), 'POST /v1/dns/cache/flush - application/json {"name":"b.test"}');
  await see('flush');
  t.equal(seen.at(-1), 'POST /v1/dns/cache/flush - application/json {}');
  t.match(
    await see('records', 'a.test', '--type', 'A'),
    /x\.a\.test +60 +A +192\.0\.2\.1\nx\.a\.test +60 +A +192\.0\.2\.2\n/,
  );
  t.equal(
    await see('records', 'a.test', '--name', 'l.a.test'),
    'NAME      TTL  TYPE  DATA       GONE IN\nl.a.test   60  A     192.0.2.1  1m\nl.a.test   60  A     192.0.2.2\n',
  );
  t.equal(await see('records', 'a.test', '--export'), '$ORIGIN a.test.\n');
  const ra = await see('ra');
  t.match(ra, /eth1 +advertising +5s ago +never\n/);
  t.match(
    ra,
    /\neth1 sends from fe80::1, to all nodes again in 1m 30s\n {2}managed: false\n {2}prefixes:\n {4}- prefix: fd00::\/64/,
  );
  t.match(ra, /\n {2}# option 253: 00\n {2}taken back: rdnss fd00::1 fd00::2\n/);
  t.match(ra, /\neth1 hears fe80::bad: default router for 1800 s, preference high, last 7s ago\n/);
  t.match(ra, /\n {2}AdvCurHopLimit: ours 64, theirs 32\n/);
  t.strictSame(JSON.parse(await see('zones', '--json')), [{ name: 'a.test', serial: 12, records: 3, role: 'primary' }]);
  writeFileSync(join(folder, 'token'), 'a-token-of-some-length\n');
  await see('zones', '--token-file', join(folder, 'token'));
  t.match(seen.at(-1), /GET \/v1\/zones Bearer a-token-of-some-length/);
});

t.test('check', async (t) => {
  const good = join(root, 'examples/reference.yaml');
  t.strictSame(await cli('check', '--config', good), { code: 0, out: `${good}: good\n`, err: '' });
  const bad = join(folder, 'bad.yaml');
  writeFileSync(bad, 'workers: 0\nra: 1\n');
  t.match(await cli('check', '-c', bad), {
    code: 2,
    out: '',
    err: /^.*bad.yaml:1:10: workers: .*\n.*bad.yaml:2:5: ra: .*\n$/,
  });
  t.match(await cli('check'), {
    code: 2,
    err: /^\/etc\/v6edge\/v6edge\.yaml: there is no such file; `v6edge init` writes/,
  });
});

t.test('key new prints what dns.keys and nsupdate -k read', async (t) => {
  const { code, out } = await cli('key', 'new', 'Node-1.Example.', '--algorithm', 'hmac-sha384');
  t.equal(code, 0);
  const key = loadKeys('node-1.example', { kind: 'file', file: '/k' }, () => out)[0]!;
  t.equal(key.algorithm, 'hmac-sha384');
  t.equal(key.secret.length, 48);
  t.not((await cli('key', 'new', 'a')).out, (await cli('key', 'new', 'a')).out, 'no two are the same');
});

t.test('help of every command', async (t) => {
  for (const command of [
    'run',
    'check',
    'status',
    'pools',
    'member',
    'zones',
    'refresh',
    'notify',
    'flush',
    'records',
    'ra',
    'reload',
    'key',
    'store',
    'version',
  ]) {
    const { stdout, status } = spawnSync(join(root, 'bin/v6edge'), [command, '--help'], { encoding: 'utf8' });
    t.equal(status, 0, command);
    t.match(stdout, new RegExp(`v6edge ${command}`));
  }
});

t.test('bin/v6edge through a symbolic link, from any folder', (t) => {
  const link = join(folder, 'v6edge');
  symlinkSync(join(root, 'bin/v6edge'), link);
  const { stdout, stderr, status } = spawnSync(link, ['version'], { encoding: 'utf8', cwd: '/' });
  t.match(stdout, /^v6edge \d+\.\d+\.\d+ \(Node\.js 24\./);
  t.equal(stderr, '');
  t.equal(status, 0);
  t.end();
});
