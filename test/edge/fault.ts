/**
 * Faults on demand, loaded into a daemon by `NODE_OPTIONS=--import`: SIGWINCH makes data thread 0 throw, SIGURG makes it hang,
 * SIGPWR ends it on the spot, SIGIO lets a promise of the control thread be rejected that nobody waits for.
 */
import { isMainThread, workerData } from 'node:worker_threads';

const channel = new BroadcastChannel('fault');
channel.unref();

if (isMainThread) {
  process.on('SIGWINCH', () => channel.postMessage('throw'));
  process.on('SIGURG', () => channel.postMessage('hang'));
  process.on('SIGPWR', () => channel.postMessage('end'));
  process.on('SIGIO', () => void Promise.reject(new Error('a fault on demand')));
} else {
  channel.onmessage = ({ data }) => {
    if ((workerData as { thread: number }).thread !== 0) return;
    setImmediate(() => {
      if (data === 'throw') throw new Error('a fault on demand');
      // As V8 ends a thread that takes more memory than it may have.
      if (data === 'end') process.exit(1);
      for (;;);
    });
  };
}
