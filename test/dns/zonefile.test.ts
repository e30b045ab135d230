import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { rdataToText } from '../../src/dns/wire/rdata.ts';
import { knownTypes } from '../../src/dns/wire/rr/registry.ts';
import { TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { readZoneFile, writeZoneFile, ZoneFileError } from '../../src/dns/zonefile.ts';

const seed = 20261123;
const zone = nameFromText('cluster.test');
const read = (text: string) => readZoneFile(text, { zone, ttlSeconds: 300 });
const lines = (text: string) =>
  read(text).flatMap(({ owner, rrset }) =>
    rrset.rdata.map(
      (one) => `${nameToText(owner)} ${rrset.ttl} ${typeToText(rrset.type)} ${rdataToText(rrset.type, one)}`,
    ),
  );

const bad: Array<[name: string, text: string, faults: Array<[line: number, message: RegExp]>]> = [
  ['no owner yet', ' A 192.0.2.1', [[1, /no owner/]]],
  ['no type', 'a 300 IN', [[1, /type/]]],
  ['unknown type', 'a NONSENSE 1', [[1, /NONSENSE/]]],
  ['another class', 'a CH TXT x', [[1, /class IN/]]],
  ['out of the zone', 'a.other. A 192.0.2.1', [[1, /not in the zone/]]],
  ['SOA below the apex', 'a SOA a b 1 2 3 4 5', [[1, /SOA/]]],
  ['two CNAMEs', 'a CNAME b\na CNAME c', [[2, /two CNAME/]]],
  ['CNAME and other data', 'a CNAME b\na A 192.0.2.1', [[1, /stands alone/]]],
  ['other data and CNAME', 'a A 192.0.2.1\na CNAME b', [[2, /stands alone/]]],
  ['$INCLUDE where none is taken', '$INCLUDE /etc/passwd', [[1, /\$INCLUDE is not taken here/]]],
  ['an unknown directive', '$NONSENSE x', [[1, /there is no \$NONSENSE/]]],
  ['$GENERATE without data', '$GENERATE 1-2 a$ A', [[1, /takes a range/]]],
  ['$GENERATE without a range', '$GENERATE a a$ A 192.0.2.$', [[1, /"a" is no range/]]],
  ['$GENERATE backwards', '$GENERATE 2-1 a$ A 192.0.2.$', [[1, /has no numbers/]]],
  ['$GENERATE with step 0', '$GENERATE 1-2/0 a$ A 192.0.2.$', [[1, /has no numbers/]]],
  ['$GENERATE of too many', '$GENERATE 0-65536 a$ A 192.0.2.1', [[1, /more than 65536/]]],
  ['$GENERATE leaves what is an address', '$GENERATE 255-256 a$ A 192.0.2.$', [[1, /address/]]],
  ['$GENERATE with an open brace', `$GENERATE 1-2 a$\{0 A 192.0.2.$`, [[1, /brace/]]],
  ['$GENERATE in an unknown base', `$GENERATE 1-2 a$\{0,2,q} A 192.0.2.$`, [[1, /base one of/]]],
  ['$GENERATE below 0', `$GENERATE 1-2 a$\{-2,0,x} A 192.0.2.$`, [[1, /makes -1 of 1/]]],
  ['$TTL without a value', '$TTL', [[1, /one value/]]],
  ['TTL of 32 bits', 'a 2147483648 A 192.0.2.1', [[1, /2147483647/]]],
  ['bad TTL unit', 'a 1y A 192.0.2.1', [[1, /no time/]]],
  ['open parenthesis', 'a TXT ( "x"\nb A 192.0.2.1', [[1, /opening/]]],
  [
    'closing parenthesis',
    'a TXT "x" )\nb A 1',
    [
      [1, /closing/],
      [2, /address/],
    ],
  ],
  [
    'open quote ends at its line',
    'a TXT "x\nb A 1',
    [
      [1, /quotation/],
      [2, /address/],
    ],
  ],
  [
    'faults in the order of lines',
    'a A 1\n\n; note\nb AAAA ::g\nc A 192.0.2.1',
    [
      [1, /address/],
      [4, /address/],
    ],
  ],
  ['a fault inside an entry of several lines', '\na MX (\n x\n)', [[2, /PREFERENCE/]]],
];

t.test('of very many faults the first are told, and how many there are besides', (t) => {
  const text = `@ SOA ns hostmaster 1 1 1 1 1\n@ NS ns\n${'x AAAA 1.2.3.4\n'.repeat(34_000)}`;
  try {
    readZoneFile(text, { zone: nameFromText('cluster.test'), ttlSeconds: 300 });
    t.fail('nothing was wrong');
  } catch (error) {
    if (!(error instanceof ZoneFileError)) throw error;
    t.equal(error.faults.length, 50);
    t.equal(error.faults[0]!.line, 3);
    t.equal(error.more, 33_950);
    t.match(error.message, /^line 3: .*\n[\s\S]*\nand 33950 more$/);
  }
  t.end();
});

for (const [name, text, faults] of bad) {
  t.test(`bad zone file: ${name}`, (t) => {
    try {
      read(text);
      t.fail('was taken');
    } catch (error) {
      if (!(error instanceof ZoneFileError)) throw error;
      t.equal(error.code, 'V6_ZONE_FILE');
      t.strictSame(
        error.faults.map(({ line }) => line),
        faults.map(([line]) => line),
      );
      for (const [i, [, message]] of faults.entries()) t.match(error.faults[i]?.message, message);
    }
    t.end();
  });
}

const good: Array<[name: string, text: string, records: string[]]> = [
  ['nothing', '; a note\n\n \t\n', []],
  [
    'default TTL, relative owner, apex',
    '@ A 192.0.2.1\nw A 192.0.2.2',
    ['cluster.test 300 A 192.0.2.1', 'w.cluster.test 300 A 192.0.2.2'],
  ],
  [
    'TTL and class in either order',
    'a 60 IN A 192.0.2.1\nb IN 70 A 192.0.2.1\nc in A 192.0.2.1',
    ['a.cluster.test 60 A 192.0.2.1', 'b.cluster.test 70 A 192.0.2.1', 'c.cluster.test 70 A 192.0.2.1'],
  ],
  [
    '$TTL rules',
    '$TTL 1h30m\na 5 A 192.0.2.1\nb A 192.0.2.1',
    ['a.cluster.test 5 A 192.0.2.1', 'b.cluster.test 5400 A 192.0.2.1'],
  ],
  [
    '$ORIGIN',
    '$ORIGIN x\na A 192.0.2.1\n$ORIGIN y.cluster.test.\n@ CNAME a',
    ['a.x.cluster.test 300 A 192.0.2.1', 'y.cluster.test 300 CNAME a.y.cluster.test.'],
  ],
  [
    'same owner by a blank',
    'a A 192.0.2.1\n\tA 192.0.2.2 ; two\n  TXT ";"',
    ['a.cluster.test 300 A 192.0.2.1', 'a.cluster.test 300 A 192.0.2.2', 'a.cluster.test 300 TXT ";"'],
  ],
  [
    'owners that look like something else',
    'IN IN A 192.0.2.1\n60 60 A 192.0.2.1\nA A 192.0.2.1',
    ['IN.cluster.test 300 A 192.0.2.1', '60.cluster.test 60 A 192.0.2.1', 'A.cluster.test 60 A 192.0.2.1'],
  ],
  [
    'parentheses',
    '@ SOA ns root (\n 1 ; serial\n 1h 2 3\n\n4 )\nb A (192.0.2.1)',
    ['cluster.test 300 SOA ns.cluster.test. root.cluster.test. 1 3600 2 3 4', 'b.cluster.test 300 A 192.0.2.1'],
  ],
  ['CR LF', 'a A 192.0.2.1\r\n\r\nb TXT "x y"\r\n', ['a.cluster.test 300 A 192.0.2.1', 'b.cluster.test 300 TXT "x y"']],
  ['escapes', 'a\\.b\\032c TXT \\"\\065 "\\;\\\\"', ['a\\.b\\032c.cluster.test 300 TXT "\\"A" ";\\\\"']],
  ['wildcard', '* TXT x', ['*.cluster.test 300 TXT "x"']],
  ['UTF-8 text', 'a TXT "é"', ['a.cluster.test 300 TXT "\\195\\169"']],
  ['the same record twice', 'a MX 1 m\nA MX 1 M', ['a.cluster.test 300 MX 1 m.cluster.test.']],
  [
    'one TTL for an RRset: the lowest',
    'a 9 A 192.0.2.1\na 7 A 192.0.2.2',
    ['a.cluster.test 7 A 192.0.2.1', 'a.cluster.test 7 A 192.0.2.2'],
  ],
  ['unknown type', 'a TYPE65280 \\# 4 0102 0304', ['a.cluster.test 300 TYPE65280 \\# 4 01020304']],
  ['no newline at the end', 'a A 192.0.2.1', ['a.cluster.test 300 A 192.0.2.1']],
];

for (const [name, text, records] of good) {
  t.test(`zone file: ${name}`, (t) => {
    t.strictSame(lines(text), records);
    const written = writeZoneFile({ name: zone, rrsets: read(text) });
    t.strictSame(writeZoneFile({ name: zone, rrsets: read(written) }), written, 'reads back');
    t.end();
  });
}

const everything = `$TTL 1h
@ SOA edge root 7 1h 15m 2w 5m
 NS edge
 MX 10 mail.example.
edge AAAA fd00::1
 A 192.0.2.1
 SSHFP 4 2 ${'ab'.repeat(32)}
 HINFO "x y" z
* TXT "wild" "a\\"b;c" \\195\\169
a\\.b\\@\\$ TXT x
_x._tcp SRV 0 0 443 edge
d DNAME other.example.
n NAPTR 1 2 "s" "SIP+D2U" "!^.*$!sip:x@y!" .
c CAA 128 issue "ca.example; p=1"
h HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1
k DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
u URI 10 1 "ftp://x.example/y"
t TLSA 3 1 1 ${'cd'.repeat(32)}
e EUI48 00-00-5e-00-53-2a
z TYPE65280 \\# 3 abcdef
cert CERT 1 2 3 AAECAw==
ptr PTR Upper.Case.example.
sub NS ns.sub
ns.sub AAAA fd00::53
sub DS 1 13 2 ${'ab'.repeat(32)}
@ DNSKEY 257 3 13 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==
@ CDS 1 13 2 ${'cd'.repeat(32)}
@ CDNSKEY 257 3 13 AAECAw==
@ NSEC3PARAM 1 0 0 -
@ ZONEMD 7 1 1 ${'ab'.repeat(48)}
@ CSYNC 66 3 A NS AAAA
sig RRSIG A 13 3 3600 20361231000000 20260101000000 12345 cluster.test. AAECAw==
nsec NSEC z.cluster.test. A AAAA TYPE1234 RRSIG NSEC
2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s MX RRSIG
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
svcb SVCB 0 alias.example.
s HTTPS 1 pool mandatory=alpn alpn=h2,h3 no-default-alpn key667="a b"
rp RP who.example. .
afs AFSDB 1 edge
kx KX 1 edge
pgp OPENPGPKEY AAECAw==
sm SMIMEA 3 1 1 ${'cd'.repeat(32)}
minfo MINFO a b
px PX 1 a. b.
rt RT 1 edge
spf SPF "v=spf1"
spf TXT "v=spf1"
alias CNAME edge
e64 EUI64 00-00-5e-ef-10-00-00-2a
`;

t.test('named-checkzone finds nothing wrong with what we write, of every type that may stand in a zone', (t) => {
  const dir = t.testdir();
  const file = join(dir, 'zone');
  const sets = read(everything);
  writeFileSync(file, writeZoneFile({ name: zone, rrsets: sets }));
  const said = execFileSync('named-checkzone', ['-i', 'local', '-k', 'fail', '-n', 'fail', 'cluster.test', file]);
  t.equal(said.toString(), 'zone cluster.test/IN: loaded serial 7 (DNSSEC signed)\nOK\n');
  const obsolete = [TYPE.MD, TYPE.MF, TYPE.MB, TYPE.MG, TYPE.MR];
  const missing = knownTypes()
    .map(({ type }) => type)
    .filter((type) => !obsolete.includes(type as 3) && !sets.some(({ rrset }) => rrset.type === type));
  t.strictSame(missing.map(typeToText), []);
  t.end();
});

t.test('named-compilezone reads what we write and means the same, and so do we with what it writes', (t) => {
  const dir = t.testdir();
  const [ours, theirs] = [join(dir, 'ours'), join(dir, 'theirs')];
  const text = writeZoneFile({ name: zone, rrsets: read(everything) });
  writeFileSync(ours, text);
  const flags = ['-q', '-k', 'ignore', '-i', 'none', '-s', 'full', '-o', theirs];
  execFileSync('named-compilezone', [...flags, 'cluster.test', ours]);
  t.equal(writeZoneFile({ name: zone, rrsets: read(readFileSync(theirs, 'utf8')) }), text);
  // The same by wire form: BIND reads the original text with its own parser.
  writeFileSync(ours, everything);
  execFileSync('named-compilezone', [...flags, 'cluster.test', ours]);
  t.equal(writeZoneFile({ name: zone, rrsets: read(readFileSync(theirs, 'utf8')) }), text);
  t.end();
});

t.test('$GENERATE means what it means to BIND', (t) => {
  const dir = t.testdir();
  const [ours, theirs] = [join(dir, 'ours'), join(dir, 'theirs')];
  const text = `$TTL 1h
@ SOA edge root 7 1h 15m 2w 5m
 NS edge
edge AAAA fd00::1
$GENERATE 1-20 host-$ A 192.0.2.$
$GENERATE 0-100/10 wide\${0,3} 60 IN AAAA 2001:db8::\${4096,4,x}
$GENERATE 8-12 o\${0,4,o}-\${0,2,X} TXT "number $"
$GENERATE 1-2 q$ TXT "\\"number $\\" x"
$GENERATE 9-17 \${0,7,n}.rev PTR host\${-9}.other.test.
$GENERATE 250-257 \${0,0,N}.up CNAME $.up\${5,6,d}
$GENERATE 1-2 m\${-5,4} MX "$ mx$"
`;
  writeFileSync(ours, text);
  const flags = ['-q', '-k', 'ignore', '-i', 'none', '-s', 'full', '-o', theirs];
  execFileSync('named-compilezone', [...flags, 'cluster.test', ours]);
  t.equal(
    writeZoneFile({ name: zone, rrsets: read(text) }),
    writeZoneFile({ name: zone, rrsets: read(readFileSync(theirs, 'utf8')) }),
  );
  t.equal(read(text).length, 3 + 20 + 11 + 5 + 2 + 9 + 8 + 2);
  t.strictSame(lines('$GENERATE 1-1 a TXT "\\"$$ \\$ $\\""'), ['a.cluster.test 300 TXT "$ $ 1"'], 'dollar signs');
  t.end();
});

t.test('$INCLUDE: files beside the file, with their own origin and owner, and lines of their own', (t) => {
  const dir = t.testdir({
    zone: `$ORIGIN cluster.test.
$TTL 60
a A 192.0.2.1
$INCLUDE sub/hosts below
 A 192.0.2.2
b A 192.0.2.3
`,
    sub: { hosts: 'x AAAA fd00::1\n$ORIGIN deep\n$INCLUDE more\n TXT "of x"\n', more: 'y AAAA fd00::2\n' },
    bad: '$INCLUDE sub/wrong\nc A 1\n$INCLUDE nowhere\n$INCLUDE bad\n$INCLUDE\n',
    circle: '$INCLUDE circle\n$INCLUDE circle\n',
  });
  mkdirSync(join(dir, 'sub'), { recursive: true });
  writeFileSync(join(dir, 'sub/wrong'), '\n\nw AAAA x\nother.test. A 192.0.2.1\n');
  const readFile = (path: string) => readFileSync(path, 'utf8');
  const readFrom = (name: string) => {
    const file = join(dir, name);
    return readZoneFile(readFile(file), { zone, ttlSeconds: 300, file, readFile });
  };
  t.strictSame(
    readFrom('zone')
      .flatMap(({ owner, rrset }) => rrset.rdata.map((one) => `${nameToText(owner)} ${rdataToText(rrset.type, one)}`))
      .sort(),
    [
      'a.cluster.test 192.0.2.1',
      'a.cluster.test 192.0.2.2',
      'b.cluster.test 192.0.2.3',
      'x.below.cluster.test "of x"',
      'x.below.cluster.test fd00::1',
      'y.deep.below.cluster.test fd00::2',
    ],
  );
  const faults = (name: string) => {
    try {
      readFrom(name);
    } catch (error) {
      if (error instanceof ZoneFileError) return error;
      throw error;
    }
    throw new Error('it was taken');
  };
  const found = faults('bad').faults.filter(({ file }) => file === undefined || file.endsWith('wrong'));
  t.match(found, [
    { file: undefined, line: 2, message: /address/ },
    { file: undefined, line: 3, message: /nowhere: ENOENT/ },
    { file: undefined, line: 5, message: /takes a file/ },
    { file: join(dir, 'sub/wrong'), line: 3, message: /address/ },
  ]);
  t.match(faults('bad').message, /^line 2: .*\n.*sub\/wrong: line 3: /s);
  t.match(faults('circle').message, /a circle\?/);
  const { more } = faults('circle');
  t.ok(more > 0 && more < 256 * 2, `an end after 256 files: ${more} more faults`);
  t.end();
});

t.test('random text is taken or is a ZoneFileError', (t) => {
  const piece = fc.constantFrom(
    'a',
    ' ',
    '\n',
    '"',
    '(',
    ')',
    ';',
    '\\',
    '$TTL',
    '@',
    'IN',
    '60',
    'A',
    'TXT',
    'x',
    '192.0.2.1',
    '\\#',
    '=',
    'SVCB',
    '.',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const text = pieces.join(' ').replaceAll('  ', '');
      try {
        const written = writeZoneFile({ name: zone, rrsets: read(text) });
        t.equal(writeZoneFile({ name: zone, rrsets: read(written) }), written);
      } catch (error) {
        t.type(error, ZoneFileError, text);
      }
    }),
    { seed, numRuns: 3000 },
  );
  t.end();
});
