import t from 'tap';
import { materialFault, maxMaterialOctets, parseMaterial } from '../../../src/edge/join/material.ts';

const hash = `sha256:${'0a'.repeat(32)}`;
const key = 'ab'.repeat(32);
const token = 'abcdef.0123456789abcdef';
const good = `BOOTSTRAP_TOKEN=${token}\nCA_CERT_HASHES=${hash}\n`;

t.test('what is no material, with no value in the message', (t) => {
  const rows: [name: string, text: string, message: RegExp][] = [
    ['nothing', '', /^BOOTSTRAP_TOKEN is missing/],
    ['no hash', `BOOTSTRAP_TOKEN=${token}`, /^CA_CERT_HASHES is missing/],
    [
      'a token that is none',
      `BOOTSTRAP_TOKEN=hunter2\nCA_CERT_HASHES=${hash}`,
      /^BOOTSTRAP_TOKEN is not a bootstrap token/,
    ],
    ['a short hash', `BOOTSTRAP_TOKEN=${token}\nCA_CERT_HASHES=sha256:00`, /^CA_CERT_HASHES is not/],
    ['upper case', `BOOTSTRAP_TOKEN=${token}\nCA_CERT_HASHES=${hash.toUpperCase()}`, /^CA_CERT_HASHES is not/],
    ['a short key', `${good}CERTIFICATE_KEY=abc`, /^CERTIFICATE_KEY is not 64/],
    ['no assignment', `${good}hello`, /^a line is not of the form NAME=value$/],
    ['an unknown name', `${good}PASSWORD=hunter2`, /^PASSWORD is no part of join material \(allowed: API_ENDPOINT, /],
    ['twice', `${good}${good}`, /^BOOTSTRAP_TOKEN stands twice$/],
    ['no time', `${good}BOOTSTRAP_TOKEN_EXPIRES=tomorrow`, /^BOOTSTRAP_TOKEN_EXPIRES is no time/],
    ['no such day', `${good}BOOTSTRAP_TOKEN_EXPIRES=2027-13-31T12:00:00Z`, /^BOOTSTRAP_TOKEN_EXPIRES is no time/],
    ['a command', `${good}CERTIFICATE_KEY=$(reboot)`, /^CERTIFICATE_KEY is not 64/],
    ['too long', 'x'.repeat(maxMaterialOctets + 1), /^join material is longer than/],
  ];
  for (const [name, text, message] of rows) {
    t.throws(() => parseMaterial(text, 'api', 0), { code: 'V6_VALUE', message }, name);
    try {
      parseMaterial(text, 'api', 0);
    } catch (error) {
      t.notMatch((error as Error).message, /hunter2|abcdef|reboot/, `${name}: no value`);
    }
  }
  t.end();
});

t.test('what scripts send', (t) => {
  const text = `# of kubeadm\nAPI_ENDPOINT=edge.cluster.test:6443\r\n${good}BOOTSTRAP_TOKEN_EXPIRES=2027-01-31T12:00:00Z\nCERTIFICATE_KEY="${key}"\nCERTIFICATE_KEY_EXPIRES=1800000000\n`;
  t.strictSame(parseMaterial(text, 'cp1', 5), {
    token,
    tokenExpiresAt: Date.parse('2027-01-31T12:00:00Z'),
    caCertHashes: [hash],
    certificateKey: key,
    certificateKeyExpiresAt: 1_800_000_000_000,
    at: 5,
    by: 'cp1',
  });
  const two = parseMaterial(good.replace(hash, `${hash} ${hash}`), 'api', 5);
  t.strictSame(two.caCertHashes, [hash, hash]);
  t.equal(two.tokenExpiresAt, 5 + 86_400_000, 'a day, as kubeadm has it');
  t.end();
});

t.test('who can join with it', (t) => {
  const worker = parseMaterial(good, 'api', 0);
  const both = parseMaterial(`${good}CERTIFICATE_KEY=${key}\n`, 'api', 0);
  const hour = 3_600_000;
  t.match(materialFault(undefined, 'worker', 0), /is not known here; let a control-plane node send it/);
  t.match(materialFault(worker, 'worker', 24 * hour), /bootstrap token has expired/);
  t.match(materialFault(worker, 'control-plane', 0), /key of the control plane's certificates is not known/);
  t.match(materialFault(both, 'control-plane', 2 * hour), /key of the control plane's certificates has expired/);
  t.equal(materialFault(both, 'worker', 3 * hour), undefined);
  t.equal(materialFault(both, 'control-plane', 2 * hour - 1), undefined);
  t.end();
});
