/** The `import` verb: the configurations of HAProxy, radvd and BIND as one of ours. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { errorCode, errorMessage } from '../../core/errors.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem-text.ts';
import { importHaproxy } from '../import/haproxy.ts';
import { importNamed, type NamedImport } from '../import/named.ts';
import { importRadvd } from '../import/radvd.ts';
import { ImportError, type Note, type Section } from '../import/report.ts';
import { writeConfig } from '../import/write.ts';

export interface ImportOptions {
  readonly haproxy: string | undefined;
  readonly radvd: string | undefined;
  readonly named: string | undefined;
  /** A folder for the configuration and its zone files; undefined: the configuration is printed. */
  readonly out: string | undefined;
}

export interface ImportResult {
  /** For standard output. */
  readonly text: string;
  /** For people, beside it. */
  readonly remarks: string;
}

/** @throws {ImportError} a file cannot be read or written, or is not what it should be */
export function importConfigs(options: ImportOptions): ImportResult {
  const config: Section = { admin: {} };
  const notes: Note[] = [];
  if (options.haproxy !== undefined) {
    const { proxy, notes: more } = importHaproxy(read(options.haproxy), options.haproxy);
    config.proxy = proxy;
    notes.push(...more);
  }
  let named: NamedImport | undefined;
  if (options.named !== undefined) {
    named = importNamed(read(options.named), options.named, { read, exists: existsSync });
    config.dns = named.dns;
    notes.push(...named.notes);
  }
  if (options.radvd !== undefined) {
    const { ra, notes: more } = importRadvd(read(options.radvd), options.radvd);
    config.ra = ra;
    notes.push(...more);
  }
  delete config.admin;
  const sources = [options.haproxy, options.radvd, options.named].filter((file) => file !== undefined);
  const about = [
    `v6edge, from ${sources.join(', ')}.`,
    'What was not taken over stands as a comment above the place it belongs to.',
    'Every setting: man v6edge.yaml',
  ];
  if (options.out === undefined) {
    return { text: writeConfig(config, notes, about), remarks: summary(notes, journalsOf(named), []) };
  }
  return writeAll(resolve(options.out), config, notes, about, named);
}

function writeAll(
  out: string,
  config: Section,
  notes: readonly Note[],
  about: readonly string[],
  named: NamedImport | undefined,
): ImportResult {
  const file = join(out, 'v6edge.yaml');
  if (existsSync(file)) {
    throw new ImportError('V6_IMPORT_EXISTS', `${file} is there already: move it away, or name another folder`);
  }
  const said: string[] = [];
  try {
    mkdirSync(join(out, 'zones'), { recursive: true });
    for (const zone of named?.zones ?? []) said.push(takeZone(zone, config, join(out, 'zones')));
    // Secrets of keys may be in it.
    writeFileSync(file, writeConfig(config, notes, about), { mode: 0o640 });
  } catch (error) {
    if (error instanceof ImportError) throw error;
    throw new ImportError('V6_IMPORT_WRITE', `cannot write below ${out}: ${errorMessage(error)}`, { cause: error });
  }
  const loaded = loadConfig(file);
  const problems = 'errors' in loaded ? loaded.errors.map(formatProblem) : [];
  const done = [`wrote ${file}`, ...said, ''].join('\n');
  return { text: done, remarks: summary(notes, [], problems) };
}

/**
 * Brings a zone as text, with what its journal holds: by BIND's own program, which knows its formats. Without it the file is
 * copied, if there is no journal.
 */
function takeZone({ name, file, journal }: NamedImport['zones'][number], config: Section, folder: string): string {
  const to = join(folder, `${name}.zone`);
  const entry = ((config.dns as Section).zones as Section[]).find((zone) => zone.name === name)!;
  entry.file = `zones/${basename(to)}`;
  try {
    const args = ['-q', '-i', 'none', '-k', 'ignore', ...(journal === undefined ? [] : ['-j']), '-o', to, name, file];
    execFileSync('named-compilezone', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    entry.soa = soaOf(readFileSync(to, 'utf8'));
    return `wrote ${to}${journal === undefined ? '' : `, with what was in ${journal}`}`;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      throw new ImportError('V6_IMPORT_ZONE', `named-compilezone cannot read ${file}: ${errorMessage(error)}`, {
        cause: error,
      });
    }
    if (journal !== undefined) {
      throw new ImportError(
        'V6_IMPORT_ZONE',
        `${journal} has changes that ${file} lacks: run "rndc sync -clean ${name}" first, or import where BIND is installed`,
      );
    }
  }
  copyFileSync(file, to);
  return `copied ${to}`;
}

/** What the SOA record of a zone says beside its serial, which we count ourselves: in the words of `soa`. */
function soaOf(zone: string): Section | undefined {
  const fields = /^\S+\s+\d+\s+IN\s+SOA\s+(\S+)\s+(\S+)\s+\d+\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$/m.exec(zone);
  if (fields === null) return undefined;
  const [, mname, rname, refresh, retry, expire, minimum] = fields;
  const name = (text: string) => text.replace(/(?<=.)\.$/, '');
  return {
    mname: name(mname!),
    rname: name(rname!),
    refresh: `${refresh}s`,
    retry: `${retry}s`,
    expire: `${expire}s`,
    minimum: `${minimum}s`,
  };
}

function journalsOf(named: NamedImport | undefined): string[] {
  return (named?.zones ?? []).filter(({ journal }) => journal !== undefined).map(({ journal }) => journal!);
}

function summary(notes: readonly Note[], journals: readonly string[], problems: readonly string[]): string {
  const lines = [
    notes.length === 0
      ? 'Everything was taken over.'
      : `${notes.length === 1 ? '1 thing was' : `${notes.length} things were`} not taken over as ${notes.length === 1 ? 'it was' : 'they were'}: see the comments.`,
    ...journals.map((journal) => `${journal} has changes that the zone file lacks: import with --out takes them along`),
    ...(problems.length === 0 ? [] : ['To be mended before it can run:', ...problems.map((each) => `  ${each}`)]),
  ];
  return `${lines.join('\n')}\n`;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ImportError('V6_IMPORT_READ', `cannot read ${path}: ${errorMessage(error)}`, { cause: error });
  }
}
