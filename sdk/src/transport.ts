// One POST, one answer.  Never throws: whatever goes wrong is a verdict.

import { failure, readAnswer, type Verdict } from './verdict.js';

/** No promise of ours stays open longer (ms). */
const TIMEOUT = 30_000;

/**
 * Browsers let all keepalive requests of a page together carry 64 KiB; what is
 * beyond fails at once.  So keepalive is asked for only while our own fit.
 */
const KEEPALIVE_BYTES = 60_000;

let keptAlive = 0;

/** Sends a body with one event; keepalive lets it outlive the page. */
export async function post(endpoint: string, eventId: string, body: string): Promise<Verdict> {
  const size = new TextEncoder().encode(body).length;
  const keepalive = keptAlive + size <= KEEPALIVE_BYTES;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT);

  keptAlive += keepalive ? size : 0;

  try {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      credentials: 'omit',
      signal: abort.signal,
      keepalive,
      body,
    });
    return readAnswer(eventId, response.status, await response.text());
  } catch (error) {
    return failure(eventId, abort.signal.aborted
      ? { code: 'timeout', message: `no answer within ${TIMEOUT / 1000} s` }
      : { code: 'network', message: String(error) });
  } finally {
    clearTimeout(timer);
    keptAlive -= keepalive ? size : 0;
  }
}
