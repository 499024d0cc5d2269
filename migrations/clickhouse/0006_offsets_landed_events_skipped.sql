-- Keeps offsets_landed up to events_skipped; see offsets_landed_events.

CREATE MATERIALIZED VIEW IF NOT EXISTS track.offsets_landed_events_skipped
TO track.offsets_landed
AS SELECT kafka_topic, kafka_partition, max(kafka_offset) AS kafka_offset
FROM track.events_skipped
GROUP BY kafka_topic, kafka_partition
