/**
 * npm run lab: a whole IPv6-only network around one v6edge daemon, driven by real clients.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { EdgeKind } from './edge/edge.ts';
import { edgePrivate, edgePublic4, edgePublic6, zone } from './plan.ts';
import { takeDownAbandoned } from './record.ts';
import { Table } from './table.ts';
import { type Stage, setStage, walk } from './walk.ts';

const root = join(import.meta.dirname, '../..');
const usage = `usage: npm run lab -- [options]

  --once              end after the walk instead of staying up
  --quick             a smaller download and fewer broken messages
  --edge=reference    HAProxy, BIND and radvd on the edge instead of v6edge
  --clean             take down what killed runs left behind, and end
`;

const { values } = parseArguments();
if (values.help) {
  process.stdout.write(usage);
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) return withoutRoot();
  if (values.clean) {
    const ids = takeDownAbandoned();
    console.log(ids.length === 0 ? 'Nothing to take down.' : `Took down: ${ids.join(', ')}`);
    return 0;
  }
  const packages = spawnSync(join(root, 'scripts/system-packages.sh'), { stdio: 'inherit' });
  if (packages.status !== 0) return 1;
  const table = new Table(process.stdout);
  const started = performance.now();
  const stage = await setStage(values.edge as EdgeKind, values.quick, (text) => table.progress(text));
  table.text(`Lab ${stage.lab.id} is up after ${((performance.now() - started) / 1000).toFixed(1)} s.`);
  const rows = await walk(stage.scene, {
    chapter: (title) => table.title(title),
    step: (tried) => table.progress(tried),
    row: (row) => table.row(row),
  });
  const failed = rows.filter((row) => !row.ok).length;
  table.text(
    `\n${rows.length - failed} of ${rows.length} rows hold, ${((performance.now() - started) / 1000).toFixed(0)} s.`,
  );
  if (failed > 0) table.text(`\nThe edge's last words:\n${stage.scene.edge.log()}`);
  if (!values.once) await stayUp(stage, table);
  stage.lab.close();
  return failed === 0 ? 0 : 1;
}

/** Until Ctrl-C. */
async function stayUp({ lab, keys, scene }: Stage, table: Table): Promise<void> {
  const on = (name: Parameters<typeof lab.node>[0]) => `ip netns exec ${lab.node(name).namespace}`;
  const v6edge = scene.edge.kind === 'v6edge';
  const admin = join(lab.directory, 'edge/admin.sock');
  table.text(`
The lab stays up until Ctrl-C. From another terminal, as root:

  ${on('client')} curl http://${edgePublic4}/whoami
  ${on('client')} curl -g 'http://[${edgePublic6}]/whoami'
  ${on('worker1')} ping worker2
  ${on('worker1')} dig @${edgePrivate} ${zone} SOA
  ${on('worker1')} nsupdate -k ${keys.node.path}
  ${on('worker1')} rdisc6 prv0${
    v6edge
      ? `
  ${join(root, 'bin/v6edge')} status --api unix:${admin}
  ${on('edge')} curl -g 'http://[::1]:8653/metrics'`
      : ''
  }

Everything it wrote: ${lab.directory}
`);
  await new Promise<void>((resolve) => {
    // The lab's own handlers end the process at once; here the exit status of the walk counts.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.removeAllListeners(signal);
      process.once(signal, () => resolve());
    }
  });
}

/** The lab needs root; says so, what else is missing, and what works for anyone. */
function withoutRoot(): number {
  console.error('The lab builds network namespaces and needs root:\n\n  sudo npm run lab\n');
  const { stdout } = spawnSync(join(root, 'scripts/system-packages.sh'), ['--check'], { encoding: 'utf8' });
  if (stdout !== '') console.error(`Root would install first: ${stdout}`);
  console.error('Without root, on loopback and unprivileged ports:\n\n  npm start');
  return 1;
}

function parseArguments() {
  try {
    const parsed = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        clean: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        edge: { type: 'string', default: 'v6edge' },
      },
    });
    if (parsed.values.edge !== 'v6edge' && parsed.values.edge !== 'reference') {
      throw new Error(`--edge is v6edge or reference, not ${parsed.values.edge}`);
    }
    return parsed;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}
