-- Shows the number of posts in each language, for each minute. Nothing is written.
--
-- prelude.sql runs before this file.

SET 'sql-client.execution.result-mode' = 'tableau';

ALTER VIEW analysed_records AS
SELECT
  *,
  60000 AS slide_ms,
  CAST(NULL AS STRING) AS kept_account,
  CAST(NULL AS BIGINT) AS kept_score,
  `language` AS kept_language,
  CAST(NULL AS STRING) AS kept_hashtags
FROM records;

CREATE VIEW counted AS
SELECT `key`, `language`, COUNT(*) AS posts
FROM window_rows
WHERE counts
GROUP BY `key`, `language`;

CREATE VIEW ranked AS
SELECT *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (PARTITION BY `key` ORDER BY posts DESC, `language`) AS place
  FROM counted
)
WHERE place <= 10000;

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
  '[' || COALESCE(
    ARRAY_JOIN(ARRAY_SORT(ARRAY_AGG(item) FILTER (WHERE item IS NOT NULL)), ','), ''
  ) || ']' AS languages
FROM (
  SELECT `key`, stays, observed_ms, counts, CAST(NULL AS STRING) AS item FROM window_rows
  UNION ALL
  SELECT
    `key`,
    0,
    CAST(NULL AS BIGINT),
    FALSE,
    '{"place":"' || LPAD(CAST(place AS STRING), 5, '0') || '","count":"'
      || CAST(posts AS STRING) || '","name":' || JSON_STRING(`language`) || '}'
  FROM ranked
)
GROUP BY `key`;

CREATE VIEW results AS
SELECT
  `key`,
  CAST(TO_TIMESTAMP_LTZ(observed_ms, 3) AS TIMESTAMP(3)) AS observed_at,
  window_start,
  window_start + INTERVAL '1' MINUTE AS window_end,
  posts,
  JSON_QUERY(languages, '$[*].name' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY) AS languages,
  CAST(
    JSON_QUERY(languages, '$[*].count' RETURNING ARRAY<STRING> EMPTY ARRAY ON EMPTY)
    AS ARRAY<BIGINT>
  ) AS language_counts
FROM (SELECT *, TO_TIMESTAMP(`key`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS window_start FROM totals);

SELECT * FROM results WHERE posts IS NOT NULL;
