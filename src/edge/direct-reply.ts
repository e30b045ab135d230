/** Replies that the control thread sends by itself, on a socket that a data thread lends it: to wake that thread takes longer. */
import type { ReplyWay } from '../dns/snapshot.ts';
import { MAX_UDP_SIZE } from '../dns/wire/query.ts';
import type { Borrower } from '../linux/lent-fd.ts';
import { UdpBatch } from '../linux/udp-batch.ts';

export class DirectReply {
  #batch: UdpBatch | undefined;

  /** Sends one datagram. Returns whether it left; the socket may be closed by now, or the kernel have no room. */
  send(borrower: Borrower, { loan, path }: ReplyWay, reply: Uint8Array): boolean {
    if (reply.length > MAX_UDP_SIZE) return false;
    this.#batch ??= new UdpBatch({ count: 1, receiveBytes: 0, sendBytes: MAX_UDP_SIZE });
    const batch = this.#batch;
    batch.bytes.set(reply, batch.replyOffset);
    return (
      borrower.use(loan, (fd) => {
        batch.replyTo(path, reply.length);
        return batch.flush({ fd }) === 1;
      }) ?? false
    );
  }
}
