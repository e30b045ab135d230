import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkProgram } from '../../../src/edge/config/hooks.ts';

const folder = mkdtempSync(join(tmpdir(), 'v6edge-hooks-'));
t.teardown(() => rmSync(folder, { recursive: true }));
mkdirSync(join(folder, 'open'));
chmodSync(join(folder, 'open'), 0o777);
mkdirSync(join(folder, 'shared'));
chmodSync(join(folder, 'shared'), 0o1777);

t.test('programs that cannot be run, and why', (t) => {
  const cases: [name: string, place: string, text: string, mode: number, failure: RegExp | undefined][] = [
    [
      'without the right',
      'none',
      '#!/bin/sh\n',
      0o644,
      /^\S+none cannot be run by user id \d+: it lacks the right \(chmod \+x\)/,
    ],
    ['for all to write', 'loose', '#!/bin/sh\n', 0o757, /loose can be written by everybody \(chmod o-w\)/],
    ['for all to replace', 'open/x', '#!/bin/sh\n', 0o755, /open\/x can be replaced by everybody: \S+\/open can/],
    ['in a folder like /tmp', 'shared/x', '#!/bin/sh\n', 0o755, undefined],
    [
      'no interpreter',
      'lost',
      '#! /usr/bin/none -x\n',
      0o755,
      /lost: its interpreter \/usr\/bin\/none does not exist$/,
    ],
    ['no first line', 'bare', 'echo\n', 0o755, /bare is neither a program nor a script that begins with #!/],
    ['empty', 'empty', '', 0o755, /empty is neither a program/],
    ['a script', 'good', '#!/bin/sh\n', 0o755, undefined],
    ['an interpreter with arguments', 'env', '#!/usr/bin/env -S sh -e\n', 0o755, undefined],
    ['machine code', 'elf', '\x7fELF', 0o755, undefined],
  ];
  for (const [name, place, text, mode, failure] of cases) {
    const path = join(folder, place);
    writeFileSync(path, text, 'latin1');
    chmodSync(path, mode);
    if (failure === undefined) t.doesNotThrow(() => checkProgram(path), name);
    else t.throws(() => checkProgram(path), { code: 'V6_VALUE', message: failure }, name);
  }
  t.end();
});
