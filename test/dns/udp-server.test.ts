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
