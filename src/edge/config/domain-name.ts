import { ValueError } from '../../core/errors.ts';

/**
 * Reads a domain name to the form the engines take: lower case, no final dot, the root as the empty string. Names in a
 * configuration are host-like: letters, digits, `-`, `_`, and `/` and `*` for RFC 2317 zones and wildcards.
 * @throws {ValueError}
 */
export function readDomainName(text: string): string {
  if (text === '.') return '';
  const name = text.toLowerCase().replace(/\.$/, '');
  const labels = name.split('.');
  for (const label of labels) {
    if (label === '') throw new ValueError(`"${text}" is no domain name: it has an empty label`);
    if (label.length > 63) throw new ValueError(`"${text}" is no domain name: a label is longer than 63 bytes`);
    if (!/^[a-z0-9_*/-]+$/.test(label))
      throw new ValueError(`"${text}" is no domain name: "${label}" cannot stand in one`);
  }
  // Wire form: a length byte before each label and the root's at the end (RFC 1035 §3.1).
  if (name.length + 2 > 255) throw new ValueError(`"${text}" is no domain name: it is longer than 255 bytes`);
  return name;
}

/** Whether `name` is `zone` or below it; both as `readDomainName` gives them. */
export function isInZone(name: string, zone: string): boolean {
  return zone === '' || name === zone || name.endsWith(`.${zone}`);
}
