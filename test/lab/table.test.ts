import t from 'tap';
import { Table, wrap } from './table.ts';

class Paper {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(isTTY: boolean, columns = 120) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
  }
}

const esc = String.fromCharCode(27);
const row = { chapter: 'c', tried: 'something', got: 'a result', ok: true, ms: 1 };

t.test('rows are aligned, and long ones go on below their column', (t) => {
  const paper = new Paper(false, 120);
  const table = new Table(paper, {});
  table.row({ ...row, ok: false, got: 'one two three four five six seven eight nine ten eleven' });
  table.row(row);
  const [first, second, third] = paper.text.split('\n') as [string, string, string];
  t.match(first, /^ FAIL {2}something +one two/);
  t.match(third, /^ ok {4}something +a result$/);
  t.equal(first.indexOf('one'), third.indexOf('a result'));
  t.equal(second.search(/\S/), first.indexOf('one'));
  t.end();
});

t.test(
  'no escape sequence and no progress line off a terminal, nor where NO_COLOR or a dumb one asks for that',
  (t) => {
    for (const [tty, environment] of [
      [false, {}],
      [true, { NO_COLOR: '1' }],
      [true, { TERM: 'dumb' }],
    ] as const) {
      const paper = new Paper(tty);
      const table = new Table(paper, environment);
      table.title('title');
      table.progress('working');
      table.row(row);
      t.notOk(paper.text.includes(esc), 'no escape');
      t.notOk(paper.text.includes('working'), 'no progress');
    }
    t.end();
  },
);

t.test('on a terminal progress is replaced by what comes next', (t) => {
  const paper = new Paper(true);
  const table = new Table(paper, {});
  table.progress('working');
  table.row(row);
  const erased = paper.text.indexOf(`\r${esc}[K`);
  t.ok(paper.text.indexOf('working') < erased && erased < paper.text.indexOf('something'), paper.text);
  t.end();
});

t.test('wrap keeps every word', (t) => {
  t.strictSame(wrap('', 5), ['']);
  t.strictSame(wrap('aa bb cc', 5), ['aa bb', 'cc']);
  t.strictSame(wrap('longerthanthat b', 5), ['longerthanthat', 'b']);
  t.end();
});
