/**
 * Answers to solicitations, given in advance to nobody.
 *
 * A node that asks waits, but is one of a few an hour: V8 interprets code that runs so seldom, and the answer takes twice the time.
 * So all of the way from packet to packet, but the system calls, runs until V8 has compiled it. The objects are made anew for each
 * round (limits are full again), and by turns of two kinds where the real ones may differ: V8 takes compiled code back
 * when it meets a kind that it has not seen before.
 */
import { type Address, parseAddress } from '../core/address.ts';
import { CounterStripe } from '../core/counters.ts';
import { nullLogger } from '../core/logger.ts';
import { Icmp6Socket } from '../linux/icmp6.ts';
import type { InterfaceAddress, Link, NetworkView } from '../linux/netlink.ts';
import type { RaInterfaceConfig } from './config.ts';
import { ALL_ROUTERS } from './constants.ts';
import type { RaContext } from './context.ts';
import { RaControl } from './control.ts';
import { RaCounter, raCounters, raGauges } from './counters.ts';
import { encodeRouterSolicitation } from './wire/router-solicitation.ts';

/** After 80 V8 has compiled all of it: a fifth less time for an answer; after 400 the best of its compilers what matters: a quarter less. */
const rounds = 400;
/** Below what the limits let pass. */
const perRound = 150;
const sliceGapMs = 2;
const ifindex = 1;

const mac = Buffer.from('020000000001', 'hex');
const solicitation = encodeRouterSolicitation({ options: [{ kind: 'source-link-layer-address', address: mac }] });
const nodes = Array.from({ length: perRound }, (_, i) => parseAddress(`fe80::${(i + 2).toString(16)}`));

/**
 * Takes some tenths of a second of CPU time, in slices of a few milliseconds at most; returns how many were answered.
 * @param context whose clock and random numbers are used
 * @param config of the interface whose answers matter
 * @param goesOn asked between slices
 */
export async function rehearseAnswers(
  context: RaContext,
  config: RaInterfaceConfig,
  goesOn: () => boolean,
): Promise<number> {
  let answered = 0;
  const { clients } = config;
  const from = nodes.map((node, i) => (clients.length > 0 ? clients[i % clients.length]! : node));
  for (let round = 0; round < rounds && goesOn(); round++) {
    let socket!: Icmp6Socket;
    const counters = CounterStripe.alone(raCounters.length, raGauges.length);
    const control = new RaControl({
      ...context,
      log: nullLogger,
      counters,
      network: networkOf(config),
      sysctl: { read: () => '0', write: () => true },
      stateFile: undefined,
      openSocket: (handler) => {
        socket = new Icmp6Socket([], handler, true);
        return socket;
      },
      emit: () => {},
      solicited: round % 2 === 0 ? () => {} : (_on, source) => void source,
    });
    await control.start([config]);
    for (const node of from) socket.rehearse(solicitation, node, ALL_ROUTERS, ifindex);
    answered += counters.get(RaCounter.sentUnicast);
    // It makes objects of the same names with text in them: V8 is to know before it compiles, not at the first request.
    control.status();
    await control.stop({ final: false });
    // Others have their turn.
    await new Promise<void>((resolve) => context.clock.after(sliceGapMs, resolve));
  }
  return answered;
}

function networkOf({ interface: name, source = parseAddress('fe80::1') }: RaInterfaceConfig): NetworkView {
  const link: Link = { index: ifindex, name, up: true, mtu: 1500, mac };
  const present = (address: Address, scope: InterfaceAddress['scope']): InterfaceAddress => ({
    address,
    prefixLength: 64,
    tentative: false,
    deprecated: false,
    temporary: false,
    dadFailed: false,
    scope,
  });
  const addresses = [present(source, 'link'), present(parseAddress('fd00::1'), 'global')];
  return { link: () => link, links: () => [link], addresses: () => addresses, onChange: () => () => {} };
}
