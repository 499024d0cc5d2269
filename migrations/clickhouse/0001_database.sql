-- The database of everything.
--
-- Files of this folder hold one statement each, may be run again, and are
-- applied in the order of their names: by `track-loader migrate`, or by hand:
--
--   for f in migrations/clickhouse/*.sql; do
--       curl -sS --fail-with-body "$CLICKHOUSE_URL/?wait_end_of_query=1" --data-binary "@$f" || break
--   done
--
-- Both ways may be mixed: `track-loader migrate` runs a file that was applied
-- by hand once more, which changes nothing, and enters it in
-- schema_migrations. Supported servers: ClickHouse 23.8 and later.

CREATE DATABASE IF NOT EXISTS track
