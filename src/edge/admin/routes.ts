/** The paths of the admin API, as data. */
import { dashboardRoutes } from './dashboard-routes.ts';
import { doctorRoutes } from './doctor-routes.ts';
import { nodeRoutes } from './node-routes.ts';
import { poolRoutes } from './pool-routes.ts';
import { defineRoute, type Route } from './route.ts';
import { systemRoutes } from './system-routes.ts';
import { zoneRoutes } from './zone-routes.ts';

/** What is described. */
export const apiRoutes: readonly Route[] = [
  ...systemRoutes,
  ...poolRoutes,
  ...zoneRoutes,
  ...nodeRoutes,
  ...doctorRoutes,
];

export const routes: readonly Route[] = [
  ...apiRoutes,
  defineRoute({
    method: 'GET',
    url: '/openapi.json',
    summary: 'this description',
    answers: { 200: 'OpenApi' },
    handle: async (source) => {
      const { describeApi } = await import('./openapi.ts');
      return { body: await describeApi(apiRoutes, source.status().version) };
    },
  }),
  ...dashboardRoutes,
];
