/** Reads a configuration file: every error of it at once, or a configuration that can run. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { type Endpoint, formatEndpoint, isLoopback } from '../../core/address.ts';
import { errorCode, errorMessage, ValueError } from '../../core/errors.ts';
import type { TsigKey, ZoneConfig } from '../../dns/config.ts';
import type { PackedData } from '../../dns/packed-nodes.ts';
import { nameFromText } from '../../dns/wire/name.ts';
import { packRecords } from '../../dns/zone-seed.ts';
import { readZoneFile, ZoneFileError } from '../../dns/zonefile.ts';
import type { ListenerConfig } from '../../proxy/config.ts';
import { checkCertificates, checkPrivateKey } from './certificates.ts';
import { checkDns, key, zone } from './dns.ts';
import { readDomainName } from './domain-name.ts';
import { inetEndpoint } from './fields.ts';
import { checkHooks, hook } from './hooks.ts';
import { completeJoin } from './join.ts';
import { loadKeys } from './keys.ts';
import { Positions, problemsOf } from './problems.ts';
import { checkProxy, type PoolSettings, pool } from './proxy.ts';
import { listener } from './proxy-listener.ts';
import { checkLoops } from './proxy-loops.ts';
import { checkRa, raInterface } from './ra.ts';
import { at, checkReferences, isRecord, items } from './references.ts';
import { admin, schema } from './schema.ts';
import type { EdgeConfig, KeyPath, LoadResult, Located, Report } from './types.ts';

/** A configuration is a page or ten; a file beyond this is a slip. */
const maxFileBytes = 4 * 1024 ** 2;
/** A zone of a million names. */
const maxZoneFileBytes = 128 * 1024 ** 2;

/** Reads, checks and completes the configuration in `file`. */
export function loadConfig(file: string): LoadResult {
  let text: string;
  try {
    text = readSmallFile(file);
  } catch (error) {
    return { errors: [{ file, line: 0, column: 0, path: '', message: mainFileFailure(error) }] };
  }
  return parseConfig(text, file);
}

/** `loadConfig` for text at hand; `file` stands in errors, and its folder is where relative paths begin. */
export function parseConfig(text: string, file: string): LoadResult {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const positions = new Positions(file, document, lines);
  if (document.errors.length > 0) {
    return { errors: document.errors.map((error) => positions.atOffset(error.pos[0], error.message)) };
  }
  const raw = toPlain(document);
  if (raw instanceof Error) return { errors: [positions.atOffset(0, raw.message)] };
  if (!isRecord(raw))
    return { errors: [positions.atOffset(0, 'the file has no keys; it needs proxy, dns or ra at least')] };

  const knownKeys = new Map<readonly string[], readonly string[]>();
  const result = schema.safeParse(raw, { error: (issue) => rememberKeys(issue, knownKeys), reportInput: true });
  const problems = result.success ? [] : problemsOf(result.error.issues, positions, knownKeys);
  const report: Report = (path, message) => problems.push(positions.at(path, message));

  const folder = dirname(resolve(file));
  checkReferences(raw, report);
  const secrets = checkEntities(raw, folder, report);
  // `ra: []`, written down, is nothing on purpose: the configuration that the package installs.
  const meant = Array.isArray(raw.ra) && raw.proxy === undefined;
  if (
    !meant &&
    result.data?.proxy.listeners.length === 0 &&
    result.data.dns === undefined &&
    result.data.ra.length === 0
  ) {
    report([], 'nothing to do: no proxy.listeners, no dns and no ra');
  }
  if (result.success && problems.length === 0) {
    const config = complete(result.data, folder, secrets, report);
    if (problems.length === 0) return { config, zoneFiles: secrets.zoneFiles };
  }
  return { errors: problems.sort((a, b) => a.line - b.line || a.column - b.column) };
}

type Parsed = z.infer<typeof schema>;

/** What other files hold. */
interface Secrets {
  readonly zoneFiles: Map<string, PackedData>;
  readonly token: string | undefined;
  readonly keys: readonly TsigKey[];
  /** CA certificates for the checks of pools, by pool. */
  readonly cas: ReadonlyMap<string, string>;
  /** PEM texts of the `dns` section. */
  readonly dns: {
    readonly ca: string | undefined;
    readonly certificate: string | undefined;
    readonly key: string | undefined;
  };
}

/** Checks that span keys: they run on each part that parses by itself, whatever is wrong with the others. */
function checkEntities(raw: Record<string, unknown>, folder: string, report: Report): Secrets {
  const listeners = entities(listener, at(raw, 'proxy', 'listeners'), ['proxy', 'listeners']);
  const zones = entities(zone, at(raw, 'dns', 'zones'), ['dns', 'zones']);
  const pools = entities(pool, at(raw, 'proxy', 'pools'), ['proxy', 'pools']);
  checkProxy(listeners, pools, report);
  checkLoops(listeners, pools, report);
  const zoneNames = items(at(raw, 'dns', 'zones')).map(([, each]) => String(at(each, 'name')));
  checkDns(zones, zoneNames, report);
  checkRa(entities(raInterface, raw.ra, ['ra']), report);
  checkHooks(entities(hook, raw.hooks, ['hooks']), report);
  const zoneFiles = new Map<string, PackedData>();
  for (const { path, value } of zones) {
    if (value.file === undefined) continue;
    const file = readZone(resolve(folder, value.file), value, [...path, 'file'], report);
    if (file !== undefined) zoneFiles.set(value.name, file);
  }
  const parsedAdmin = admin.safeParse(raw.admin ?? {});
  checkBinds(parsedAdmin.data?.listen ?? [], listeners, raw.dns, at(raw, 'join', 'listen'), report);
  return {
    zoneFiles,
    token: parsedAdmin.success ? checkAdmin(parsedAdmin.data, folder, report) : undefined,
    keys: readKeys(at(raw, 'dns', 'keys'), folder, report),
    cas: loadCas(pools, folder, report),
    dns: loadDnsPems(raw.dns, folder, report),
  };
}

function loadCas(pools: readonly Located<PoolSettings>[], folder: string, report: Report) {
  const cas = new Map<string, string>();
  for (const { path, value } of pools) {
    const { caFile } = value.check;
    if (caFile === undefined) continue;
    attempt([...path, 'check', 'caFile'], report, () => {
      const text = readSmallFile(resolve(folder, caFile));
      checkCertificates(text, caFile);
      cas.set(String(path.at(-1)), text);
    });
  }
  return cas;
}

/** What the `dns` section's certificate files hold. */
function loadDnsPems(raw: unknown, folder: string, report: Report): Secrets['dns'] {
  const read = (path: KeyPath, check: (text: string, file: string) => void): string | undefined => {
    const file = at(raw, ...path.map(String));
    if (typeof file !== 'string' || file === '') return undefined;
    let text: string | undefined;
    attempt(['dns', ...path], report, () => {
      const found = readSmallFile(resolve(folder, file));
      check(found, file);
      text = found;
    });
    return text;
  };
  const ca = read(['forward', 'caFile'], checkCertificates);
  const certificate = read(['tls', 'certificateFile'], checkCertificates);
  const key = read(['tls', 'keyFile'], (text, file) => {
    if (certificate !== undefined) checkPrivateKey(text, certificate, file);
  });
  return { ca, certificate, key };
}

function readKeys(raw: unknown, folder: string, report: Report): TsigKey[] {
  const keys: TsigKey[] = [];
  for (const { path, value } of entities(key, raw, ['dns', 'keys'])) {
    attempt(value.kind === 'file' ? [...path, 'file'] : path, report, () => {
      const name = readDomainName(String(path.at(-1)));
      if (keys.some((other) => other.name === name)) throw new ValueError(`a key "${name}" stands above already`);
      keys.push(...loadKeys(name, value, (path) => readSmallFile(resolve(folder, path))));
    });
  }
  return keys;
}

/** What a zone's file has; undefined: it cannot be used, and its first faults are a problem each. */
function readZone(file: string, zone: ZoneConfig, path: KeyPath, report: Report): PackedData | undefined {
  let packed: PackedData | undefined;
  attempt(path, report, () => {
    const text = readWhole(file, maxZoneFileBytes);
    const name = nameFromText(zone.name);
    try {
      const options = { zone: name, ttlSeconds: zone.ttlSeconds, file, readFile: readSmallFile };
      packed = packRecords(name, readZoneFile(text, options));
    } catch (error) {
      if (!(error instanceof ZoneFileError)) throw error;
      for (const fault of error.faults) report(path, `${fault.file ?? file}:${fault.line}: ${fault.message}`);
      if (error.more > 0) report(path, `${file}: and ${error.more} more`);
    }
  });
  return packed;
}

/** Returns the token that `tokenFile` holds. */
function checkAdmin(parsed: Parsed['admin'], folder: string, report: Report): string | undefined {
  for (const [i, each] of parsed.listen.entries()) {
    if (each.kind === 'inet' && !isLoopback(each.address) && parsed.tokenFile === undefined) {
      report(['admin', 'listen', i], `${formatEndpoint(each)} can be reached from elsewhere; that needs a tokenFile`);
    }
  }
  let token: string | undefined;
  if (parsed.tokenFile !== undefined) {
    const tokenFile = resolve(folder, parsed.tokenFile);
    attempt(['admin', 'tokenFile'], report, () => {
      token = readToken(tokenFile);
    });
  }
  return token;
}

/** Two things cannot listen on one TCP port of one address. */
function checkBinds(
  adminListen: readonly Endpoint[],
  listeners: readonly Located<ListenerConfig>[],
  dns: unknown,
  joinListen: unknown,
  report: Report,
): void {
  const taken = new Map<string, string>();
  const take = (endpoint: Endpoint, path: KeyPath, owner: string) => {
    if (endpoint.kind === 'inet' && endpoint.port === 0) return;
    const place = formatEndpoint(endpoint);
    const before = taken.get(place);
    if (before !== undefined) report(path, `${place} is taken by ${before} already`);
    taken.set(place, owner);
  };
  for (const [i, each] of adminListen.entries()) take(each, ['admin', 'listen', i], 'admin.listen');
  for (const { path, value } of listeners) {
    for (const [i, bind] of value.bind.entries()) take(bind, [...path, 'bind', i], `the listener "${value.name}"`);
  }
  const dnsBinds = [
    ...entities(inetEndpoint(53), at(dns, 'listen'), ['dns', 'listen']),
    ...entities(inetEndpoint(853), at(dns, 'tls', 'listen'), ['dns', 'tls', 'listen']),
    ...entities(inetEndpoint(8654), joinListen, ['join', 'listen']),
  ];
  for (const { path, value } of dnsBinds) take(value, path, path.slice(0, -1).join('.'));
}

/** Puts the configuration together: paths are absolute from here on. */
function complete(parsed: Parsed, folder: string, secrets: Secrets, report: Report): EdgeConfig {
  const { workers, log, state, hooks, proxy, ra, join } = parsed;
  const { listen, tokenFile } = parsed.admin;
  const dns = completeDns(parsed.dns, folder, secrets);
  return {
    workers,
    log,
    stateDir: resolve(folder, state.dir),
    admin: {
      listen,
      tokenFile: tokenFile === undefined ? undefined : resolve(folder, tokenFile),
      token: secrets.token,
    },
    hooks,
    proxy: {
      ...proxy,
      pools: proxy.pools.map(({ check, ...rest }) => ({
        ...rest,
        check: { ...check, ca: secrets.cas.get(rest.name) },
      })),
    },
    dns,
    ra,
    join: join && completeJoin(join, folder, dns, ra, report),
  };
}

function completeDns(dns: Parsed['dns'], folder: string, secrets: Secrets): EdgeConfig['dns'] {
  return (
    dns && {
      ...dns,
      forward: dns.forward && { ...dns.forward, ca: secrets.dns.ca },
      tls: dns.tls && { listen: dns.tls.listen, certificate: secrets.dns.certificate!, key: secrets.dns.key! },
      keys: secrets.keys,
      zones: dns.zones.map((each) => (each.file === undefined ? each : { ...each, file: resolve(folder, each.file) })),
    }
  );
}

/** The entries of a list or mapping that parse by themselves, each with its place. */
function entities<T extends z.ZodType>(schema: T, raw: unknown, path: KeyPath): Located<z.infer<T>>[] {
  const entries: [string | number, unknown][] = Array.isArray(raw)
    ? [...raw.entries()]
    : isRecord(raw)
      ? Object.entries(raw)
      : [];
  return entries.flatMap(([name, each]) => {
    const result = schema.safeParse(each);
    return result.success ? [{ path: [...path, name], value: result.data }] : [];
  });
}

/** zod gives unknown keys without the known ones; this keeps those of the schema that complained. */
function rememberKeys(issue: z.core.$ZodRawIssue, known: Map<readonly string[], readonly string[]>): undefined {
  if (issue.code !== 'unrecognized_keys') return undefined;
  const def = issue.inst?._zod.def as { shape?: object } | undefined;
  known.set(issue.keys, Object.keys(def?.shape ?? {}));
  return undefined;
}

function attempt(path: KeyPath, report: Report, run: () => void): void {
  try {
    run();
  } catch (error) {
    report(path, error instanceof ValueError ? error.message : readFailure(error));
  }
}

function readSmallFile(path: string): string {
  return readWhole(path, maxFileBytes);
}

function readWhole(path: string, maxBytes: number): string {
  const stat = statSync(path);
  if (stat.isDirectory()) throw new ValueError(`${path} is a directory`);
  if (stat.size > maxBytes) throw new ValueError(`${path} is larger than ${maxBytes} bytes`);
  return readFileSync(path, 'utf8');
}

function readToken(file: string): string {
  const token = readSmallFile(file).trim();
  // RFC 6750 §2.1: b64token. Short ones can be guessed.
  if (!/^[A-Za-z0-9._~+/-]{16,}=*$/.test(token)) {
    throw new ValueError(`${file} holds no token: one line of 16 or more letters, digits and . _ ~ + / - is wanted`);
  }
  return token;
}

/** `readFailure` of the file that the message begins with. */
function mainFileFailure(error: unknown): string {
  if (errorCode(error) === 'ENOENT') return 'there is no such file; `v6edge init` writes a first configuration';
  return readFailure(error);
}

function readFailure(error: unknown): string {
  const path = (error as { path?: string }).path ?? 'the file';
  switch (errorCode(error)) {
    case 'ENOENT':
      return `${path} does not exist`;
    case 'EACCES':
      return `${path} cannot be read: permission denied`;
    default:
      return errorMessage(error);
  }
}

function toPlain(document: { toJS(options: { maxAliasCount: number }): unknown }): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    return new Error(errorMessage(error));
  }
}
