import type { Logger } from '../core/logger.ts';
import type { Sysctl } from '../linux/sysctl.ts';
import type { RaInterfaceConfig } from './config.ts';
import type { RaMemory } from './memory.ts';

/** The kernel's settings of one interface while it advertises; what they were before outlives this process. */
export class KernelSettings {
  readonly #context: { readonly sysctl: Sysctl; readonly log: Logger };
  readonly #memory: RaMemory;
  readonly #name: string;

  constructor(context: { readonly sysctl: Sysctl; readonly log: Logger }, memory: RaMemory, name: string) {
    this.#context = context;
    this.#memory = memory;
    this.#name = name;
  }

  /** The interface begins to advertise. */
  begin(config: RaInterfaceConfig): void {
    const replaced = checkKernelSettings(this.#context.sysctl, this.#context.log, config);
    if (replaced === undefined) return;
    this.#memory.of(this.#name).acceptRa = replaced;
    this.#memory.changed();
  }

  /** This host is no router there any more. */
  end(): void {
    const remembered = this.#memory.of(this.#name);
    if (remembered.acceptRa === undefined) return;
    restoreAcceptRa(this.#context.sysctl, this.#context.log, this.#name, remembered.acceptRa);
    remembered.acceptRa = undefined;
    this.#memory.changed();
  }
}

/**
 * Looks at the kernel's settings of an interface that begins to advertise: switches accept_ra off, and tells what matters.
 * @returns what accept_ra was when it was switched off
 */
export function checkKernelSettings(sysctl: Sysctl, log: Logger, config: RaInterfaceConfig): string | undefined {
  const forwarding = sysctl.read(path(config.interface, 'forwarding')) === '1';
  const replaced = switchOffAcceptRa(sysctl, log, config.interface, forwarding);
  if (forwarding) return replaced;
  if (config.defaultLifetimeSeconds > 0 || config.routes.some((route) => route.lifetimeSeconds > 0)) {
    log.warn(
      {},
      `forwarding is off: nodes are told to send packets here, and this host will drop them; its neighbor advertisements lack the Router flag, so that systemd-networkd drops the default route (257 and later) or all that we advertise (256); set net.ipv6.conf.${config.interface}.forwarding = 1`,
    );
  } else {
    log.info(
      {},
      'forwarding is off, which is right for a host that announces no route; but neighbor advertisements then lack the Router flag, and systemd-networkd 256 drops what such a router advertised',
    );
  }
  return replaced;
}

/** Puts accept_ra back to what it was, unless somebody has changed it since. */
export function restoreAcceptRa(sysctl: Sysctl, log: Logger, name: string, value: string): void {
  if (sysctl.read(path(name, 'accept_ra')) !== '0') return;
  if (sysctl.write(path(name, 'accept_ra'), value)) log.info({ accept_ra: value }, 'accept_ra is what it was before');
}

function switchOffAcceptRa(sysctl: Sysctl, log: Logger, name: string, forwarding: boolean): string | undefined {
  const acceptRa = sysctl.read(path(name, 'accept_ra'));
  // 1 accepts advertisements unless forwarding is on, 2 in any case (ip-sysctl).
  if (acceptRa !== '2' && (acceptRa !== '1' || forwarding)) return undefined;
  if (sysctl.write(path(name, 'accept_ra'), '0')) {
    log.warn(
      { accept_ra: acceptRa },
      'accept_ra was on: this host would configure itself from other routers here; it is 0 while we advertise',
    );
    return acceptRa;
  }
  log.warn(
    { accept_ra: acceptRa },
    `accept_ra is on: this host configures itself from other routers here; set net.ipv6.conf.${name}.accept_ra = 0`,
  );
  return undefined;
}

function path(name: string, setting: string): string {
  return `net/ipv6/conf/${name}/${setting}`;
}
