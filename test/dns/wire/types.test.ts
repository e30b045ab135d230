import t from 'tap';
import {
  CLASS,
  classFromText,
  classToText,
  isDataType,
  RCODE,
  rcodeToText,
  TYPE,
  typeFromText,
  typeToText,
} from '../../../src/dns/wire/types.ts';

t.test('types', (t) => {
  for (const text of ['', 'AAAAA', 'TYPE', 'TYPE65536', 'TYPE-1', 'TYPE1x', 'TYPE123456', '1', 'toString']) {
    t.throws(() => typeFromText(text), { code: 'V6_VALUE' }, text);
  }
  t.equal(typeFromText('aaaa'), 28);
  t.equal(typeFromText('type28'), 28);
  t.equal(typeToText(65280), 'TYPE65280');
  for (let type = 0; type < 65536; type++) if (typeFromText(typeToText(type)) !== type) t.fail(typeToText(type));
  t.equal(new Set(Object.values(TYPE)).size, Object.values(TYPE).length, 'no number twice');
  t.end();
});

t.test('classes and rcodes', (t) => {
  t.throws(() => classFromText('CLASS65536'), { code: 'V6_VALUE' });
  t.throws(() => classFromText('XX'), { code: 'V6_VALUE' });
  for (const number of [...Object.values(CLASS), 0, 7, 65535]) t.equal(classFromText(classToText(number)), number);
  t.equal(rcodeToText(RCODE.NXRRSET), 'NXRRSET');
  t.equal(rcodeToText(16), 'BADVERS');
  t.equal(rcodeToText(4000), 'RCODE4000');
  t.end();
});

t.test('types of data: all but 0, OPT, 128 to 255 and 65535 (RFC 6895 §3.1)', (t) => {
  const none: number[] = [];
  for (let type = 0; type < 65536; type++) if (!isDataType(type)) none.push(type);
  t.equal(none.length, 1 + 1 + 128 + 1);
  t.ok([0, 41, 128, 249, 250, 251, 252, 255, 65535].every((type) => none.includes(type)));
  t.end();
});
