/** The list of findings is the one that the documentation has, both ways. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findingIds } from '../../../src/edge/doctor/report.ts';

t.test('docs/doctor.md has each finding, and no other', (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/doctor.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `([a-z0-9-]+)` /gm)].map(([, id]) => id);
  t.strictSame([...listed].sort(), [...findingIds].sort());
  t.end();
});
