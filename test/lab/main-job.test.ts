/**
 * The main job as a test: every row of `npm run lab` has to hold, for v6edge, and for the three daemons it replaces: what
 * the lab asks is what these do.
 */
import t from 'tap';
import type { EdgeKind } from './edge/edge.ts';
import { setStage, walk } from './walk.ts';

const kinds: readonly EdgeKind[] = ['v6edge', 'reference'];

if (process.getuid?.() !== 0) t.plan(0, 'network namespaces need root');
else {
  for (const kind of kinds) {
    t.test(
      `the main job with ${kind === 'reference' ? 'HAProxy, BIND and radvd' : 'v6edge'} on the edge`,
      async (t) => {
        const { lab, scene } = await setStage(kind, true, () => undefined);
        t.teardown(() => lab.close());
        await walk(scene, {
          chapter: (title) => t.comment(title),
          step: () => undefined,
          row: ({ tried, got, ok, ms }) => t.ok(ok, `${tried} (${ms.toFixed(0)} ms)`, { got }),
        });
        t.equal(scene.edge.ended(), undefined, 'the edge runs at the end');
        if (!t.passing()) t.comment(scene.edge.log());
      },
    );
  }
}
