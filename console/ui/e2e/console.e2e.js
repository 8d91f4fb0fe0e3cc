// What a person must find in the console, in a real browser. browser_test.go starts the plant and runs this.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const url = process.env.ANDON_URL;
const hands = process.env.ANDON_HANDS;
const shots = process.env.ANDON_SHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const opens = `${url}/#/asset/compressors/compressor-001`;

let browser;
let page;
let problems;

before(async () => {
  // A container's root cannot have the browser's own sandbox, nor its small /dev/shm.
  browser = await chromium.launch({ executablePath: process.env.ANDON_BROWSER, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
  if (shots) await mkdir(shots, { recursive: true });
});

after(() => browser?.close());

beforeEach(async () => {
  await page?.context().close();
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: 'dark', deviceScaleFactor: 1, permissions: ['clipboard-read', 'clipboard-write'] });
  page = await context.newPage();
  problems = [];
  page.on('console', (m) => {
    // The last is about this test, which reads what the charts have drawn.
    if (['error', 'warning'].includes(m.type()) && !m.text().includes('willReadFrequently')) problems.push(`${m.type()}: ${m.text()}`);
  });
  page.on('pageerror', (e) => problems.push(`exception: ${e.message}`));
});

/** look opens a page, and at the end the console of the browser must have stayed silent. */
const look = (name, steps) =>
  test(name, { timeout: 120_000 }, async () => {
    await steps();
    assert.deepEqual(problems, []);
  });

async function picture(name) {
  if (!shots) return;
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${shots}/${name}-${scheme}.png` });
  }
}

/** accessible runs axe in the page, without a script tag, which the page's own policy forbids. */
async function accessible() {
  await page.evaluate(axe);
  const result = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] }));
  const bad = result.violations.filter((v) => ['serious', 'critical'].includes(v.impact));
  assert.deepEqual(
    bad.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html).join(' | ')}`),
    [],
  );
}

const both = async (check) => {
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.waitForTimeout(100);
    await check();
  }
};

/** number reads the figure of a stage of the line. */
const figure = (stage) => page.locator(`[data-stage=${stage}] .figure-number`).innerText();

/** ink counts the pixels of a chart that are drawn, and sums their places, so that a moved line is another sum. */
const ink = (index) =>
  page.locator('.chart canvas').nth(index).evaluate((canvas) => {
    const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let pixels = 0;
    let places = 0;
    for (let i = 3; i < data.length; i += 4) {
      // Saturated pixels are of the line; the grid and the labels are grey.
      const spread = Math.max(data[i - 3], data[i - 2], data[i - 1]) - Math.min(data[i - 3], data[i - 2], data[i - 1]);
      if (data[i] > 100 && spread > 60) {
        pixels++;
        places = (places + ((i / 4) % width) * 31 + Math.floor(i / 4 / width)) % 1_000_003;
      }
    }
    return { pixels, places };
  });

async function until(what, check, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const v = await check();
    if (v) return v;
    if (Date.now() > end) assert.fail(`never: ${what}`);
    await page.waitForTimeout(100);
  }
}

look('the line shows its rates, lag and parts', async () => {
  await page.goto(url);
  await page.locator('.connection.live').waitFor();
  await until('a rate of records', async () => Number.parseFloat((await figure('ingest')).replace(',', '')) > 100);
  await until('scores', async () => Number.parseFloat((await figure('score')).replace(',', '')) > 100);
  await until('rows stored', async () => Number.parseFloat((await figure('store')).replace(',', '')) > 100);
  assert.equal(await page.locator('.part.ready').count(), 4);
  assert.equal(await page.locator('.panel:has(h2:text-is("Pipelines")) tbody tr').count(), 2);
  const devices = page.locator('[data-panel=devices] tbody tr');
  assert.match(await devices.nth(0).innerText(), /62 ?%[^]*58 W[^]*71 °C[^]*power limit/);
  assert.match(await devices.nth(1).innerText(), /fallen off the bus/);
  assert.match(await page.locator('[data-panel=devices] h2').innerText(), /0\.42 J for 1,000 scores/);
  // The course of the rate is drawn and grows.
  const course = () => page.locator('[data-stage=ingest] .spark-line').getAttribute('d');
  const before = await course();
  await until('a course that moves', async () => (await course()) !== before);
  // Every number lives, also where nothing else changes.
  const scored = () => page.locator('table.table tbody tr').first().locator('td').nth(10).innerText();
  const first = await scored();
  await until('a count that grows', async () => (await scored()) !== first);
  const processor = () => page.locator('[data-stage=host] dd').nth(1).innerText();
  assert.match(await processor(), /MiB/);
  assert.match(await page.locator('[data-stage=dead]').innerText(), /malformed|too late/);
  await page.waitForTimeout(shots ? 20_000 : 0);
  await both(accessible);
  await picture('line');
});

look('the fleet is sorted by risk, filters, and opens an asset', async () => {
  await page.goto(`${url}/#/fleet/compressors`);
  const rows = () =>
    page.locator('.rows-body .fleet-row').evaluateAll((list) =>
      list
        .map((r) => ({ asset: r.dataset.asset, risk: Number(r.dataset.risk), at: Number(r.getAttribute('aria-rowindex')) }))
        .sort((a, b) => a.at - b.at),
    );
  await until('a fleet', async () => (await rows()).length > 10);
  assert.match(await page.locator('.list-foot').innerText(), /^100 assets/);
  assert.ok((await rows()).length < 60, 'only what is in sight is in the document');
  await until('an order by risk', async () => {
    const r = await rows();
    return r.every((x, i) => i === 0 || x.risk <= r[i - 1].risk) && r[0].risk > 0.8;
  });
  await both(accessible);
  await page.waitForTimeout(shots ? 6000 : 0);
  await picture('fleet');
  await page.keyboard.press('/');
  await page.keyboard.type('07');
  await until('a filtered fleet', async () => (await rows()).every((r) => r.asset.includes('07')) && (await rows()).length === 11);
  assert.match(page.url(), /q=07/);
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('.asset-title h1').waitFor();
  assert.match(page.url(), /#\/asset\/compressors\/compressor-\d*07/);
  await page.goBack();
  await until('the filter after going back', async () => (await page.locator('#filter').inputValue()) === '07');
});

look('the charts of an asset are drawn and move, and wait when told to', async () => {
  await page.goto(opens);
  await until('all charts', async () => (await page.locator('.chart canvas').count()) === 16);
  await until('a drawn risk', async () => (await ink(0)).pixels > 100);
  for (const i of [1, 2, 9, 15]) await until(`a drawn chart ${i}`, async () => (await ink(i)).pixels > 60);
  const still = await ink(2);
  await until('a chart that moves', async () => (await ink(2)).places !== still.places);
  await both(accessible);
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture('asset');
  // What is pointed at is told by all charts together.
  const newest = await page.locator('.readout dd').first().innerText();
  await page.mouse.move(500, 260);
  await until('the instant at the cursor', async () => /At the cursor/.test(await page.locator('.readout').innerText()));
  assert.notEqual(await page.locator('.readout dd').first().innerText(), newest);
  if (shots) await page.screenshot({ path: `${shots}/asset-cursor.png` });
  await page.mouse.move(5, 5);
  await until('the newest again', async () => /Last reading/.test(await page.locator('.readout').innerText()));
  await page.keyboard.press('p');
  await page.locator('.button.on .badge').waitFor();
  await page.waitForTimeout(300);
  const held = await ink(2);
  await until('points that wait', async () => Number.parseInt((await page.locator('.badge').innerText()).slice(1), 10) >= 5);
  assert.deepEqual(await ink(2), held, 'a held chart does not move');
  if (shots) await page.screenshot({ path: `${shots}/asset-paused.png` });
  await page.keyboard.press('p');
  await until('a chart that moves again', async () => (await ink(2)).places !== held.places);
  // The table behind the charts.
  await page.getByRole('button', { name: 'Table' }).click();
  assert.ok((await page.locator('.table.tight tbody tr').count()) >= 20);
});

look('a lost connection is told, and leaves no hole', async () => {
  await page.goto(opens);
  const points = () => page.locator('.readout dd').nth(4).innerText().then((s) => Number(s.replace(',', '')));
  await until('points', async () => (await points()) > 20);
  await fetch(`${hands}/cut`, { method: 'POST' });
  await page.locator('.connection.lost').waitFor();
  const before = await points();
  await page.waitForTimeout(2000);
  assert.equal(await points(), before);
  await fetch(`${hands}/mend`, { method: 'POST' });
  await page.locator('.connection.live').waitFor({ timeout: 40_000 });
  await until('the points that were missed', async () => (await points()) > before + 10);
  // Every step of the grid is there: the table's first column goes back hour by hour.
  await page.getByRole('button', { name: 'Table' }).click();
  await page.keyboard.press('p');
  const times = await page.locator('.table.tight tbody tr td:first-child').evaluateAll((list) => list.map((c) => Date.parse(`${c.textContent.trim().replace(' ', 'T')}Z`)));
  for (let i = 1; i < times.length; i++) assert.equal(times[i - 1] - times[i], 3_600_000, `a hole before ${new Date(times[i - 1]).toISOString()}`);
  // The browser itself says that the socket failed.
  problems = problems.filter((p) => !/WebSocket connection to/.test(p));
});

look('training shows its progress, on its page and on the line', async () => {
  await page.goto(`${url}/#/training`);
  await page.locator('[data-run=compressors-20200101]').waitFor();
  await picture('training-idle');
  await fetch(`${hands}/train`, { method: 'POST' });
  await page.locator('[data-run=compressors-live]').waitFor();
  const share = () => page.locator('.run-progress [role=progressbar]').getAttribute('aria-valuenow').then(Number);
  await until('progress', async () => (await share()) >= 10);
  await until('a loss that is drawn', async () => (await ink(0)).pixels > 40);
  const early = await share();
  await both(accessible);
  await page.waitForTimeout(shots ? 3000 : 0);
  await picture('training');
  await page.goto(`${url}/#/line`);
  const banner = page.locator('.banner');
  await banner.waitFor();
  assert.match(await banner.innerText(), /first model of compressors is being trained/);
  await picture('banner');
  await page.goto(`${url}/#/training`);
  await fetch(`${hands}/finish`, { method: 'POST' });
  await until('more progress', async () => (await share()) > early);
  await until('the end', async () => /Finished/.test(await page.locator('.run-head').innerText()), 40_000);
  assert.match(await page.locator('.run-model').innerText(), /c0ffee15600d/);
  await page.goto(`${url}/#/line`);
  await page.locator('code', { hasText: 'c0ffee15600d' }).first().waitFor();
  await until('no banner', async () => (await banner.count()) === 0);
});

look('models show the campaign as it goes on, and take orders', async () => {
  await page.goto(`${url}/#/models`);
  await page.locator('.loop-stages [aria-current=step]', { hasText: 'canary' }).waitFor();
  assert.equal(await page.locator('.loop-tabs a').count(), 2);
  await until('both versions', async () => (await page.locator('[data-panel=versions] tbody tr').count()) === 2);
  assert.match(await page.locator('[data-panel=versions]').innerText(), /c0ffee15600d[^]*canary[^]*3f9a1c77b2e0[^]*champion/);
  assert.equal(await page.locator('[data-panel=gate] tbody tr').count(), 1);
  assert.equal(await page.locator('.loop-sequence svg').count(), 1);
  await until('the decisions', async () => (await page.locator('[data-panel=decisions] tbody tr').count()) === 2);
  const scrolls = await page.locator('.scroll-x:has([data-panel=versions])').evaluate((e) => e.scrollWidth - e.clientWidth);
  assert.equal(scrolls, 0, 'the versions need no scroll bar');
  await both(accessible);
  await picture('models');
  // What is decided is told to the page, which does not ask again by itself.
  page.once('dialog', (d) => void d.accept('it is the wrong day'));
  await page.getByRole('button', { name: 'Stop the campaign' }).click();
  await until('the decision', async () => /wrong day/.test(await page.locator('[data-panel=decisions]').innerText()), 5000);
  await page.getByRole('button', { name: 'Start a campaign' }).waitFor();
  assert.equal(await page.locator('.loop-stages').count(), 0);
  await page.locator('.loop-tabs a', { hasText: 'machine-temperature' }).click();
  await until('the other pipeline', async () => /nothing has changed/.test(await page.locator('.panel.loop').innerText()));
});

look('cameras show their frames, and one alone is stepped through and labelled', async () => {
  await page.goto(`${url}/#/cameras`);
  const shot = page.locator('[data-camera=dock-1]');
  await shot.waitFor();
  await until('a counted frame', async () => /dock-1/.test(await page.locator('.table.tight tbody').innerText()));
  await both(accessible);
  await picture('cameras');
  const scored = () => page.locator('.table.tight tbody tr td').nth(4).innerText().then(Number);
  const before = await scored();
  await until('frames that come', async () => (await scored()) > before);
  await shot.getByRole('link').first().click();
  await page.locator('h1', { hasText: 'dock-1' }).waitFor();
  await until('a picture', async () => (await page.locator('canvas.shot').first().evaluate((c) => c.width)) > 0);
  await both(accessible);
  await picture('camera');
});

look('alerts are counted, opened, and told apart', async () => {
  await page.goto(`${url}/#/alerts`);
  const rows = page.locator('.alert-row');
  await until('the open ones', async () => (await rows.count()) === 3);
  await rows.first().getByRole('link').first().click();
  await page.locator('.alert-whole').waitFor();
  await both(accessible);
  await picture('alerts');
  // The browser reports that nobody knows of deliveries here.
  problems = problems.filter((p) => !/status of (404|501)/.test(p));
});

look('drift and truth are told without barriers', async () => {
  await page.goto(`${url}/#/drift`);
  await page.locator('h1', { hasText: 'Drift' }).waitFor();
  await page.waitForTimeout(1000);
  await both(accessible);
  await picture('drift');
  await page.goto(`${url}/#/truth`);
  await page.locator('h1', { hasText: 'Truth' }).waitFor();
  await page.waitForTimeout(1000);
  await both(accessible);
  await picture('truth');
});

look('the query box answers, refuses, and copies', async () => {
  await page.goto(`${url}/#/sql`);
  await page.getByRole('button', { name: /Top 10 by risk/ }).click();
  await until('ten rows', async () => (await page.locator('.sql-row:not(.head)').count()) === 10);
  await picture('sql');
  await page.getByRole('button', { name: 'Copy as CSV' }).click();
  const csv = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(csv, /^pipeline,asset,risk,value,seen,offset\r\n/);
  assert.equal(csv.trim().split('\r\n').length, 11);
  await page.locator('#sql').fill('SELECT * FROM scores');
  await page.keyboard.press('Control+Enter');
  await until('all rows', async () => /^101 rows/.test(await page.locator('.result-head').innerText()));
  assert.ok((await page.locator('.sql-row:not(.head)').count()) < 60, 'only what is in sight is in the document');
  await page.locator('#sql').fill('SELEKT 1');
  await page.keyboard.press('Control+Enter');
  await page.locator('.sql-error').waitFor();
  assert.match(await page.locator('.sql-error').innerText(), /Syntax error: failed at position 1 \(SELEKT\)/);
  await picture('sql-error');
  await both(accessible);
  // The browser reports the refusal as a failed request.
  problems = problems.filter((p) => !/status of 422/.test(p));
});

look('dead letters are counted, read whole, and sent again', async () => {
  await page.goto(url);
  await page.locator('[data-stage=dead]').getByRole('link', { name: 'Look at them' }).click();
  await page.locator('h1', { hasText: 'Dead letters' }).waitFor();
  const rows = page.locator('.letters-list tbody tr');
  await until('all letters', async () => (await rows.count()) === 37);
  assert.equal(await page.locator('.letters-sum tbody tr').count(), 3);
  await both(accessible);
  await picture('letters');
  await page.locator('.letters-sum').getByRole('link', { name: 'malformed' }).click();
  await until('those of a reason', async () => (await rows.count()) === 12);
  assert.match(page.url(), /reason=malformed/);
  // A record that is no text is shown as it is, with both headers of a name, and leads to what it was.
  await rows.first().locator('a').first().click();
  await page.locator('.letter-value pre.hex').waitFor();
  assert.match(await page.locator('.letter-value pre').innerText(), /^00000000 {2}0a 00 ff 50 42 12 07 63 6f 6d 70 72 65 73 1a/);
  assert.equal(await page.locator('.letter-headers li').count(), 3);
  assert.match(await page.locator('.letter-facts').innerText(), /0xff01/);
  await both(accessible);
  await picture('letter');
  await page.locator('.letter-facts').getByRole('link', { name: 'fleet.compressors/0@1800' }).click();
  await page.locator('h1', { hasText: 'fleet.compressors/0@1800' }).waitFor();
  assert.match(await page.locator('.letter-value pre').innerText(), /"s_2":642\.0/);
  await page.goBack();
  // By the keyboard alone: ask, think again, ask, send.
  const button = page.getByRole('button', { name: 'Send again …' });
  await button.focus();
  await page.keyboard.press('Enter');
  const dialog = page.locator('dialog.resend');
  await until('the question', async () => /1 letter goes to Kafka/.test(await dialog.innerText()));
  await both(accessible);
  await picture('letter-ask');
  await page.keyboard.press('Escape');
  await until('no question', async () => (await dialog.count()) === 0);
  await button.focus();
  await page.keyboard.press('Enter');
  await dialog.locator('input').fill('nowhere');
  await dialog.getByRole('button', { name: 'Send again' }).press('Enter');
  await until('a failure that is told', async () => /0 sent, 1 failed[^]*topic nowhere does not exist/.test(await dialog.innerText()));
  await both(accessible);
  await picture('letter-failed');
  await dialog.getByRole('button', { name: 'Close' }).press('Enter');
  await button.click();
  await until('the question', async () => /1 letter goes/.test(await dialog.innerText()));
  await dialog.getByRole('button', { name: 'Send again' }).press('Enter');
  await until('where it is', async () => /1 sent\. It is now fleet\.compressors\/0@92052/.test((await dialog.innerText()).replace(/\s+/g, ' ')));
  await dialog.getByRole('button', { name: 'Close' }).press('Enter');
  await until('that it was sent', async () => /by console|console,/.test(await page.locator('.letter-facts').innerText()));
  // Sent once, it is left out.
  await button.click();
  await until('nothing to send', async () => /There is nothing left to send/.test(await dialog.innerText()));
  assert.ok(await dialog.getByRole('button', { name: 'Send again' }).isDisabled());
  await dialog.getByRole('checkbox').check();
  await until('that it may be sent again', async () => /1 letter goes/.test(await dialog.innerText()));
  await page.keyboard.press('Escape');
  await page.goto(`${url}/#/letters?pipeline=compressors&reason=late`);
  await page.getByRole('button', { name: 'Send these again …' }).click();
  await until('the question', async () => /22 letters go to Kafka/.test(await dialog.innerText()));
  assert.match(await dialog.innerText(), /Also the 2 that were sent before or may have been/);
  await picture('letters-ask');
  await dialog.getByRole('button', { name: 'Send again' }).click();
  await until('the sum', async () => /22 sent/.test(await dialog.innerText()));
  await dialog.getByRole('button', { name: 'Close' }).click();
  await until('the numbers', async () => (await page.locator('tr[data-reason=late] td').nth(3).innerText()) === '23');
});

look('the theme turns and is remembered', async () => {
  await page.goto(url);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.locator('.connection.live').waitFor();
  const dark = await ground();
  await page.keyboard.press('t');
  await until('another ground', async () => (await ground()) !== dark);
  const light = await ground();
  await page.reload();
  await page.locator('.connection.live').waitFor();
  assert.equal(await ground(), light);
});

look('a narrow window loses nothing', async () => {
  await page.setViewportSize({ width: 390, height: 860 });
  for (const place of ['line', 'fleet', 'asset/compressors/compressor-001', 'cameras', 'cameras/dock/dock-1', 'training', 'truth', 'models', 'alerts', 'drift', 'letters', 'letters/fleet.compressors/0/2052', 'sql']) {
    await page.goto(`${url}/#/${place}`);
    await page.locator('.connection.live').waitFor();
    await page.locator('h1').waitFor();
    await page.waitForTimeout(300);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    // What sticks out is named.
    const wide = await page.evaluate(() => [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll-x, .side, .chart, .rows, .result, table')).slice(0, 6).map((e) => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`));
    assert.equal(over, 0, `${place}: ${wide.join(', ')}`);
    assert.deepEqual(wide.filter((w) => !w.startsWith('NAV')), [], place);
    await picture(`narrow-${place.replaceAll('/', '-')}`);
  }
});
