/** The rise/fall state machine of health checks, as a pure function (HAProxy configuration manual 5.2, `rise` and `fall`). */

/** What a member's checks say; `unknown` until the first one has ended. */
export type HealthStatus = 'unknown' | 'up' | 'down';

export interface Health {
  readonly status: HealthStatus;
  /** Results in a row that contradict `status`. */
  readonly streak: number;
}

/** Of a member that was not checked yet. */
export const unknownHealth: Health = { status: 'unknown', streak: 0 };

/**
 * The health after one more result. The first result decides alone, either way: nothing is held down longer than one
 * check for want of history. After that `rise` successes bring a member up and `fall` failures take it down.
 */
export function nextHealth(
  health: Health,
  ok: boolean,
  limits: { readonly rise: number; readonly fall: number },
): Health {
  const target = ok ? 'up' : 'down';
  if (health.status === 'unknown') return { status: target, streak: 0 };
  if (health.status === target) return health.streak === 0 ? health : { status: target, streak: 0 };
  const streak = health.streak + 1;
  return streak >= (ok ? limits.rise : limits.fall) ? { status: target, streak: 0 } : { ...health, streak };
}
