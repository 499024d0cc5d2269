// The built script of a page, run in a context of its own as a browser would.

import assert from 'node:assert/strict';
import { webcrypto as crypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';

const source = readFileSync(new URL('../dist/track.js', import.meta.url), 'utf8');

/** Runs the script as part of a page; returns that page's globals and the URLs fetched. */
function page(baseURI, attributes) {
  const urls = [];
  const script = attributes && { getAttribute: (name) => attributes[name] ?? null };
  const globals = {
    document: { baseURI, currentScript: script ?? null },
    crypto, URL, AbortController, TextEncoder, setTimeout, clearTimeout,
    fetch: async (url) => { urls.push(url); return new Response(null, { status: 204 }); },
  };
  globals.window = globals;
  runInContext(source, createContext(globals));
  return { globals, urls };
}

async function endpointOf(baseURI, attributes) {
  const { globals, urls } = page(baseURI, attributes);
  assert.equal((await globals.trackEvent('page_view')).status, 'accepted');
  return urls[0];
}

test('events go to /track of the script\'s origin', async () => {
  const base = 'http://shop.example/deep/page.html';
  assert.equal(await endpointOf(base, { src: '/track.js' }), 'http://shop.example/track');
  assert.equal(await endpointOf(base, { src: 'lib/track.js?v=2' }), 'http://shop.example/track');
  assert.equal(await endpointOf(base, { src: 'https://events.example:8443/x/track.js' }),
    'https://events.example:8443/track');
});

test('data-endpoint says otherwise', async () => {
  const base = 'http://shop.example/deep/page.html';
  assert.equal(await endpointOf(base, { src: '/track.js', 'data-endpoint': '/collect' }), 'http://shop.example/collect');
  assert.equal(await endpointOf(base, { src: '/track.js', 'data-endpoint': 'https://other.example/t' }),
    'https://other.example/t');
});

test('inlined or bundled, without a src: the page\'s own /track', async () => {
  assert.equal(await endpointOf('http://shop.example/a/b', {}), 'http://shop.example/track');
  assert.equal(await endpointOf('http://shop.example/a/b', undefined), 'http://shop.example/track');
});

test('a page without a usable URL: defined all the same', async () => {
  assert.equal(await endpointOf('about:blank', {}), '/track');
});

test('adds one name to the page', () => {
  const { globals } = page('http://shop.example/', { src: '/track.js' });
  const before = ['document', 'crypto', 'URL', 'AbortController', 'TextEncoder', 'setTimeout', 'clearTimeout',
    'fetch', 'window'];
  assert.deepEqual(Object.keys(globals).filter((name) => !before.includes(name)), ['trackEvent']);
});

test('the script stays small: at most 2,000 bytes gzipped', () => {
  const size = gzipSync(source, { level: 9 }).length;
  assert.ok(size <= 2000, `${size} bytes`);
});
