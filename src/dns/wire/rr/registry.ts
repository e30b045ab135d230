/** Every type whose rdata we know; all others are octets (RFC 3597). A new type is one new file and a line here. */
import { a } from './a.ts';
import { aaaa } from './aaaa.ts';
import { afsdb } from './afsdb.ts';
import { caa } from './caa.ts';
import { cdnskey } from './cdnskey.ts';
import { cds } from './cds.ts';
import { cert } from './cert.ts';
import { cname } from './cname.ts';
import { csync } from './csync.ts';
import { dhcid } from './dhcid.ts';
import { dname } from './dname.ts';
import { dnskey } from './dnskey.ts';
import { ds } from './ds.ts';
import { eui48 } from './eui48.ts';
import { eui64 } from './eui64.ts';
import type { RRType } from './field.ts';
import { hinfo } from './hinfo.ts';
import { https } from './https.ts';
import { kx } from './kx.ts';
import { loc } from './loc.ts';
import { mb } from './mb.ts';
import { md } from './md.ts';
import { mf } from './mf.ts';
import { mg } from './mg.ts';
import { minfo } from './minfo.ts';
import { mr } from './mr.ts';
import { mx } from './mx.ts';
import { naptr } from './naptr.ts';
import { ns } from './ns.ts';
import { nsec } from './nsec.ts';
import { nsec3 } from './nsec3.ts';
import { nsec3param } from './nsec3param.ts';
import { openpgpkey } from './openpgpkey.ts';
import { ptr } from './ptr.ts';
import { px } from './px.ts';
import { rp } from './rp.ts';
import { rrsig } from './rrsig.ts';
import { rt } from './rt.ts';
import { smimea } from './smimea.ts';
import { soa } from './soa.ts';
import { spf } from './spf.ts';
import { srv } from './srv.ts';
import { sshfp } from './sshfp.ts';
import { svcb } from './svcb.ts';
import { tlsa } from './tlsa.ts';
import { txt } from './txt.ts';
import { uri } from './uri.ts';
import { zonemd } from './zonemd.ts';

const types: readonly RRType[] = [
  a,
  aaaa,
  afsdb,
  caa,
  cdnskey,
  cds,
  cert,
  cname,
  csync,
  dhcid,
  dname,
  dnskey,
  ds,
  eui48,
  eui64,
  hinfo,
  https,
  kx,
  loc,
  mb,
  md,
  mf,
  mg,
  minfo,
  mr,
  mx,
  naptr,
  ns,
  nsec,
  nsec3,
  nsec3param,
  openpgpkey,
  ptr,
  px,
  rp,
  rrsig,
  rt,
  smimea,
  soa,
  spf,
  srv,
  sshfp,
  svcb,
  tlsa,
  txt,
  uri,
  zonemd,
];

const byNumber = new Map<number, RRType>(types.map((one) => [one.type, one]));

/** What is known of a type's rdata; undefined for types we take as octets. */
export function rrTypeOf(type: number): RRType | undefined {
  return byNumber.get(type);
}

/** All known types. */
export function knownTypes(): readonly RRType[] {
  return types;
}
