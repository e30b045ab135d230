import type { Logger } from '../core/logger.ts';
import type { Sysctl } from '../linux/sysctl.ts';
import type { RaInterfaceConfig } from './config.ts';

/** Looks at the kernel's settings of an interface that begins to advertise: switches accept_ra off, and tells what matters. */
export function checkKernelSettings(sysctl: Sysctl, log: Logger, config: RaInterfaceConfig): void {
  const path = (name: string): string => `net/ipv6/conf/${config.interface}/${name}`;
  const forwarding = sysctl.read(path('forwarding')) === '1';
  const acceptRa = sysctl.read(path('accept_ra'));
  // 1 accepts advertisements unless forwarding is on, 2 in any case (ip-sysctl).
  if (acceptRa === '2' || (acceptRa === '1' && !forwarding)) {
    const done = sysctl.write(path('accept_ra'), '0');
    log.warn(
      { accept_ra: acceptRa },
      done
        ? 'accept_ra was on: this host would configure itself from other routers here; it is 0 now'
        : `accept_ra is on: this host configures itself from other routers here; set net.ipv6.conf.${config.interface}.accept_ra = 0`,
    );
  }
  if (forwarding) return;
  if (config.defaultLifetimeSeconds > 0 || config.routes.some((route) => route.lifetimeSeconds > 0)) {
    log.warn({}, 'forwarding is off: nodes are told to send packets here, and this host will drop them');
  } else {
    log.info({}, 'forwarding is off, which is right for a host that announces no route');
  }
}
