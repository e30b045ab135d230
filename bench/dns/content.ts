/** Whether servers give the same answers: speed counts only where they do. */
import { TYPE } from '../../src/dns/wire/types.ts';
import { ask, contentOf } from './ask.ts';

const maxNames = 1000;

/**
 * Asks all servers for up to a thousand names of a zone and for what else there is to ask: an alias, another type, a type and a name
 * that do not exist. Returns how many questions were asked.
 * @throws {Error} naming the first question that two servers answer differently
 */
export async function compareContent(
  servers: readonly (readonly [name: string, port: number])[],
  zone: string,
  count: number,
): Promise<number> {
  const step = Math.ceil(count / maxNames);
  const questions: [string, number][] = [];
  for (let i = 0; i < count; i += step) questions.push([`node${i}.${zone}`, TYPE.AAAA]);
  questions.push(
    [`alias.${zone}`, TYPE.AAAA],
    [`text.${zone}`, TYPE.TXT],
    [`text.${zone}`, TYPE.AAAA],
    [`absent.${zone}`, TYPE.AAAA],
    [zone, TYPE.NS],
    [zone, TYPE.SOA],
  );
  let reference: { name: string; contents: string[] } | undefined;
  for (const [name, port] of servers) {
    const contents = (await ask(port, questions)).map(contentOf);
    reference ??= { name, contents };
    const at = contents.findIndex((content, i) => content !== reference!.contents[i]);
    if (at < 0) continue;
    const [first, second] = [reference.contents[at], contents[at]].map((text) => text!.replaceAll('\n', '; '));
    throw new Error(`${questions[at]!.join(' ')}: ${reference.name} says ${first}; ${name} says ${second}`);
  }
  return questions.length;
}
