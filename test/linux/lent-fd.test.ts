/** Descriptors lent to another thread: none is used after its loan has ended, and none is closed in the middle of a call. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { Borrower, Lender, type Loan, newLoans } from '../../src/linux/lent-fd.ts';

t.test('a loan is good until it ends', (t) => {
  const loans = newLoans();
  const [lender, borrower] = [new Lender(loans), new Borrower(loans)];
  const loan = lender.lend(7)!;
  t.equal(
    borrower.use(loan, (fd) => fd * 2),
    14,
  );
  t.throws(() =>
    borrower.use(loan, () => {
      throw new Error('a call that fails');
    }),
  );
  t.equal(
    borrower.use(loan, (fd) => fd),
    7,
    'and is over then',
  );
  lender.end(loan);
  t.equal(
    borrower.use(loan, () => t.fail('used')),
    undefined,
  );
  t.throws(() => lender.end(loan), /ends once/);
  t.end();
});

t.test('the same place and number again: the old loan stays over', (t) => {
  const loans = newLoans();
  const [lender, borrower] = [new Lender(loans), new Borrower(loans)];
  const old: Loan[] = [];
  for (let i = 0; i < 1000; i++) {
    const loan = lender.lend(7)!;
    for (const one of old.slice(-3))
      t.equal(
        borrower.use(one, () => true),
        undefined,
      );
    if (i % 100 === 0)
      t.equal(
        borrower.use(loan, () => true),
        true,
      );
    lender.end(loan);
    old.push(loan);
  }
  t.end();
});

t.test('the count of loans goes round', (t) => {
  const loans = newLoans();
  new Int32Array(loans).fill(-3);
  const [lender, borrower] = [new Lender(loans), new Borrower(loans)];
  const last = lender.lend(7)!;
  t.equal(
    borrower.use(last, () => true),
    true,
  );
  lender.end(last);
  const first = lender.lend(7)!;
  t.equal(first.word, 4);
  t.equal(
    borrower.use(last, () => true),
    undefined,
  );
  t.equal(
    borrower.use(first, () => true),
    true,
  );
  t.end();
});

t.test('what is beyond is not lent, until there is room again', (t) => {
  const lender = new Lender(newLoans());
  const all: Loan[] = [];
  for (let loan = lender.lend(1); loan !== undefined; loan = lender.lend(1)) all.push(loan);
  t.equal(all.length, 64);
  t.equal(new Set(all.map(({ place }) => place)).size, all.length);
  lender.end(all[5]!);
  t.equal(lender.lend(1)?.place, all[5]!.place);
  t.equal(lender.lend(1), undefined);
  t.end();
});

t.test('the end waits for a call under way in another thread', async (t) => {
  const loans = newLoans();
  const lender = new Lender(loans);
  const loan = lender.lend(7)!;
  const steps = new Int32Array(new SharedArrayBuffer(8));
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { loans, loan, steps, module } = workerData;
    import(module).then(({ Borrower }) => {
      new Borrower(loans).use(loan, () => {
        parentPort.postMessage('in use');
        // Longer than the owner waits between two looks.
        Atomics.wait(steps, 0, 0, 50);
        Atomics.store(steps, 1, 1);
      });
    });`;
  const module = new URL('../../src/linux/lent-fd.ts', import.meta.url).href;
  const worker = new Worker(program, { eval: true, workerData: { loans, loan, steps, module } });
  t.teardown(() => worker.terminate());
  await once(worker, 'message');
  lender.end(loan);
  t.equal(Atomics.load(steps, 1), 1, 'it is over');
  t.equal(
    new Borrower(loans).use(loan, () => true),
    undefined,
  );
});
