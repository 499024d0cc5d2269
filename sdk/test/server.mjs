// A server for the unit tests: answers every POST as told and keeps what it got.
// Runs in the test's own process, on a free port of the loopback interface.

import { webcrypto } from 'node:crypto';
import { createServer } from 'node:http';

// Browsers have it; Node.js only from version 19 on.
globalThis.crypto ??= webcrypto;

/** Starts it; `answers` holds functions (request, body, response), used in turn, the last for ever. */
export async function collector(...answers) {
  const seen = [];

  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks).toString();
    seen.push({ method: request.method, url: request.url, headers: request.headers, body });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    answer(request, body, response);
  });

  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `http://127.0.0.1:${server.address().port}/track`,
    seen,
    stop: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}

/** An answer with this status and body. */
export function answer(status, body) {
  return (_request, _body, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  };
}

/** A fresh copy of the built SDK, with state of its own. */
export function freshSdk() {
  freshSdk.count = (freshSdk.count ?? 0) + 1;
  return import(`../dist/index.js?copy=${freshSdk.count}`);
}
