/** Sends one signed update of a node whose clock is off: arguments are server, name, address and seconds behind. */
import { createSocket } from 'node:dgram';
import { parseAddress } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { makeKey } from '../../../src/dns/keyfile.ts';
import { signRequest } from '../../../src/dns/tsig.ts';
import { encodeMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { CLASS, OPCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { keyName, keySecret } from '../daemon-process.ts';

const [server, name, address, behind] = process.argv.slice(2) as [string, string, string, string];
const clock = { ...systemClock, wall: () => systemClock.wall() - Number(behind) * 1000 };
const message = encodeMessage({
  id: 1,
  flags: 0,
  opcode: OPCODE.UPDATE,
  rcode: 0,
  questions: [{ name: nameFromText('cluster.test'), type: TYPE.SOA, class: CLASS.IN }],
  answers: [],
  authority: [
    { name: nameFromText(name), type: TYPE.AAAA, class: CLASS.IN, ttl: 60, rdata: parseAddress(address).bytes },
  ],
  additional: [],
});
const socket = createSocket('udp6');
socket.on('message', (reply) => {
  process.stdout.write(`${reply[3]! & 15}\n`);
  socket.close();
});
socket.send(signRequest(message, makeKey(keyName, 'hmac-sha256', keySecret), clock), 53, server);
