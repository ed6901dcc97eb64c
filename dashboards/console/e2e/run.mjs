// Opens the console in Chromium and checks what a person would look at.
//
//   node e2e/run.mjs [--base-url http://127.0.0.1:9480 --request ID] [--out DIR] [--chromium PATH]
//
// With a base URL it checks a running Coldscope: ID must be a cold request.
// Without, it checks the built console on made-up data (fixture.mjs), which
// holds hostile lines and 5000 of them.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { ids, startFixture } from './fixture.mjs';

const { values: args } = parseArgs({
  options: {
    'base-url': { type: 'string' },
    request: { type: 'string' },
    out: { type: 'string', default: join(import.meta.dirname, 'shots') },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});
if (Boolean(args['base-url']) !== Boolean(args.request)) {
  console.error('give both --base-url and --request, or neither');
  process.exit(2);
}
mkdirSync(args.out, { recursive: true });

const fixture = args['base-url'] ? undefined : await startFixture();
const base = (args['base-url'] ?? fixture.url).replace(/\/$/, '');
const id = args.request ?? ids.cold;

const browser = await chromium.launch({
  executablePath: args.chromium,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

let checks = 0;
const failures = [];
const problems = [];
function check(what, ok, more = '') {
  checks++;
  if (!ok) {
    failures.push(what);
    console.error(`FAIL ${what} ${more}`);
  }
}

async function open(path, { width = 1440, height = 900, scheme = 'light', errors = true } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce', hasTouch: width < 640 });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: base });
  const page = await context.newPage();
  if (errors) {
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && problems.push(`${path}: ${m.text()}`));
    page.on('pageerror', (e) => problems.push(`${path}: ${e}`));
  }
  page.on('dialog', (d) => {
    problems.push(`${path}: a line opened a dialog`);
    void d.dismiss();
  });
  page.on('request', (r) => !r.url().startsWith(base) && !r.url().startsWith('data:') && problems.push(`${path}: loads ${r.url()}`));
  await page.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifts.push(e.value);
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(base + path);
  return page;
}

const shot = (page, name, fullPage = false) => page.screenshot({ path: join(args.out, `${name}.png`), fullPage });
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const shifted = (page) => page.evaluate(() => window.shifts.reduce((sum, v) => sum + v, 0));

// Every view in both schemes at the three widths: nothing overflows, nothing jumps.
const detail = await (await fetch(`${base}/api/v1/requests/${id}`)).json();
for (const [width, height] of [[375, 812], [768, 1024], [1440, 900]]) {
  for (const scheme of ['light', 'dark']) {
    const list = await open('/', { width, height, scheme });
    await list.locator('[data-request]').first().waitFor();
    await list.waitForLoadState('networkidle');
    check(`list at ${width} ${scheme}: no horizontal scroll`, (await overflow(list)) <= 0, String(await overflow(list)));
    check(`list at ${width} ${scheme}: no layout shift`, (await shifted(list)) < 0.02, String(await shifted(list)));
    check(`list at ${width} ${scheme}: colour scheme`, (await list.locator('html').getAttribute('data-mantine-color-scheme')) === scheme);
    await shot(list, `list-${width}-${scheme}`);
    await list.context().close();

    const page = await open(`/requests/${id}`, { width, height, scheme });
    await page.locator('[data-row=handler]').waitFor();
    await page.waitForLoadState('networkidle');
    check(`request at ${width} ${scheme}: no horizontal scroll`, (await overflow(page)) <= 0, String(await overflow(page)));
    check(`request at ${width} ${scheme}: no layout shift`, (await shifted(page)) < 0.02, String(await shifted(page)));
    await shot(page, `request-${width}-${scheme}`);
    await shot(page, `request-${width}-${scheme}-full`, true);
    await page.context().close();
  }
}

// The list: what is cold is marked, the keyboard walks and opens, filters are in the URL.
{
  const page = await open('/?range=24h');
  await page.locator('[data-request]').first().waitFor();
  check('list: cold requests are marked', (await page.locator('[data-cold=true]', { hasText: 'cold' }).count()) > 0 || (await page.locator('[data-cold=true]').count()) === 0);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  await page.keyboard.press('j');
  const second = await page.locator('[aria-selected=true]').getAttribute('data-request');
  check('list: j and k move the selection', (await page.locator('[aria-selected=true]').count()) === 1);
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/requests/${encodeURIComponent(second)}`);
  await page.locator('[data-row=handler]').waitFor();
  await page.keyboard.press('Escape');
  await page.waitForURL((u) => u.pathname === '/');
  check('list: coming back keeps the filters', new URL(page.url()).search === '?range=24h', page.url());
  await page.locator('[data-request]').first().waitFor();
  check('list: coming back keeps the selection', (await page.locator('[aria-selected=true]').getAttribute('data-request')) === second);

  // A page opened from far down begins at its top, and the list is where it was.
  await page.keyboard.press('Shift+G');
  await page.waitForTimeout(300);
  const far = await page.evaluate(() => scrollY);
  await page.keyboard.press('Enter');
  await page.locator('[data-row=handler]').waitFor();
  check('request: begins at the top', (await page.evaluate(() => scrollY)) === 0);
  await page.goBack();
  await page.locator('[aria-selected=true]').waitFor();
  check('list: coming back keeps the place', Math.abs((await page.evaluate(() => scrollY)) - far) < 50, `${await page.evaluate(() => scrollY)} of ${far}`);

  await page.goto(`${base}/?range=24h`);
  await page.locator('[data-request]').first().waitFor();
  await page.getByRole('switch', { name: 'Cold only' }).focus();
  await page.keyboard.press('Space');
  await page.waitForURL(/cold=true/);
  await page.waitForFunction(() => document.querySelectorAll('[data-request]').length > 0 && !document.querySelector('[data-cold=false]'));
  check('list: cold only shows only cold ones', (await page.locator('[data-cold=false]').count()) === 0);
  await page.reload();
  await page.locator('[data-cold=true]').first().waitFor();
  check('list: a filter survives a reload', await page.getByRole('switch', { name: 'Cold only' }).isChecked());
  await page.getByText('15 min').click();
  await page.waitForURL(/range=15m/);

  await page.locator('main').click({ position: { x: 4, y: 4 } });
  await page.keyboard.press('/');
  check('list: / goes to the search', await page.getByLabel('Request ID').evaluate((e) => e === document.activeElement));
  await page.keyboard.type(id);
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/requests/${encodeURIComponent(id)}`);
  await page.context().close();
}

// The request page holds what the API said.
{
  const page = await open(`/requests/${id}`);
  await page.locator('[data-row=handler]').waitFor();
  const text = await page.locator('main').innerText();
  check('request: the ID is on it', text.includes(id));
  check('request: the function is on it', text.includes(detail.invocation.function));
  check('request: it was cold', detail.cold_start !== null, 'the e2e wants a cold request');
  for (const p of detail.cold_start?.phases ?? []) {
    const bar = page.locator(`[data-row="${p.name}"] [data-bar]`).first();
    const box = (await bar.count()) > 0 ? await bar.boundingBox() : null;
    check(`request: a bar for ${p.name}`, box !== null && box.width > 0 && box.height > 0);
  }
  const track = await page.locator('[data-row=handler] [data-bar]').first().boundingBox();
  check('request: a bar for the handler', track !== null && track.width > 0);
  for (const l of (detail.cold_start?.layers ?? []).filter((l) => l.download_start)) {
    check(`request: layer ${l.digest.slice(0, 15)}`, (await page.locator(`[data-layer="${l.digest}"] [data-bar=download]`).count()) === 1);
  }
  for (const a of detail.advice) check(`request: advice ${a.kind}`, text.includes(a.title) && text.includes(a.evidence.slice(0, 40)));
  check('request: lines are there', detail.lines.length === 0 || (await page.locator('[data-line]').count()) > 0);
  check('request: lines have marks', detail.lines.length === 0 || (await page.locator('[data-mark]').count()) > 0);
  const first = detail.lines[0];
  if (first && !/[^\x20-\x7e]/.test(first.body)) check('request: the first line, word for word', (await page.locator('[data-line="0"] pre').innerText()).includes(first.body.slice(0, 200)));

  if (detail.cold_start?.digest) {
    await page.getByLabel('Copy digest').click();
    const copied = await page.evaluate(() => navigator.clipboard.readText()).catch(() => undefined);
    check('request: the digest is copied', copied === undefined || copied === detail.cold_start.digest, copied);
  }

  // What is said of the lines' completeness, why, and where lines are missing.
  const { state, gaps, truncated_lines: cut } = detail.completeness;
  const badge = page.locator('[data-completeness]');
  const shown = await badge.getAttribute('data-completeness');
  // What was not known a moment ago may be known by now.
  check('request: the badge says whether all lines are here', shown === state || state === 'unknown' && shown === 'complete', `${shown}, ${state}`);
  await badge.hover();
  await page.getByRole('tooltip').first().waitFor();
  const why = await page.getByRole('tooltip').first().innerText();
  check('request: the badge says why', { complete: /^All that was printed/, partial: /^Not all that was printed/, unknown: /^Nothing is known to be missing/ }[shown].test(why), why);
  if (cut > 0) check('request: the badge counts what was cut', why.includes(`${cut} line`), why);
  await shot(page, 'request-badge');
  await page.mouse.move(0, 0);
  await page.getByRole('tooltip').first().waitFor({ state: 'detached' });
  check('request: gaps are on the timeline', (await page.locator('[data-lane=lost]').count()) === (gaps.length > 0 ? 1 : 0));

  // A mark shows its line and leads to it; j moves on; Enter shows the details.
  if (detail.lines.length > 1) {
    const mark = page.locator('[data-mark]').last();
    await mark.hover();
    await page.getByRole('tooltip').first().waitFor();
    await shot(page, 'request-mark');
    await mark.click();
    await page.locator('[data-line][data-selected=true]').waitFor();
    check('request: a mark scrolls to its line', await page.locator('[data-line][data-selected=true]').evaluate((e) => e.getBoundingClientRect().top > 0 && e.getBoundingClientRect().bottom < innerHeight));
    await page.evaluate(() => document.activeElement?.blur?.());
    await page.keyboard.press('g');
    await page.locator('[data-line="0"][data-selected=true]').waitFor();
    await page.keyboard.press('j');
    await page.locator('[data-line="1"][data-selected=true]').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('[data-line="1"] dl').waitFor();
    await shot(page, 'request-lines');
    await page.keyboard.press('Escape');
    check('request: Esc drops the selection', (await page.locator('[data-selected=true][data-line]').count()) === 0);
  }

  // A filter is in the URL and leaves what it says.
  await page.keyboard.press('/');
  await page.keyboard.type('zzz-not-there');
  await page.getByText('No line matches').waitFor();
  await page.waitForURL(/q=zzz-not-there/);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');

  // Zoom: a row fills the chart, Esc gives the whole back.
  await page.evaluate(() => scrollTo(0, 0));
  const before = await page.locator('[data-row=handler] [data-bar]').boundingBox();
  await page.locator('[data-row=handler]').getByRole('button', { name: 'handler' }).click();
  await page.waitForFunction((w) => (document.querySelector('[data-row=handler] [data-bar]')?.getBoundingClientRect().width ?? 0) > w * 2 + 50, before.width);
  await shot(page, 'request-zoom');
  await page.evaluate(() => document.activeElement?.blur?.());
  await page.keyboard.press('Escape');
  await page.waitForFunction((w) => Math.abs((document.querySelector('[data-row=handler] [data-bar]')?.getBoundingClientRect().width ?? 0) - w) < 2, before.width);

  // The toggle changes the scheme and keeps it over a reload, before the first paint.
  await page.getByRole('button', { name: 'Switch to dark colours' }).click();
  await page.reload({ waitUntil: 'commit' });
  await page.locator('[data-row=handler]').waitFor();
  check('scheme: the toggle stays', (await page.locator('html').getAttribute('data-mantine-color-scheme')) === 'dark');
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
  await page.waitForTimeout(250);
  await shot(page, 'help');
  await page.context().close();
}

// What isn't there says so.
{
  const page = await open('/requests/no-such-request', { errors: false });
  await page.getByText('No request with this ID').waitFor();
  await shot(page, 'missing');
  await page.goto(`${base}/nowhere/at/all`);
  await page.getByText('There is no such page').waitFor();
  await page.context().close();
}

if (fixture) {
  // A gap is a row of its own behind the line that is before it in the file; no filter of streams hides it.
  {
    const { lines, completeness } = detail;
    const [gap] = completeness.gaps;
    const behind = lines.findLastIndex((l) => l.file_id === gap.file_id && l.stream !== 'platform' && l.offset < gap.offset);
    const page = await open(`/requests/${ids.cold}?hide=stderr`, { width: 1440, height: 2400 });
    await page.locator('[data-gap]').waitFor();
    const order = await page.locator('[data-line], [data-gap]').evaluateAll((rows) => rows.toSorted((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map((e) => e.dataset.line ?? 'gap'));
    check('gap: behind its line', order[order.indexOf('gap') - 1] === String(behind), `${order} for line ${behind}`);
    check('gap: says what and why', /4.21 kB lost.*deleted log files held more than their limit/s.test(await page.locator('[data-gap]').innerText()), await page.locator('[data-gap]').innerText());
    await shot(page, 'request-gap');
    const bar = await page.locator('[data-lane=lost] i').boundingBox();
    const mark = await page.locator('[data-mark=stdout]').evaluateAll((m) => m.map((e) => e.getBoundingClientRect().left));
    check('gap: lies on the timeline among the lines', bar !== null && bar.width >= 6 && mark.some((x) => x <= bar.x + bar.width), JSON.stringify(bar));
    await page.locator(`[data-line="${behind}"] button`).first().click();
    await page.evaluate(() => document.activeElement?.blur?.());
    await page.keyboard.press('j');
    await page.waitForFunction((i) => Number(document.querySelector('[data-line][data-selected=true]')?.dataset.line) > i, behind);
    check('gap: j steps over it', (await page.locator('[data-line][data-selected=true]').count()) === 1);
    await page.context().close();
  }

  // On a phone the badge tells why by touch.
  for (const scheme of ['light', 'dark']) {
    const page = await open(`/requests/${ids.cold}?hide=stderr`, { width: 375, height: 812, scheme });
    await page.locator('[data-completeness]').tap();
    await page.getByRole('tooltip').first().waitFor();
    await page.waitForTimeout(250);
    check(`badge at 375 ${scheme}: its words fit`, (await overflow(page)) <= 0);
    await shot(page, `badge-375-${scheme}`);
    await page.locator('#lines').evaluate((e) => scrollBy(0, e.getBoundingClientRect().top - 120));
    await page.locator('[data-gap]').waitFor();
    await shot(page, `gap-375-${scheme}`);
    await page.context().close();
  }

  // Hostile lines are text, what is hidden is visible, whitespace stays.
  const page = await open(`/requests/${ids.cold}`);
  await page.locator('[data-line]').first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('hostile');
  await page.waitForFunction(() => document.querySelectorAll('[data-line]').length === 1);
  const hostile = await page.locator('[data-line] pre').innerText();
  check('hostile: markup is text', hostile.includes('<script>alert("hostile")</script> & <b>bold</b>'), hostile);
  check('hostile: controls are written out', hostile.includes(String.raw`\u202e`) && hostile.includes(String.raw`\x00`), hostile);
  check('hostile: no element came of it', (await page.locator('[data-line] pre script, [data-line] pre b, [data-line] pre img').count()) === 0);
  await page.context().close();

  // 5000 lines: few elements, quick to the end and back.
  const many = await open(`/requests/${ids.many}`);
  await many.locator('[data-line]').first().waitFor();
  const began = Date.now();
  await many.keyboard.press('Shift+G');
  await many.locator('[data-line="4999"][data-selected=true]').waitFor();
  check('5000 lines: to the last', Date.now() - began < 2000, `${Date.now() - began} ms`);
  check('5000 lines: few elements', (await many.locator('[data-line]').count()) < 150, String(await many.locator('[data-line]').count()));
  const slow = await many.evaluate(async () => {
    let worst = 0;
    let last = performance.now();
    for (let i = 0; i < 60; i++) {
      scrollBy(0, -400);
      await new Promise((r) => requestAnimationFrame(r));
      const now = performance.now();
      worst = Math.max(worst, now - last);
      last = now;
    }
    return worst;
  });
  check('5000 lines: fluid', slow < 150, `${slow.toFixed(0)} ms for the slowest frame`);
  console.log(`5000 lines: slowest frame ${slow.toFixed(0)} ms`);
  await shot(many, 'many');
  await many.context().close();

  // Older pages come by the cursor.
  const list = await open('/?live=off');
  await list.locator('[data-request]').first().waitFor();
  await list.getByRole('button', { name: 'Older requests' }).click();
  await list.getByText('200 requests').waitFor();
  check('list: older requests are added', (await list.locator('[role=table]').getAttribute('aria-rowcount')) === '201');
  await list.goto(`${base}/?status=oom&cold=true`);
  await list.context().close();

  const failed = await open('/?status=oom&cold=true', { errors: false });
  await failed.getByText('not ready').waitFor();
  await shot(failed, 'failure');
  await failed.context().close();
  for (const name of ['warm', 'boom']) {
    const target = name === 'warm' ? (await (await fetch(`${base}/api/v1/requests?cold=false&status=ok`)).json()).requests[0].request_id : ids.boom;
    const p = await open(`/requests/${target}`);
    await p.locator('[data-row=handler]').waitFor();
    const state = name === 'warm' ? 'complete' : 'unknown';
    check(`${name}: ${state}`, (await p.locator('[data-completeness]').getAttribute('data-completeness')) === state);
    check(`${name}: nothing is marked as lost`, (await p.locator('[data-gap], [data-lane=lost]').count()) === 0);
    await p.locator('[data-completeness]').focus(); // by the keyboard, too
    await p.getByRole('tooltip').first().waitFor();
    check(`${name}: queue and handler`, (await p.locator('[data-row]').count()) === 2);
    await shot(p, name);
    await p.context().close();
  }
}

await browser.close();
fixture?.close();
check('no error or warning on the browser’s console, nothing loaded from elsewhere', problems.length === 0, [...new Set(problems)].join('\n  '));
console.log(`${checks - failures.length} of ${checks} checks passed; screenshots in ${args.out}`);
process.exit(failures.length > 0 ? 1 : 0);
