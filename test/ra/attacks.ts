/** What people attack routers with, and what is to be said of each: thc-ipv6, ipv6toolkit, and a program of ours. */
import { join } from 'node:path';

/** Kinds of messages that are counted. */
export type Victim = 'solicitations' | 'advertisements' | 'broken messages';

export interface Attack {
  readonly name: string;
  readonly what: Victim;
  readonly command: readonly [string, ...string[]];
}

/** From `device`, whose number is `ifindex`. Each goes on until it is killed. */
export function attacksFrom(device: string, ifindex: number): Attack[] {
  const broken = join(import.meta.dirname, '../lab/tools/bad-messages.ts');
  return [
    { name: 'atk6-flood_rs6', what: 'solicitations', command: ['atk6-flood_rs6', '-s', device] },
    { name: 'atk6-flood_router26', what: 'advertisements', command: ['atk6-flood_router26', device] },
    { name: 'atk6-flood_router26 -f', what: 'advertisements', command: ['atk6-flood_router26', '-f', device] },
    {
      // Prefixes, routes and servers as many as a packet holds, from as many routers.
      name: 'ra6',
      what: 'advertisements',
      command: [
        ...(['ra6', '-i', device, '-d', 'ff02::1'] as const),
        ...['-F', '1000', '-f', '10', '-w', '10', '-W', '10', '-e', '-l', '-z', '1'],
      ],
    },
    {
      name: 'bad-messages.ts',
      what: 'broken messages',
      command: ['env', 'NODE_OPTIONS=', process.execPath, broken, String(ifindex), '1000000000'],
    },
  ];
}
