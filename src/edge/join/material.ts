/**
 * What `kubeadm join` needs, as a control-plane node sends it after `kubeadm init`: lines of `NAME=value`.
 * Where no end is given, kubeadm's own: bootstrap tokens last a day, the key of the uploaded certificates two hours.
 */
import { ValueError } from '../../core/errors.ts';
import type { NodeRole } from './state.ts';

export interface Material {
  readonly token: string;
  /** Wall-clock milliseconds, as all times here. */
  readonly tokenExpiresAt: number;
  /** `sha256:` and 64 hexadecimal digits, one for each CA. */
  readonly caCertHashes: readonly string[];
  /** Decrypts the control plane's certificates (`kubeadm init --upload-certs`); needed by control-plane nodes alone. */
  readonly certificateKey?: string | undefined;
  readonly certificateKeyExpiresAt?: number | undefined;
  readonly at: number;
  /** Who sent it: a node's name, or `api`. */
  readonly by: string;
}

/** Octets of a body or file with material. */
export const maxMaterialOctets = 8 * 1024;

const tokenMs = 24 * 3_600_000;
const certificateKeyMs = 2 * 3_600_000;

const names = [
  'API_ENDPOINT',
  'BOOTSTRAP_TOKEN',
  'BOOTSTRAP_TOKEN_EXPIRES',
  'CA_CERT_HASHES',
  'CERTIFICATE_KEY',
  'CERTIFICATE_KEY_EXPIRES',
] as const;
type FieldName = (typeof names)[number];

/**
 * Reads lines of `NAME=value`; empty lines and comments are skipped. No value ever stands in an error.
 * @param by who sent it
 * @param now wall-clock milliseconds
 * @throws {ValueError}
 */
export function parseMaterial(text: string, by: string, now: number): Material {
  if (text.length > maxMaterialOctets) throw new ValueError(`join material is longer than ${maxMaterialOctets} octets`);
  const fields = readFields(text);
  // Nodes reach the API server by the edge's own name; a script may say it all the same.
  fields.delete('API_ENDPOINT');
  const field = (name: FieldName, form: RegExp, wanted: string): string => {
    const value = fields.get(name) ?? '';
    if (value === '') throw new ValueError(`${name} is missing: ${wanted} is wanted`);
    if (!form.test(value)) throw new ValueError(`${name} is not ${wanted}`);
    return value;
  };
  const time = (name: FieldName, otherwise: number): number =>
    fields.get(name) ? readTime(name, fields.get(name)!) : otherwise;
  const certificateKey = fields.get('CERTIFICATE_KEY')
    ? field('CERTIFICATE_KEY', /^[0-9a-f]{64}$/, '64 hexadecimal digits')
    : undefined;
  return {
    token: field(
      'BOOTSTRAP_TOKEN',
      /^[a-z0-9]{6}\.[a-z0-9]{16}$/,
      'a bootstrap token such as kubeadm token create prints',
    ),
    tokenExpiresAt: time('BOOTSTRAP_TOKEN_EXPIRES', now + tokenMs),
    caCertHashes: field(
      'CA_CERT_HASHES',
      /^sha256:[0-9a-f]{64}( sha256:[0-9a-f]{64}){0,7}$/,
      '`sha256:` and 64 hexadecimal digits, several with a space between',
    ).split(' '),
    certificateKey,
    certificateKeyExpiresAt:
      certificateKey === undefined ? undefined : time('CERTIFICATE_KEY_EXPIRES', now + certificateKeyMs),
    at: now,
    by,
  };
}

function readFields(text: string): Map<FieldName, string> {
  const fields = new Map<FieldName, string>();
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, word, value] = /^([A-Z_]+)=(.*?)\s*$/.exec(line) ?? [];
    if (word === undefined) throw new ValueError('a line is not of the form NAME=value');
    const name = names.find((each) => each === word);
    if (name === undefined) throw new ValueError(`${word} is no part of join material (allowed: ${names.join(', ')})`);
    if (fields.has(name)) throw new ValueError(`${name} stands twice`);
    fields.set(name, /^(["'])(.*)\1$/.exec(value!)?.[2] ?? value!);
  }
  return fields;
}

function readTime(name: string, value: string): number {
  const at = /^\d{10}$/.test(value)
    ? Number(value) * 1000
    : /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/.test(value)
      ? Date.parse(value)
      : Number.NaN;
  if (Number.isNaN(at)) throw new ValueError(`${name} is no time as in 2027-01-31T12:00:00Z, and no Unix seconds`);
  return at;
}

const remedy =
  'let a control-plane node send it (control-plane.sh --send-material), or give it: v6edge node material set FILE';

/** Why nodes of a role cannot join with it, and what to do; undefined: they can. @param now wall-clock milliseconds */
export function materialFault(material: Material | undefined, role: NodeRole, now: number): string | undefined {
  if (material === undefined) return `what kubeadm join needs is not known here; ${remedy}`;
  if (material.tokenExpiresAt <= now) return `the cluster's bootstrap token has expired; ${remedy}`;
  if (role === 'worker') return undefined;
  const { certificateKey, certificateKeyExpiresAt } = material;
  if (certificateKey === undefined) return `the key of the control plane's certificates is not known here; ${remedy}`;
  if (certificateKeyExpiresAt! <= now) return `the key of the control plane's certificates has expired; ${remedy}`;
  return undefined;
}
