/**
 * Sends router solicitations from many link-local addresses of a device in turn, at random or even distances.
 *
 *   solicit.ts DEVICE SOURCES COUNT GAP_MS [even]
 *
 * The addresses are fe80::1:1, fe80::1:2, …; each solicitation carries the device's link-layer address, as a node's does.
 */
import { execFileSync } from 'node:child_process';
import { parseAddress } from '../src/core/address.ts';
import { Icmp6Socket } from '../src/linux/icmp6.ts';
import { encodeRouterSolicitation } from '../src/ra/wire/router-solicitation.ts';

const [device, sources, count, gap, even] = process.argv.slice(2);
const [total, gapMs] = [Number(count), Number(gap)];
const [link] = JSON.parse(execFileSync('ip', ['-j', 'link', 'show', 'dev', device!], { encoding: 'utf8' }));
const mac = Buffer.from(link.address.replaceAll(':', ''), 'hex');
const packet = encodeRouterSolicitation({ options: [{ kind: 'source-link-layer-address', address: mac }] });
const allRouters = parseAddress('ff02::2');
const from = Array.from({ length: Number(sources) }, (_, i) => parseAddress(`fe80::1:${(i + 1).toString(16)}`));
const { ifindex } = link;
const socket = new Icmp6Socket([], () => {});

let sent = 0;
const send = (): void => {
  const result = socket.send(packet, allRouters, ifindex, from[sent % from.length]!);
  if (result < 0) throw new Error(`sendmsg: errno ${-result}`);
  sent++;
};

const start = performance.now();
const next = (): void => {
  // Timers come late by a millisecond: what is due by now leaves now, so that the rate is right.
  do send();
  while (even !== undefined && sent < total && performance.now() - start >= sent * gapMs);
  if (sent < total) {
    setTimeout(
      next,
      even === undefined ? gapMs * (0.5 + Math.random()) : Math.max(0, start + sent * gapMs - performance.now()),
    );
    return;
  }
  socket.close();
};
next();
