/** A data thread that serves nothing and does what `DataThreads` must cope with: as V6EDGE_TEST_MOOD and messages say. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Down, failedExit, type ThreadStart, type Up } from '../../src/edge/protocol.ts';

const { thread } = workerData as ThreadStart;
const mood = process.env.V6EDGE_TEST_MOOD;
let serving = false;
let known = 0;

if (mood === 'never') process.exit(7);

const take = (message: Down) => {
  const send = (up: Up) => parentPort!.postMessage(up);
  switch (message.kind) {
    case 'several':
      for (const one of message.messages) take(one);
      return;
    case 'publish':
      known++;
      return;
    case 'ask':
      if (serving && thread === 0 && mood === 'mute') return;
      if (!serving) send({ kind: 'ready' });
      serving = true;
      send({
        kind: 'done',
        ticket: message.ticket,
        value: {
          thread,
          binds: [],
          upstreams: [],
          cache: { entries: known, bytes: 0, capacity: 0, evicted: 0 },
          dns64: { mode: 'off', prefixes: [], upstreams: 'unknown' },
        },
      });
      return;
    case 'sessions':
      process.exit(failedExit);
      return;
    case 'flush-cache':
      if (thread === 0) process.exit(failedExit);
      return;
    case 'stop':
      if (thread === 0 && mood === 'mute') return;
      send({ kind: 'stopping' });
      parentPort!.close();
      return;
    default:
      return;
  }
};

parentPort!.on('message', take);
