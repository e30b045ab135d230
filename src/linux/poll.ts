/**
 * One descriptor that Node's own loop polls: one change of descriptor and one system call less, from the packet to the
 * handler, than in a `Reactor`. For what is seldom and waited for; many descriptors belong in a reactor.
 */
import koffi from 'koffi';

export class Poll {
  // Kept referenced: the loop stops without a word when the handle is collected.
  readonly #handle: ReturnType<typeof koffi.node.poll>;

  /** @param run is called while there is something to read, once a turn of the loop */
  constructor(fd: number, run: () => void) {
    this.#handle = koffi.node.poll(fd, { readable: true }, run);
  }

  /** Lets go of the descriptor, which stays open: its owner closes it after this. */
  close(): void {
    this.#handle.stop();
    this.#handle.close();
  }
}
