/** Certificates and keys in PEM that the configuration names. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { errorMessage, ValueError } from '../../core/errors.ts';

/**
 * Checks that a text holds certificates, and nothing that is none between their lines.
 * @param file names it in errors
 * @throws {ValueError}
 */
export function checkCertificates(text: string, file: string): void {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new ValueError(`${file} holds no certificate in PEM (BEGIN CERTIFICATE)`);
  for (const [i, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw new ValueError(`${file}: certificate ${i + 1} cannot be read: ${errorMessage(cause)}`, { cause });
    }
  }
}

/**
 * Checks that a private key is that of the first of `certificates`. What is wrong with it is said without showing it.
 * @param file names the key in errors
 * @throws {ValueError}
 */
export function checkPrivateKey(key: string, certificates: string, file: string): void {
  let matches: boolean;
  try {
    matches = new X509Certificate(certificates).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw new ValueError(`${file} holds no private key in PEM that can be read (one with a password cannot)`, {
      cause,
    });
  }
  if (!matches) throw new ValueError(`${file} is not the key of the certificate`);
}
