import t from 'tap';
import { SipHash } from '../../src/dns/siphash.ts';

const sequence = (length: number) => Uint8Array.from({ length }, (_, i) => i);

t.test('the vectors of the reference implementation: key 00..0f, message 00.. of so many octets', async (t) => {
  const vectors: [length: number, hash: string][] = [
    [0, '310e0edd47db6f72'],
    [1, 'fd67dc93c539f874'],
    [7, '37d1018bf50002ab'],
    [8, '6224939a79f5f593'],
    [15, 'e545be4961ca29a1'],
  ];
  const hash = new SipHash(sequence(16));
  for (const [length, expected] of vectors) {
    const out = Buffer.alloc(8);
    hash.hash(sequence(length), out, 0);
    t.equal(out.toString('hex'), expected, `${length} octets`);
  }
});
