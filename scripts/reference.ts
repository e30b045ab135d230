/** Writes docs/configuration.md anew; a test fails when the page is not what the schema says. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { referencePage } from '../src/edge/config/reference.ts';

writeFileSync(join(import.meta.dirname, '../docs/configuration.md'), referencePage());
