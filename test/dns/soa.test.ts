import t from 'tap';
import { encodeSoa, nextSerial, serialGreater, soaSerial, withSerial } from '../../src/dns/soa.ts';
import { rdataToText } from '../../src/dns/wire/rdata.ts';
import { TYPE } from '../../src/dns/wire/types.ts';

const config = {
  mname: 'edge.cluster.test',
  rname: 'root.cluster.test',
  refreshSeconds: 1,
  retrySeconds: 2,
  expireSeconds: 3,
  minimumSeconds: 4,
};

t.test('serial arithmetic (RFC 1982 §3.2)', (t) => {
  const half = 2 ** 31;
  const rows: [a: number, b: number, greater: boolean][] = [
    [0, 0, false],
    [1, 0, true],
    [0, 1, false],
    [half - 1, 0, true],
    // "there is no … result" at exactly half the space: neither is later.
    [half, 0, false],
    [0, half, false],
    [half + 1, 0, false],
    [0, half + 1, true],
    [0, 2 ** 32 - 1, true],
    [2 ** 32 - 1, 0, false],
    [5, 2 ** 32 - 5, true],
  ];
  for (const [a, b, greater] of rows) t.equal(serialGreater(a, b), greater, `${a} after ${b}`);
  t.end();
});

t.test('the next serial is later than the one before, and never 0', (t) => {
  for (const serial of [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1]) {
    const next = nextSerial(serial);
    t.ok(serialGreater(next, serial), `${serial} → ${next}`);
    t.not(next, 0);
    t.equal(next >>> 0, next, 'unsigned');
  }
  t.end();
});

t.test('RDATA', (t) => {
  const rdata = encodeSoa(config, 2 ** 32 - 1);
  t.equal(rdataToText(TYPE.SOA, rdata), 'edge.cluster.test. root.cluster.test. 4294967295 1 2 3 4');
  t.equal(soaSerial(rdata), 2 ** 32 - 1);
  const other = withSerial(rdata, 7);
  t.equal(rdataToText(TYPE.SOA, other), 'edge.cluster.test. root.cluster.test. 7 1 2 3 4');
  t.equal(soaSerial(rdata), 2 ** 32 - 1, 'the original stays');
  t.end();
});
