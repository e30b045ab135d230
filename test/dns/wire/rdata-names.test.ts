import t from 'tap';
import { expandRdata, rdataNames } from '../../../src/dns/wire/rdata-names.ts';
import { TYPE } from '../../../src/dns/wire/types.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

t.test('RFC 3597 §4: which names may come compressed, and which be sent so', (t) => {
  const receive = 'NS MD MF CNAME SOA MB MG MR PTR MINFO MX RP AFSDB RT SIG PX NXT SRV NAPTR'.split(' ');
  const send = 'NS MD MF CNAME SOA MB MG MR PTR MINFO MX'.split(' ');
  for (const [name, type] of Object.entries(TYPE)) {
    t.equal(rdataNames(type) !== undefined, receive.includes(name), name);
    t.equal(rdataNames(type)?.compressed ?? false, send.includes(name), name);
  }
  t.end();
});

t.test('expandRdata', (t) => {
  const cases: Array<[name: string, type: number, rdata: string, wanted: string | undefined]> = [
    ['NS', TYPE.NS, 'c00c', '016100'],
    [
      'SOA, two names and numbers',
      TYPE.SOA,
      `c00c 0162c00c ${'00'.repeat(20)}`,
      `016100 0162016100 ${'00'.repeat(20)}`,
    ],
    ['SOA, a number too short', TYPE.SOA, `c00c c00c ${'00'.repeat(19)}`, undefined],
    ['SIG, octets after its name', TYPE.SIG, `${'01'.repeat(18)} c00c ffff`, `${'01'.repeat(18)} 016100 ffff`],
    ['NXT', TYPE.NXT, 'c00c 40', '016100 40'],
    ['MINFO with one name', TYPE.MINFO, 'c00c', undefined],
    ['AFSDB without a name', TYPE.AFSDB, '0001', undefined],
    ['NAPTR cut off in a string', TYPE.NAPTR, '0001 0002 0173 05', undefined],
    ['empty', TYPE.MX, '', ''],
    ['a type of today is octets', TYPE.SVCB, '0001 c00c', '0001c00c'],
  ];
  for (const [name, type, rdata, wanted] of cases) {
    // Behind a header and a name.
    const message = hex(`${'00'.repeat(12)} 016100 ${rdata}`);
    if (wanted === undefined) t.throws(() => expandRdata(type, message, 15, message.length), /./, name);
    else t.strictSame(expandRdata(type, message, 15, message.length), hex(wanted), name);
  }
  t.end();
});
