/** Checks the body of a request; loaded with the first that has one, for it brings zod. */
import type { z } from 'zod';
import { messageOf } from '../config/problems.ts';
import { ProblemError } from './problem.ts';

/** What the schema makes of a body; every error at once. @throws {ProblemError} 400 */
export function checkBody(schema: z.ZodType, body: unknown): unknown {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(issueText);
  throw new ProblemError(400, errors.join('; '), { extra: { errors } });
}

function issueText(issue: z.core.$ZodIssue): string {
  const place = issue.path.join('.');
  const at = place === '' ? '' : `${place}: `;
  if (issue.code === 'unrecognized_keys') return `${at}unknown: ${issue.keys.join(', ')}`;
  if (place === '' && issue.code === 'invalid_type') return 'a JSON object is wanted';
  return `${at}${messageOf(issue)}`;
}
