-- One row for each event. Typed columns f_<name> for the fields that DBAs
-- define are added by the loader; columns are only ever added.
--
-- MergeTree, and no engine that removes rows by itself: what was inserted
-- stays, so that what is missing can be seen. One partition a day: an insert
-- of one day's rows is atomic. The window keeps the tokens of the last 100,000
-- inserts: a block that is sent again is dropped. kafka_offset has an index
-- because the loader asks which offsets of a range stand here. Compact parts:
-- with this many columns they cost a third of wide ones on insert.

CREATE TABLE IF NOT EXISTS track.events
(
    event_type           LowCardinality(String),
    event_id             UUID COMMENT 'sent by the client and kept across its retries, else given by the server',
    event_date           Date COMMENT 'UTC date of event_time',
    event_time           DateTime64(3, 'UTC') COMMENT 'when it happened: the event''s timestamp, unless event_time_replaced',
    event_time_replaced  Bool COMMENT 'timestamp was more than 30 days before or 1 hour after received_at (kafka_time where that is absent), which is event_time instead',
    received_at          DateTime64(3, 'UTC') COMMENT 'when nginx received it; 1970-01-01 if the record does not say',
    sent_at              DateTime64(3, 'UTC') COMMENT 'when the client sent it, by its own clock; 1970-01-01 if it did not say',
    user_id              String,
    session_id           String,
    anonymous_id         String,
    ip                   String,
    user_agent           String,
    source               LowCardinality(String),
    context              String COMMENT 'JSON as it came',
    schema_version       LowCardinality(String) COMMENT 'the schema it was accepted under',
    edge                 LowCardinality(String) COMMENT 'one life of one nginx worker',
    seq                  UInt64 COMMENT 'number of the event in that life, from 1; 0: from another producer',
    kafka_topic          LowCardinality(String),
    kafka_partition      UInt32,
    kafka_offset         UInt64,
    kafka_time           DateTime64(3, 'UTC') COMMENT 'Kafka''s timestamp of the record',
    fields_extra         Map(LowCardinality(String), String) COMMENT 'fields that are not defined; strings as they are, other values as JSON',

    INDEX kafka_offset_minmax kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY event_date
ORDER BY (event_type, event_time)
SETTINGS non_replicated_deduplication_window = 100000,
         min_bytes_for_wide_part = 1073741824,
         min_rows_for_wide_part = 100000000
