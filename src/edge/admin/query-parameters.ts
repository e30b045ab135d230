/** Query parameters that several paths know. */
import { ValueError } from '../../core/errors.ts';
import { typeFromText, typeToText } from '../../dns/wire/types.ts';
import { readDomainName } from '../config/domain-name.ts';
import type { Parameter } from './route.ts';

export function textParameter(description: string): Parameter<string> {
  return { description, schema: { type: 'string' }, read: String };
}

export const flagParameter = (description: string): Parameter<boolean> => ({
  description,
  schema: { type: 'boolean' },
  read: (text) => {
    if (text !== 'true' && text !== 'false') throw new ValueError('true or false is wanted');
    return text === 'true';
  },
});

/** @param max the most that is answered at once, whatever is asked */
export function limitParameter(description: string, fallback: number | undefined, max: number): Parameter<number> {
  return {
    description,
    schema: { type: 'integer', minimum: 1, maximum: max, ...(fallback !== undefined && { default: fallback }) },
    read: (text) => {
      const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
      if (limit < 1 || limit > max) throw new ValueError(`a whole number from 1 to ${max} is wanted`);
      return limit;
    },
  };
}

export function offsetParameter(description: string, max: number): Parameter<number> {
  return {
    description,
    schema: { type: 'integer', minimum: 0, maximum: max, default: 0 },
    read: (text) => {
      const offset = /^\d{1,6}$/.test(text) ? Number(text) : -1;
      if (offset < 0 || offset > max) throw new ValueError(`a whole number from 0 to ${max} is wanted`);
      return offset;
    },
  };
}

/** Absolute, lower case, without the final dot. */
export const nameParameter = (description: string): Parameter<string> => ({
  description,
  schema: { type: 'string' },
  read: readDomainName,
});

/** To the mnemonic, or TYPEnnn. */
export const typeParameter: Parameter<string> = {
  description: 'records of this type alone: a mnemonic or TYPEnnn (RFC 3597 §5)',
  schema: { type: 'string', examples: ['AAAA', 'TYPE28'] },
  read: (text) => typeToText(typeFromText(text)),
};
