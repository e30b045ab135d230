import type { NodeRole } from './state.ts';

/** What is told of nodes, for the event stream. */
export type JoinEvent =
  | { readonly kind: 'node-joined'; readonly node: string; readonly role: NodeRole; readonly source: string }
  | { readonly kind: 'node-removed'; readonly node: string }
  /** What `kubeadm join` needs came, from a node or through the API. */
  | { readonly kind: 'join-material'; readonly by: string };
