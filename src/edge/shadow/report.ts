/** What the shadow says: one line for each thing that was compared and is not the same. */

/** One difference between the old daemon and v6edge. */
export interface Difference {
  readonly of: 'dns' | 'proxy' | 'ra';
  /** The question, the listener, or the interface. */
  readonly what: string;
  /** Which part of it: `rcode`, `answer`, `reply`, a setting of `ra`. */
  readonly part: string;
  readonly old: string;
  readonly ours: string;
  /** Why it is right as it is; undefined: it is to be looked at. */
  readonly accepted: string | undefined;
}

export interface ShadowReport {
  /** Nothing is to be looked at. */
  readonly equal: boolean;
  readonly questions: number;
  readonly connections: number;
  /** Interfaces whose advertisements were compared. */
  readonly advertisements: number;
  readonly differences: readonly Difference[];
  /** What could not be compared, and why. */
  readonly remarks: readonly string[];
}

/** What a part of the comparison brings. */
export interface Compared {
  /** Questions, connections, or interfaces. */
  readonly count: number;
  readonly differences: readonly Difference[];
  readonly remarks: readonly string[];
}
