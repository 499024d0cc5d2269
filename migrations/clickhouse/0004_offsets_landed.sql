-- The greatest Kafka offset of each partition that ever stood in events or
-- events_skipped, kept by the views that follow. Whoever takes a partition
-- over looks for rows of earlier owners up to here. Merges keep one row a
-- partition; readers take max(kafka_offset).
--
-- No deduplication window, on purpose: a maximum may be entered twice, and
-- without a window no crash can leave a token behind whose row is not there.

CREATE TABLE IF NOT EXISTS track.offsets_landed
(
    kafka_topic      LowCardinality(String),
    kafka_partition  UInt32,
    kafka_offset     SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (kafka_topic, kafka_partition)
