import t from 'tap';
import type { ZoneReport } from '../../../src/edge/admin/source.ts';
import { showZones } from '../../../src/edge/cli/show.ts';

const now = Date.UTC(2026, 0, 1);
const plain = (_: string, text: string) => text;
const primary: ZoneReport = { name: 'a.test', serial: 12, records: 3, lastUpdate: now - 5000, role: 'primary' };
const secondary = {
  state: 'loaded',
  primaries: ['[fd00::1]:53', '[fd00::2]:53'],
  primary: '[fd00::2]:53',
  asking: false,
  lastRefresh: now - 60_000,
  nextRefresh: now + 60_000,
  expires: now + 3_600_000,
  lastError: undefined,
} as const;

t.test('zones for people', (t) => {
  t.equal(showZones([], now, plain), 'no zones are configured\n');
  t.equal(
    showZones([primary], now, plain),
    'ZONE    ROLE     SERIAL  RECORDS  LAST UPDATE\na.test  primary      12        3  5s ago\n',
  );
  const copies: ZoneReport[] = [
    { ...primary, name: 'b.test', role: 'secondary', secondary },
    {
      ...primary,
      name: 'c.test',
      serial: 0,
      records: 0,
      lastUpdate: undefined,
      role: 'secondary',
      secondary: {
        ...secondary,
        state: 'missing',
        primary: undefined,
        lastRefresh: undefined,
        expires: undefined,
        lastError: '[fd00::1]:53: it is silent for 20 s',
      },
    },
  ];
  const lines = showZones([primary, ...copies], now, plain).split('\n');
  t.match(lines[0], /LAST UPDATE +STATE +PRIMARY +CONFIRMED +EXPIRES IN +WHY$/);
  t.match(lines[1], /^a\.test +primary +12 +3 +5s ago$/);
  t.match(lines[2], /^b\.test +secondary +12 +3 +5s ago +loaded +\[fd00::2\]:53 +1m ago +1h$/);
  t.match(
    lines[3],
    /^c\.test +secondary +0 +not since start +missing +\[fd00::1\]:53 +never +\[fd00::1\]:53: it is silent for 20 s$/,
  );
  t.end();
});
