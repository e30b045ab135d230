/** /usr/share/doc/v6edge/copyright: ours, then of everything that is in the package the licence as its authors wrote it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { root } from './bundle.ts';

const rule = `\n${'-'.repeat(80)}\n\n`;

/** The whole file. `folders` are npm packages, from the top of the checkout. */
export function licenceList(folders: readonly string[]): string {
  const packages = folders.map(describe);
  const list = packages.map(({ title }) => `  ${title}\n`).join('');
  const texts = packages.map(({ title, text }) => `${rule}${title}\n\n${text.trim()}\n`).join('');
  const own = readFileSync(join(root, 'LICENSE'), 'utf8');
  return `v6edge\n\n${own}\nThis package also holds the following programs and libraries:\n\n${list}${texts}`;
}

function describe(folder: string): { title: string; text: string } {
  const path = resolve(root, folder);
  const about = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Record<string, unknown>;
  const { name, version, license } = about;
  if (typeof license !== 'string' || license === '') throw new Error(`${folder}: package.json names no licence`);
  const file = readdirSync(path).find((each) => /^licen[cs]e/i.test(each));
  const text = file === undefined ? `Licence: ${license}` : readFileSync(join(path, file), 'utf8');
  return { title: `${name} ${version} (${license})`, text: text.replaceAll('\r\n', '\n') };
}
