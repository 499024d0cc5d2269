#!/usr/bin/env node
// t/lib/page.mjs URL: opens a page in Debian's Chromium, runs the function body on
// standard input in it, and prints what that returns as JSON.  Profile and browser
// are gone afterwards; it gives up after a minute.

import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [url] = process.argv.slice(2);
const script = readFileSync(0, 'utf8');
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

setTimeout(() => {
  console.error(`page: ${url} took more than a minute`);
  process.exit(1);
}, 60_000).unref();

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS, chromiumSandbox: false });
try {
  const page = await browser.newPage();
  await page.goto(url);
  const result = await page.evaluate((body) => new Function(`return (async () => { ${body} })()`)(), script);
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
