/** Settings that the schema takes and this version does not act on yet; the daemon warns of each, so that nobody is fooled. */

import type { ZoneConfig } from '../../dns/config.ts';
import { formatPath } from './problems.ts';
import type { EdgeConfig } from './types.ts';

/** Where the configuration asks for something, as key paths; list entries by their names. */
type Check = (config: EdgeConfig) => string[];

/** The one list: whoever brings the feature takes its line out. */
const checks: readonly Check[] = [zoneCheck('transfer.notify', (z) => z.transfer.notify.length > 0)];

/** Names every setting of this configuration that has no effect yet. */
export function settingsNotInEffect(config: EdgeConfig): string[] {
  return checks.flatMap((check) => check(config));
}

function zoneCheck(setting: string, uses: (zone: ZoneConfig) => boolean): Check {
  return ({ dns }) =>
    (dns?.zones ?? []).filter(uses).map((zone) => `${formatPath(['dns', 'zones', zone.name])}.${setting}`);
}
