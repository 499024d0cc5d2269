-- Keeps offsets_landed up to events. The functions here cannot throw: a view
-- that fails would leave the rows of an insert in and report it as failed.

CREATE MATERIALIZED VIEW IF NOT EXISTS track.offsets_landed_events
TO track.offsets_landed
AS SELECT kafka_topic, kafka_partition, max(kafka_offset) AS kafka_offset
FROM track.events
GROUP BY kafka_topic, kafka_partition
