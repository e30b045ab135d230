/** `npm run lab`. */
import { takeDownAbandoned } from './record.ts';

for (const id of takeDownAbandoned()) console.log(`took down lab ${id}`);
