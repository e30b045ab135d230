/** What the configuration file becomes: the engines' own types, and what the daemon itself needs. */
import type { Endpoint } from '../../core/address.ts';
import type { DnsConfig } from '../../dns/config.ts';
import type { PackedData } from '../../dns/packed-nodes.ts';
import type { ProxyConfig } from '../../proxy/config.ts';
import type { RaInterfaceConfig } from '../../ra/config.ts';
import type { HookConfig } from '../hooks/hooks.ts';
import type { JoinConfig } from '../join/settings.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogConfig {
  readonly level: LogLevel;
  readonly format: 'auto' | 'json' | 'pretty';
}

export interface AdminConfig {
  readonly listen: readonly Endpoint[];
  readonly tokenFile: string | undefined;
  /** The bearer token that `tokenFile` holds. */
  readonly token: string | undefined;
}

/** The whole configuration, checked and with every default filled in. */
export interface EdgeConfig {
  /** Data threads. */
  readonly workers: number | 'auto';
  readonly log: LogConfig;
  /** Absolute path. */
  readonly stateDir: string;
  readonly admin: AdminConfig;
  readonly hooks: readonly HookConfig[];
  readonly proxy: ProxyConfig;
  readonly dns: DnsConfig | undefined;
  readonly ra: readonly RaInterfaceConfig[];
  readonly join: JoinConfig | undefined;
}

/** One thing wrong with a configuration file. `line` and `column` count from 1; 0 = the file as a whole. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Key path as people write it: `proxy.listeners[1].pool`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** A configuration that can be used, or all that is wrong with it. */
export type LoadResult = Loaded | { readonly errors: readonly ConfigProblem[] };

export interface Loaded {
  readonly config: EdgeConfig;
  /** What the files of zones have: they are read to be checked, and a large one would take as long again. */
  readonly zoneFiles: Map<string, PackedData>;
}

/** A place in the file: keys and list positions. */
export type KeyPath = readonly (string | number)[];

/** How checks that span several keys report what they find. */
export type Report = (path: KeyPath, message: string) => void;

/** An entity that parsed, with its place: checks across entities run even where others are broken. */
export interface Located<T> {
  readonly path: KeyPath;
  readonly value: T;
}
