/** Which pool serves a TLS client, by the server name it asks for and the protocols it offers. */
import type { RouteConfig } from './config.ts';

/**
 * The pool of the route that fits best, whatever their order: by server name the very one, or else the longest `*.` pattern it ends
 * in, or else none; of two alike the one that also asks for a protocol. Undefined when none fits. `*.example.org` stands for every
 * name below example.org, not for example.org itself. A route that asks for protocols fits who offers any of them.
 */
export function routeFor(
  routes: readonly RouteConfig[],
  name: string | undefined,
  protocols: readonly string[],
): string | undefined {
  let best: RouteConfig | undefined;
  let bestFit = -1;
  for (const route of routes) {
    const fit = fitOf(route, name, protocols);
    if (fit > bestFit) {
      best = route;
      bestFit = fit;
    }
  }
  return best?.pool;
}

/** -1 when the route does not fit at all. */
function fitOf({ sni, alpn }: RouteConfig, name: string | undefined, protocols: readonly string[]): number {
  if (alpn.length > 0 && !alpn.some((each) => protocols.includes(each))) return -1;
  const asked = alpn.length > 0 ? 1 : 0;
  if (sni === undefined) return asked;
  if (name === undefined) return -1;
  // Names have 253 bytes at most.
  if (sni === name) return 2 * 1000 + asked;
  return sni.startsWith('*') && name.endsWith(sni.slice(1)) ? 2 * sni.length + asked : -1;
}
