import fc from 'fast-check';
import t from 'tap';
import { maxHelloBytes, parseClientHello } from '../../../src/proxy/wire/client-hello.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(/#.*|\s/g, ''), 'hex');

// `openssl s_client -servername api.example.org -tls1_3 -curves X25519 -sigalgs ECDSA+SHA256`, OpenSSL 3.0.
const tls13 = hex(`
  16 0301 00c8                  # handshake record, 200 bytes
  01 0000c4                     # ClientHello, 196 bytes
  0303                          # legacy_version
  c6e8002e090838f946258f57f0b21e4da8de86fa3c0974b3e99f705ecf4875c1 # random
  20 e51a5f725fb4922f7d00878f3ea06dc8301f4c76298e7e9c158bde0b34fe28f7 # legacy_session_id
  0008 1302 1303 1301 00ff      # cipher_suites
  01 00                         # legacy_compression_methods
  0073                          # extensions
  0000 0014 0012 00 000f 6170692e6578616d706c652e6f7267 # server_name
  000b 0004 03000102            # ec_point_formats
  000a 0004 0002001d            # supported_groups
  0023 0000                     # session_ticket
  0016 0000                     # encrypt_then_mac
  0017 0000                     # extended_master_secret
  000d 0004 00020403            # signature_algorithms
  002b 0003 020304              # supported_versions
  002d 0002 0101                # psk_key_exchange_modes
  0033 0026 0024 001d 0020 dfdab4e81a8a59cca718b67189d19de3e1125327d0ac3f9dbfa12e9b24310944 # key_share
`);

// `openssl s_client -noservername -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256`
const tls12Nameless = hex(`
  16 0301 0083
  01 00007f
  0303 47a4c8d1ba41cb17401384812701316d9c3fc86dbfb17076af642ac9eb6d5830
  00
  0004 c02f 00ff
  01 00
  0052
  000b 0004 03000102
  000a 000c 000a001d0017001e00190018
  0023 0000
  0016 0000
  0017 0000
  000d 002a 0028040305030603080708080809080a080b080408050806040105010601030303010302040205020602
`);

/** The extensions of a hello that has them as given. */
function hello(extensions: string, sessionId = '00'): Buffer {
  const list = hex(extensions);
  const length = (bytes: number, width: number) => bytes.toString(16).padStart(2 * width, '0');
  const body = `0303 ${'11'.repeat(32)} ${sessionId} 0002 1301 01 00 ${length(list.length, 2)} ${list.toString('hex')}`;
  const size = hex(body).length;
  return hex(`16 0301 ${length(size + 4, 2)} 01 ${length(size, 3)} ${body}`);
}

function serverName(name: string): string {
  const length = (add: number) => (name.length + add).toString(16).padStart(4, '0');
  return `0000 ${length(5)} ${length(3)} 00 ${length(0)} ${Buffer.from(name, 'latin1').toString('hex')}`;
}

/** The same hello with a key share as large as a post-quantum one, so that no segment holds it. */
const large = hello(`${`0033 04ea ${'ab'.repeat(0x4ea)}`} ${serverName('api.example.org')}`);

/** The message of a hello in one record, cut into records of `size` bytes. */
function inRecords(whole: Buffer, size: number): Buffer {
  const message = whole.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.of(22, 3, 1, part.length >> 8, part.length & 0xff), part);
  }
  return Buffer.concat(records);
}

const bad: [name: string, input: Buffer][] = [
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
  ['a PROXY header', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n')],
  ['an SSL 2 hello', hex('802e 0103 01')],
  ['an alert', hex('15 0301 0002 0250')],
  ['a record of version 2', hex('16 0201 0005')],
  ['an empty record', hex('16 0301 0000')],
  ['a record longer than 2^14', hex('16 0301 4001')],
  ['a ServerHello', hex('16 0303 0004 02 000000')],
  ['a hello longer than we take', hex('16 0301 4000 01 010000')],
  [
    'a record of application data inside',
    Buffer.concat([inRecords(tls13, 100).subarray(0, 105), hex('17 0303 0001 00')]),
  ],
  ['more records than anybody sends', inRecords(tls13, 10)],
  ['an empty hello', hex('16 0301 0004 01 000000')],
  ['a session id beyond the end', hello(serverName('a.example'), 'ff')],
  ['extensions that do not fill it', Buffer.concat([hello('').subarray(0, -2), hex('0001')])],
  ['an extension beyond the end', hello('0000 0005 00')],
  ['a cut extension', hello('0000 00')],
  ['a server name list of a wrong length', hello('0000 0004 0003 00 00')],
  ['a server name beyond its list', hello('0000 0005 0003 00 0001')],
  ['a cut server name', hello('0000 0004 0002 00 00')],
  ['a protocol list of a wrong length', hello('0010 0005 0002 02 6832')],
  ['a cut protocol list', hello('0010 0001 00')],
  ['a protocol beyond its list', hello('0010 0005 0003 03 6832')],
  ['an empty protocol', hello('0010 0003 0001 00')],
];

for (const [name, input] of bad) {
  t.test(`invalid: ${name}`, async (t) => t.match(parseClientHello(input), { kind: 'invalid', reason: String }));
}

const good: [name: string, input: Buffer, server: string | undefined][] = [
  ['TLS 1.3', tls13, 'api.example.org'],
  ['TLS 1.2 without a name', tls12Nameless, undefined],
  ['with a large key share before the name', large, 'api.example.org'],
  ['a name in capitals with a dot at the end', hello(serverName('API.Example.ORG.')), 'api.example.org'],
  ['no name in the list', hello('0000 0002 0000'), undefined],
  ['a name of another type first', hello('0000 000b 0009 01 0001 61 00 0002 6262'), 'bb'],
  ['an empty name', hello('0000 0005 0003 00 0000'), undefined],
  ['a name with a zero byte', hello(serverName('api.example.org\0.evil.test')), undefined],
  ['a name with a space', hello(serverName('api example')), undefined],
  ['a name with a slash', hello(serverName('../etc')), undefined],
  ['a name longer than names are', hello(serverName(`${'a.'.repeat(130)}org`)), undefined],
  ['no extensions at all', hex(`16 0301 002d 01 000029 0303 ${'11'.repeat(32)} 00 0002 1301 01 00`), undefined],
];

for (const [name, input, server] of good) {
  t.test(`valid: ${name}`, async (t) => {
    t.strictSame(parseClientHello(input), { kind: 'hello', name: server, protocols: [] });
    t.strictSame(parseClientHello(Buffer.concat([input, hex('14 0303 0001 01 17 0303 0001 00')])), {
      kind: 'hello',
      name: server,
      protocols: [],
    });
  });
}

t.test('protocols, before the name or after it', async (t) => {
  const alpn = '0010 000e 000c 02 6832 08 687474702f312e31';
  for (const extensions of [`${alpn} ${serverName('a.example')}`, `${serverName('a.example')} ${alpn}`]) {
    t.strictSame(parseClientHello(hello(extensions)), {
      kind: 'hello',
      name: 'a.example',
      protocols: ['h2', 'http/1.1'],
    });
  }
  t.strictSame(parseClientHello(hello(alpn)), { kind: 'hello', name: undefined, protocols: ['h2', 'http/1.1'] });
  t.strictSame(parseClientHello(hello('0010 0002 0000')), { kind: 'hello', name: undefined, protocols: [] });
  const many = Array.from({ length: 40 }, (_, i) => `01 ${(65 + i).toString(16)}`).join('');
  const read = parseClientHello(hello(`0010 0052 0050 ${many}`));
  t.match(read, { kind: 'hello', protocols: { length: 16 } }, 'no more than anybody offers');
});

t.test('cut at every byte', async (t) => {
  for (const whole of [tls13, tls12Nameless, large, inRecords(large, 100), inRecords(tls13, 20)]) {
    for (let length = 0; length < whole.length; length++) {
      const { kind } = parseClientHello(whole.subarray(0, length));
      if (kind !== 'incomplete') t.fail(`${length} of ${whole.length} bytes are ${kind}`);
    }
    t.equal(parseClientHello(whole).kind, 'hello');
  }
});

t.test('cut into records of any size', async (t) => {
  for (const whole of [tls13, large]) {
    for (let size = Math.ceil((whole.length - 5) / 16); size < whole.length; size++) {
      t.strictSame(
        parseClientHello(inRecords(whole, size)),
        { kind: 'hello', name: 'api.example.org', protocols: [] },
        `${size}`,
      );
    }
  }
});

t.test('any bytes get an answer', async () => {
  fc.assert(
    fc.property(fc.constantFrom(0, 5, 9, 43, 100, 200), fc.uint8Array({ maxLength: 300 }), (keep, rest) => {
      const parsed = parseClientHello(Buffer.concat([tls13.subarray(0, keep), rest]));
      return parsed.kind !== 'hello' || parsed.name === undefined || /^[a-z0-9_.-]+$/.test(parsed.name);
    }),
    { seed: 20260101, numRuns: 3000 },
  );
  const full = Buffer.concat([hex('16 0301 4000 01 003f00'), Buffer.alloc(maxHelloBytes)]).subarray(0, maxHelloBytes);
  fc.assert(fc.property(fc.constant(full), (input) => parseClientHello(input).kind === 'invalid'));
});
