// The SDK's public face.  One event, one POST: the event is sent when it happens,
// and the promise tells what became of it.
//
//   trackEvent -> ids, session, context -> transport -> verdict

import { context } from './context.js';
import { uuidv7 } from './ids.js';
import { sessionId } from './session.js';
import { post } from './transport.js';
import { failure, type Verdict } from './verdict.js';

export type { EventErrorCode, RequestErrorCode } from './error-codes.js';
export type { EventError, LocalErrorCode, RequestError, Verdict } from './verdict.js';

/** A value of a field; null and undefined count as absent. */
export type FieldValue = string | number | boolean | null | undefined | Date
  | readonly FieldValue[] | { readonly [name: string]: FieldValue };

/** What event_fields defines for the event type. */
export type Fields = Readonly<Record<string, FieldValue>>;

export interface Options {
  /** Where events go; relative to the page. Default: /track */
  endpoint?: string;
}

let endpoint = '/track';

/** Changes where events go from now on. */
export function init(options: Options): void {
  endpoint = options.endpoint ?? endpoint;
}

/**
 * Sends an event.  The promise always settles (within 30 s), never rejects, and
 * tells this event's own verdict.
 */
export async function trackEvent(eventType: string, fields: Fields = {}): Promise<Verdict> {
  let eventId = '';

  try {
    const now = Date.now();
    eventId = uuidv7(now);
    return await post(endpoint, eventId, JSON.stringify({
      event_type: eventType,
      event_id: eventId,
      timestamp: new Date(now).toISOString(),
      session_id: sessionId(),
      fields,
      context: context(),
    }));
  } catch (error) {
    // A value that JSON cannot hold (a cycle, a BigInt), or a getter that throws.
    return failure(eventId, { code: 'not_serializable', message: String(error) });
  }
}
