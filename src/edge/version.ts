import about from '../../package.json' with { type: 'json' };

/** Our version, as package.json has it. */
export function version(): string {
  return about.version;
}
