import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import type { TsigKey } from '../../src/dns/config.ts';
import { Keyring, ReplySigner, signRequest, verifyReply, verifyRequest } from '../../src/dns/tsig.ts';
import { StreamVerifier } from '../../src/dns/tsig-stream.ts';
import { encodeMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { appendTsig, locateTsig, type TsigRecord } from '../../src/dns/wire/tsig.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { testKey } from './control-server.ts';

const clock = new FakeClock();

function plain(id: number, flags: number = FLAG.QR, rcode: number = RCODE.NOERROR): Uint8Array {
  return encodeMessage({
    id,
    flags,
    opcode: 0,
    rcode,
    questions: [{ name: nameFromText('test'), type: TYPE.AXFR, class: CLASS.IN }],
    answers: [],
    authority: [],
    additional: [],
  });
}

/** A request's two ends: who signs the answers, and who verifies them. */
function ends(key: TsigKey = testKey, serverKey = key, serverClock = clock) {
  const request = signRequest(plain(7, 0), key, clock);
  const outcome = verifyRequest(request, new Keyring([serverKey]), serverClock);
  const verifier = new StreamVerifier(key, locateTsig(request)!.record.mac, clock);
  if (outcome.kind !== 'verified' && outcome.kind !== 'failed') throw new Error(outcome.kind);
  return { signer: outcome.signer, verifier, request };
}

const changed = (message: Uint8Array, at = 2): Uint8Array => message.map((octet, i) => (i === at ? octet ^ 1 : octet));

t.test('messages that are signed one after the other', (t) => {
  for (const algorithm of [
    'hmac-md5',
    'hmac-sha1',
    'hmac-sha224',
    'hmac-sha256',
    'hmac-sha384',
    'hmac-sha512',
  ] as const) {
    const { signer, verifier } = ends({ ...testKey, algorithm });
    t.equal(verifier.settled, false, 'nothing has come');
    for (let i = 0; i < 3; i++) t.equal(verifier.check(signer.sign(plain(7))), undefined, `${algorithm} ${i}`);
    t.ok(verifier.settled);
  }
  t.end();
});

t.test('truncated MACs (RFC 8945 §5.2.2.1)', (t) => {
  const half = { ...testKey, macLength: 16 };
  const most = { ...testKey, macLength: 20 };
  const rows: [what: string, ours: TsigKey, theirs: TsigKey, good: boolean][] = [
    ['as both have it', half, half, true],
    ['longer than asked for', half, most, true],
    ['whole', half, testKey, true],
    ['shorter', most, half, false],
    ['shorter than whole', testKey, half, false],
  ];
  for (const [what, ours, theirs, good] of rows) {
    const request = signRequest(plain(7, 0), ours, clock);
    // What the server takes is another matter.
    const outcome = verifyRequest(request, new Keyring([{ ...theirs, macLength: 16 }]), clock);
    if (outcome.kind !== 'verified') throw new Error(outcome.kind);
    const { record } = locateTsig(request)!;
    const server = { ...new Keyring([theirs]).find(record)[0]! };
    const signer = new ReplySigner(record, server, 0, clock);
    const verifier = new StreamVerifier(ours, record.mac, clock);
    for (let i = 0; i < 3; i++) {
      const reply = signer.sign(plain(7));
      if (i === 0) t.equal(verifyReply(reply, ours, record.mac), good, `${what}: a reply alone`);
      t.equal(verifier.check(reply), good ? undefined : 'its signature is wrong', `${what}: message ${i}`);
      if (!good) break;
    }
  }
  t.end();
});

/** A server that signs every so many messages, as RFC 8945 §5.3.1 lets it: our own signs all. */
function withUnsigned(signer: ReplySigner, verifier: StreamVerifier, unsigned: number): (string | undefined)[] {
  const found = [verifier.check(signer.sign(plain(7)))];
  for (let i = 0; i < unsigned; i++) found.push(verifier.check(plain(7)));
  return found;
}

t.test('unsigned messages between: 99 at most, and none at the end', (t) => {
  const few = ends();
  t.strictSame(withUnsigned(few.signer, few.verifier, 99), new Array(100).fill(undefined));
  t.equal(few.verifier.settled, false, 'the last must be signed');
  t.equal(few.verifier.check(few.signer.sign(plain(7))), 'its signature is wrong', 'the digest covers those before it');
  const many = ends();
  t.match(withUnsigned(many.signer, many.verifier, 100).at(-1), /more than 99/);
  t.end();
});

t.test('what does not verify, and why', (t) => {
  const wrongSecret = { ...testKey, secret: new Uint8Array(32) };
  const otherKey = { ...testKey, name: 'other' };
  const late = new FakeClock(clock.wall() + 400_000);
  const rows: [
    name: string,
    message: (signer: ReplySigner) => Uint8Array,
    e: ReturnType<typeof ends>,
    reason: RegExp,
  ][] = [
    ['changed on the way', (signer) => changed(signer.sign(plain(7))), ends(), /signature is wrong/],
    ['not signed', () => plain(7), ends(), /not signed$/],
    ['an error without a signature', () => plain(7, FLAG.QR, RCODE.REFUSED), ends(), /not signed, and says REFUSED/],
    ['another secret there', (signer) => signer.sign(plain(7)), ends(testKey, wrongSecret), /^BADSIG: .*"node-key"/],
    ['a key unknown there', (signer) => signer.sign(plain(7)), ends(testKey, otherKey), /^BADKEY: .*"node-key"/],
    [
      'their clock is ahead',
      (signer) => signer.sign(plain(7)),
      ends(testKey, testKey, late),
      /BADTIME: .*400 s ahead of ours/,
    ],
    ['cut', (signer) => signer.sign(plain(7)).subarray(0, -1), ends(), /record/],
  ];
  for (const [name, message, { signer, verifier }, reason] of rows) {
    t.match(verifier.check(message(signer)), reason, name);
    t.equal(verifier.settled, false);
  }
  t.end();
});

t.test('a good signature of another key, of a short MAC, or of another time', (t) => {
  const { signer, verifier } = ends();
  const { record, start } = locateTsig(signer.sign(plain(7)))!;
  const resigned = (more: Partial<TsigRecord>) => appendTsig(plain(7), { ...record, ...more });
  t.ok(start > 0);
  t.match(verifier.check(resigned({ keyName: nameFromText('other') })), /another key or algorithm/);
  t.match(verifier.check(resigned({ algorithm: nameFromText('hmac-sha1') })), /another key or algorithm/);
  t.match(verifier.check(resigned({ mac: record.mac.subarray(0, 16) })), /signature is wrong/);
  const old = ends();
  const message = old.signer.sign(plain(7));
  clock.advance(301_000);
  t.match(old.verifier.check(message), /clock is 301 s behind ours/);
  t.end();
});
