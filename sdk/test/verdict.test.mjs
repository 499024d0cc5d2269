// What trackEvent's promise tells for each answer a server, or the lack of one,
// can give.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, collector, freshSdk } from './server.mjs';

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const WRONG = [{ code: 'wrong_type', field: 'price', message: 'must be a number' },
  { code: 'missing_event_type', message: 'event_type is missing' }];

async function verdictOf(reply) {
  const { init, trackEvent } = await freshSdk();
  const server = await collector(reply);
  try {
    init({ endpoint: server.url });
    return await trackEvent('purchase', { price: 'x' });
  } finally {
    await server.stop();
  }
}

function rejectedBy(status) {
  return (_request, body, response) => answer(status, {
    accepted: 0,
    rejected: [{ index: 0, event_id: JSON.parse(body).event_id, errors: WRONG }],
  })(_request, body, response);
}

for (const status of [204, 202]) {
  test(`${status}: accepted`, async () => {
    const verdict = await verdictOf(answer(status));
    assert.match(verdict.event_id, UUID7);
    assert.deepEqual(verdict, { event_id: verdict.event_id, status: 'accepted', httpStatus: status });
  });
}

for (const status of [422, 200]) {
  test(`${status} that names the event: rejected, with every error`, async () => {
    const verdict = await verdictOf(rejectedBy(status));
    assert.deepEqual(verdict,
      { event_id: verdict.event_id, status: 'rejected', errors: WRONG, httpStatus: status });
  });
}

test('200 that names no event: accepted', async () => {
  const verdict = await verdictOf(answer(200, { accepted: 1, rejected: [] }));
  assert.equal(verdict.status, 'accepted');
});

test('an error of the whole request: failed, with the server\'s code', async () => {
  for (const [status, code] of [[400, 'malformed_json'], [413, 'request_too_large'],
    [415, 'unsupported_media_type'], [503, 'unavailable']]) {
    const error = { code, message: 'told by the server' };
    const verdict = await verdictOf(answer(status, { error: { ...error, offset: 3 } }));
    assert.deepEqual(verdict,
      { event_id: verdict.event_id, status: 'failed', error, httpStatus: status });
  }
});

test('an answer that is not nginx-track\'s never counts as accepted', async () => {
  for (const [status, body] of [[200, '<html>welcome</html>'], [200, '{}'], [200, 'null'], [200, ''],
    [200, '{"accepted":0,"rejected":[]}'], [201, ''], [206, '{"accepted":1,"rejected":[]}'],
    [404, '<html>'], [429, ''], [500, '[]'], [502, '{"error":"text"}'], [422, '{"rejected":[]}']]) {
    const verdict = await verdictOf(answer(status, body));
    assert.equal(verdict.status, 'failed', `${status} ${body}`);
    assert.equal(verdict.error.code, 'unexpected_answer', `${status} ${body}`);
    assert.equal(verdict.httpStatus, status);
  }
});

test('no server: failed', async () => {
  const { init, trackEvent } = await freshSdk();
  const server = await collector(answer(204));
  init({ endpoint: server.url });
  await server.stop();
  const verdict = await trackEvent('page_view');
  assert.equal(verdict.status, 'failed');
  assert.equal(verdict.error.code, 'network');
  assert.equal(verdict.httpStatus, undefined);
});

test('connection cut in the middle of the answer: failed', async () => {
  const verdict = await verdictOf((_request, _body, response) => {
    response.writeHead(200, { 'Content-Length': '1000' });
    response.write('{"accepted":1');
    setTimeout(() => response.destroy(), 20);
  });
  assert.equal(verdict.error.code, 'network');
});

test('no answer: the promise settles after 30 s', async () => {
  const real = globalThis.setTimeout;
  const waits = [];
  globalThis.setTimeout = (callback, wait) => { waits.push(wait); return real(callback, wait / 500); };
  try {
    const verdict = await verdictOf(() => {});
    assert.equal(verdict.status, 'failed');
    assert.equal(verdict.error.code, 'timeout');
    assert.ok(waits.includes(30_000));
  } finally {
    globalThis.setTimeout = real;
  }
});

test('what JSON cannot hold, and what throws: failed, never an exception', async () => {
  const { trackEvent } = await freshSdk();
  const cycle = {};
  cycle.self = cycle;

  for (const fields of [{ cycle }, { big: 1n }, { get boom() { throw new Error('boom'); } },
    { toJSON() { throw new Error('boom'); } }]) {
    const verdict = await trackEvent('page_view', fields);
    assert.equal(verdict.status, 'failed');
    assert.equal(verdict.error.code, 'not_serializable');
    assert.match(verdict.event_id, UUID7);
  }
});

test('a page that broke fetch: failed, never an exception', async () => {
  const real = globalThis.fetch;
  try {
    for (const broken of [() => { throw new Error('blocked'); }, undefined, () => undefined]) {
      globalThis.fetch = broken;
      const { trackEvent } = await freshSdk();
      const verdict = await trackEvent('page_view');
      assert.equal(verdict.status, 'failed');
      assert.equal(verdict.error.code, 'network');
    }
  } finally {
    globalThis.fetch = real;
  }
});
