/**
 * The dashboard in Chromium against a running daemon: what it shows, what its buttons do, and that nothing keeps anyone from
 * using it. Screenshots stay in .lab/screenshots/.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { DaemonHome, freePort } from '../daemon-process.ts';

const root = join(import.meta.dirname, '../../..');
const screenshots = join(root, '.lab/screenshots');
const axe = readFileSync(join(root, 'node_modules/axe-core/axe.min.js'), 'utf8');
const token = 'a-token-for-this-test';

mkdirSync(screenshots, { recursive: true });
const browser: Browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
t.teardown(() => browser.close());

/** A daemon with two members (one of them is there), a zone of 250 names, and an upstream that is not there. */
async function daemon(t: Test) {
  const home = new DaemonHome(t);
  const member = createServer((socket) => socket.end());
  const memberPort = await freePort();
  await new Promise<void>((resolve) => member.listen(memberPort, '127.0.0.1', resolve));
  t.teardown(() => member.close());
  const [port, dnsPort, apiPort, nobody] = [await freePort(), await freePort(), await freePort(), await freePort()];
  writeFileSync(join(home.folder, 'admin.token'), token, { mode: 0o600 });
  const names = Array.from({ length: 250 }, (_, i) => `n${i} 300 IN AAAA fd00::${(i + 1).toString(16)}`);
  writeFileSync(join(home.folder, 'a.test.zone'), `${names.join('\n')}\n`);
  writeFileSync(
    home.configFile,
    [
      'workers: 1',
      `state: { dir: ${home.stateDir} }`,
      `admin: { listen: ["unix:${home.socket}", "127.0.0.1:${apiPort}"], tokenFile: admin.token }`,
      `proxy: { listeners: [{ name: web, bind: ["127.0.0.1:${port}"], pool: web }],`,
      '  pools: { web: { check: { type: tcp, interval: 500ms, rise: 1, fall: 1 }, members: [',
      `    { name: here, address: 127.0.0.1, port: ${memberPort} }, { name: gone, address: 127.0.0.1, port: ${nobody} }] },`,
      `    moved: { check: { type: none }, discover: { aaaa: m.a.test, port: ${memberPort} } } } }`,
      `dns: { listen: ["127.0.0.1:${dnsPort}"], allow: [127.0.0.0/8], forward: { upstreams: ["127.0.0.1:${nobody}"] },`,
      '  zones: [{ name: a.test, ns: [edge.a.test], file: a.test.zone }] }',
    ].join('\n'),
  );
  await home.start();
  return { home, url: `http://127.0.0.1:${apiPort}/` };
}

/** A page, and what went wrong in it or left for elsewhere. */
async function open(t: Test, url: string, options: Parameters<Browser['newContext']>[0] = {}) {
  const context = await browser.newContext(options);
  t.teardown(() => context.close());
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    // What the API refuses is told by Chromium, too.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) faults.push(`request to ${request.url()}`);
  });
  await page.goto(url);
  await page.locator('#pools-body table').first().waitFor();
  return { page, faults };
}

/** Serious faults of accessibility, by rule. axe comes by the debugging protocol, which no policy of the page stops. */
async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { impact: string; id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  });
}

t.test('what it shows, and what its buttons do', async (t) => {
  const { home, url } = await daemon(t);
  const { page, faults } = await open(t, url);
  const row = (name: string) => page.locator('#pools-body tbody tr', { has: page.locator(`th:has-text("${name}")`) });
  await row('gone').locator('.badge:has-text("down")').waitFor();
  await row('here').locator('.badge:has-text("up")').waitFor();
  t.match(await row('gone').textContent(), /L4CON/, 'why it is down');
  t.match(await page.locator('#pools-body caption').first().textContent(), /web: 1 of 2 up/);
  t.match(await page.locator('#dns-body').textContent(), /127\.0\.0\.1:\d+/, 'the upstream');
  t.match(await page.locator('#health').textContent(), /ready, up/);
  t.equal(await page.locator('#charts canvas').count(), 4);

  await page.locator('#zone-records caption:has-text("100 of more RRsets")').waitFor();
  await page.locator('#zone-more').click();
  await page.locator('#zone-records caption:has-text("200 of more RRsets")').waitFor();
  await page.locator('#zone-search').fill('n24');
  await page.locator('#zone-records caption:has-text("11 RRsets")').waitFor();

  // A record that arrives is shown: the event brings it.
  const put = { ttl: 60, data: ['fd00::beef'] };
  await home.api('PUT', '/v1/zones/a.test/records/n24x.a.test/AAAA', {}, put);
  await page.locator('#zone-records td:has-text("fd00::beef")').waitFor();
  await page.locator('#events-list li:has-text("zone a.test: n24x.a.test AAAA (serial")').first().waitFor();

  // What follows from an update is one line, which opens.
  await home.api('PUT', '/v1/zones/a.test/records/m.a.test/AAAA', {}, { ttl: 60, data: ['::1'] });
  const story = page.locator('#events-list details.story').first();
  await story.locator('summary:has-text("pool moved: +--1 → advertisements unchanged")').waitFor();
  t.equal(await story.locator('ol li').first().isVisible(), false, 'folded');
  await story.locator('summary').press('Enter');
  await story.locator('li:has-text("moved/--1: unknown → up")').waitFor();

  // A button asks for the token, refuses a wrong one, and does its work with the right one.
  const drain = row('here').getByRole('button', { name: 'Drain: here of web' });
  await drain.click();
  await page.locator('#token-input').fill('wrong');
  await page.locator('#token-dialog button[value=ok]').click();
  await page.locator('#message:has-text("not the token")').waitFor();
  t.match(await home.json('/v1/pools/web/members/here'), { admin: 'ready' });
  // The page may have asked by itself already, for its next look: then the button is behind that.
  await page.evaluate("document.getElementById('token-button').click()");
  await page.locator('#token-input').fill(token);
  await page.keyboard.press('Enter');
  await page.locator('#token-dialog').waitFor({ state: 'hidden' });
  await page.locator('#message').waitFor({ state: 'hidden' });
  await drain.click();
  await row('here').locator('.badge:has-text("drain")').waitFor();
  t.match(await home.json('/v1/pools/web/members/here'), { admin: 'drain' });
  await page.locator('#events-list li:has-text("web/here")').first().waitFor();

  t.strictSame(await accessibilityFaults(page), []);
  await page.screenshot({ path: join(screenshots, 'dashboard-light.png'), fullPage: true });
  t.strictSame(faults, [], 'no error, and no request to anywhere else');
});

t.test('a token that is asked for twice is given once', async (t) => {
  const { url } = await daemon(t);
  const { page, faults } = await open(t, url);
  // An old one: the page asks by itself, and the user does at the same moment.
  await page.evaluate("sessionStorage.setItem('v6edge-token', 'old')");
  await page.locator('#token-dialog[open]').waitFor();
  await page.evaluate("document.getElementById('token-button').click()");
  await page.locator('#token-input').fill(token);
  await page.keyboard.press('Enter');
  await page.locator('#health:has-text("ready, up")').waitFor();
  t.equal(await page.evaluate("sessionStorage.getItem('v6edge-token')"), token);
  t.equal(await page.locator('#token-dialog').isVisible(), false);
  t.strictSame(faults, []);
});

t.test('dark, and on a phone', async (t) => {
  const { url } = await daemon(t);
  const phone = { viewport: { width: 390, height: 844 }, colorScheme: 'dark' as const, hasTouch: true };
  const { page, faults } = await open(t, url, phone);
  await page.locator('#zone-records table').waitFor();
  const width = await page.evaluate('document.documentElement.scrollWidth');
  t.equal(width, 390, 'nothing is wider than the screen');
  t.strictSame(await accessibilityFaults(page), []);
  await page.screenshot({ path: join(screenshots, 'dashboard-phone-dark.png'), fullPage: true });
  t.strictSame(faults, []);
});

t.test('by keyboard alone', async (t) => {
  const { home, url } = await daemon(t);
  const { page } = await open(t, url);
  const focused = 'document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent';
  const reached: unknown[] = [];
  for (let i = 0; i < 40 && reached.at(-1) !== 'Maint: gone of web'; i++) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(focused));
  }
  t.equal(reached[0], 'Skip to content');
  t.equal(reached.at(-1), 'Maint: gone of web');
  await page.keyboard.press('Enter');
  await page.locator('#token-dialog[open]').waitFor();
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  await page.locator('#pools-body .badge:has-text("maint")').waitFor();
  t.match(await home.json('/v1/pools/web/members/gone'), { admin: 'maint' });
});

t.test('a daemon that ends, and its policy', async (t) => {
  const { home, url } = await daemon(t);
  const { page } = await open(t, url);
  const response = await page.request.get(url);
  t.match(response.headers()['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
  for (const path of ['assets/..%2fserver.ts', 'assets/tsconfig.json', 'assets/uplot.d.ts', 'assets/x.js']) {
    t.equal((await page.request.get(`${url}${path}`)).status(), 404, path);
  }
  const { status, body } = await home.api('GET', '/v1/status');
  t.equal(status, 200);
  process.kill((JSON.parse(body) as { pid: number }).pid, 'SIGKILL');
  await page.locator('#health:has-text("does not answer")').waitFor();
});
