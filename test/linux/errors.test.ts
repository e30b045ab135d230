import { constants } from 'node:os';
import t from 'tap';
import { check, errnoName, SystemError } from '../../src/linux/errors.ts';

t.test('names of errno values', (t) => {
  t.equal(errnoName(99_999), 'E99999', 'one that Node does not name');
  t.equal(errnoName(111), 'ECONNREFUSED');
  t.equal(errnoName(constants.errno.EWOULDBLOCK), 'EAGAIN', 'of two names the one that code compares with');
  t.equal(errnoName(constants.errno.EOPNOTSUPP), 'ENOTSUP', 'as Node says it');
  for (const number of new Set(Object.values(constants.errno))) {
    t.equal(constants.errno[errnoName(number) as keyof typeof constants.errno], number, `${number} and back`);
  }
  t.end();
});

t.test('SystemError says what was tried', (t) => {
  const error = new SystemError('bind', 98, '[::1]:53');
  t.match(error, {
    name: 'SystemError',
    code: 'EADDRINUSE',
    errno: 98,
    syscall: 'bind',
    message: 'bind [::1]:53: EADDRINUSE',
  });
  t.equal(new SystemError('accept4', 24).message, 'accept4: EMFILE');
  t.end();
});

t.test('check passes results through and throws negative ones', (t) => {
  t.equal(check(0, 'socket'), 0);
  t.equal(check(7, 'socket'), 7);
  t.throws(() => check(-13, 'socket', 'raw'), { code: 'EACCES', errno: 13, syscall: 'socket' });
  t.end();
});
