import t from 'tap';
import { encodeUpdateLease, parseUpdateLease } from '../../../src/dns/wire/update-lease.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

t.test('what is no Update Lease', (t) => {
  for (const data of ['', '00', '000e10', '0000000e10', '00000e1000000e', '00000e10000000000000']) {
    t.throws(() => parseUpdateLease([{ code: 2, data: hex(data) }]), { code: 'V6_DNS_OPTION' }, data);
  }
  t.equal(parseUpdateLease([]), undefined);
  t.equal(parseUpdateLease([{ code: 3, data: hex('00000e10') }]), undefined);
  t.end();
});

t.test('both forms (RFC 9664 §4)', (t) => {
  const rows: [data: string, lease: number, keyLease: number | undefined][] = [
    ['00000e10', 3600, undefined],
    ['00000000', 0, undefined],
    ['ffffffff', 2 ** 32 - 1, undefined],
    ['00001c2000127500', 7200, 1209600],
  ];
  for (const [data, lease, keyLease] of rows) {
    t.strictSame(parseUpdateLease([{ code: 2, data: hex(data) }]), { lease, keyLease }, data);
    t.strictSame(encodeUpdateLease({ lease, keyLease }), { code: 2, data: hex(data) });
  }
  t.end();
});
