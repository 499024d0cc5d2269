-- One field name, one data type, across all event types and for ever.
--
-- The warehouse is one wide table: field "amount" is its column f_amount, which
-- cannot be a number for one event type and text for another, nor change later.
-- field_types remembers the type of every name that was ever defined; it is
-- filled by the trigger below and not emptied when a field is deleted.
--
-- An import of 200,000 rows is compared in one query.  It looks every name up in
-- the index: a join was tried, and with statistics from when the tables were
-- small the planner chose nested loops that took minutes; for the same reason
-- sequential scans are off in the function.
--
-- Two transactions that define one name with two types at once: the second waits
-- in INSERT ... ON CONFLICT until the first has ended, and then compares.

CREATE TABLE IF NOT EXISTS public.field_types (
    name       text COLLATE "C" PRIMARY KEY,
    data_type  text NOT NULL
);


CREATE OR REPLACE FUNCTION public.track_claim_field_types()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    bad  record;
BEGIN
    INSERT INTO field_types (name, data_type)
    SELECT DISTINCT name COLLATE "C", data_type FROM changed ORDER BY 1
    ON CONFLICT (name) DO NOTHING;

    SELECT * INTO bad
      FROM (SELECT c.name, c.data_type AS wanted, c.event_type_id,
                   (SELECT f.data_type FROM field_types f
                     WHERE f.name = c.name) AS has
              FROM changed c) AS claim
     WHERE has <> wanted ORDER BY name COLLATE "C", event_type_id LIMIT 1;

    IF FOUND THEN
        RAISE check_violation USING
            MESSAGE = format('field "%s" of event type "%s" cannot be %s:'
                             ' "%s" is %s', bad.name,
                             (SELECT t.name FROM event_types t
                               WHERE t.id = bad.event_type_id),
                             bad.wanted, bad.name, bad.has),
            DETAIL = 'A field name has one data type across all event types,'
                     ' for ever: it is one column of the warehouse.',
            HINT = format('Use data_type ''%s'', or give the field another'
                          ' name.', bad.has),
            TABLE = 'event_fields', COLUMN = 'data_type',
            CONSTRAINT = 'field_types';
    END IF;

    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER event_fields_claim_inserted
    AFTER INSERT ON public.event_fields
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_claim_field_types();

CREATE OR REPLACE TRIGGER event_fields_claim_updated
    AFTER UPDATE ON public.event_fields
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_claim_field_types();


-- Fields that stood here before this file: the trigger claims their names.

DO $$
BEGIN
    IF EXISTS (SELECT FROM public.event_fields
                WHERE name NOT IN (SELECT name FROM public.field_types))
    THEN
        UPDATE public.event_fields SET data_type = data_type;
    END IF;
END
$$;


COMMENT ON TABLE public.field_types IS
    'The data type of every field name that was ever defined. Filled by'
    ' trigger; rows are not for editing.';
COMMENT ON COLUMN public.field_types.name IS
    'Field name, compared bytewise; column f_<name> of the warehouse.';
COMMENT ON COLUMN public.field_types.data_type IS
    'Its data type in every event type, as in event_fields.data_type.';
COMMENT ON FUNCTION public.track_claim_field_types() IS
    'Trigger: enters names of fields into field_types, refuses a second type.';
