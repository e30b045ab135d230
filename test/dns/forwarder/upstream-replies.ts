/** What upstreams of tests reply. */
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { TYPE } from '../../../src/dns/wire/types.ts';
import { aaaa, askedName, reply, type Seen } from '../peers.ts';

/** An address for each name. */
export const good = ({ message }: Seen) => reply(message, { answers: [aaaa(askedName(message), 1)] });
/** None at all. */
export const silent = () => undefined;

/** The NS record of a zone. */
export const nsOf = (zone: string, server: string) => ({
  name: nameFromText(zone),
  type: TYPE.NS,
  class: 1,
  ttl: 300,
  rdata: nameFromText(server),
});
