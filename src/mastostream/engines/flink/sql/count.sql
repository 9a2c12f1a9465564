-- Counts the posts that were written in each 10 seconds, into mastodon-counts.
-- New posts that do not count go to mastodon-late.
--
-- prelude.sql runs before this file.

CREATE TABLE counts (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3),
  window_end TIMESTAMP_LTZ(3),
  posts BIGINT NOT NULL,
  PRIMARY KEY (`key`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = /*counts*/ 'mastodon-counts',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'sink.delivery-guarantee' = 'at-least-once',
  'key.format' = 'raw',
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

ALTER VIEW analysed_records AS
SELECT
  *,
  10000 AS slide_ms,
  CAST(NULL AS STRING) AS kept_account,
  CAST(NULL AS BIGINT) AS kept_score,
  CAST(NULL AS STRING) AS kept_language,
  CAST(NULL AS STRING) AS kept_hashtags
FROM records;

CREATE VIEW totals AS
SELECT
  `key`,
  MAX(observed_ms) AS observed_ms,
  IF(
    SUM(stays) > 0 AND MAX(observed_ms) IS NOT NULL,
    COUNT(*) FILTER (WHERE counts),
    CAST(NULL AS BIGINT)
  ) AS posts
FROM window_rows
GROUP BY `key`;

CREATE VIEW results AS
SELECT
  `key`,
  CAST(TO_TIMESTAMP_LTZ(observed_ms, 3) AS TIMESTAMP(3)) AS observed_at,
  window_start,
  window_start + INTERVAL '10' SECOND AS window_end,
  posts
FROM (SELECT *, TO_TIMESTAMP(`key`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS window_start FROM totals);

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO counts SELECT * FROM results;
  INSERT INTO late
  SELECT `key`, observed_at, 'count', reason, created_at, window_start FROM late_posts;
END;
