// The codes a server answers with.  Generated from lib/trk_error.h by
// dev/generate-error-codes: change the table there, not this file.

/** Why a whole request was refused. */
export type RequestErrorCode =
  | 'malformed_json'
  | 'invalid_utf8'
  | 'too_deep'
  | 'duplicate_key'
  | 'not_an_event'
  | 'bad_encoding'
  | 'missing_key'
  | 'unknown_key'
  | 'origin_not_allowed'
  | 'request_too_large'
  | 'too_many_events'
  | 'unsupported_media_type'
  | 'no_schema'
  | 'unavailable';

/** What is wrong with one event. */
export type EventErrorCode =
  | 'not_an_object'
  | 'missing_event_type'
  | 'unknown_event_type'
  | 'event_type_disabled'
  | 'event_type_not_allowed'
  | 'event_too_large'
  | 'bad_timestamp'
  | 'bad_event_id'
  | 'bad_context'
  | 'unknown_property'
  | 'missing_field'
  | 'unknown_field'
  | 'wrong_type'
  | 'not_in_enum'
  | 'too_small'
  | 'too_large'
  | 'too_short'
  | 'too_long'
  | 'pattern_mismatch'
  | 'format_mismatch';
