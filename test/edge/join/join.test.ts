/** Tokens, bundles, material and nodes, with a clock that moves when told to and requests from several sources. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { CounterStripe } from '../../../src/core/counters.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { cryptoRandom } from '../../../src/core/random.ts';
import { StateFile } from '../../../src/core/state-file.ts';
import type { DynamicKey } from '../../../src/dns/dynamic-keys.ts';
import { encodeBundle, readScripts, scriptsDigest, sharedEntries } from '../../../src/edge/join/bundle.ts';
import { joinCounters } from '../../../src/edge/join/counters.ts';
import { edgeEnv } from '../../../src/edge/join/env-file.ts';
import { Join } from '../../../src/edge/join/join.ts';
import type { JoinAnswer, JoinRequest } from '../../../src/edge/join/server.ts';
import { digestOf } from '../../../src/edge/join/tokens.ts';
import { joinConfig, storedNode } from './stage.ts';

const base = 'http://[fd00:6:6::1]:8654';
const hash = `sha256:${'0a'.repeat(32)}`;
const material = (key = '') => `BOOTSTRAP_TOKEN=abcdef.0123456789abcdef\nCA_CERT_HASHES=${hash}\n${key}`;
const certificateKey = `CERTIFICATE_KEY=${'ab'.repeat(32)}\n`;
const minute = 60_000;

interface Stage {
  readonly join: Join;
  readonly clock: FakeClock;
  readonly log: MemoryLogger;
  readonly events: object[];
  readonly file: string;
  keys: readonly DynamicKey[];
  /** The zone that lacks the edge's name. */
  missingIn: string | undefined;
  ask(method: string, url: string, more?: Partial<JoinRequest>): JoinAnswer;
}

function stage(t: Test, dir = t.testdir({}), clock = new FakeClock()): Stage {
  const log = new MemoryLogger();
  const events: object[] = [];
  const file = join(dir, 'join.json');
  const made: Stage = {
    clock,
    log,
    events,
    file,
    keys: [],
    missingIn: undefined,
    join: new Join({
      clock,
      random: cryptoRandom,
      log,
      counters: CounterStripe.alone(joinCounters.length, 0),
      file: new StateFile(file, 0o600),
      setKeys: (keys) => {
        made.keys = keys;
      },
      nameFault: (domain, meant) => (domain === 'edge.cluster.test' && !meant ? `${domain} has records` : undefined),
      missingIn: (domain) => (domain === 'edge.cluster.test' ? made.missingIn : undefined),
      emit: (event) => events.push(event),
    }),
    ask: (method, url, more = {}) =>
      made.join.handle({ method, url, source: 'fd00:6:6::21', base, secret: undefined, body: '', ...more }),
  };
  made.join.prepare(joinConfig());
  return made;
}

const text = ({ body }: JoinAnswer) => Buffer.from(body as string).toString('utf8');

/** What is in a bundle, by path. */
function unpack(t: Test, { body }: JoinAnswer): (path: string) => string {
  const dir = t.testdir({});
  writeFileSync(join(dir, 'b.tgz'), body as Uint8Array);
  execFileSync('tar', ['-xzf', 'b.tgz'], { cwd: dir });
  return (path) => readFileSync(join(dir, path), 'utf8');
}

const secretOf = (env: string) => /^NODE_SECRET=(.*)$/m.exec(env)![1]!;

t.test('one refusal for all that is not good, with the reason on our side only', async (t) => {
  const { join, clock, log, ask } = stage(t);
  join.setMaterial(material(), 'api');
  const used = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined }).token;
  t.equal(ask('GET', `/join/${used}/bundle?name=w1`).status, 200);
  t.equal(ask('POST', `/join/${used}/done`).status, 200);
  const late = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined }).token;
  t.equal(ask('GET', `/join/${late}/bundle?name=w2`, { source: 'fd00:6:6::22' }).status, 200);
  const expired = join.createToken({ role: 'worker', ttlMs: minute, name: undefined }).token;
  const revoked = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined });
  t.ok(join.book.revoke(revoked.id));
  clock.advance(minute);
  const claimed = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined }).token;
  t.equal(ask('GET', `/join/${claimed}/bundle?name=w3`, { source: 'fd00:6:6::23' }).status, 200);
  const good = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined }).token;
  const rows: [name: string, method: string, url: string, reason: RegExp][] = [
    ['no path', 'GET', '/', /no such path/],
    ['another path', 'GET', '/join', /no such path/],
    ['no token', 'GET', '/join/', /no such path/],
    ['one with other letters', 'GET', '/join/%2e%2e', /no such path/],
    ['a path behind it', 'GET', `/join/${good}/../x`, /no such path/],
    ['a long query', 'GET', `/join/${good}/bundle?name=${'a'.repeat(300)}`, /no such path/],
    ['wrong', 'GET', `/join/${'A'.repeat(24)}`, /^unknown$/],
    ['a digest', 'GET', `/join/${digestOf(good)}`, /^unknown$/],
    ['another method', 'DELETE', `/join/${good}`, /DELETE where GET/],
    ['done by GET', 'GET', `/join/${good}/done`, /GET where POST/],
    ['used', 'GET', `/join/${used}`, /^used$/],
    ['used, its bundle', 'GET', `/join/${used}/bundle?name=w1`, /^used$/],
    ['expired', 'GET', `/join/${expired}`, /^expired$/],
    ['revoked', 'GET', `/join/${revoked.token}`, /^unknown$/],
    ['claimed by another', 'GET', `/join/${claimed}`, /^claimed by another node$/],
    ['claimed by another, its bundle', 'GET', `/join/${claimed}/bundle?name=w3`, /^claimed by another node$/],
    ['claimed by another, done', 'POST', `/join/${claimed}/done`, /^claimed by another node$/],
    ['material without a secret', 'PUT', '/join/material', /no secret of a control-plane node/],
    ['a report without a secret', 'POST', '/join/report', /no secret of a node/],
  ];
  const first = ask('GET', '/join/wrong');
  for (const [name, method, url, reason] of rows) {
    clock.advance(10_000);
    const answer = ask(method, url);
    t.strictSame(answer, first, name);
    const line = log.lines.at(-1)!;
    t.equal(line.message, 'join request refused', name);
    t.match(line.fields.reason, reason, name);
  }
  clock.advance(10 * minute);
  t.strictSame(ask('GET', `/join/${late}/bundle?name=w2`, { source: 'fd00:6:6::22' }), first, 'ten minutes later');
  const all = JSON.stringify(log.lines);
  for (const secret of [used, late, expired, revoked.token, claimed, good])
    t.notOk(all.includes(secret), 'no token in the log');
});

t.test('what a good token does not make up for', async (t) => {
  const { join, clock, ask } = stage(t);
  const order = { role: 'worker', ttlMs: undefined, name: undefined } as const;
  const early = join.createToken(order);
  t.match(early.warning, /what kubeadm join needs is not known here/);
  const early409 = ask('GET', `/join/${early.token}/bundle?name=w1`);
  t.match([early409.status, text(early409)], [409, /what kubeadm join needs is not known here/]);
  join.setMaterial(material(), 'api');
  t.equal(join.createToken(order).warning, undefined);
  t.match(join.createToken({ ...order, role: 'control-plane' }).warning, /certificates is not known/);
  const { token } = join.createToken(order);
  const names = [
    '',
    'W1',
    'w1.cluster.test',
    '-w',
    'w-',
    'w_1',
    '*',
    'a'.repeat(64),
    'localhost',
    'w1%0AROLE=x',
    '../w1',
  ];
  for (const name of names) {
    clock.advance(minute);
    const answer = ask('GET', `/join/${token}/bundle?name=${name}`);
    t.match([answer.status, text(answer)], [400, /cannot be a node's name/], JSON.stringify(name));
  }
  t.match(text(ask('GET', `/join/${token}/bundle?name=edge`)), /edge\.cluster\.test has records/);
  t.equal(ask('POST', `/join/${token}/done`).status, 409, 'nothing was fetched');
  const named = join.createToken({ ...order, name: 'w7' });
  t.match(text(ask('GET', `/join/${named.token}/bundle?name=w8`)), /for a node named "w7" alone/);
  t.equal(ask('GET', `/join/${token}/bundle?name=w1`).status, 200, 'and all that did not use it up');
  t.match(text(ask('GET', `/join/${token}/bundle?name=w2`)), /that of the node "w1" by now/);
  clock.advance(minute);
  const second = join.createToken(order);
  t.match(text(ask('GET', `/join/${second.token}/bundle?name=w1`)), /there is a node "w1"/);
  clock.advance(24 * 60 * minute);
  t.match(join.createToken(order).warning, /bootstrap token has expired/);
  t.throws(() => join.createToken({ ...order, name: 'W 1' }), { code: 'V6_VALUE' });
});

t.test('a name of the edge that leads nowhere is told of before any node fails by it', async (t) => {
  const made = stage(t);
  made.missingIn = 'cluster.test';
  made.join.setMaterial(material(certificateKey), 'api');
  for (const role of ['control-plane', 'worker'] as const) {
    const { warning } = made.join.createToken({ role, ttlMs: undefined, name: undefined });
    t.match(
      warning,
      /edge\.cluster\.test, which has no address: v6edge record cluster\.test add edge\.cluster\.test 300 AAAA fd00:6:6::1$/,
    );
  }
  made.missingIn = undefined;
  t.equal(made.join.createToken({ role: 'worker', ttlMs: undefined, name: undefined }).warning, undefined);
});

t.test('a first control plane, a second, a worker', async (t) => {
  const made = stage(t);
  const { join, clock, ask, events } = made;
  const plane = { role: 'control-plane', ttlMs: undefined, name: undefined } as const;
  const one = join.createToken(plane);
  const two = join.createToken(plane);
  t.equal(one.warning, undefined);
  const first = unpack(t, ask('GET', `/join/${one.token}/bundle?name=cp1`));
  t.match(first('join.env'), /^ROLE=control-plane\nNODE_NAME=cp1\nCLUSTER_INIT=yes\n/);
  t.match(text(ask('GET', `/join/${two.token}/bundle?name=cp2`)), /"cp1" is making the cluster/);
  t.match(join.createToken(plane).warning, /"cp1" is making the cluster/);
  const secret = secretOf(first('join.env'));
  const bad = ask('PUT', '/join/material', { secret, body: 'PASSWORD=x' });
  t.match([bad.status, text(bad)], [400, /no part of join material/]);
  t.equal(ask('PUT', '/join/material', { secret, body: material(certificateKey) }).status, 200);
  t.match(join.book.material, { by: 'cp1' });
  const second = unpack(t, ask('GET', `/join/${two.token}/bundle?name=cp2`));
  t.match(second('join.env'), /CLUSTER_INIT=no\n.*CERTIFICATE_KEY=(ab){32}\n/s);
  clock.advance(minute);
  const { token } = join.createToken({ ...plane, role: 'worker' });
  const worker = unpack(t, ask('GET', `/join/${token}/bundle?name=w1`));
  t.match(
    worker('join.env'),
    /KUBEADM_TOKEN=abcdef\.0123456789abcdef\nCA_CERT_HASHES=sha256:(0a){32}\nCERTIFICATE_KEY=\n/,
  );
  t.match(worker('node.key'), /^key "w1\.cluster\.test" \{\n\talgorithm hmac-sha256;\n/);
  t.match(worker('edge.env'), /^ZONE=cluster\.test$/m);
  t.ok(worker('node-bootstrap/lib.sh').length > 0);
  t.equal(
    ask('PUT', '/join/material', { secret: secretOf(worker('join.env')), body: material() }).status,
    404,
    'no worker’s to give',
  );
  t.equal(ask('POST', '/join/report', { secret: secretOf(worker('join.env')), body: 'x' }).status, 400);
  t.equal(
    ask('POST', '/join/report', { secret: secretOf(worker('join.env')), body: 'STATE=failed\nSTEP=runtime\n' }).status,
    200,
  );
  t.match(join.progress('w1'), { state: 'failed', step: 'runtime' });
  t.strictSame(
    made.keys.map(({ key }) => key.name),
    ['cp1.cluster.test', 'cp2.cluster.test', 'w1.cluster.test'],
  );
  t.strictSame(
    events.map((each) => Object.values(each).slice(0, 2)),
    [
      ['node-joined', 'cp1'],
      ['join-material', 'cp1'],
      ['node-joined', 'cp2'],
      ['node-joined', 'w1'],
    ],
  );
});

t.test('the claimant may ask again; its key stays, its secret does not', async (t) => {
  const { join, clock, ask, events } = stage(t);
  join.setMaterial(material(), 'api');
  const { token } = join.createToken({ role: 'worker', ttlMs: minute, name: undefined });
  const first = unpack(t, ask('GET', `/join/${token}/bundle?name=w1`));
  const [env, key] = [first('join.env'), first('node.key')];
  clock.advance(9 * minute);
  t.equal(ask('GET', `/join/${token}`).status, 200, 'the script, too, though the token’s time is over');
  const again = unpack(t, ask('GET', `/join/${token}/bundle?name=w1`));
  t.equal(again('node.key'), key);
  t.not(secretOf(again('join.env')), secretOf(env));
  t.equal(ask('POST', '/join/report', { secret: secretOf(env), body: 'STATE=begun\n' }).status, 404);
  t.equal(ask('POST', '/join/report', { secret: secretOf(again('join.env')), body: 'STATE=begun\n' }).status, 200);
  t.equal(events.filter((each) => 'node' in each).length, 1, 'it joined once');
  t.equal(ask('POST', `/join/${token}/done`).status, 200);
  t.equal(ask('POST', `/join/${token}/done`).status, 404);
});

t.test('a token for a name replaces the node of that name, and its key', async (t) => {
  const { join, ask } = stage(t);
  join.setMaterial(material(), 'api');
  const order = { role: 'worker', ttlMs: undefined, name: 'w1' } as const;
  const keys = [1, 2].map(() => {
    const { token } = join.createToken(order);
    return unpack(t, ask('GET', `/join/${token}/bundle?name=w1`))('node.key');
  });
  t.not(keys[0], keys[1]);
  t.equal(join.book.nodes.length, 1);
});

t.test('removed: key first, then records; what stops it can be done again', async (t) => {
  const made = stage(t);
  const { join, ask } = made;
  const { token } = join.createToken({ role: 'control-plane', ttlMs: undefined, name: undefined });
  const env = unpack(t, ask('GET', `/join/${token}/bundle?name=cp1`))('join.env');
  ask('PUT', '/join/material', { secret: secretOf(env), body: material() });
  await t.rejects(
    join.remove('cp1', 'unix', async (domain) => {
      t.equal(domain, 'cp1.cluster.test');
      t.equal(made.keys.length, 0, 'no key any more');
      throw new Error('disk full');
    }),
    /disk full/,
  );
  t.equal(join.book.nodes.length, 1);
  t.match(await join.remove('cp1', 'unix', async () => undefined), { name: 'cp1' });
  t.equal(made.keys.length, 0);
  t.equal(await join.remove('cp1', 'unix', async () => undefined), undefined);
  t.equal(join.book.material, undefined, 'with its last control plane the cluster is gone');
  t.equal(ask('GET', `/join/${token}/bundle?name=cp1`).status, 404, 'nor does its token bring it back');
  t.equal(ask('PUT', '/join/material', { secret: secretOf(env), body: material() }).status, 404);
});

t.test('on disk, for its owner alone, and there after a restart; a file of others is told', async (t) => {
  const dir = t.testdir({});
  const clock = new FakeClock();
  const { join, ask, file } = stage(t, dir, clock);
  join.setMaterial(material(), 'api');
  const used = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined }).token;
  ask('GET', `/join/${used}/bundle?name=w1`);
  const { token } = join.createToken({ role: 'worker', ttlMs: undefined, name: undefined });
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notOk(readFileSync(file, 'utf8').includes(token), 'as a digest alone');
  const later = stage(t, dir, clock);
  t.strictSame(
    later.keys.map(({ key }) => key.name),
    ['w1.cluster.test'],
  );
  t.equal(later.ask('GET', `/join/${token}/bundle?name=w2`).status, 200);
  for (const bad of ['{', '{}', '{"version":2,"tokens":[],"nodes":[]}', '{"version":1,"tokens":1,"nodes":[]}']) {
    writeFileSync(file, bad);
    t.throws(() => stage(t, dir, clock), { code: 'V6_JOIN_STATE', message: /join\.json: / }, bad);
  }
});

t.test('guesses are slowed down, for one source and not for others', async (t) => {
  const { join, clock, ask } = stage(t);
  const statuses = Array.from({ length: 8 }, () => ask('GET', '/join/guess').status);
  t.strictSame(statuses, [404, 404, 404, 404, 404, 429, 429, 429]);
  t.equal(ask('GET', '/join/guess', { source: 'fd00:6:6::99' }).status, 404);
  clock.advance(minute);
  t.equal(ask('GET', '/join/guess').status, 404);
  const many = Array.from({ length: 300 }, (_, i) => ask('GET', '/join/guess', { source: `fd00:6:6::${i}:1` }).status);
  t.ok(many.includes(429), 'nor all sources together without end');
  t.equal(join.book.tokens.length, 0);
});

t.test('two bundles of the same are the same, byte for byte', (t) => {
  const config = joinConfig();
  const build = () => {
    const shared = sharedEntries(readScripts(config.scripts), edgeEnv(config));
    const parts = {
      node: storedNode('w1'),
      zone: 'cluster.test',
      material: undefined,
      reportUrl: 'http://x',
      secret: 's',
    };
    return [scriptsDigest(shared), Buffer.from(encodeBundle(shared, parts)).toString('base64')];
  };
  t.strictSame(build(), build());
  t.end();
});
