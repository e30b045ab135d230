import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkProgram } from '../../../src/edge/config/hooks.ts';
import { testBad } from './texts.ts';

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

testBad(t, [
  ['hook to nowhere', 'ra: []\nhooks: [{ url: "ftp://x" }]', ['2:16: hooks[0].url: is no URL of http or https']],
  ['hook to nobody', 'ra: []\nhooks: [{ events: [member] }]', ['2:9: hooks[0]: a hook is exactly one of url and exec']],
  [
    'hook to two',
    'ra: []\nhooks: [{ url: "http://x", exec: [/bin/true] }]',
    ['2:9: hooks[0]: a hook is exactly one of url and exec'],
  ],
  ['hook in shell', 'ra: []\nhooks: [{ exec: "/bin/true x" }]', [/^2:17: hooks\[0\].exec: .*list/]],
  ['hook without a program', 'ra: []\nhooks: [{ exec: [] }]', [/^2:17: hooks\[0\].exec: /]],
  [
    'hook by search',
    'ra: []\nhooks: [{ exec: [logger] }]',
    ['2:18: hooks[0].exec[0]: "logger" is no absolute path of a program'],
  ],
  [
    'hook that is not there',
    'ra: []\nhooks: [{ exec: [/etc/v6edge/hooks/none] }]',
    ['2:18: hooks[0].exec[0]: /etc/v6edge/hooks/none does not exist'],
  ],
  [
    'hook that the unit hides',
    'ra: []\nhooks: [{ exec: [/home/none/notify] }]',
    [/^2:18: hooks\[0\].exec\[0\]: \/home\/none\/notify does not exist; the unit hides \/home/],
  ],
  ['hook that is a folder', 'ra: []\nhooks: [{ exec: [/etc] }]', ['2:18: hooks[0].exec[0]: /etc is no file']],
  [
    'hook that may not be run',
    'ra: []\nhooks: [{ exec: [/etc/passwd] }]',
    [/^2:18: hooks\[0\].exec\[0\]: \/etc\/passwd cannot be run by user id \d+: it lacks the right/],
  ],
  ['hook with a password', 'ra: []\nhooks: [{ url: "http://:b@x" }]', [/^2:16: hooks\[0\].url: has a user name or p/]],
  ['hook with a user', 'ra: []\nhooks: [{ url: "http://a:b@x" }]', [/^2:16: hooks\[0\].url: has a user name/]],
  [
    'hook for nothing',
    'ra: []\nhooks: [{ url: "http://x", events: [down] }]',
    [/^2:3[0-9]: hooks\[0\].events\[0\]: "down" is none/],
  ],
]);
