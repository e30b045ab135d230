/** Writes docs/configuration.md and docs/metrics.md anew; tests fail when a page is not what the code says. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { referencePage } from '../src/edge/config/reference.ts';
import { metricsPage } from '../src/edge/metrics-page.ts';

const docs = join(import.meta.dirname, '../docs');
writeFileSync(join(docs, 'configuration.md'), referencePage());
writeFileSync(join(docs, 'metrics.md'), metricsPage());
