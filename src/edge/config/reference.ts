/** The reference page of the configuration, made from the schema: every setting with kind, default and meaning. */
import type { z } from 'zod';
import { fieldMeta } from './fields.ts';
import { schema } from './schema.ts';

/** One key of the configuration file. */
export interface Setting {
  /** `proxy.listeners[].name`; `*` stands for a name of the operator's. */
  readonly path: string;
  /** `duration`, `list of prefix`, `mapping`. */
  readonly kind: string;
  readonly allowed: string | undefined;
  /** As written in YAML's flow style; undefined = none. */
  readonly fallback: string | undefined;
  readonly required: boolean;
  readonly description: string;
}

/** What is read of a zod schema's definition. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly out?: z.core.$ZodType;
  readonly element?: z.core.$ZodType;
  readonly valueType?: z.core.$ZodType;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly defaultValue?: unknown;
}

/** A schema without its wrappers. */
interface Core {
  readonly schema: z.core.$ZodType;
  readonly fallback: unknown;
  readonly optional: boolean;
  readonly description: string;
}

/** Every setting of the file, in the order of the schema. */
export function settings(): Setting[] {
  return children(unwrap(schema), '');
}

/** The reference page, Markdown. */
export function referencePage(): string {
  const groups = new Map<string, Setting[]>();
  for (const setting of settings()) {
    const parent = setting.path.includes('.') ? setting.path.slice(0, setting.path.lastIndexOf('.')) : '';
    groups.set(parent, [...(groups.get(parent) ?? []), setting]);
  }
  const parts = [...groups].map(([parent, group]) => {
    const rows = group.map((each) => {
      const kind = each.allowed === undefined ? each.kind : `${each.kind}: ${each.allowed}`;
      const fallback = each.required ? 'needed' : each.fallback === undefined ? '' : `\`${each.fallback}\``;
      const name = each.path.slice(each.path.lastIndexOf('.') + 1).replace(/\[\]$/, '');
      return [`\`${name}\``, kind, fallback, each.description];
    });
    const title = parent === '' ? '## The file' : `## ${parent.replaceAll('*', 'NAME')}`;
    return `${title}\n\n${markdownTable(['key', 'value', 'default', 'what it does'], rows)}`;
  });
  return `${head}\n${parts.join('\n')}`;
}

const head = `<!-- Made from the schema in src/edge/config by scripts/reference.ts: change it there. -->

# Configuration

\`v6edge run --config FILE\` reads one YAML file, \`/etc/v6edge/v6edge.yaml\` unless told otherwise. \`v6edge check\` says
everything that is wrong with a file, each with line, column and key, and exits with 2. Unknown keys are errors.
\`examples/reference.yaml\` has every setting in its place.

Durations are \`500ms\`, \`2s\`, \`5m\`, \`1h\`, \`1d\` and sums of these (\`1h30m\`); sizes \`64k\`, \`16m\`, \`1g\`; endpoints
\`1.2.3.4:53\`, \`[fd00::1]:53\`, \`[fe80::1%eth1]:53\`, \`unix:/path\`; prefixes \`fd00::/64\`, with no bits set beyond their
length. Relative paths begin at the file's folder. \`[]\` after a key stands for the entries of a list.
`;

function children(core: Core, path: string): Setting[] {
  const { type, shape, element, valueType } = definition(core.schema);
  if (type === 'array') return children(unwrap(element!), `${path}[]`);
  if (type === 'record') return children(unwrap(valueType!), `${path}.*`);
  if (type !== 'object') return [];
  return Object.entries(shape!).flatMap(([key, value]) => {
    const child = unwrap(value);
    const childPath = path === '' ? key : `${path}.${key}`;
    return [setting(child, childPath), ...children(child, childPath)];
  });
}

function setting(core: Core, path: string): Setting {
  return {
    path,
    kind: kindOf(core),
    allowed: allowedOf(core),
    fallback: core.fallback === undefined || isMapping(core.fallback) ? undefined : yamlText(core.fallback),
    required: core.fallback === undefined && !core.optional,
    description: core.description,
  };
}

function kindOf(core: Core): string {
  const meta = fieldMeta.get(core.schema);
  if (meta !== undefined) return meta.kind;
  const { type, element, valueType } = definition(core.schema);
  if (type === 'array') return `list of ${kindOf(unwrap(element!))}`;
  if (type === 'record') return `mapping of names to ${kindOf(unwrap(valueType!))}`;
  return 'mapping';
}

function allowedOf(core: Core): string | undefined {
  const { type, element } = definition(core.schema);
  if (type === 'array') return allowedOf(unwrap(element!));
  return fieldMeta.get(core.schema)?.allowed;
}

/** Takes off defaults, `optional` and the step to the validated type, and keeps what they say. */
function unwrap(outer: z.core.$ZodType): Core {
  let schema = outer;
  let fallback: unknown;
  let optional = false;
  let description = '';
  for (;;) {
    description ||= (schema as z.ZodType).description ?? '';
    const { type, innerType, defaultValue, in: given, out } = definition(schema);
    // What is written in short is read as what it is short for.
    const input = given !== undefined && definition(given).type === 'transform' ? out : given;
    const isLeaf = fieldMeta.get(schema) !== undefined;
    if (type === 'prefault') fallback = defaultValue;
    if (type === 'optional') optional = true;
    const next =
      type === 'prefault' || type === 'optional' ? innerType : type === 'pipe' && !isLeaf ? input : undefined;
    if (next === undefined) return { schema, fallback, optional, description };
    schema = next;
  }
}

function definition(schema: z.core.$ZodType): Definition {
  return schema._zod.def as unknown as Definition;
}

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function yamlText(value: unknown): string {
  // With spaces, at which a page can break the line.
  if (Array.isArray(value)) return `[${value.map((entry) => JSON.stringify(entry)).join(', ')}]`;
  return value === '' ? JSON.stringify(value) : String(value);
}

/** Columns as wide as their cells, the way the formatter wants it. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((text) => text.replaceAll('|', '\\|')));
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((text, i) => text.padEnd(widths[i]!)).join(' | ')} |\n`;
  return [head, widths.map((width) => '-'.repeat(width)), ...cells].map(line).join('');
}
