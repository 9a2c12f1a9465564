-- Counts the posts that were written in each 10 seconds, into mastodon-counts.
--
-- Each post counts once, in the window of its creation, also if it is delivered, edited or read
-- several times. A boost counts as the post that it boosts.
-- A post that arrives after its window has closed goes to mastodon-late.
--
-- This file also runs in Flink's own SQL client, unchanged. mastostream replaces the literals
-- that have a name in a comment by the settings of the user.

SET 'table.local-time-zone' = 'UTC';
-- Objects are not copied between steps. Aggregates are not computed in two phases, as this only
-- costs time in a single subtask.
SET 'pipeline.object-reuse' = 'true';
SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE';

CREATE TABLE posts (
  id STRING,
  created_at TIMESTAMP_LTZ(3),
  account ROW<acct STRING>,
  reblog ROW<id STRING, created_at TIMESTAMP_LTZ(3), account ROW<acct STRING>>,
  mastostream ROW<`key` STRING, event STRING>,
  arrived_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  written_at AS IF(reblog IS NULL, created_at, reblog.created_at),
  -- A post with a time in the future moves the watermark only to its arrival. Windows end with
  -- whole seconds, and a finer watermark only costs time. Flink closes [start, end) when the
  -- watermark is 1 ms before its end.
  WATERMARK FOR written_at AS FLOOR(
    IF(written_at > arrived_at, arrived_at, written_at)
    - INTERVAL /*delay*/ '0 00:00:30.000' DAY TO SECOND(3) TO SECOND
  ) - INTERVAL '0.001' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = /*topic*/ 'Mastodon_stream',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'properties.group.id' = /*group*/ 'mastostream-flink-sql-count',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'scan.parallelism' = '1',  -- one reader: its watermark alone decides which posts are late
  'scan.watermark.emit.strategy' = 'on-event',
  'scan.watermark.idle-timeout' = /*idle_timeout*/ '30000 ms',
  'value.format' = 'json',
  'value.json.ignore-parse-errors' = 'true',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TABLE counts (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3),
  window_end TIMESTAMP_LTZ(3),
  posts BIGINT
) WITH (
  'connector' = 'kafka',
  'topic' = /*counts*/ 'mastodon-counts',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'sink.delivery-guarantee' = 'at-least-once',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TABLE late (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  analysis STRING,
  reason STRING,
  created_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3),
  `watermark` TIMESTAMP_LTZ(3)
) WITH (
  'connector' = 'kafka',
  'topic' = /*late*/ 'mastodon-late',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'sink.delivery-guarantee' = 'at-least-once',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

-- Records that have the members of a post, and are no deletions.
CREATE VIEW arrivals AS
SELECT
  COALESCE(mastostream.`key`, reblog.id, id) AS `key`,
  COALESCE(mastostream.event, 'new') AS event,
  written_at,
  written_at > arrived_at + INTERVAL '1' HOUR AS is_ahead,
  CURRENT_WATERMARK(written_at) + INTERVAL '0.001' SECOND AS `watermark`
FROM posts
WHERE IF(reblog IS NULL, id, reblog.id) <> ''
  AND IF(reblog IS NULL, account.acct, reblog.account.acct) IS NOT NULL
  AND written_at IS NOT NULL
  AND COALESCE(mastostream.event, 'new') <> 'delete';

CREATE VIEW windowed AS
SELECT *, `watermark` IS NOT NULL AND window_end <= `watermark` AS is_late
FROM TUMBLE(TABLE arrivals, DESCRIPTOR(written_at), INTERVAL '10' SECOND);

CREATE VIEW results AS
SELECT
  DATE_FORMAT(window_start, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `key`,
  window_end AS observed_at,
  window_start,
  window_end,
  COUNT(DISTINCT `key`) AS posts
FROM windowed
WHERE NOT is_ahead AND NOT is_late
GROUP BY window_start, window_end;

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO counts SELECT * FROM results;
  INSERT INTO late
  SELECT
    `key`, CURRENT_TIMESTAMP, 'count', IF(is_ahead, 'ahead', 'late'), written_at, window_start,
    `watermark`
  FROM windowed
  WHERE (is_ahead OR is_late) AND event = 'new';
END;
