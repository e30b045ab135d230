import fc from 'fast-check';
import t from 'tap';
import { MessageWriter, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { canonicalRdata, checkRdata, equalRdata, rdataFromText, rdataToText } from '../../../src/dns/wire/rdata.ts';
import { rdataNames } from '../../../src/dns/wire/rdata-names.ts';
import { knownTypes } from '../../../src/dns/wire/rr/registry.ts';
import { SECTION, typeFromText, typeToText } from '../../../src/dns/wire/types.ts';

const seed = 20261123;
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

const badText: Array<[type: string, text: string]> = [
  ['A', ''],
  ['A', '1.2.3'],
  ['A', '1.2.3.4 5'],
  ['A', '::1'],
  ['AAAA', '1.2.3.4'],
  ['AAAA', 'fe80::1%eth0'],
  ['NS', ''],
  ['NS', 'a..b'],
  ['MX', '65536 mail'],
  ['MX', '-1 mail'],
  ['MX', '10'],
  ['SOA', 'a b 1 2 3 4'],
  ['SOA', 'a b 4294967296 2 3 4 5'],
  ['TXT', ''],
  ['TXT', '"open'],
  ['TXT', `"${'x'.repeat(256)}"`],
  ['TXT', '"\\256"'],
  ['TXT', '( "a"'],
  ['TXT', '"a" )'],
  ['TXT', '"a"\n"b"'],
  ['CAA', '0 "" "x"'],
  ['CAA', '0 is-sue "x"'],
  ['CAA', '256 issue "x"'],
  ['SSHFP', '1 1 abc'],
  ['SSHFP', '1 1 abcd'],
  ['SSHFP', '1 2'],
  ['DS', '1 13 2 00'],
  ['DHCID', 'AAA'],
  ['DHCID', 'AAA='],
  ['EUI48', '00-00-5e-00-53'],
  ['LOC', '91 N 0 E 0m'],
  ['LOC', '90 0 0.001 N 0 E 0m'],
  ['LOC', '1 60 N 0 E 0m'],
  ['LOC', '1 X 0 E 0m'],
  ['LOC', '1 N 181 E 0m'],
  ['LOC', '1 N 1 E'],
  ['LOC', '1 N 1 E high'],
  ['LOC', '1 N 1 E -100000.01m'],
  ['LOC', '1 N 1 E 0m 1m 1m 1m 1m'],
  ['NSEC3', '1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJ A'],
  ['NSEC3', '1 0 0 - W A'],
  ['NSEC3', '1 0 0 abc 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A'],
  ['NSEC3PARAM', '1 0 65536 -'],
  ['NSEC3PARAM', '1 0 0'],
  ['RRSIG', 'A 5 3 86400 20030230000000 20030220173103 2642 a. AAEC'],
  ['RRSIG', 'A 5 3 86400 4294967296 20030220173103 2642 a. AAEC'],
  ['RRSIG', 'A 5 3 86400 20030322173103 20030220173103 2642 a.'],
  ['URI', '1 1 ""'],
  ['ZONEMD', '1 1 1 00'],
  ['SVCB', '1'],
  ['SVCB', '1 . port=65536'],
  ['SVCB', '1 . port=1 port=2'],
  ['SVCB', '1 . nonsense=1'],
  ['SVCB', '1 . alpn='],
  ['SVCB', '1 . mandatory=mandatory'],
  ['SVCB', '1 . ipv4hint=::1'],
  ['TYPE65280', 'abc'],
  ['TYPE65280', '\\# 2 00'],
  ['TYPE65280', '\\# 1 0'],
  ['A', '\\# 3 010203'],
  ['ANY', '\\# 0'],
  ['OPT', '\\# 0'],
];

for (const [type, text] of badText) {
  t.throws(() => rdataFromText(typeFromText(type), text), { code: 'V6_VALUE' }, `${type} ${text}`);
}

const nsec3Hash = '14 174eb2409fe28bcb4887a1836f957f0a8425e27b';

const golden: Array<[type: string, text: string, wire: string, canonical?: string]> = [
  ['A', '192.0.2.1', 'c0000201'],
  ['AAAA', '2001:db8::1', '20010db8 00000000 00000000 00000001'],
  ['NS', 'Ns1.example.', '03 4e7331 07 6578616d706c65 00', '03 6e7331 07 6578616d706c65 00'],
  ['CNAME', '.', '00'],
  [
    'SOA',
    'm. R. 1 2 3 4 5',
    '016d00 015200 00000001 00000002 00000003 00000004 00000005',
    '016d00 017200 00000001 00000002 00000003 00000004 00000005',
  ],
  ['PTR', 'a\\.b.c.', '03 612e62 01 63 00'],
  ['HINFO', '"" "x \\"y\\""', '00 05 7820227922'],
  ['MX', '10 M.', '000a 014d00', '000a 016d00'],
  ['TXT', '"a" "" "\\000\\255"', '0161 00 0200ff'],
  ['RP', 'a. .', '016100 00'],
  ['SRV', '1 2 6443 m1.', '0001 0002 192b 026d3100'],
  ['NAPTR', '1 2 "s" "SIP+D2U" "" _sip._udp.', '0001 0002 0173 075349502b443255 00 045f736970 045f756470 00'],
  ['CERT', '1 2 3 AAEC', '0001 0002 03 000102'],
  ['DNAME', 'X.', '015800', '017800'],
  ['DS', `1 13 2 ${'ab'.repeat(32)}`, `0001 0d 02 ${'ab'.repeat(32)}`],
  ['CDS', '0 0 0 00', '0000 00 00 00'],
  ['SSHFP', `4 2 ${'01'.repeat(32)}`, `04 02 ${'01'.repeat(32)}`],
  ['NSEC', 'Next. A MX TYPE1234', '044e65787400 0002 4001' + `041b${'00'.repeat(26)}20`],
  ['DNSKEY', '257 3 13 AAEC', '0101 03 0d 000102'],
  ['DHCID', 'AAEBAQID', '000101 010203'],
  ['TLSA', '3 1 1 abcd', '03 01 01 abcd'],
  ['OPENPGPKEY', 'AAEC', '000102'],
  ['CSYNC', '66 3 A NS AAAA', '00000042 0003 0004 60000008'],
  ['SVCB', '0 Alias.', '0000 05416c69617300'],
  [
    'HTTPS',
    '1 . mandatory=alpn,ipv4hint alpn="h2,h3" port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1,::1 key667="hello"',
    `0001 00 0000 0004 00010004 0001 0006 026832 026833 0003 0002 20fb 0004 0004 c0000201
     0006 0020 20010db8000000000000000000000001 00000000000000000000000000000001 029b 0005 68656c6c6f`.replace(
      /\s/g,
      '',
    ),
  ],
  ['SVCB', '1 x. alpn="f\\\\\\\\oo\\\\,bar,h2"', '0001 017800 0001 000c 08 665c6f6f2c626172 02 6832'],
  // The wire form of these is what BIND's named-rrchecker gives for them.
  ['LOC', '42 21 54.000 N 71 6 18.000 W -24.00m 30m 10000m 10m', '00 33 16 13 89172dd0 70be15f0 00988d20'],
  ['LOC', '52 14 5.123 S 0 8 50.000 E 10.50m 1m 10000m 10m', '00 12 16 13 74caa8bd 80081650 00989a9a'],
  [
    'NSEC3',
    '1 1 12 aabbccdd 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG',
    `01 01 000c 04aabbccdd ${nsec3Hash} 0006 400000000002`,
  ],
  ['NSEC3', '1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR', `01 00 0000 00 ${nsec3Hash}`],
  ['NSEC3PARAM', '1 0 12 aabbccdd', '01 00 000c 04aabbccdd'],
  ['NSEC3PARAM', '1 0 0 -', '01 00 0000 00'],
  [
    'RRSIG',
    'A 5 3 86400 20030322173103 20030220173103 2642 Example.com. oJB1W6WNGv+ldvQ3',
    '0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 074578616d706c6503636f6d00 a090755ba58d1affa576f437',
    '0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 076578616d706c6503636f6d00 a090755ba58d1affa576f437',
  ],
  ['EUI48', '00-00-5e-00-53-2a', '00005e00532a'],
  ['URI', '10 1 "ftp://x/"', '000a 0001 6674703a2f2f782f'],
  ['CAA', '128 issue "ca.example; x=y"', '80 05 6973737565 63612e6578616d706c653b20783d79'],
  ['TYPE65280', '\\# 3 010203', '010203'],
  ['TYPE65280', '\\# 0', ''],
];

for (const [type, text, wire, canonical = wire] of golden) {
  t.test(`${type} ${text}`, (t) => {
    const number = typeFromText(type);
    const rdata = hex(wire);
    t.strictSame(Buffer.from(rdataFromText(number, text)).toString('hex'), Buffer.from(rdata).toString('hex'));
    t.equal(rdataToText(number, rdata), text);
    t.strictSame(
      rdataFromText(number, `\\# ${rdata.length} ${Buffer.from(rdata).toString('hex')}`),
      rdata,
      'RFC 3597 form',
    );
    t.ok(checkRdata(number, rdata));
    t.strictSame(canonicalRdata(number, rdata), hex(canonical));
    t.ok(equalRdata(number, rdata, hex(canonical)));
    if (type !== 'TYPE65280') t.notOk(checkRdata(number, new Uint8Array(0)), 'empty');
    t.end();
  });
}

t.test('text forms that are read and written otherwise', (t) => {
  const rows: Array<[type: string, text: string, written: string]> = [
    ['LOC', '1 N 2 E 0', '1 0 0.000 N 2 0 0.000 E 0.00m 1m 10000m 10m'],
    ['LOC', '1 2 n 2 3 4.5 w 1.5m 0.05m 0', '1 2 0.000 N 2 3 4.500 W 1.50m 0.05m 0m 10m'],
    ['LOC', '90 S 180 W -100000m 90000000m', '90 0 0.000 S 180 0 0.000 W -100000.00m 90000000m 10000m 10m'],
    ['NSEC3', '1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr', '1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR'],
    ['RRSIG', 'A RSASHA1 3 1d 1048354263 0 2642 a. AA EC', 'A 5 3 86400 20030322173103 19700101000000 2642 a. AAEC'],
  ];
  for (const [type, text, written] of rows) {
    const number = typeFromText(type);
    t.equal(rdataToText(number, rdataFromText(number, text)), written, `${type} ${text}`);
  }
  t.end();
});

const exact = 'A AAAA NS MX SRV SOA NAPTR HINFO CNAME PTR DNAME RP SSHFP DS EUI48 NSEC LOC NSEC3PARAM'.split(' ');
t.test('one octet less or more is not valid where the length is given', (t) => {
  for (const [type, text] of golden.filter(([type]) => exact.includes(type))) {
    const number = typeFromText(type);
    const rdata = rdataFromText(number, text);
    for (let end = 0; end < rdata.length; end++) {
      // A bitmap may end after its first window.
      if (type === 'NSEC' && (end === 6 || end === 10)) continue;
      t.notOk(checkRdata(number, rdata.subarray(0, end)), `${type} cut at ${end}`);
    }
    t.notOk(checkRdata(number, Uint8Array.from([...rdata, 0])), `${type} and one octet`);
  }
  t.end();
});

t.test('pointers, wrong orders and duplicates in rdata are not valid', (t) => {
  const bad: Array<[type: string, wire: string]> = [
    ['NS', 'c00c'],
    ['SRV', '0001 0002 0003 c00c'],
    ['TXT', '02 61'],
    ['TXT', '01 61 01'],
    ['CAA', '00 00 61'],
    ['CAA', '00 01 2d 61'],
    ['CAA', '00 05 61'],
    ['NSEC', '00 00 00'],
    ['NSEC', '00 00 21'],
    ['NSEC', '00 00 02 40 00'],
    ['NSEC', '00 01 01 40 00 01 40'],
    ['SVCB', '0001 00 0003 0002 0001 0001 0003 026832'],
    ['SVCB', '0001 00 0003 0002 0001 0003 0002 0001'],
    ['SVCB', '0001 00 0003 0001 00'],
    ['SVCB', '0001 00 0001 0002 0268'],
    ['SVCB', '0001 00 0003 00'],
    ['SVCB', '0001 00 0000 0002 0000'],
    ['SSHFP', '01 01 00'],
    ['LOC', '01 33 16 13 89172dd0 70be15f0 00988d20'],
    ['LOC', '00 a3 16 13 89172dd0 70be15f0 00988d20'],
    ['LOC', '00 3a 16 13 89172dd0 70be15f0 00988d20'],
    ['LOC', '00 33 16 13 ffffffff 70be15f0 00988d20'],
    ['LOC', '00 33 16 13 89172dd0 00000000 00988d20'],
    ['NSEC3', '01 00 0000 00 00'],
    ['NSEC3PARAM', '01 00 0000 02 aa'],
  ];
  for (const [type, wire] of bad) t.notOk(checkRdata(typeFromText(type), hex(wire)), `${type} ${wire}`);
  t.end();
});

t.test('comparison: case counts only outside names', (t) => {
  const differ = (type: string, a: string, b: string) => {
    const number = typeFromText(type);
    return !equalRdata(number, rdataFromText(number, a), rdataFromText(number, b));
  };
  t.notOk(differ('MX', '10 MAIL.x.', '10 mail.X.'));
  t.ok(differ('MX', '10 mail.x.', '11 mail.x.'));
  t.ok(differ('TXT', '"A"', '"a"'));
  t.ok(differ('HINFO', 'A b', 'a b'));
  t.ok(differ('NAPTR', '1 1 "S" "" "" x.', '1 1 "s" "" "" x.'));
  t.notOk(differ('NAPTR', '1 1 "s" "" "" x.', '1 1 "s" "" "" X.'));
  t.ok(differ('HTTPS', '1 A.', '1 a.'), 'RFC 3597 §7: newer types compare octet by octet');
  t.end();
});

t.test('relative names', (t) => {
  const origin = nameFromText('example');
  t.equal(rdataToText(15, rdataFromText(15, '10 mail', origin)), '10 mail.example.');
  t.equal(rdataToText(2, rdataFromText(2, '@', origin)), 'example.');
  t.equal(rdataToText(16, rdataFromText(16, '( a ; one\n "b c" )')), '"a" "b c"');
  t.end();
});

t.test('where names stand agrees with the fields of each type', (t) => {
  for (const { type, fields } of knownTypes()) {
    const layout = rdataNames(type);
    if (layout === undefined) continue;
    t.equal(fields.filter((field) => field.isName).length, layout.names, typeToText(type));
  }
  t.end();
});

t.test('random rdata: valid rdata survives text and a message; nothing throws', (t) => {
  const octet = fc.oneof(fc.nat(255), fc.nat(5));
  const writer = new MessageWriter();
  fc.assert(
    fc.property(fc.constantFrom(...knownTypes()), fc.array(octet, { maxLength: 40 }), ({ type }, octets) => {
      const rdata = Uint8Array.from(octets);
      canonicalRdata(type, rdata);
      const text = rdataToText(type, rdata);
      if (!checkRdata(type, rdata)) {
        t.match(text, /^\\#/);
        return;
      }
      t.strictSame(rdataFromText(type, text), rdata, `${typeToText(type)} ${text}`);
      writer.begin(65535);
      writer.header(1, 0, 0, 0);
      writer.question(nameFromText('example'), type, 1);
      t.ok(writer.record(SECTION.ANSWER, nameFromText('a.example'), type, 1, 5, rdata));
      t.strictSame(parseMessage(writer.finish()).answers[0]!.rdata, rdata);
    }),
    { seed, numRuns: 5000 },
  );
  t.end();
});
