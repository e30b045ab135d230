/**
 * How a member is checked. Where the pool sends PROXY headers, a check that fails after its header asks once more: a member that
 * does without a header what it does not do with one cannot read it, which is the commonest mistake in a pool's setup and says
 * nothing of itself (kube-apiserver closes the connection without a word).
 */
import type { Clock } from '../../core/clock.ts';
import { type Introduction, NetworkCheck, type Observed, type Reaction } from './network-check.ts';
import type { CheckResult, CheckTarget } from './result.ts';

/** Starts a check; `done` is called once, unless the check is cancelled before. */
export type Probe = (target: CheckTarget, clock: Clock, done: (result: CheckResult) => void) => { cancel(): void };

/** The real `Probe`, on the network. */
export const networkProbe: Probe = (target, clock, done) =>
  target.proxyProtocol === 'none' ? new NetworkCheck(target, clock, done) : new GuardedCheck(target, clock, done);

const reactions: Readonly<Record<Reaction, string>> = {
  alert: 'answers the PROXY header with a TLS alert',
  http: 'answers the PROXY header with an HTTP error',
  reset: 'resets the connection when it gets the PROXY header',
  closed: 'closes the connection when it gets the PROXY header',
};
const advice = 'it cannot read PROXY protocol (kube-apiserver never can); set proxyProtocol: none';

class GuardedCheck {
  readonly #target: CheckTarget;
  readonly #clock: Clock;
  readonly #done: (result: CheckResult) => void;
  #running: NetworkCheck;

  constructor(target: CheckTarget, clock: Clock, done: (result: CheckResult) => void) {
    this.#target = target;
    this.#clock = clock;
    this.#done = done;
    this.#running = new NetworkCheck(target, clock, (result) => this.#judge(result));
  }

  cancel(): void {
    this.#running.cancel();
  }

  #judge(result: Observed): void {
    const { reaction, ...told } = result;
    if (result.inconclusive === true) this.#done(told);
    else if (reaction === 'alert' || reaction === 'http') this.#refused(told, reactions[reaction]);
    else if (reaction !== undefined) this.#askAgain(told, reaction);
    else if (result.ok || !/RSP$|STS$/.test(result.code)) this.#done(told);
    else {
      this.#run({ proxyProtocol: 'none' }, 'local', (plain) => {
        if (plain.ok) this.#refused(told, 'passes the check without the PROXY header, and fails it with one');
        else this.#done(told);
      });
    }
  }

  /** A connection that ended: whoever ends one without a header as well has another reason, and no tcp check asks for it. */
  #askAgain(told: CheckResult, reaction: Reaction): void {
    const healthy: CheckResult = { ok: true, code: 'L4OK', reason: 'connected', durationMs: told.durationMs };
    this.#run({ proxyProtocol: 'none' }, 'client', (plain) => {
      if (!plain.ok) this.#done(healthy);
      else if (reaction === 'reset') this.#refused(told, reactions.reset);
      else {
        // Some readers have no use for a connection that stands for no client, and close it.
        this.#run({}, 'client', (client) => {
          if (client.reaction === undefined) this.#done(healthy);
          else this.#refused(told, reactions[client.reaction]);
        });
      }
    });
  }

  #run(change: Partial<CheckTarget>, introduction: Introduction, done: (result: Observed) => void): void {
    this.#running = new NetworkCheck({ ...this.#target, ...change }, this.#clock, done, introduction);
  }

  #refused(told: CheckResult, how: string): void {
    this.#done({ ...told, ok: false, reason: `${how}: ${advice}`, refusesHeader: true });
  }
}
