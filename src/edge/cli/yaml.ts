import { stringify } from 'yaml';

/** Configuration as it is written; what it cannot say stands below as comments. */
export function yamlOf(value: unknown, remarks: readonly string[]): string {
  return stringify(value, { lineWidth: 110 }) + remarks.map((remark) => `# ${remark}\n`).join('');
}
