/** The walk through the main job: starts the lab, takes the steps, reports each. */
import type { EdgeDaemon, EdgeKind } from './edge/edge.ts';
import { type Keys, makeKeys } from './edge/keys.ts';
import { startReference } from './edge/reference.ts';
import { startV6edge } from './edge/v6edge.ts';
import { Lab } from './lab.ts';
import { startPeers } from './peers/peers.ts';
import { abuse } from './steps/abuse.ts';
import { dynamicUpdates } from './steps/ddns.ts';
import { discovery } from './steps/discovery.ts';
import { names } from './steps/dns.ts';
import { failover } from './steps/failover.ts';
import { proxy } from './steps/proxy.ts';
import { routerAdvertisements } from './steps/ra.ts';
import { restart } from './steps/restart.ts';
import type { Chapter, Scene } from './steps/step.ts';
import type { Row } from './table.ts';

export const chapters: readonly Chapter[] = [
  routerAdvertisements,
  dynamicUpdates,
  names,
  proxy,
  failover,
  discovery,
  abuse,
  restart,
];

/** A running lab with a daemon in its edge namespace and everything around it. */
export interface Stage {
  readonly lab: Lab;
  readonly keys: Keys;
  readonly scene: Scene;
}

/**
 * Builds the lab and starts everything, daemon before nodes: they solicit when it is there.
 * @throws {Error} when something does not start; nothing is left then
 */
export async function setStage(kind: EdgeKind, quick: boolean, progress: (text: string) => void): Promise<Stage> {
  progress('building the network');
  const lab = await Lab.create();
  try {
    const keys = makeKeys(lab);
    const startEdge = (): Promise<EdgeDaemon> => (kind === 'v6edge' ? startV6edge : startReference)(lab, keys);
    progress('starting nginx, Unbound, named, tayga and the edge');
    const [peers, edge] = await Promise.all([startPeers(lab), startEdge()]);
    await lab.connect();
    return { lab, keys, scene: { lab, keys, peers, edge, quick, startEdge, progress } };
  } catch (error) {
    lab.close();
    throw error;
  }
}

export interface Watcher {
  chapter(title: string): void;
  step(tried: string): void;
  row(row: Row): void;
}

/** Takes every step that holds for this daemon, in order; a step that fails does not stop the next. */
export async function walk(scene: Scene, watcher: Watcher, only: readonly Chapter[] = chapters): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { title, steps } of only) {
    watcher.chapter(title);
    for (const { tried, only: kind, run } of steps) {
      if (kind !== undefined && kind !== scene.edge.kind) continue;
      watcher.step(tried);
      const started = performance.now();
      const [ok, got] = await run(scene).then(
        (text) => [true, text] as const,
        (error: unknown) => [false, error instanceof Error ? error.message : String(error)] as const,
      );
      const row = { chapter: title, tried, got, ok, ms: performance.now() - started };
      rows.push(row);
      watcher.row(row);
    }
  }
  return rows;
}
