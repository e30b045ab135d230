/** What an import makes: a piece of configuration, and notes on all that it could not take over. */
import { V6edgeError } from '../../core/errors.ts';

/** A file that cannot be read as what it should be; the message names file and line. */
export class ImportError extends V6edgeError {}

/** Where something stands in an old configuration. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** Something that is not as it was. */
export interface Note {
  readonly place: Place;
  /** The old words. */
  readonly text: string;
  readonly why: string;
  /** The part of the new configuration it belongs to: `['proxy', 'pools', 'web']`. */
  readonly path: readonly (string | number)[];
}

/** A mapping as YAML has it. */
export type Section = Record<string, unknown>;

export class Notes {
  readonly all: Note[] = [];

  add(place: Place, text: string, why: string, path: readonly (string | number)[]): void {
    this.all.push({ place, text, why, path });
  }
}

/** The mapping below a key; made if there is none. */
export function sectionAt(parent: Section, key: string): Section {
  const found = parent[key];
  if (typeof found === 'object' && found !== null) return found as Section;
  const made: Section = {};
  parent[key] = made;
  return made;
}

/** The list below a key; made if there is none. */
export function listAt<T>(parent: Section, key: string): T[] {
  const found = parent[key];
  if (Array.isArray(found)) return found as T[];
  const made: T[] = [];
  parent[key] = made;
  return made;
}

/** `FILE:LINE`. */
export function where({ file, line }: Place): string {
  return `${file}:${line}`;
}
