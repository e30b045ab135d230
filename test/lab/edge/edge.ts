/** What runs in the edge namespace, seen from the steps that test it. */
import type { Lab } from '../lab.ts';
import type { Keys } from './keys.ts';

export type EdgeKind = 'v6edge' | 'reference';

export interface EdgeDaemon {
  readonly kind: EdgeKind;
  /** Undefined while all its processes run; else which one ended, and its last words. */
  ended(): string | undefined;
  /** The last lines it logged, 8 if absent. */
  log(lines?: number): string;
  /** Sends the signal, SIGTERM if absent, that ends it and waits; says how it went. */
  stop(signal?: NodeJS.Signals): Promise<string>;
  /** Makes it read its configuration again, where one signal does that. */
  reload?(): void;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
}

export type StartEdge = (lab: Lab, keys: Keys) => Promise<EdgeDaemon>;

/** Records the node zone starts from, beside SOA and NS. */
export const firstRecords = `edge    300 IN AAAA fd00:6:6::1
ntp     300 IN CNAME edge.cluster.test.
abroad  300 IN CNAME dual.inet.test.
*.apps  300 IN CNAME edge.cluster.test.
big     300 IN TXT ${Array.from({ length: 14 }, (_, i) => `"${String.fromCharCode(97 + i).repeat(220)}"`).join(' ')}
`;
