/** Paths of the doctor. */
import { defineRoute, type Route } from './route.ts';

export const doctorRoutes: readonly Route[] = [
  defineRoute({
    method: 'GET',
    url: '/v1/doctor',
    summary: 'what is wrong with the edge, and with which nodes, in words, with what mends it',
    answers: { 200: 'EdgeExamined' },
    handle: async (source) => ({ body: await source.doctor() }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/doctor/:node',
    summary: 'what is wrong with one node; takes some seconds where one does not answer on the link',
    answers: { 200: 'NodeExamined' },
    handle: async (source, { params }) => ({ body: await source.doctorOf(params.node!) }),
  }),
];
