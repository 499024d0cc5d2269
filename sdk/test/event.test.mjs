// What trackEvent sends: the members of the event, ids, session, context, and how
// the request is made.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, collector, freshSdk } from './server.mjs';

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const KEY = 'track.session';

async function sent(work) {
  const sdk = await freshSdk();
  const server = await collector(answer(204));
  try {
    sdk.init({ endpoint: server.url });
    await work(sdk);
    return server.seen.map((request) => ({ ...request, event: JSON.parse(request.body) }));
  } finally {
    await server.stop();
  }
}

function withGlobals(globals, work) {
  const before = Object.entries(globals).map(([name]) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  for (const [name, get] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { configurable: true, get });
  }
  return work().finally(() => {
    for (const [name, descriptor] of before) {
      delete globalThis[name];
      if (descriptor) {
        Object.defineProperty(globalThis, name, descriptor);
      }
    }
  });
}

function storage(entries = {}) {
  const map = new Map(Object.entries(entries));
  return { getItem: (key) => map.get(key) ?? null, setItem: (key, value) => map.set(key, value), map };
}

test('one POST with the event as the endpoint takes it', async () => {
  const before = Date.now();
  const fields = { button_name: 'submit', n: 3, price: 9.5, ok: true, tags: ['a', 'ü'], nested: { deep: [1] },
    none: null, missing: undefined, at: new Date(0) };
  const [request, ...more] = await sent(({ trackEvent }) => trackEvent('button_click', fields));
  const { event } = request;

  assert.equal(more.length, 0);
  assert.equal(request.method, 'POST');
  assert.equal(request.url, '/track');
  assert.equal(request.headers['content-type'], 'application/json');
  assert.deepEqual(Object.keys(event).sort(),
    ['context', 'event_id', 'event_type', 'fields', 'session_id', 'timestamp']);
  assert.equal(event.event_type, 'button_click');
  assert.match(event.event_id, UUID7);
  assert.match(event.session_id, UUID7);
  assert.match(event.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Date.parse(event.timestamp) >= before && Date.parse(event.timestamp) <= Date.now());
  assert.deepEqual(event.fields, { button_name: 'submit', n: 3, price: 9.5, ok: true, tags: ['a', 'ü'],
    nested: { deep: [1] }, none: null, at: '1970-01-01T00:00:00.000Z' });
});

test('fields may be left out', async () => {
  const [{ event }] = await sent(({ trackEvent }) => trackEvent('page_view'));
  assert.deepEqual(event.fields, {});
});

test('event ids are UUIDv7 of the time of the call, and none comes twice', async () => {
  const requests = await sent(async ({ trackEvent }) => {
    await Promise.all(Array.from({ length: 200 }, () => trackEvent('page_view')));
  });
  const ids = requests.map(({ event }) => event.event_id);
  assert.equal(new Set(ids).size, 200);
  for (const { event } of requests) {
    const milliseconds = Number.parseInt(event.event_id.replaceAll('-', '').slice(0, 12), 16);
    assert.equal(milliseconds, Date.parse(event.timestamp));
  }
});

test('the verdict has the event_id that was sent', async () => {
  let verdict;
  const [{ event }] = await sent(async ({ trackEvent }) => { verdict = await trackEvent('page_view'); });
  assert.equal(verdict.event_id, event.event_id);
});

test('context: strings only, what a server has not got is left out', async () => {
  const [{ event }] = await sent(({ trackEvent }) => trackEvent('page_view'));
  assert.match(event.context.sdk, /^nginx-track\/\d+\.\d+\.\d+$/);
  assert.ok(Object.values(event.context).every((value) => typeof value === 'string' && value !== ''));
  assert.ok(!('page_url' in event.context) && !('screen' in event.context));
});

test('context: read from the page for every event', async () => {
  const page = { title: 'First', referrer: '' };
  const requests = await withGlobals({
    document: () => page,
    location: () => ({ href: 'http://shop.example/p?x=1#y' }),
    navigator: () => ({ language: 'zh-TW' }),
    screen: () => ({ width: 1920, height: 1080 }),
    innerWidth: () => 800,
    innerHeight: () => 600,
  }, () => sent(async ({ trackEvent }) => {
    await trackEvent('page_view');
    page.title = 'Second';
    page.referrer = 'http://elsewhere.example/';
    await trackEvent('page_view');
  }));

  const [first, second] = requests.map(({ event }) => event.context);
  assert.equal(first.page_url, 'http://shop.example/p?x=1#y');
  assert.equal(first.page_title, 'First');
  assert.equal(first.locale, 'zh-TW');
  assert.equal(first.screen, '1920x1080');
  assert.equal(first.viewport, '800x600');
  assert.ok(first.timezone);
  assert.ok(!('referrer' in first));
  assert.equal(second.page_title, 'Second');
  assert.equal(second.referrer, 'http://elsewhere.example/');
});

test('session id: the same for all events of a page', async () => {
  const requests = await sent(async ({ trackEvent }) => {
    await trackEvent('page_view');
    await trackEvent('page_view');
  });
  assert.equal(requests[0].event.session_id, requests[1].event.session_id);
});

test('session id: kept in sessionStorage for the next page', async () => {
  const tab = storage();
  await withGlobals({ sessionStorage: () => tab }, async () => {
    const [first] = await sent(({ trackEvent }) => trackEvent('page_view'));
    const [second] = await sent(({ trackEvent }) => trackEvent('page_view'));
    assert.equal(first.event.session_id, second.event.session_id);
    assert.equal(tab.map.get(KEY), first.event.session_id);
  });
});

test('session id: what is not a UUID in storage is replaced', async () => {
  const tab = storage({ [KEY]: 'undefined' });
  await withGlobals({ sessionStorage: () => tab }, async () => {
    const [{ event }] = await sent(({ trackEvent }) => trackEvent('page_view'));
    assert.match(event.session_id, UUID7);
    assert.equal(tab.map.get(KEY), event.session_id);
  });
});

test('session id: storage that throws leaves it in memory', async () => {
  const full = { getItem: () => null, setItem: () => { throw new Error('QuotaExceededError'); } };
  for (const blocked of [() => { throw new Error('SecurityError'); }, () => null, () => full]) {
    await withGlobals({ sessionStorage: blocked }, async () => {
      const requests = await sent(async ({ trackEvent }) => {
        await trackEvent('page_view');
        await trackEvent('page_view');
      });
      assert.match(requests[0].event.session_id, UUID7);
      assert.equal(requests[0].event.session_id, requests[1].event.session_id);
    });
  }
});

test('keepalive only while the requests in flight fit into what browsers allow', async () => {
  const real = globalThis.fetch;
  const asked = [];
  globalThis.fetch = (url, options) => { asked.push(options.keepalive); return real(url, options); };
  try {
    await sent(async ({ trackEvent }) => {
      const text = 'é'.repeat(12_500);   // 25,000 bytes
      await Promise.all([1, 2, 3].map(() => trackEvent('page_view', { text })));
      await trackEvent('page_view', { text });
      await trackEvent('page_view', { text: 'x'.repeat(70_000) });
      await trackEvent('page_view');
    });
    assert.deepEqual(asked, [true, true, false, true, false, true]);
  } finally {
    globalThis.fetch = real;
  }
});

test('no cookies are sent, and no header that would need a preflight on one origin', async () => {
  const real = globalThis.fetch;
  let options;
  globalThis.fetch = (url, given) => { options = given; return real(url, given); };
  try {
    await sent(({ trackEvent }) => trackEvent('page_view'));
    assert.equal(options.credentials, 'omit');
    assert.deepEqual(options.headers, { 'Content-Type': 'application/json' });
  } finally {
    globalThis.fetch = real;
  }
});
