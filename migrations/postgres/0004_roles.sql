-- The roles that programs log in with: track_reader (nginx), track_loader.
--
-- They may read the schema and its version, and nothing else.  They have no
-- password here: give them one (ALTER ROLE ... PASSWORD) or let pg_hba.conf say
-- how they log in.  Roles belong to the whole cluster; those that exist are kept
-- as they are.

DO $$
DECLARE
    wanted  text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['track_reader', 'track_loader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO track_reader, track_loader;

GRANT SELECT ON public.event_types, public.event_fields, public.field_types,
                public.schema_version
    TO track_reader, track_loader;

REVOKE EXECUTE ON FUNCTION public.track_schema_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.track_schema_version()
    TO track_reader, track_loader;

COMMENT ON ROLE track_reader IS 'nginx-track: nginx reads the schema with it';
COMMENT ON ROLE track_loader IS 'nginx-track: the loader reads the schema with it';
