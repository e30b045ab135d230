/** A step of the walk through the main job: one row of the table. */
import type { EdgeDaemon, EdgeKind } from '../edge/edge.ts';
import type { Keys } from '../edge/keys.ts';
import { adminUrl } from '../edge/v6edge.ts';
import type { Lab, Node } from '../lab.ts';
import type { Peers } from '../peers/peers.ts';
import { describe, type Result } from '../process.ts';

/** What steps share. */
export interface Scene {
  readonly lab: Lab;
  readonly keys: Keys;
  readonly peers: Peers;
  /** Less data, fewer repetitions. */
  readonly quick: boolean;
  /** The daemon under test; the last chapter stops and starts it. */
  edge: EdgeDaemon;
  readonly startEdge: () => Promise<EdgeDaemon>;
  /** Says how far a long step is. */
  progress(text: string): void;
}

export interface Step {
  readonly tried: string;
  /** Holds for one kind of daemon alone. */
  readonly only?: EdgeKind;
  /** Returns what was got. @throws {Error} what was got instead */
  run(scene: Scene): Promise<string>;
}

export interface Chapter {
  readonly title: string;
  readonly steps: readonly Step[];
}

/** @throws {Error} with what was got, when it is not what should be */
export function must(condition: unknown, got: string): asserts condition {
  if (!condition) throw new Error(got === '' ? 'nothing' : got);
}

/** @throws {Error} when the program failed */
export function succeeded(result: Result): string {
  must(result.code === 0, describe(result));
  return result.stdout.trim();
}

/** The daemon's metrics: name with labels to value. */
export async function readMetrics(edge: Node): Promise<Map<string, number>> {
  const text = succeeded(await edge.exec(['curl', '-sS', '-m5', `${adminUrl}/metrics`]));
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

/** Metrics that match and grew, as `name +n`. */
export function growth(before: Map<string, number>, after: Map<string, number>, pattern: RegExp): Map<string, number> {
  const grown = [...after].flatMap(([name, value]): [string, number][] => {
    const more = value - (before.get(name) ?? 0);
    return pattern.test(name) && more > 0 ? [[name, more]] : [];
  });
  return new Map(grown);
}
