/** The command line of the daemon as units have it, read without what the other commands need, which would stay in memory. */

/** Where the configuration of an installed daemon is. */
export const defaultConfig = '/etc/v6edge/v6edge.yaml';

/** The configuration file of `run`, `run --config FILE` and `run -c FILE`; undefined for every other line, which is yargs' to read. */
export function daemonConfig(argv: readonly string[]): string | undefined {
  const [command, option, value, ...more] = argv;
  if (command !== 'run' || more.length > 0) return undefined;
  if (option === undefined) return defaultConfig;
  const isFile = value !== undefined && value !== '' && !value.startsWith('-');
  return (option === '--config' || option === '-c') && isFile ? value : undefined;
}
