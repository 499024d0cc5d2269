-- The two tables a DBA edits: event types and the fields of each.
--
-- Applied by `track-loader migrate`, or by hand: psql -1 -v ON_ERROR_STOP=1 -f FILE.
-- Additive: tables that already exist in their first form (without the
-- columns added below) are kept with their rows.  May be run again.
--
-- The rules for names and types stand in CHECK constraints, so a wrong row
-- cannot be stored by any statement.  A plain CHECK only tells the name of the
-- constraint; here a failing one calls a function that raises the reason and a
-- hint.  The good case stays in plain SQL: 200,000 rows cost a second or two.

DO $$
BEGIN
    IF current_setting('server_version_num')::int < 140000 THEN
        RAISE EXCEPTION 'PostgreSQL % is too old for nginx-track',
                        current_setting('server_version')
        USING HINT = 'Use PostgreSQL 14 or later.';
    END IF;

    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'database "%" has encoding %, nginx-track needs UTF8',
                        current_database(), getdatabaseencoding()
        USING HINT = 'Make another one: CREATE DATABASE track ENCODING ''UTF8'''
                     ' TEMPLATE template0;';
    END IF;
END
$$;


CREATE TABLE IF NOT EXISTS public.event_types (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text COLLATE "C" NOT NULL UNIQUE,
    description  text,
    created_at   timestamptz DEFAULT now()
);

ALTER TABLE public.event_types
    ADD COLUMN IF NOT EXISTS enabled boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS additional_fields text NOT NULL DEFAULT 'reject',
    ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

CREATE TABLE IF NOT EXISTS public.event_fields (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_type_id  uuid NOT NULL
                   REFERENCES public.event_types (id) ON DELETE CASCADE,
    name           text COLLATE "C" NOT NULL,
    data_type      text NOT NULL,
    required       boolean DEFAULT false,
    created_at     timestamptz DEFAULT now()
);

ALTER TABLE public.event_fields
    ADD COLUMN IF NOT EXISTS description text,
    ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now();

CREATE UNIQUE INDEX IF NOT EXISTS event_fields_event_type_id_name_key
    ON public.event_fields (event_type_id, name);


-- What is wrong with an event type's name; never returns.

CREATE OR REPLACE FUNCTION public.track_refuse_event_type_name(name text)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reason  text;
    advice  text;
BEGIN
    IF name = '' THEN
        reason := 'an event type name must not be empty';
        advice := 'Give it a name such as ''page_view''.';

    ELSIF octet_length(name) > 128 THEN
        reason := format('event type name "%s..." has %s bytes, 128 are allowed',
                         left(name, 40), octet_length(name));
        advice := 'Shorten it; put the long form into description.';

    ELSIF name COLLATE "C" ~ '[\u0001-\u001F\u007F-\u009F]' THEN
        reason := format('event type name %s contains a control character',
                         to_json(name));
        advice := 'Remove tabs, line ends and other control characters.';

    ELSE
        reason := format('event type name "%s" is not in Unicode'
                         ' normalization form NFC', name);
        advice := format('Write it as normalize(%L, NFC): the same letters'
                         ' must always be the same bytes.', name);
    END IF;

    RAISE check_violation USING MESSAGE = reason, HINT = advice,
        TABLE = 'event_types', COLUMN = 'name',
        CONSTRAINT = 'event_types_name_check';
END
$$;


CREATE OR REPLACE FUNCTION public.track_refuse_additional_fields(value text)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE check_violation USING
        MESSAGE = format('additional_fields cannot be "%s"', left(value, 40)),
        HINT = 'What happens to fields that are not defined: ''reject'' the'
               ' event, ''drop'' them, or ''keep'' them in the warehouse''s'
               ' fields_extra.',
        TABLE = 'event_types', COLUMN = 'additional_fields',
        CONSTRAINT = 'event_types_additional_fields_check';
END
$$;


CREATE OR REPLACE FUNCTION public.track_refuse_field_name(name text)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reason  text;
    advice  text;
BEGIN
    IF name IN ('__proto__', 'constructor', 'prototype') THEN
        reason := format('field name "%s" is reserved', name);
        advice := 'JavaScript gives this name a meaning of its own;'
                  ' use another one.';

    ELSIF name = '' THEN
        reason := 'a field name must not be empty';
        advice := 'Give it a name such as ''button_name''.';

    ELSIF octet_length(name) > 63 THEN
        reason := format('field name "%s..." has %s bytes, 63 are allowed',
                         left(name, 40), octet_length(name));
        advice := 'It becomes a column of the warehouse; shorten it and put'
                  ' the long form into description.';

    ELSE
        reason := format('field name %s is not an identifier', to_json(name));
        advice := 'Use ASCII letters, digits and "_" only, and no digit first:'
                  ' it becomes a column of the warehouse.';
    END IF;

    RAISE check_violation USING MESSAGE = reason, HINT = advice,
        TABLE = 'event_fields', COLUMN = 'name',
        CONSTRAINT = 'event_fields_name_check';
END
$$;


CREATE OR REPLACE FUNCTION public.track_refuse_data_type(data_type text)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said   text := btrim(lower(data_type));
    meant  text;
BEGIN
    meant := CASE
        WHEN said ~ '(\[\]$|^array|^list)'                  THEN 'string[]'
        WHEN said ~ '^(string|str|text|varchar|char|uuid)'  THEN 'string'
        WHEN said ~ '^(big|small|tiny|u)?(int|serial|long)' THEN 'int'
        WHEN said ~ '^(float|double|real|num|decimal)'      THEN 'float'
        WHEN said ~ '^bool'                                 THEN 'bool'
        WHEN said ~ '^(timestamp|datetime|date|time)'       THEN 'timestamp'
        WHEN said ~ '^(json|object|map)'                    THEN 'json'
    END;

    RAISE check_violation USING
        MESSAGE = format('unknown data_type "%s"', left(data_type, 40)),
        HINT = coalesce('Did you mean ''' || meant || '''? ', '') ||
               'There are: string, int, float, bool, timestamp, string[],'
                  ' json.',
        TABLE = 'event_fields', COLUMN = 'data_type',
        CONSTRAINT = 'event_fields_data_type_check';
END
$$;


-- CASE, not OR: only CASE promises that the second part is not evaluated.

ALTER TABLE public.event_types
    DROP CONSTRAINT IF EXISTS event_types_name_check,
    ADD CONSTRAINT event_types_name_check CHECK (
        CASE WHEN octet_length(name) BETWEEN 1 AND 128
                  AND name COLLATE "C" !~ '[\u0001-\u001F\u007F-\u009F]'
                  AND name IS NFC NORMALIZED
             THEN true ELSE public.track_refuse_event_type_name(name) END),
    DROP CONSTRAINT IF EXISTS event_types_additional_fields_check,
    ADD CONSTRAINT event_types_additional_fields_check CHECK (
        CASE WHEN additional_fields IN ('reject', 'drop', 'keep')
             THEN true
             ELSE public.track_refuse_additional_fields(additional_fields) END);

ALTER TABLE public.event_fields
    DROP CONSTRAINT IF EXISTS event_fields_name_check,
    ADD CONSTRAINT event_fields_name_check CHECK (
        CASE WHEN octet_length(name) <= 63
                  AND name COLLATE "C" ~ '^[A-Za-z_][A-Za-z0-9_]*$'
                  AND name NOT IN ('__proto__', 'constructor', 'prototype')
             THEN true ELSE public.track_refuse_field_name(name) END),
    DROP CONSTRAINT IF EXISTS event_fields_data_type_check,
    ADD CONSTRAINT event_fields_data_type_check CHECK (
        CASE WHEN data_type IN ('string', 'int', 'float', 'bool', 'timestamp',
                                'string[]', 'json')
             THEN true ELSE public.track_refuse_data_type(data_type) END);


CREATE OR REPLACE FUNCTION public.track_touch()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER event_types_touch
    BEFORE UPDATE ON public.event_types
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION public.track_touch();

CREATE OR REPLACE TRIGGER event_fields_touch
    BEFORE UPDATE ON public.event_fields
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION public.track_touch();


COMMENT ON TABLE public.event_types IS
    'Event types that nginx accepts. INSERT, UPDATE and DELETE take effect in'
    ' every nginx worker within milliseconds of COMMIT.';
COMMENT ON COLUMN public.event_types.id IS
    'Set by the database.';
COMMENT ON COLUMN public.event_types.name IS
    'What clients send as event_type. UTF-8 in form NFC, 1 to 128 bytes, no'
    ' control characters, compared bytewise.';
COMMENT ON COLUMN public.event_types.description IS
    'For people.';
COMMENT ON COLUMN public.event_types.created_at IS
    'When the row was inserted.';
COMMENT ON COLUMN public.event_types.enabled IS
    'false: events of this type are refused with event_type_disabled.';
COMMENT ON COLUMN public.event_types.additional_fields IS
    'Fields that are not defined: reject the event, drop them, or keep them in'
    ' the warehouse''s fields_extra.';
COMMENT ON COLUMN public.event_types.updated_at IS
    'When the row was last changed; set by trigger.';

COMMENT ON TABLE public.event_fields IS
    'Fields of each event type. One field name has one data type across all'
    ' event types, see field_types.';
COMMENT ON COLUMN public.event_fields.id IS
    'Set by the database.';
COMMENT ON COLUMN public.event_fields.event_type_id IS
    'The event type this field belongs to; deleting the type deletes it.';
COMMENT ON COLUMN public.event_fields.name IS
    'Member of "fields" in the event and, as f_<name>, column of the'
    ' warehouse: [A-Za-z_][A-Za-z0-9_]{0,62}, compared bytewise.';
COMMENT ON COLUMN public.event_fields.data_type IS
    'string, int (64 bits), float, bool, timestamp, string[] or json.';
COMMENT ON COLUMN public.event_fields.required IS
    'true: events without this field are refused. NULL counts as false.';
COMMENT ON COLUMN public.event_fields.created_at IS
    'When the row was inserted.';
COMMENT ON COLUMN public.event_fields.description IS
    'For people.';
COMMENT ON COLUMN public.event_fields.updated_at IS
    'When the row was last changed; set by trigger.';

COMMENT ON FUNCTION public.track_refuse_event_type_name(text) IS
    'Raises the reason why a value of event_types.name is refused.';
COMMENT ON FUNCTION public.track_refuse_additional_fields(text) IS
    'Raises the reason why a value of event_types.additional_fields is refused.';
COMMENT ON FUNCTION public.track_refuse_field_name(text) IS
    'Raises the reason why a value of event_fields.name is refused.';
COMMENT ON FUNCTION public.track_refuse_data_type(text) IS
    'Raises the reason why a value of event_fields.data_type is refused.';
COMMENT ON FUNCTION public.track_touch() IS
    'Trigger: sets updated_at.';
