/** Log lines for people. Those of sessions have HAProxy's fields in the order of its `option tcplog`, for eyes that know it. */

/** Makes a line of the log, as pino writes it, one for people; `message` is its message. */
export type PeopleLine = (line: string, message: string) => string;

/** The fields of a session's line (docs/session-log.md); what it leaves out is undefined. */
type SessionFields = Readonly<Record<string, string | number | undefined>>;

export async function peopleLines(colorize: boolean): Promise<PeopleLine> {
  const { prettyFactory } = await import('pino-pretty');
  const options = { colorize, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname', singleLine: true };
  const any = prettyFactory(options);
  const ofSession = prettyFactory({
    ...options,
    hideObject: true,
    messageFormat: (fields, key) => `${fields[key]} ${sessionLine(fields as SessionFields)}`,
  });
  return (line, message) => {
    if (message !== 'session' && message !== 'session begins') return any(line);
    // Without an object pino-pretty leaves out the end of the line.
    return `${ofSession(line).trimEnd()}\n`;
  };
}

/**
 * client listener pool/member queue/connect/total bytes state sessions/listener/pool/member/retries queued · in words.
 * Of a session that begins, what there is.
 */
export function sessionLine(fields: SessionFields): string {
  const of = (...names: string[]) => names.map((name) => fields[name] ?? '-').join('/');
  const begin = `${of('client')} ${of('listener')} ${of('pool', 'member')}`;
  const words = [
    fields.cause,
    named('in', fields.bytesIn),
    named('preface', fields.prefaceMs),
    named('sni', fields.serverName),
    named('id', fields.id),
  ];
  const end = words.filter((word) => word !== undefined).join(', ');
  if (fields.state === undefined) return `${begin} ${of('queueMs', 'connectMs')} ${of('retries')} ${end}`;
  const counts = of('sessions', 'listenerSessions', 'poolSessions', 'memberSessions', 'retries');
  return `${begin} ${of('queueMs', 'connectMs', 'totalMs')} ${of('bytesOut')} ${of('state')} ${counts} ${of('queuedBehind')} ${end}`;
}

function named(name: string, value: string | number | undefined): string | undefined {
  return value === undefined ? undefined : `${name} ${value}`;
}
