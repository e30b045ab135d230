/** What the tests of the zone store's log write: a zone that grows by one name a commit. */
import type { RRsetChange } from '../../src/dns/overlay.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';

export const zoneName = nameFromText('cluster.test');
export const zone = nameKey(zoneName);
/** With records of 65,000 octets both files of the log are full after half of them. */
export const commits = 66;
const RDATA_OCTETS = 65_000;

function soa(serial: number) {
  const rdata = Buffer.alloc(22);
  rdata.writeUInt32BE(serial, 2);
  return { type: TYPE.SOA, ttl: 300, rdata: [Uint8Array.from(rdata)] };
}

/** From a serial (0: there is no zone yet) to the next: one more name, with records that tell which it is. */
export function step(serial: number, octets = RDATA_OCTETS): RRsetChange[] {
  const rdata = [new Uint8Array(octets).fill(serial)];
  return [
    {
      owner: zoneName,
      type: TYPE.SOA,
      rrset: soa(serial + 1),
      before: serial === 0 ? undefined : { owner: zoneName, rrset: soa(serial) },
    },
    {
      owner: nameFromText(`n${serial}.cluster.test`),
      type: TYPE.NULL,
      rrset: { type: TYPE.NULL, ttl: 60, rdata },
      before: undefined,
    },
  ];
}
