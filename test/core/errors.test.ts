import t from 'tap';
import {
  assert,
  errorCode,
  errorMessage,
  unreachable,
  V6edgeError,
  ValueError,
  WireError,
} from '../../src/core/errors.ts';

t.test('errors have a code, a name and a cause', (t) => {
  const cause = new Error('below');
  const error = new WireError('V6_DNS_SHORT', 'message too short', { cause });
  t.match(error, { code: 'V6_DNS_SHORT', name: 'WireError', message: 'message too short', cause });
  t.ok(error instanceof V6edgeError && error instanceof Error);
  t.match(new ValueError('no address'), { code: 'V6_VALUE', name: 'ValueError' });
  t.notOk('cause' in new ValueError('no address'));
  t.match(String(error.stack), /^WireError: message too short\n/, 'the stack begins with the name');
  t.end();
});

t.test('assert and unreachable', (t) => {
  t.doesNotThrow(() => assert(1, 'fine'));
  for (const value of [false, 0, '', null, undefined, Number.NaN]) {
    t.throws(() => assert(value, 'cannot be'), { code: 'V6_ASSERT', message: 'cannot be' });
  }
  t.throws(() => unreachable({ kind: 'new' } as never), {
    code: 'V6_ASSERT',
    message: "unhandled variant { kind: 'new' }",
  });
  // Variants that JSON cannot write must not hide the assertion behind an error of JSON's.
  const circular: { self?: unknown } = {};
  circular.self = circular;
  t.throws(() => unreachable(circular as never), { code: 'V6_ASSERT' });
  t.throws(() => unreachable(1n as never), { code: 'V6_ASSERT' });
  t.end();
});

t.test('caught values', (t) => {
  t.equal(errorMessage(new Error('words')), 'words');
  t.equal(errorMessage('text'), 'text');
  t.equal(errorMessage(undefined), 'undefined');
  t.equal(errorMessage(Object.create(null)), '[Object: null prototype] {}', 'what has no toString');
  t.equal(errorCode(new ValueError('x')), 'V6_VALUE');
  t.equal(errorCode(Object.assign(new Error('x'), { code: 'ENOENT' })), 'ENOENT');
  for (const other of [
    new Error('x'),
    Object.assign(new Error('x'), { code: 5 }),
    { code: 'A' },
    null,
    undefined,
    'A',
  ]) {
    t.equal(errorCode(other), undefined);
  }
  t.end();
});
