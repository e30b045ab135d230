/** docs/radvd.md names every setting of radvd.conf(5), and the import knows each that it names. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { importRadvd } from '../../src/edge/import/radvd.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/radvd.md'), 'utf8');
/** Settings in radvd.conf(5), radvd 2.19. */
const manual = `
  RDNSS DNSSL AdvRASrcAddress IgnoreIfMissing AdvSendAdvert UnicastOnly AdvRASolicitedUnicast
  MaxRtrAdvInterval MinRtrAdvInterval MinDelayBetweenRAs AdvManagedFlag AdvOtherConfigFlag AdvLinkMTU
  AdvReachableTime AdvRetransTimer AdvCurHopLimit AdvDefaultLifetime AdvDefaultPreference AdvSourceLLAddress
  AdvHomeAgentFlag AdvHomeAgentInfo HomeAgentLifetime HomeAgentPreference AdvMobRtrSupportFlag AdvIntervalOpt
  AdvOnLink AdvAutonomous AdvRouterAddr AdvValidLifetime AdvPreferredLifetime DeprecatePrefix
  DecrementLifetimes Base6Interface Base6to4Interface AdvRouteLifetime AdvRoutePreference RemoveRoute
  AdvRDNSSLifetime FlushRDNSS AdvDNSSLLifetime FlushDNSSL AdvValidLifeTime AdvVersionLow AdvVersionHigh
`
  .trim()
  .split(/\s+/);
/** First column of the table under a heading: one or more words a row. */
const words = (heading: string): string[] => {
  const section = new RegExp(`^## ${heading}\\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`, 'm').exec(page)![1]!;
  return [...section.matchAll(/^\| ([A-Za-z0-9, ]+?) +\|/gm)]
    .map(([, word]) => word!)
    .filter((word) => !['', 'radvd.conf', 'AdvValidLifetime in it'].includes(word.trim()))
    .flatMap((word) => word.split(', '));
};

/** What radvd.conf has such a setting in. */
function within(word: string): string {
  if (/^(prefix|route|RDNSS|DNSSL|nat64prefix)$/.test(word)) return `${word} fd00:6:6::/64 { };`;
  if (/^(clients|AdvRASrcAddress|AutoIgnorePrefixes|lowpanco|abro)$/.test(word)) return `${word} { fe80::1; };`;
  if (/Route/.test(word) && !/Router|Rtr/.test(word)) return `route fd00::/48 { ${word} on; };`;
  if (/RDNSS/.test(word)) return `RDNSS fd00::1 { ${word} 600; };`;
  if (/DNSSL/.test(word)) return `DNSSL cluster.test { ${word} 600; };`;
  return `${word} 600;`;
}

t.test('the import knows each word', (t) => {
  const cases = [
    ...words('Interface').map(within),
    ...words('Prefix').map((word) => (word === 'prefix' ? within(word) : `prefix fd00:6:6::/64 { ${word} 600; };`)),
    ...words('Route, DNS, NAT64').map(within),
  ];
  t.ok(cases.length > 50, `${cases.length} words`);
  for (const text of cases) {
    const { notes } = importRadvd(`interface eth1 { AdvSendAdvert on; ${text} };`, 'radvd.conf');
    t.notMatch(notes.map(({ why }) => why).join(), /not known here/, text);
  }
  for (const text of [
    'AdvNonsense on;',
    'prefix fd00::/64 { AdvNonsense on; };',
    'RDNSS fd00::1 { AdvNonsense 1; };',
  ]) {
    const { notes } = importRadvd(`interface eth1 { AdvSendAdvert on; ${text} };`, 'radvd.conf');
    t.match(notes, [{ why: /not known here/ }], text);
  }
  t.end();
});

t.test('every setting of the manual has a row', (t) => {
  const known = new Set(page.match(/[A-Za-z0-9]+/g)!.map((word) => word.toLowerCase()));
  t.strictSame(
    manual.filter((word) => !known.has(word.toLowerCase())),
    [],
  );
  t.end();
});
