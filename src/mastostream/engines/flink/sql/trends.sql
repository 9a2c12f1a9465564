-- Finds the hashtags that rise, into mastodon-trends: a window of 75 minutes begins every 5
-- minutes, and the uses in its last 15 minutes are compared with those in the hour before.
-- New posts that do not count go to mastodon-late.
--
-- A quarter of the uses in the hour before is expected, but at least 1. The score is
-- (observed - expected)^2 / expected, as in Mastodon's app/models/trends/tags.rb; a hashtag with
-- fewer than 5 uses in the last 15 minutes, or not more than expected, is left out.
--
-- prelude.sql runs before this file. The uses of hashtags are counted by a function in Python, once
-- for each version of a post; Flink's SQL client needs a Python with mastostream for it (-pyexec
-- and -pyclientexec).

CREATE TEMPORARY FUNCTION hashtag_uses
AS 'mastostream.engines.flink.hashtag_function.hashtag_uses' LANGUAGE PYTHON;

CREATE TABLE trends (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3),
  window_end TIMESTAMP_LTZ(3),
  posts BIGINT NOT NULL,
  hashtags ARRAY<STRING>,
  hashtag_counts ARRAY<BIGINT>,
  expected_counts ARRAY<DOUBLE>,
  scores ARRAY<DOUBLE>,
  PRIMARY KEY (`key`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = /*trends*/ 'mastodon-trends',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'sink.delivery-guarantee' = 'at-least-once',
  'key.format' = 'raw',
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

ALTER VIEW analysed_records AS
SELECT
  *,
  300000 AS slide_ms,
  CAST(NULL AS STRING) AS kept_account,
  CAST(NULL AS BIGINT) AS kept_score,
  CAST(NULL AS STRING) AS kept_language,
  hashtag_uses(content, tags) AS kept_hashtags
FROM records;

-- Rows are added up for each 5 minutes first, as each post is in 15 windows.
CREATE VIEW slices AS
SELECT
  start_ms AS slice_ms,
  MAX(observed_ms) AS observed_ms,
  COUNT(*) FILTER (WHERE counts) AS posts
FROM window_rows
WHERE stays = 0
GROUP BY start_ms;

CREATE VIEW used_hashtags AS
SELECT
  start_ms AS slice_ms,
  SPLIT_INDEX(pair, '=', 0) AS hashtag,
  SUM(CAST(SPLIT_INDEX(pair, '=', 1) AS BIGINT)) AS uses
FROM (SELECT *, SPLIT(hashtags, ' ') AS pairs FROM window_rows)
CROSS JOIN UNNEST(pairs) AS used (pair)
WHERE counts AND pair <> ''
GROUP BY start_ms, SPLIT_INDEX(pair, '=', 0);

CREATE VIEW compared AS
SELECT
  DATE_FORMAT(TO_TIMESTAMP_LTZ(slice_ms - back_ms, 3), 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `key`,
  hashtag,
  COALESCE(SUM(uses) FILTER (WHERE back_ms >= 3600000), 0) AS uses,
  GREATEST(
    CAST(COALESCE(SUM(uses) FILTER (WHERE back_ms < 3600000), 0) AS DOUBLE) / 4, 1e0
  ) AS expected
FROM (
  SELECT
    *,
    ARRAY[
      0, 300000, 600000, 900000, 1200000, 1500000, 1800000, 2100000, 2400000, 2700000, 3000000,
      3300000, 3600000, 3900000, 4200000
    ] AS backs
  FROM used_hashtags
)
CROSS JOIN UNNEST(backs) AS windows (back_ms)
GROUP BY
  DATE_FORMAT(TO_TIMESTAMP_LTZ(slice_ms - back_ms, 3), 'yyyy-MM-dd''T''HH:mm:ss''Z'''),
  hashtag;

CREATE VIEW ranked AS
SELECT *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY `key` ORDER BY score DESC, hashtag) AS place
  FROM (
    SELECT *, (uses - expected) * (uses - expected) / expected AS score
    FROM compared
    WHERE uses >= 5 AND uses > expected
  )
)
WHERE place <= 10;

-- Flink does not keep the order of aggregated rows. So the items of a list are JSON that begins
-- with the place of each, and they are sorted as texts.
CREATE VIEW totals AS
SELECT
  `key`,
  MAX(observed_ms) AS observed_ms,
  IF(
    SUM(stays) > 0 AND MAX(observed_ms) IS NOT NULL, SUM(posts), CAST(NULL AS BIGINT)
  ) AS posts,
  '[' || COALESCE(
    ARRAY_JOIN(ARRAY_SORT(ARRAY_AGG(item) FILTER (WHERE item IS NOT NULL)), ','), ''
  ) || ']' AS hashtags
FROM (
  SELECT
    DATE_FORMAT(TO_TIMESTAMP_LTZ(slice_ms - back_ms, 3), 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `key`,
    stays,
    observed_ms,
    posts,
    CAST(NULL AS STRING) AS item
  FROM (
    SELECT
      *,
      ARRAY[
        0, 300000, 600000, 900000, 1200000, 1500000, 1800000, 2100000, 2400000, 2700000, 3000000,
        3300000, 3600000, 3900000, 4200000
      ] AS backs
    FROM (
      SELECT 0 AS stays, slice_ms, observed_ms, posts FROM slices
      UNION ALL
      SELECT 1, start_ms, CAST(NULL AS BIGINT), CAST(0 AS BIGINT) FROM window_starts
    )
  )
  CROSS JOIN UNNEST(backs) AS windows (back_ms)
  UNION ALL
  SELECT
    `key`,
    0,
    CAST(NULL AS BIGINT),
    CAST(0 AS BIGINT),
    '{"place":"' || LPAD(CAST(place AS STRING), 2, '0') || '","count":"'
      || CAST(uses AS STRING) || '","expected":"' || CAST(expected AS STRING) || '","score":"'
      || CAST(score AS STRING) || '","name":' || JSON_STRING(hashtag) || '}'
  FROM ranked
)
GROUP BY `key`;

CREATE VIEW results AS
SELECT
  `key`,
  CAST(TO_TIMESTAMP_LTZ(observed_ms, 3) AS TIMESTAMP(3)) AS observed_at,
  window_start,
  window_start + INTERVAL '75' MINUTE AS window_end,
  posts,
  JSON_QUERY(hashtags, '$[*].name' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY) AS hashtags,
  CAST(
    JSON_QUERY(hashtags, '$[*].count' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY)
    AS ARRAY<BIGINT>
  ) AS hashtag_counts,
  CAST(
    JSON_QUERY(hashtags, '$[*].expected' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY)
    AS ARRAY<DOUBLE>
  ) AS expected_counts,
  CAST(
    JSON_QUERY(hashtags, '$[*].score' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY)
    AS ARRAY<DOUBLE>
  ) AS scores
FROM (SELECT *, TO_TIMESTAMP(`key`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS window_start FROM totals);

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO trends SELECT * FROM results;
  INSERT INTO late
  SELECT `key`, observed_at, 'trends', reason, created_at, window_start FROM late_posts;
END;
