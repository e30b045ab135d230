/** Certificates that tests make for themselves. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';

/** A self-signed certificate for `name` and 127.0.0.1, and its key, in PEM. */
export function makeCertificate(t: Test, name: string): { certificate: string; key: string } {
  const dir = t.testdir();
  const [keyFile, certFile] = [`${dir}/key.pem`, `${dir}/cert.pem`];
  const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name},IP:127.0.0.1`];
  execFileSync('openssl', ['req', ...options, ...names, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
  return { certificate: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}
