-- Summarizes the posts of each minute, into mastodon-dashboard.
-- New posts that do not count go to mastodon-late.
--
-- prelude.sql runs before this file. The uses of hashtags are counted by a function in Python, once
-- for each version of a post; Flink's SQL client needs a Python with mastostream for it (-pyexec
-- and -pyclientexec).

CREATE TEMPORARY FUNCTION hashtag_uses
AS 'mastostream.engines.flink.hashtag_function.hashtag_uses' LANGUAGE PYTHON;

CREATE TABLE dashboard (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3),
  window_end TIMESTAMP_LTZ(3),
  posts BIGINT NOT NULL,
  accounts BIGINT,
  average_engagement DOUBLE,
  max_engagement BIGINT,
  languages ARRAY<STRING>,
  language_counts ARRAY<BIGINT>,
  hashtags ARRAY<STRING>,
  hashtag_counts ARRAY<BIGINT>,
  PRIMARY KEY (`key`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = /*dashboard*/ 'mastodon-dashboard',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'sink.delivery-guarantee' = 'at-least-once',
  'key.format' = 'raw',
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

ALTER VIEW analysed_records AS
SELECT
  *,
  60000 AS slide_ms,
  account AS kept_account,
  engagement_score AS kept_score,
  `language` AS kept_language,
  hashtag_uses(content, tags) AS kept_hashtags
FROM records;

CREATE VIEW ranked_languages AS
SELECT *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY `key` ORDER BY posts DESC, `language`) AS place
  FROM (
    SELECT `key`, `language`, COUNT(*) AS posts
    FROM window_rows
    WHERE counts
    GROUP BY `key`, `language`
  )
)
WHERE place <= 10000;

CREATE VIEW ranked_hashtags AS
SELECT *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY `key` ORDER BY uses DESC, hashtag) AS place
  FROM (
    SELECT
      `key`,
      SPLIT_INDEX(pair, '=', 0) AS hashtag,
      SUM(CAST(SPLIT_INDEX(pair, '=', 1) AS BIGINT)) AS uses
    FROM (SELECT *, SPLIT(hashtags, ' ') AS pairs FROM window_rows)
    CROSS JOIN UNNEST(pairs) AS used (pair)
    WHERE counts AND pair <> ''
    GROUP BY `key`, SPLIT_INDEX(pair, '=', 0)
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
    SUM(stays) > 0 AND MAX(observed_ms) IS NOT NULL,
    COUNT(*) FILTER (WHERE counts),
    CAST(NULL AS BIGINT)
  ) AS posts,
  COUNT(DISTINCT account) FILTER (WHERE counts) AS accounts,
  SUM(engagement_score) FILTER (WHERE counts) AS engagement,
  MAX(engagement_score) FILTER (WHERE counts) AS max_engagement,
  '[' || COALESCE(
    ARRAY_JOIN(
      ARRAY_SORT(ARRAY_AGG(language_item) FILTER (WHERE language_item IS NOT NULL)), ','
    ),
    ''
  ) || ']' AS languages,
  '[' || COALESCE(
    ARRAY_JOIN(
      ARRAY_SORT(ARRAY_AGG(hashtag_item) FILTER (WHERE hashtag_item IS NOT NULL)), ','
    ),
    ''
  ) || ']' AS hashtags
FROM (
  SELECT
    `key`, stays, observed_ms, counts, account, engagement_score,
    CAST(NULL AS STRING) AS language_item, CAST(NULL AS STRING) AS hashtag_item
  FROM window_rows
  UNION ALL
  SELECT
    `key`, 0, CAST(NULL AS BIGINT), FALSE, CAST(NULL AS STRING), CAST(NULL AS BIGINT),
    '{"place":"' || LPAD(CAST(place AS STRING), 5, '0') || '","count":"'
      || CAST(posts AS STRING) || '","name":' || JSON_STRING(`language`) || '}',
    CAST(NULL AS STRING)
  FROM ranked_languages
  UNION ALL
  SELECT
    `key`, 0, CAST(NULL AS BIGINT), FALSE, CAST(NULL AS STRING), CAST(NULL AS BIGINT),
    CAST(NULL AS STRING),
    '{"place":"' || LPAD(CAST(place AS STRING), 2, '0') || '","count":"'
      || CAST(uses AS STRING) || '","name":' || JSON_STRING(hashtag) || '}'
  FROM ranked_hashtags
)
GROUP BY `key`;

CREATE VIEW results AS
SELECT
  `key`,
  CAST(TO_TIMESTAMP_LTZ(observed_ms, 3) AS TIMESTAMP(3)) AS observed_at,
  window_start,
  window_start + INTERVAL '1' MINUTE AS window_end,
  posts,
  accounts,
  IF(posts > 0, CAST(engagement AS DOUBLE) / posts, 0e0) AS average_engagement,
  COALESCE(max_engagement, 0) AS max_engagement,
  JSON_QUERY(languages, '$[*].name' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY) AS languages,
  CAST(
    JSON_QUERY(languages, '$[*].count' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY)
    AS ARRAY<BIGINT>
  ) AS language_counts,
  JSON_QUERY(hashtags, '$[*].name' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY) AS hashtags,
  CAST(
    JSON_QUERY(hashtags, '$[*].count' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY)
    AS ARRAY<BIGINT>
  ) AS hashtag_counts
FROM (SELECT *, TO_TIMESTAMP(`key`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS window_start FROM totals);

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO dashboard SELECT * FROM results;
  INSERT INTO late
  SELECT `key`, observed_at, 'dashboard', reason, created_at, window_start FROM late_posts;
END;
