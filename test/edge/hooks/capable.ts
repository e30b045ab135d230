/** For program.test.ts: runs argv as a hook, and says before and after which capabilities are effective here. */
import { readFileSync } from 'node:fs';
import { runProgram } from '../../../src/edge/hooks/program.ts';

const say = () => process.stdout.write(`${/^CapEff:.*/m.exec(readFileSync('/proc/thread-self/status', 'ascii'))}\n`);
say();
await runProgram(process.argv.slice(2), { kind: 'member', id: 1, at: 1, host: 'edge1' }, new AbortController().signal);
say();
