// What became of an event, and how it is read from the server's answer.  Pure.
//
// An answer counts as "accepted" only when it is one that the tracking endpoint
// gives: a 200 with somebody else's page in it proves nothing.

import type { EventErrorCode, RequestErrorCode } from './error-codes.js';

/** One thing that is wrong with an event. */
export interface EventError {
  code: EventErrorCode;
  /** The field it is about; absent when it is about the whole event. */
  field?: string;
  message: string;
}

/** Codes of failures that no server named. */
export type LocalErrorCode =
  | 'not_serializable'
  | 'network'
  | 'timeout'
  | 'unexpected_answer';

/** Why it is not known, or not so, that the event was taken. */
export interface RequestError {
  code: RequestErrorCode | LocalErrorCode;
  message: string;
}

/** What became of one event. */
export interface Verdict {
  event_id: string;
  /**
   * accepted: it is safe.  rejected: the server read it and refuses it; errors
   * tells why.  failed: it did not get through, or the outcome is unknown; error
   * tells why.
   */
  status: 'accepted' | 'rejected' | 'failed';
  errors?: EventError[];
  error?: RequestError;
  /** HTTP status of the answer, if there was one. */
  httpStatus?: number;
}

interface BatchAnswer {
  accepted: number;
  rejected: { index: number; event_id?: string; errors: EventError[] }[];
}

/** The verdict on the only event of a request, from the answer to it. */
export function readAnswer(eventId: string, httpStatus: number, body: string): Verdict {
  if (httpStatus === 204 || httpStatus === 202) {
    return { event_id: eventId, status: 'accepted', httpStatus };
  }

  const answer = parse(body);

  if ((httpStatus === 200 || httpStatus === 422) && isBatchAnswer(answer)) {
    const [refusal] = answer.rejected;

    if (refusal) {
      return { event_id: eventId, status: 'rejected', errors: refusal.errors, httpStatus };
    }
    if (answer.accepted === 1) {
      return { event_id: eventId, status: 'accepted', httpStatus };
    }
  }

  return { ...failure(eventId, requestError(answer, httpStatus)), httpStatus };
}

/** The verdict on an event that did not get through. */
export function failure(eventId: string, error: RequestError): Verdict {
  return { event_id: eventId, status: 'failed', error };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function isBatchAnswer(answer: unknown): answer is BatchAnswer {
  const { accepted, rejected } = (answer ?? {}) as Partial<BatchAnswer>;
  return typeof accepted === 'number' && Array.isArray(rejected);
}

function requestError(answer: unknown, httpStatus: number): RequestError {
  const { error } = (answer ?? {}) as { error?: RequestError };

  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    return { code: error.code, message: error.message };
  }

  return {
    code: 'unexpected_answer',
    message: `the endpoint answered HTTP ${httpStatus}, not as nginx-track does`,
  };
}
