#!/usr/bin/env node
// dev/shop/visit.mjs: one visit to the shop in a real browser.
//
// Walks from the collection to an order as a person would, with the mouse and the
// keyboard; what it looks at and buys depends on --seed, but every
// event type of schema.sql occurs.  Prints one JSON line for
// each verdict the page was told.  Starts Debian's Chromium with a profile of its
// own, removed at the end, and gives up after a minute.

import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const USAGE = `usage: dev/shop/visit.mjs --url URL [--seed N]

One visit to the shop at URL in headless Chromium. Prints a JSON line for each
event: event_id, event_type, status, session_id, fields. Ends with 0 if all
events were accepted, else with 1 and a sentence on standard error.`;

const CHROMIUM = '/usr/bin/chromium';
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const STEP = 10_000;      // ms, for each step of the visit
const WHOLE = 60_000;     // ms, for all of it

/** Same seed, same visit: numbers in [0, 1). */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Keeps what the page sent and what it was told, by event_id. */
class Record {
  sent = new Map();
  lines = [];

  async watch(page) {
    page.on('request', (request) => {
      if (request.method() === 'POST') {
        const event = JSON.parse(request.postData() ?? '{}');
        this.sent.set(event.event_id, event);
      }
    });
    await page.exposeFunction('visitVerdict', (told) => this.told(told));
    await page.addInitScript(() => {
      document.addEventListener('shop:verdict', ({ detail }) => window.visitVerdict(detail));
    });
  }

  told({ event_type, verdict }) {
    const { event_id, status, errors, error } = verdict;
    const { session_id, fields } = this.sent.get(event_id) ?? {};
    const line = { event_id, event_type, status, session_id, fields, errors, error };
    this.lines.push(line);
    console.log(JSON.stringify(line));
  }

  async settled(page) {
    await page.locator('.badge.waiting').first().waitFor({ state: 'detached', timeout: WHOLE });
    const end = Date.now() + STEP;
    while (this.lines.length < this.sent.size && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (this.lines.length !== this.sent.size) {
      throw new Error(`${this.sent.size} events were sent, ${this.lines.length} verdicts came`);
    }
  }
}

async function lookAndBuy(page, next) {
  const cards = page.locator('.card:not(:has(.muted))');
  await cards.nth(Math.floor(next() * await cards.count())).click();
  await page.getByRole('button', { name: 'Add to cart' }).waitFor();

  for (let more = Math.floor(next() * 3); more > 0; more--) {
    await page.getByRole('button', { name: 'One more' }).click();
  }

  await page.getByRole('button', { name: 'Add to cart' }).click();
  await page.locator('#added:not(:empty)').waitFor();
}

async function visit(page, url, next) {
  await page.goto(url, { timeout: STEP });
  await page.locator('.card').first().waitFor();

  await page.getByRole('button', { name: ['To drink', 'To eat'][Math.floor(next() * 2)] }).click();

  for (let rounds = 1 + Math.floor(next() * 2); rounds > 0; rounds--) {
    await lookAndBuy(page, next);
    await page.getByRole('link', { name: 'Collection' }).first().click();
    await page.locator('.hero').waitFor();
  }

  await page.getByRole('link', { name: /^Cart/ }).click();
  await page.getByRole('link', { name: 'Check out' }).click();
  await page.getByLabel('Name').fill('Ada Lovelace');
  await page.getByLabel('Address').fill('12 St James Square');
  if (next() < 0.5) {
    await page.getByLabel('Gift wrap').check();
  }
  await page.getByRole('button', { name: 'Place order' }).click();
  await page.getByRole('heading', { name: 'Thank you.' }).waitFor();
}

async function run(url, seed) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, chromiumSandbox: false, timeout: 2 * STEP });
  try {
    const page = await browser.newPage({ locale: 'en-GB', viewport: { width: 1280, height: 800 } });
    const record = new Record();
    page.setDefaultTimeout(STEP);
    await record.watch(page);
    await visit(page, url, random(seed));
    await record.settled(page);
    return record.lines;
  } finally {
    await browser.close();
  }
}

function fail(sentence) {
  console.error(`visit: ${sentence}`);
  process.exit(1);
}

function options() {
  try {
    return parseArgs({ options: { url: { type: 'string' }, seed: { type: 'string', default: '1' }, help: { type: 'boolean' } } }).values;
  } catch (error) {
    return fail(error.message);
  }
}

const { url, seed, help } = options();

if (help) {
  console.log(USAGE);
  process.exit(0);
}
if (!url || !/^\d+$/.test(seed)) {
  console.error(USAGE);
  process.exit(2);
}

setTimeout(() => fail(`the visit to ${url} took more than ${WHOLE / 1000} s`), WHOLE).unref();

try {
  const lines = await run(url, Number(seed));
  const wrong = lines.filter(({ status }) => status !== 'accepted');
  if (wrong.length > 0) {
    fail(`${wrong.length} of ${lines.length} events were not accepted, the first one: ${JSON.stringify(wrong[0])}`);
  }
} catch (error) {
  fail(`at ${url}: ${String(error.message ?? error).split('\n')[0]}`);
}
