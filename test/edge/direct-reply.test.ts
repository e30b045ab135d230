/** A reply that the control thread sends on a data thread's socket, and when it does not. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { DirectReply } from '../../src/edge/direct-reply.ts';
import { EAGAIN } from '../../src/linux/constants.ts';
import { Borrower, Lender, newLoans } from '../../src/linux/lent-fd.ts';
import { UdpSocket } from '../../src/linux/udp.ts';
import { UdpBatch } from '../../src/linux/udp-batch.ts';

for (const address of ['127.0.0.1', '::1', '0.0.0.0', '::']) {
  t.test(`from a socket bound to ${address}`, async (t) => {
    const socket = UdpSocket.listen(parseAddress(address), 0);
    t.teardown(() => socket.close());
    const client = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    t.teardown(() => client.close());
    // Of the wildcard's addresses it is not the one that the kernel would take.
    const asked = { '0.0.0.0': '127.0.0.9', '::': '::1' }[address] ?? address;
    // A connected socket takes replies from nowhere else.
    client.connect(socket.local.port, asked);
    await once(client, 'connect');
    client.send('question');
    const batch = new UdpBatch({ count: 4, receiveBytes: 512, sendBytes: 0 });
    while (batch.receive(socket) === -EAGAIN) await new Promise((resolve) => setImmediate(resolve));
    const loans = newLoans();
    const lender = new Lender(loans);
    const loan = lender.lend(socket.fd)!;
    const way = { loan, path: batch.returnPath(0) };
    const [direct, borrower] = [new DirectReply(), new Borrower(loans)];
    for (const text of ['a reply', 'and another']) {
      const came = once(client, 'message');
      t.ok(direct.send(borrower, way, Buffer.from(text)));
      t.equal(String((await came)[0]), text);
    }
    t.notOk(direct.send(borrower, way, new Uint8Array(1233)), 'too long for UDP');
    const nowhere = { ...way.path, name: Uint8Array.from(way.path.name).fill(0, 2, 4) };
    t.notOk(direct.send(borrower, { loan, path: nowhere }, Buffer.from('x')), 'the kernel refuses port 0');
    lender.end(loan);
    t.notOk(direct.send(borrower, way, Buffer.from('late')), 'the socket is about to be closed');
    const came = once(client, 'message');
    const again = { ...way, loan: lender.lend(socket.fd)! };
    t.ok(direct.send(borrower, again, Buffer.from('the next loan')));
    t.equal(String((await came)[0]), 'the next loan', 'and nothing came meanwhile');
  });
}
