import t from 'tap';
import { COUNT, dnsCounters, dnsGauges, GAUGE, questionCounter, responseCounter } from '../../src/dns/counters.ts';
import {
  dnsCounterCount,
  OTHER_ZONES,
  upstreamCounterBase,
  upstreamSlotSize,
  upstreamSlots,
  zoneCounter,
  zoneCounterBase,
  zoneSlotSize,
} from '../../src/dns/slot-counters.ts';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';

/** What each index must be labelled; names without a label stand for themselves. */
const meant: Record<keyof typeof COUNT, string> = {
  UDP: 'queries transport=udp',
  TCP: 'queries transport=tcp',
  RESPONSES: 'responses rcode=NOERROR',
  SHORT: 'malformed reason=short',
  RESPONSE: 'malformed reason=response',
  COUNTS: 'malformed reason=count',
  NAME: 'malformed reason=name',
  RECORDS: 'malformed reason=records',
  TOO_LONG: 'malformed reason=too_long',
  CACHE_HIT: 'answers source=cache',
  STALE: 'answers source=stale',
  ZONE: 'answers source=zone',
  FORWARDED: 'answers source=forwarded',
  HANDOFF_ANSWERED: 'answers source=handoff',
  CACHE_MISS: 'cache_misses',
  PREFETCH: 'prefetches',
  NOT_ALLOWED: 'refused',
  RATE_LIMITED: 'dropped reason=rate_limit',
  UNSENT: 'dropped reason=send',
  OVERLOAD: 'dropped reason=overload',
  SLIPPED: 'rate_limit_slipped',
  TRUNCATED: 'truncated',
  HANDOFF: 'handoffs',
  UPSTREAM_SENT: 'upstream event=sent',
  UPSTREAM_ANSWERED: 'upstream event=answered',
  UPSTREAM_TIMEOUT: 'upstream event=timeout',
  UPSTREAM_REFUSED: 'upstream event=refused',
  UPSTREAM_ERROR: 'upstream event=error_answer',
  UPSTREAM_UNMATCHED: 'upstream event=unmatched',
  UPSTREAM_TCP: 'upstream event=tcp_retry',
  UPSTREAM_FAILED: 'upstream event=failed',
  UPSTREAM_PRIVATE: 'upstream event=private',
  UPSTREAM_STRAY: 'upstream event=stray',
  UPSTREAM_GIVEN_UP: 'upstream event=given_up',
  UPSTREAM_LOOPED: 'upstream event=looped',
  UPSTREAM_UNSENT: 'upstream event=unsent',
  TCP_ACCEPTED: 'tcp_accepted',
  TCP_REJECTED: 'tcp_rejected',
  TCP_TIMEOUT: 'tcp_timeouts',
  CLIENT_LIMITED: 'dropped reason=client_limit',
  TLS: 'queries transport=tls',
  TLS_FAILED: 'tls_failures',
  TRANSFER: 'answers source=transfer',
  QUESTIONS: 'questions type=A',
};

function textOf(index: number): string {
  const { name, labels = {} } = dnsCounters[index]!;
  const plain = name.replace(/^v6edge_dns_/, '').replace(/_total$/, '');
  return [plain, ...Object.entries(labels).map(([key, value]) => `${key}=${value}`)].join(' ');
}

t.test('every index is that of its counter, every counter has one', async (t) => {
  for (const [name, index] of Object.entries(COUNT)) t.equal(textOf(index), meant[name as keyof typeof COUNT], name);
  const responses = dnsCounters.filter(({ name }) => name === 'v6edge_dns_responses_total').length;
  const types = dnsCounters.filter(({ name }) => name === 'v6edge_dns_questions_total').length;
  t.equal(dnsCounters.length, Object.keys(COUNT).length + responses - 1 + types - 1);
  t.equal(new Set(dnsCounters.map((_, index) => textOf(index))).size, dnsCounters.length, 'no two alike');
  t.equal(dnsGauges[GAUGE.TCP_CONNECTIONS]!.name, 'v6edge_dns_tcp_connections');
  t.equal(dnsGauges[GAUGE.IN_FLIGHT]!.name, 'v6edge_dns_in_flight');
});

t.test('response codes', async (t) => {
  for (const name of ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED', 'NOTZONE'] as const) {
    t.equal(textOf(responseCounter(RCODE[name])), `responses rcode=${name}`);
  }
  for (const rcode of [11, 15]) t.equal(textOf(responseCounter(rcode)), 'responses rcode=OTHER');
});

t.test('types of questions', async (t) => {
  for (const name of ['A', 'AAAA', 'PTR', 'HTTPS', 'ANY', 'CAA'] as const) {
    t.equal(textOf(questionCounter(TYPE[name])), `questions type=${name}`);
  }
  for (const type of [0, TYPE.LOC, 511, 512, 65535]) t.equal(textOf(questionCounter(type)), 'questions type=OTHER');
});

t.test('slots lie behind the table and do not overlap', async (t) => {
  t.ok(zoneCounterBase(0) >= dnsCounters.length);
  t.equal(zoneCounterBase(1), zoneCounterBase(0) + zoneSlotSize);
  t.equal(zoneCounter(2, RCODE.NXDOMAIN), zoneCounterBase(2) + 1);
  t.equal(zoneCounter(2, RCODE.SERVFAIL), zoneCounter(2, RCODE.REFUSED));
  t.equal(zoneCounterBase(OTHER_ZONES) + zoneSlotSize, upstreamCounterBase(0));
  t.equal(upstreamCounterBase(upstreamSlots - 1) + upstreamSlotSize, dnsCounterCount);
});
