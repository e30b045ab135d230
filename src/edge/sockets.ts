/**
 * Listening sockets that outlive a process: those of the service manager's socket units, and those that an earlier run of ours
 * left in its descriptor store. A client that comes while no process runs waits in their queue and is refused by nobody.
 *
 * A unit's socket is lent: the control thread keeps it, and each data thread gets a duplicate of its own. A kept one was the
 * socket of one data thread, and goes to the thread of the same number. What a thread listens on it keeps in the store from the
 * moment it is bound, so that a crash is as good as a restart; a thread that ends by itself takes its sockets out first, since
 * the kernel would go on giving them their share of connections.
 */
import { formatEndpoint, type InetEndpoint, isUnspecified, parseInetEndpoint } from '../core/address.ts';
import type { Logger } from '../core/logger.ts';
import type { DnsSocketKeeper } from '../dns/socket-keeper.ts';
import { closeFd, duplicateFd } from '../linux/libc.ts';
import type { ListenFd, ListenFds } from '../linux/listenfds.ts';
import type { Notifier } from '../linux/notify.ts';
import type { SocketKeeper } from '../proxy/listener-set.ts';
import type { EdgeConfig } from './config/types.ts';
import type { WantedPort } from './ports.ts';

/** A listening socket on its way to a data thread, which closes it. */
export interface PassedSocket {
  readonly endpoint: string;
  readonly fd: number;
  /** spare: only for those who wait in its queue; the last two are of the DNS server. */
  readonly kind: 'lent' | 'kept' | 'spare' | 'dns-udp' | 'dns-tcp';
}

interface KeptSocket {
  readonly fd: number;
  readonly name: string;
  readonly endpoint: string;
  readonly thread: number;
  readonly transport: 'tcp' | 'udp';
}

/** Names in the store: `v6edge.`, for UDP `udp.`, the endpoint without colons (which no name may have), the thread. */
const keptName = /^v6edge\.(.+)\.(\d{1,4})$/;

function storeName(transport: WantedPort['transport'], endpoint: InetEndpoint, thread: number): string {
  const prefix = transport === 'udp' ? 'udp.' : '';
  return `v6edge.${prefix}${formatEndpoint(endpoint).replaceAll(':', '_')}.${thread}`;
}

/** Puts a data thread's sockets into the store, and takes them out. */
export function socketKeeper(
  notifier: Notifier,
  thread: number,
  transport: WantedPort['transport'] = 'tcp',
): SocketKeeper & DnsSocketKeeper {
  return {
    keep: (endpoint, fd) => notifier.store(fd, storeName(transport, endpoint, thread)),
    drop: (endpoint) => notifier.unstore(storeName(transport, endpoint, thread)),
  };
}

export class Sockets {
  readonly #log: Logger;
  readonly #notifier: Notifier;
  /** Of socket units, by endpoint. */
  readonly #lent = new Map<string, ListenFd & { readonly endpoint: InetEndpoint }>();
  #kept: KeptSocket[] = [];

  /** Takes over all descriptors; what is of no use to the proxy is closed, and said. */
  constructor(passed: ListenFds, notifier: Notifier, log: Logger) {
    this.#log = log;
    this.#notifier = notifier;
    for (const entry of passed.takeAll()) {
      const { fd, name, endpoint, type, listening } = entry;
      const keptUdp = type === 'dgram' && keptName.test(name);
      if (endpoint?.kind !== 'inet' || !(keptUdp || (type === 'stream' && listening))) {
        log.warn(
          { name, type, bind: endpoint && formatEndpoint(endpoint) },
          'a socket was passed that is of no use here',
        );
        closeFd(fd);
        continue;
      }
      const text = formatEndpoint(endpoint);
      const thread = keptName.exec(name)?.[2];
      if (thread !== undefined) {
        const transport = keptUdp ? 'udp' : 'tcp';
        this.#kept.push({ fd, name, endpoint: text, thread: Number(thread), transport });
      } else if (this.#lent.has(text)) closeFd(fd);
      else this.#lent.set(text, { ...entry, endpoint });
    }
  }

  /** The configuration with a unit's socket that has a listener's name (`FileDescriptorName=`) among that listener's binds. */
  applyTo(config: EdgeConfig): EdgeConfig {
    const lent = [...this.#lent.values()];
    if (lent.length === 0) return config;
    const listeners = config.proxy.listeners.map((listener) => {
      const bound = listener.bind.map(formatEndpoint);
      const more = lent.filter(
        ({ name, endpoint }) => name === listener.name && !bound.includes(formatEndpoint(endpoint)),
      );
      return more.length === 0
        ? listener
        : { ...listener, bind: [...listener.bind, ...more.map(({ endpoint }) => endpoint)] };
    });
    const served = new Set(listeners.flatMap(({ bind }) => bind.map(formatEndpoint)));
    for (const [endpoint, { name }] of this.#lent) {
      if (served.has(endpoint)) continue;
      this.#log.warn(
        { name, bind: endpoint },
        'the service manager listens for us where no listener of the proxy is bound',
      );
    }
    return { ...config, proxy: { ...config.proxy, listeners } };
  }

  /** What is bound by sockets that were passed. */
  get ports(): WantedPort[] {
    return [
      ...[...this.#lent.values()].map(({ endpoint }) => ({ transport: 'tcp' as const, endpoint })),
      ...this.#kept.map(({ transport, endpoint }) => ({ transport, endpoint: parseInetEndpoint(endpoint) })),
    ];
  }

  /**
   * The sockets of a data thread that starts: kept ones the first time only. With fewer threads than the last run had, the
   * sockets left over go to the first thread as spares; what no listener is bound to any more is closed.
   */
  forThread(thread: number, { threads, config }: { threads: number; config: EdgeConfig }): PassedSocket[] {
    const sockets: PassedSocket[] = [];
    const lend = (endpoint: string, fd: number) => {
      const own = duplicateFd(fd);
      if (own >= 0) sockets.push({ endpoint, fd: own, kind: 'lent' });
    };
    for (const [text, { fd, endpoint, dualStack }] of this.#lent) {
      lend(text, fd);
      // `ListenStream=80` of a unit takes IPv4 as well, unless told otherwise.
      const ipv4 = `0.0.0.0:${endpoint.port}`;
      const both = dualStack && isUnspecified(endpoint.address) && bindsOfListenerAt(config, text).includes(ipv4);
      if (both && !this.#lent.has(ipv4)) lend(ipv4, fd);
    }
    const bound = new Set(config.proxy.listeners.flatMap(({ bind }) => bind.map(formatEndpoint)));
    const udp = new Set((config.dns?.listen ?? []).map(formatEndpoint));
    const tcp = new Set([...udp, ...(config.dns?.tls?.listen ?? []).map(formatEndpoint)]);
    const mine = this.#kept.filter((each) => each.thread === thread || (thread === 0 && each.thread >= threads));
    this.#kept = this.#kept.filter((each) => !mine.includes(each));
    for (const { fd, name, endpoint, thread: of, transport } of mine) {
      const asked = transport === 'udp' ? udp : tcp;
      if (transport === 'udp' || asked.has(endpoint)) {
        // What is in the queue of a thread that is no more is asked again by those who wait.
        const wanted = asked.has(endpoint) && of < threads;
        if (wanted) sockets.push({ endpoint, fd, kind: `dns-${transport}` });
        else {
          this.#notifier.unstore(name);
          closeFd(fd);
        }
        continue;
      }
      const wanted = bound.has(endpoint) && !this.#lent.has(endpoint);
      if (!wanted || of >= threads) this.#notifier.unstore(name);
      if (wanted) sockets.push({ endpoint, fd, kind: of < threads ? 'kept' : 'spare' });
      else closeFd(fd);
    }
    return sockets;
  }

  /** Closes what no thread was given: after a start that failed nobody is to wait for us. */
  close(): void {
    for (const { fd, name } of this.#kept.splice(0)) {
      this.#notifier.unstore(name);
      closeFd(fd);
    }
    for (const { fd } of this.#lent.values()) closeFd(fd);
    this.#lent.clear();
  }
}

/** All that the listener which is bound to `endpoint` is bound to. */
function bindsOfListenerAt({ proxy }: EdgeConfig, endpoint: string): readonly string[] {
  return proxy.listeners.map(({ bind }) => bind.map(formatEndpoint)).find((binds) => binds.includes(endpoint)) ?? [];
}
