/** What the shadow says: one line for each thing that was compared and is not the same. */

/** One difference between the old daemon and v6edge. */
export interface Difference {
  readonly of: 'dns' | 'proxy';
  /** The question, or the listener. */
  readonly what: string;
  /** Which part of the answer: `rcode`, `answer`, `reply`. */
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
  readonly differences: readonly Difference[];
  /** What could not be compared, and why. */
  readonly remarks: readonly string[];
}

/** What a part of the comparison brings. */
export interface Compared {
  /** Questions, or connections. */
  readonly count: number;
  readonly differences: readonly Difference[];
  readonly remarks: readonly string[];
}
