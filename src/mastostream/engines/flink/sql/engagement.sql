-- Shows the average and the maximum engagement of the posts of each minute. Nothing is written.
--
-- prelude.sql runs before this file.

SET 'sql-client.execution.result-mode' = 'tableau';

ALTER VIEW analysed_records AS
SELECT
  *,
  60000 AS slide_ms,
  CAST(NULL AS STRING) AS kept_account,
  engagement_score AS kept_score,
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
  ) AS posts,
  SUM(engagement_score) FILTER (WHERE counts) AS engagement,
  MAX(engagement_score) FILTER (WHERE counts) AS max_engagement
FROM window_rows
GROUP BY `key`;

CREATE VIEW results AS
SELECT
  `key`,
  CAST(TO_TIMESTAMP_LTZ(observed_ms, 3) AS TIMESTAMP(3)) AS observed_at,
  window_start,
  window_start + INTERVAL '1' MINUTE AS window_end,
  posts,
  IF(posts > 0, CAST(engagement AS DOUBLE) / posts, 0e0) AS average_engagement,
  COALESCE(max_engagement, 0) AS max_engagement
FROM (SELECT *, TO_TIMESTAMP(`key`, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS window_start FROM totals);

SELECT * FROM results WHERE posts IS NOT NULL;
