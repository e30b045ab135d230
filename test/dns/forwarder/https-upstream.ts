/** Upstreams by HTTPS, whose certificate is known. */
import t, { type Test } from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import type { UpstreamConfig } from '../../../src/dns/config.ts';
import { makeCertificate } from '../certificate.ts';
import { Bench } from '../peers.ts';

export const NAME = 'dns.example';

export const pems = makeCertificate(t, NAME);

/** Configuration of an upstream by HTTPS at a local port. */
export function upstream(port: number, more: Partial<UpstreamConfig> = {}): UpstreamConfig {
  const endpoint = { kind: 'inet' as const, address: parseAddress('127.0.0.1'), port };
  return { transport: 'https', endpoint, serverName: NAME, path: '/dns-query', ...more };
}

/** A bench that trusts the certificate. */
export function start(t: Test, upstreams: UpstreamConfig[], timeoutMs = 3000): Promise<Bench> {
  return Bench.start(t, { upstreams, forward: { timeoutMs, ca: pems.certificate } });
}
