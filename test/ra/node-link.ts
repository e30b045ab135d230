/** A link with a node at its other end. */
import type { Test } from 'tap';
import { ip, PeerNamespace } from '../linux/netns.ts';

/** Makes eth1, here with fe80::1, and node0 in a namespace of its own, until the test is over; both are up. */
export async function nodeLink(t: Test): Promise<PeerNamespace> {
  const peer = await PeerNamespace.open(t);
  ip(`link add eth1 type veth peer name node0 netns ${peer.pid}`);
  ip('addr add fe80::1/64 dev eth1 nodad');
  ip('link set eth1 up');
  peer.ip('link set node0 up');
  return peer;
}
