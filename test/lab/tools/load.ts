/**
 * Requests a URL again and again, each on a new connection, and prints when SIGTERM comes one JSON object:
 * `{ requests: [[startMs, endMs, bodyOrError, ok], ...] }`, times as Date.now() gives them.
 *
 *   load.ts URL LOOPS PAUSE_MS
 */
import { get } from 'node:http';

const [url, loops, pauseMs] = process.argv.slice(2);
const requests: [number, number, string, boolean][] = [];
let running = true;

function request(): Promise<void> {
  return new Promise((resolve) => {
    const started = Date.now();
    const done = (text: string, ok: boolean) => {
      requests.push([started, Date.now(), text, ok]);
      resolve();
    };
    const outgoing = get(url!, { agent: false, timeout: 8000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => done(body.trim(), response.statusCode === 200 && body.endsWith('\n')));
      response.on('error', (error) => done(error.message, false));
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 8 s')));
    outgoing.on('error', (error) => done(error.message, false));
  });
}

async function loop(): Promise<void> {
  while (running) {
    await request();
    await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)));
  }
}

process.once('SIGTERM', () => {
  running = false;
});
console.log('running');
await Promise.all(Array.from({ length: Number(loops) }, loop));
console.log(JSON.stringify({ requests }));
