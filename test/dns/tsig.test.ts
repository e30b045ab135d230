import { createHmac } from 'node:crypto';
import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import type { TsigAlgorithm, TsigKey } from '../../src/dns/config.ts';
import { Keyring, signRequest, TSIG_ALGORITHMS, verifyReply, verifyRequest } from '../../src/dns/tsig.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { appendTsig, locateTsig, stripTsig, type TsigRecord } from '../../src/dns/wire/tsig.ts';
import { RCODE } from '../../src/dns/wire/types.ts';

const secret = Uint8Array.from(Buffer.from('secret-secret-secret-secret!'));
const key = (algorithm: TsigAlgorithm): TsigKey => ({ name: 'node-key', algorithm, secret });
const keys = new Keyring([key('hmac-sha256')]);
const signedAt = 0x6b04b9cf;
const clockAt = (seconds: number) => new FakeClock(seconds * 1000);

/** What nsupdate (BIND 9.18) sent: zone cluster.test, add n1.cluster.test 60 AAAA fd00::1; all signed alike. */
const body =
  '2800 0001 0000 0001 0001' + // UPDATE, counts
  '07636c75737465720474657374 00 0006 0001' + // zone section
  '026e31c00c 001c 0001 0000003c 0010 fd000000000000000000000000000001'; // update section
const tsigOwner = '086e6f64652d6b6579 00 00fa 00ff 00000000';
const nsupdate: Record<string, [id: string, time: string, rdlength: string, mac: string]> = {
  'hmac-md5': ['132d', '6b04b9ce', '003a', '6db96b7e035590def0dfd2cbd0ef7a2c'],
  'hmac-sha1': ['0cda', '6b04b9cf', '002f', '32c4ffda428e2ce74d3bf734e5ee11814e3d5823'],
  'hmac-sha224': ['852b', '6b04b9cf', '0039', 'f67994a43b0d7418d4b6354522e1cad4d14b59858b823f5f51abb19b'],
  'hmac-sha256': ['50fd', '6b04b9cf', '003d', '4325d29df05ac86cda6a77add0b5b6fcb474583f081f488de2791c768a136916'],
  'hmac-sha384': [
    '97ce',
    '6b04b9cf',
    '004d',
    '99ec54d790da6d5a10672a6bab7c7fe972694c3a8343d23a548907d7f9eee879185942954cd3cb4f03b19f805ad1338d',
  ],
  'hmac-sha512': [
    '970a',
    '6b04b9cf',
    '005d',
    '55f33a0fcb88382013bc99449c0cc7e4e24e44373302d5d326ce9f1bc52712b8659134cafbaf152cfeb1dcfb0a775d274c49e3160becb6598d79a349e377dc8a',
  ],
  'hmac-sha256-128': ['91fc', '6b04b9cf', '002d', '4d332b741ae39fa855a337a8faed68a2'],
};

function golden(name: string): Uint8Array {
  const [id, time, rdlength, mac] = nsupdate[name]!;
  const algorithm = name.replace(/-128$/, '') as TsigAlgorithm;
  const wireName = Buffer.from(nameFromText(TSIG_ALGORITHMS[algorithm].name)).toString('hex');
  const size = (mac.length / 2).toString(16).padStart(4, '0');
  const rdata = `${wireName} 0000 ${time} 012c ${size} ${mac} ${id} 0000 0000`;
  return hex(`${id} ${body} ${tsigOwner} ${rdlength} ${rdata}`);
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
}

/** The sha256 message with one field of its TSIG changed, MAC recomputed or not. */
function altered(change: Partial<TsigRecord>, resign = false): Uint8Array {
  const located = locateTsig(golden('hmac-sha256'))!;
  const stripped = stripTsig(golden('hmac-sha256'), located);
  const record = { ...located.record, ...change };
  if (!resign) return appendTsig(stripped, record);
  return signRequest(stripped, key('hmac-sha256'), clockAt(record.timeSigned));
}

t.test('requests that nsupdate signed', (t) => {
  for (const name of Object.keys(nsupdate).filter((name) => name !== 'hmac-sha256-128')) {
    const algorithm = name as TsigAlgorithm;
    const outcome = verifyRequest(golden(name), new Keyring([key(algorithm)]), clockAt(signedAt));
    t.equal(outcome.kind, 'verified', name);
    if (outcome.kind !== 'verified') continue;
    t.equal(
      Buffer.from(outcome.message).toString('hex').slice(4),
      Buffer.from(hex(body))
        .toString('hex')
        .replace(/0001(?=07636c)/, '0000'),
    );
    const again = signRequest(outcome.message, key(algorithm), clockAt(Number(`0x${nsupdate[name]![1]}`)));
    t.same(again, golden(name), `${name}: we sign to the very same octets`);
  }
  t.end();
});

t.test('what is wrong with a signature, and how it is answered', (t) => {
  const good = golden('hmac-sha256');
  const wrongMac = Uint8Array.from(locateTsig(good)!.record.mac);
  wrongMac[31]! ^= 1;
  const shortMac = (length: number) => altered({ mac: locateTsig(good)!.record.mac.subarray(0, length) });
  const rows: [
    name: string,
    message: Uint8Array,
    at: number,
    kind: string,
    error?: number | undefined,
    macLength?: number,
  ][] = [
    ['no TSIG', stripTsig(good, locateTsig(good)!), signedAt, 'unsigned'],
    ['shorter than a header', good.subarray(0, 11), signedAt, 'malformed'],
    ['cut inside the TSIG', good.subarray(0, good.length - 1), signedAt, 'malformed'],
    ['cut inside the question', good.subarray(0, 20), signedAt, 'malformed'],
    ['two TSIG records', appendTsig(good, locateTsig(good)!.record), signedAt, 'malformed'],
    ['TSIG not the last record', withTrailingOpt(good), signedAt, 'malformed'],
    ['octets after the TSIG', Buffer.concat([good, Buffer.of(0)]), signedAt, 'verified', undefined, 32],
    ['unknown key', altered({ keyName: nameFromText('other') }), signedAt, 'failed', RCODE.BADKEY, 0],
    ['other algorithm', altered({ algorithm: nameFromText('hmac-sha1') }), signedAt, 'failed', RCODE.BADKEY, 0],
    ['wrong MAC', altered({ mac: wrongMac }), signedAt, 'failed', RCODE.BADSIG, 0],
    ['empty MAC', altered({ mac: new Uint8Array(0) }), signedAt, 'failed', RCODE.BADSIG, 0],
    ['MAC longer than the digest', altered({ mac: new Uint8Array(33) }), signedAt, 'malformed'],
    ['MAC of 15 octets', shortMac(15), signedAt, 'malformed'],
    ['MAC of 16 octets', golden('hmac-sha256-128'), signedAt, 'failed', RCODE.BADTRUNC, 32],
    ['MAC of 31 octets', shortMac(31), signedAt, 'failed', RCODE.BADTRUNC, 32],
    ['other id, not signed again', withId(good, 7), signedAt, 'verified', undefined, 32],
    ['other fudge, not signed again', altered({ fudge: 301 }), signedAt, 'failed', RCODE.BADSIG, 0],
    ['client 300 s behind', good, signedAt + 300, 'verified', undefined, 32],
    ['client 300.9 s behind, as seconds are counted 300', good, signedAt + 300.9, 'verified', undefined, 32],
    ['client 301 s behind', good, signedAt + 301, 'failed', RCODE.BADTIME, 32],
    ['client 301 s ahead', good, signedAt - 301, 'failed', RCODE.BADTIME, 32],
    ['time past 2038 and 2106', altered({ timeSigned: 2 ** 33 }, true), 2 ** 33, 'verified', undefined, 32],
  ];
  for (const [name, message, at, kind, error, macLength] of rows) {
    const clock = clockAt(at);
    const outcome = verifyRequest(message, keys, clock);
    t.equal(outcome.kind, kind, name);
    if (outcome.kind !== 'verified' && outcome.kind !== 'failed') continue;
    if (outcome.kind === 'failed') t.equal(outcome.error, error, name);
    const reply = outcome.signer.sign(hex('0007 a800 0000 0000 0000 0000'));
    const { record } = locateTsig(reply)!;
    t.equal(record.mac.length, macLength, `${name}: length of the reply's MAC`);
    t.equal(record.error, error ?? 0, `${name}: error of the reply's TSIG`);
    t.equal(record.originalId, 7);
    t.equal(reply.length, 12 + outcome.signer.overhead, `${name}: overhead is what sign adds`);
    if (outcome.kind === 'verified') {
      t.ok(verifyReply(reply, key('hmac-sha256'), locateTsig(message)!.record.mac), `${name}: the reply verifies`);
    }
  }
  t.end();
});

t.test('a key with truncated MACs: they are taken and sent (RFC 8945 §5.2.2.1)', (t) => {
  const cut = { ...key('hmac-sha256'), macLength: 20 };
  const mac = (length: number) => altered({ mac: locateTsig(golden('hmac-sha256'))!.record.mac.subarray(0, length) });
  for (const [length, kind] of [
    [15, 'malformed'],
    [16, 'failed'],
    [19, 'failed'],
    [20, 'verified'],
    [32, 'verified'],
  ] as const) {
    const outcome = verifyRequest(mac(length), new Keyring([cut]), clockAt(signedAt));
    t.equal(outcome.kind, kind, `${length} octets`);
    if (outcome.kind === 'failed') t.equal(outcome.error, RCODE.BADTRUNC);
    if (outcome.kind === 'malformed' || outcome.kind === 'unsigned') continue;
    const reply = outcome.signer.sign(hex('0007 a800 0000 0000 0000 0000'));
    t.equal(locateTsig(reply)!.record.mac.length, 20);
    t.equal(reply.length, 12 + outcome.signer.overhead);
    if (outcome.kind === 'verified') t.ok(verifyReply(reply, cut, locateTsig(mac(length))!.record.mac));
  }
  const request = signRequest(hex('0007 2800 0000 0000 0000 0000'), cut, clockAt(signedAt));
  t.equal(locateTsig(request)!.record.mac.length, 20);
  t.equal(verifyRequest(request, new Keyring([cut]), clockAt(signedAt)).kind, 'verified');
  t.end();
});

t.test('keys of one name: while a secret is being replaced, both are good', (t) => {
  const old = key('hmac-sha256');
  const fresh = { ...old, secret: new Uint8Array(32).fill(7) };
  const longer = { ...key('hmac-sha512'), secret: new Uint8Array(64).fill(8) };
  const ring = new Keyring([fresh, longer, old]);
  const plain = hex('0007 2800 0000 0000 0000 0000');
  for (const one of [old, fresh, longer]) {
    const request = signRequest(plain, one, clockAt(signedAt));
    const outcome = verifyRequest(request, ring, clockAt(signedAt));
    t.match(outcome, { kind: 'verified', key: one });
    if (outcome.kind !== 'verified') continue;
    const reply = outcome.signer.sign(plain);
    t.ok(verifyReply(reply, one, locateTsig(request)!.record.mac), 'the reply is signed as the request was');
  }
  const gone = verifyRequest(signRequest(plain, old, clockAt(signedAt)), new Keyring([fresh]), clockAt(signedAt));
  t.match(gone, { kind: 'failed', error: RCODE.BADSIG });
  const late = verifyRequest(signRequest(plain, old, clockAt(signedAt)), ring, clockAt(signedAt + 1000));
  t.match(late, { kind: 'failed', error: RCODE.BADTIME, clockBehindSeconds: 1000, keyName: 'node-key' });
  t.end();
});

t.test('BADTIME tells the client both clocks', (t) => {
  const outcome = verifyRequest(golden('hmac-sha256'), keys, clockAt(signedAt + 412));
  t.match(outcome, { kind: 'failed', reason: 'key "node-key": the client\'s clock is 412 s behind ours' });
  if (outcome.kind !== 'failed') throw new Error('it verifies');
  const { record } = locateTsig(outcome.signer.sign(hex('0007 a809 0000 0000 0000 0000')))!;
  t.equal(record.timeSigned, signedAt, "time signed is the client's");
  t.equal(Buffer.from(record.otherData).readUIntBE(0, 6), signedAt + 412, 'other data is ours');
  const ahead = verifyRequest(golden('hmac-sha256'), keys, clockAt(signedAt - 500));
  t.match(ahead, { reason: /500 s ahead of ours/ });
  t.end();
});

t.test('a stream of replies: MACs are chained, later ones cover the timers only (RFC 8945 §5.3.1)', (t) => {
  const request = golden('hmac-sha256');
  const outcome = verifyRequest(request, keys, clockAt(signedAt));
  if (outcome.kind !== 'verified') throw new Error('the request does not verify');
  const plain = hex('50fd 8400 0000 0000 0000 0000');
  const kept = outcome.signer.copy().sign(plain);
  const first = outcome.signer.sign(plain);
  t.same(kept, first, 'a copy signs the same, and its replies do not count');
  t.ok(verifyReply(first, key('hmac-sha256'), locateTsig(request)!.record.mac));
  let previous = locateTsig(first)!.record.mac;
  for (let i = 0; i < 3; i++) {
    const { record } = locateTsig(outcome.signer.sign(plain))!;
    const expected = createHmac('sha256', secret)
      .update(Buffer.concat([hex('0020'), previous, plain, hex('0000 6b04b9cf 012c')]))
      .digest();
    t.same(record.mac, Uint8Array.from(expected), `message ${i + 2}`);
    previous = record.mac;
  }
  t.end();
});

function withTrailingOpt(message: Uint8Array): Uint8Array {
  const whole = Buffer.concat([message, hex('00 0029 04d0 00000000 0000')]);
  whole.writeUInt16BE(2, 10);
  return whole;
}

function withId(message: Uint8Array, id: number): Uint8Array {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}
