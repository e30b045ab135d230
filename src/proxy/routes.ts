/** Which pool serves a TLS client, by the server name it asks for. */
import type { RouteConfig } from './config.ts';

/**
 * The pool of the route that fits `name` best: the very name, or else the longest `*.` pattern it ends in, whatever their
 * order; undefined when none fits. `*.example.org` stands for every name below example.org, not for example.org itself.
 */
export function routeFor(routes: readonly RouteConfig[], name: string): string | undefined {
  let best: RouteConfig | undefined;
  for (const route of routes) {
    if (route.sni === name) return route.pool;
    if (!route.sni.startsWith('*') || !name.endsWith(route.sni.slice(1))) continue;
    if (best === undefined || route.sni.length > best.sni.length) best = route;
  }
  return best?.pool;
}
