import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { parseMessage } from '../../src/dns/wire/message.ts';
import { RCODE } from '../../src/dns/wire/types.ts';
import { UdpSocket } from '../../src/linux/udp.ts';
import { UdpBatch } from '../../src/linux/udp-batch.ts';
import { aaaa, Bench, query, zone } from './peers.ts';

t.test('what waits in the socket when the end is near is answered', async (t) => {
  const bench = await Bench.start(t);
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const socket = UdpSocket.connect(parseAddress('127.0.0.1'), bench.port);
  t.teardown(() => socket.close());
  const queries = 150;
  // All of this in one turn: the server has had no chance to read.
  for (let id = 0; id < queries; id++) t.ok(socket.send(query('a.own.test', { id })) > 0);
  const stopped = bench.engine.stop(1000);
  const batch = new UdpBatch({ count: 64, receiveBytes: 512, sendBytes: 0 });
  const ids = new Set<number>();
  for (let got = batch.receive(socket); got > 0; got = batch.receive(socket)) {
    for (let i = 0; i < got; i++) {
      const { id, rcode } = parseMessage(batch.bytes.subarray(batch.offset(i), batch.offset(i) + batch.length(i)));
      t.equal(rcode, RCODE.NOERROR);
      ids.add(id);
    }
  }
  t.equal(ids.size, queries);
  await stopped;
});

t.test('bursts that come together are answered one and all, and so is what comes alone after them', async (t) => {
  const bench = await Bench.start(t);
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const sockets = Array.from({ length: 4 }, () => UdpSocket.connect(parseAddress('127.0.0.1'), bench.port));
  t.teardown(() => {
    for (const socket of sockets) socket.close();
  });
  const batch = new UdpBatch({ count: 64, receiveBytes: 512, sendBytes: 0 });
  const answered = new Map<number, number>();
  const collect = async (count: number): Promise<void> => {
    while (answered.size < count) {
      for (const socket of sockets) {
        for (let got = batch.receive(socket); got > 0; got = batch.receive(socket)) {
          for (let i = 0; i < got; i++) {
            const { id } = parseMessage(batch.bytes.subarray(batch.offset(i), batch.offset(i) + batch.length(i)));
            answered.set(id, (answered.get(id) ?? 0) + 1);
          }
        }
      }
      await new Promise((done) => setImmediate(done));
    }
  };
  let sent = 0;
  const send = () => sockets[sent % 4]!.send(query('a.own.test', { id: sent++ }));
  // Fewer than make it rest, as many, and more than a batch holds; the next comes while it rests.
  for (const burst of [1, 3, 7, 8, 9, 40, 150, 1, 8, 1]) {
    for (let i = 0; i < burst; i++) send();
    await collect(sent);
    send();
    await collect(sent);
  }
  t.strictSame([...answered.values()], Array<number>(sent).fill(1));
});
