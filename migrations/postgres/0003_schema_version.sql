-- The version of the schema: (lineage, number).
--
-- number: one row, counted up once by every transaction that touches event_types
-- or event_fields.  The row is locked by the first such statement, before it
-- changes anything, until COMMIT: so writers follow one another, the order of
-- numbers is the order of commits, and no two writers can deadlock.
--
-- lineage: tells histories apart.  After a restore the numbers of the lost
-- history are given out again to other contents; so the lineage that readers see
-- mixes the stored one with what a restore changes: the cluster's identifier
-- (another cluster), its timeline (point-in-time recovery, failover), the
-- database (CREATE DATABASE ... TEMPLATE, createdb + pg_restore), the table and
-- its file (pg_restore --clean, TRUNCATE + COPY).  A new lineage without need, as
-- VACUUM FULL makes, only costs readers one more look.  What cannot be seen from
-- here is a data folder that was put back as a whole: readers compare contents.
--
-- Readers:  LISTEN track_schema;  then, at every notification and every few
-- seconds:  SELECT lineage, number FROM track_schema_version();  when either
-- differs from what they hold, they read version and contents again in one
-- REPEATABLE READ transaction.  Notifications have no payload: they say "look".

CREATE TABLE IF NOT EXISTS public.schema_version (
    only_row    boolean PRIMARY KEY DEFAULT true,
    lineage     uuid NOT NULL DEFAULT gen_random_uuid(),
    number      bigint NOT NULL DEFAULT 1,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    changed_in  text NOT NULL DEFAULT '',
    CONSTRAINT schema_version_only_row_check CHECK (only_row)
);

INSERT INTO public.schema_version DEFAULT VALUES ON CONFLICT DO NOTHING;


-- Security definer: the control file and the row are not the caller's to read.
-- On a standby the timeline cannot be asked for; readers belong to the primary.

CREATE OR REPLACE FUNCTION public.track_schema_version(
    OUT lineage uuid, OUT number bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT md5(concat_ws('/', v.lineage, c.system_identifier,
                         CASE WHEN NOT pg_is_in_recovery()
                         THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
                         d.oid, v.tableoid,
                         pg_relation_filenode(v.tableoid)))::uuid,
           v.number
      FROM schema_version v, pg_control_system() c, pg_database d
     WHERE d.datname = current_database()
$$;


-- changed_in names the transaction that counted, so that its further statements
-- do not.  Lineage belongs to the name: transaction numbers start anew in another
-- cluster.

CREATE OR REPLACE FUNCTION public.track_count_version()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    me  text;
BEGIN
    SELECT concat_ws('/', lineage, pg_current_xact_id()) INTO me
      FROM track_schema_version();

    UPDATE schema_version
       SET number = number + 1, changed_at = now(), changed_in = me
     WHERE changed_in <> me;

    IF FOUND THEN
        PERFORM pg_notify('track_schema', '');
    END IF;

    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER event_types_count_version
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.event_types
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_count_version();

CREATE OR REPLACE TRIGGER event_fields_count_version
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.event_fields
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_count_version();


COMMENT ON TABLE public.schema_version IS
    'One row: the version of event_types and event_fields. Counted by trigger;'
    ' read it by track_schema_version().';
COMMENT ON COLUMN public.schema_version.only_row IS
    'Always true: there is one row.';
COMMENT ON COLUMN public.schema_version.lineage IS
    'Random, made with the table; readers see it mixed with what a restore'
    ' changes.';
COMMENT ON COLUMN public.schema_version.number IS
    'Counted up once by every transaction that touches the schema.';
COMMENT ON COLUMN public.schema_version.changed_at IS
    'When the last such transaction began.';
COMMENT ON COLUMN public.schema_version.changed_in IS
    'The last such transaction: lineage/transaction number.';
COMMENT ON FUNCTION public.track_schema_version() IS
    'The version of the schema: lineage (new after a restore) and number.';
COMMENT ON FUNCTION public.track_count_version() IS
    'Trigger: counts the version once a transaction and notifies track_schema.';
