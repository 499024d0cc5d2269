-- Events that are not in events on purpose, and why: so none of them is taken
-- for missing. Coordinates and edge, seq as in events.

CREATE TABLE IF NOT EXISTS track.events_skipped
(
    why              LowCardinality(String) COMMENT 'duplicate, expired, erased, suppressed',
    event_type       LowCardinality(String),
    event_id         UUID,
    event_date       Date,
    edge             LowCardinality(String),
    seq              UInt64,
    kafka_topic      LowCardinality(String),
    kafka_partition  UInt32,
    kafka_offset     UInt64,
    kafka_time       DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_date)
ORDER BY (kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 100000
