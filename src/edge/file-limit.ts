/** What the limit on open descriptors allows. */

/** Descriptors that are not sessions': listeners, store, admin API, upstream sockets, pipes of relays. */
const otherDescriptors = 1_024;

/** How many sessions fit: each holds two descriptors, and two more while it splices. */
export function possibleSessions(descriptors: number): number {
  return Math.max(1, Math.floor((descriptors - otherDescriptors) / 2));
}
