/** What listeners, pools and members may be called. */
import { ValueError } from '../../core/errors.ts';
import { parsed } from './fields.ts';

/** Names stand in URLs, metric labels and columns. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** A name as the value of a key. */
export function entityName() {
  return parsed({ kind: 'name', allowed: 'letters, digits, . _ -' }, (value) => {
    const fault = nameFault(value);
    if (fault !== undefined) throw new ValueError(fault);
    return value;
  });
}

/** Why a text is no name; undefined: it is one. */
export function nameFault(value: string): string | undefined {
  if (namePattern.test(value)) return undefined;
  return `"${value}" is no name (allowed: up to 63 letters, digits, dots, dashes and underscores)`;
}
