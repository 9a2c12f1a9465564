-- Summarizes the posts of each minute, into mastodon-dashboard.
--
-- Each post counts once, in the window of its creation, also if it is delivered, edited or read
-- several times. Its first delivery counts. A boost counts as the post that it boosts.
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
  `language` STRING,
  content STRING,
  favourites_count BIGINT,
  reblogs_count BIGINT,
  replies_count BIGINT,
  quotes_count BIGINT,
  account ROW<acct STRING>,
  tags ARRAY<ROW<name STRING>>,
  reblog ROW<id STRING, created_at TIMESTAMP_LTZ(3), `language` STRING,
    content STRING, favourites_count BIGINT, reblogs_count BIGINT, replies_count BIGINT,
    quotes_count BIGINT,
    account ROW<acct STRING>, tags ARRAY<ROW<name STRING>>>,
  mastostream ROW<`key` STRING, event STRING, instance STRING>,
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
  'properties.group.id' = /*group*/ 'mastostream-flink-sql-dashboard',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'scan.parallelism' = '1',  -- one reader: its watermark alone decides which posts are late
  'scan.watermark.emit.strategy' = 'on-event',
  'scan.watermark.idle-timeout' = /*idle_timeout*/ '30000 ms',
  'value.format' = 'json',
  'value.json.ignore-parse-errors' = 'true',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TABLE dashboard (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3),
  window_end TIMESTAMP_LTZ(3),
  posts BIGINT,
  accounts BIGINT,
  average_engagement DOUBLE,
  max_engagement BIGINT,
  languages ARRAY<STRING>,
  language_counts ARRAY<BIGINT>,
  hashtags ARRAY<STRING>,
  hashtag_counts ARRAY<BIGINT>
) WITH (
  'connector' = 'kafka',
  'topic' = /*dashboard*/ 'mastodon-dashboard',
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
  -- `name@host`, which is the same on every server that shows the post.
  IF(
    IF(reblog IS NULL, account.acct, reblog.account.acct) LIKE '%@%'
      OR COALESCE(mastostream.instance, '') = '',
    IF(reblog IS NULL, account.acct, reblog.account.acct),
    IF(reblog IS NULL, account.acct, reblog.account.acct) || '@' || mastostream.instance
  ) AS account,
  COALESCE(IF(reblog IS NULL, favourites_count, reblog.favourites_count), 0) * /*favourites*/ 1
    + COALESCE(IF(reblog IS NULL, reblogs_count, reblog.reblogs_count), 0) * /*reblogs*/ 2
    + COALESCE(IF(reblog IS NULL, replies_count, reblog.replies_count), 0) * /*replies*/ 3
    + COALESCE(IF(reblog IS NULL, quotes_count, reblog.quotes_count), 0) * /*quotes*/ 2
    AS engagement_score,
  -- The primary subtag (RFC 5646, section 2.2.1), or `und` for a post without a language.
  COALESCE(
    NULLIF(
      LOWER(TRIM(SPLIT_INDEX(
        REPLACE(IF(reblog IS NULL, `language`, reblog.`language`), '_', '-'), '-', 0
      ))),
      ''
    ),
    'und'
  ) AS `language`,
  CASE WHEN reblog IS NULL THEN tags ELSE reblog.tags END AS tags,
  IF(reblog IS NULL, content, reblog.content) AS content,
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
FROM TUMBLE(TABLE arrivals, DESCRIPTOR(written_at), INTERVAL '1' MINUTE);

-- The first delivery of each post counts.
CREATE VIEW first_sights AS
SELECT *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY window_start, window_end, `key` ORDER BY written_at
    ) AS delivery
  FROM windowed
  WHERE NOT is_ahead AND NOT is_late
)
WHERE delivery = 1;

CREATE VIEW totals AS
SELECT
  window_start,
  window_end,
  COUNT(*) AS posts,
  COUNT(DISTINCT account) AS accounts,
  CAST(SUM(engagement_score) AS DOUBLE) / COUNT(*) AS average_engagement,
  MAX(engagement_score) AS max_engagement
FROM first_sights
GROUP BY window_start, window_end;

CREATE VIEW ranked_languages AS
SELECT
  window_start,
  window_end,
  ARRAY_AGG(`language`) AS languages,  -- rows arrive in the order of `place`
  ARRAY_AGG(posts) AS language_counts
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY window_start, window_end ORDER BY posts DESC, `language`
    ) AS place
  FROM (
    SELECT window_start, window_end, `language`, COUNT(*) AS posts
    FROM first_sights
    GROUP BY window_start, window_end, `language`
  )
)
WHERE place <= 10000
GROUP BY window_start, window_end;

-- Hashtags as Mastodon's HashtagNormalizer spells them: in lower case, with Latin letters and full
-- width ones replaced by ASCII, and only with letters, digits and three signs. The rest of the
-- NFKC normalization is left out.
CREATE VIEW texts AS
SELECT
  window_start,
  window_end,
  `key`,
  tags,
  REGEXP_REPLACE(
    TRANSLATE(
      LOWER(REPLACE(content, 'Σ', 'σ')),
      'àáâãäåçèéêëìíîïðñòóôõöøùúûüýÿāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįıĵķĸĺļľłńņňŋōŏőŕŗřśŝşšţťŧũūŭůűųŵŷźżžſ＃０１２３４５６７８９＿ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ',
      'aaaaaaceeeeiiiidnoooooouuuuyyaaaccccddeeeeegggghhiiiiijkkllllnnnnooorrrsssstttuuuuuuwyzzzs#0123456789_abcdefghijklmnopqrstuvwxyz'
    ),
    '[^\p{IsAlphabetic}\p{Nd}\u0e47-\u0e4e_·・\u200c\s<>#&/]',
    ''
  ) AS text
FROM first_sights;

CREATE VIEW listed_hashtags AS
SELECT
  window_start,
  window_end,
  `key`,
  text,
  REGEXP_REPLACE(
    TRANSLATE(
      LOWER(REPLACE(tag.name, 'Σ', 'σ')),
      'àáâãäåçèéêëìíîïðñòóôõöøùúûüýÿāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįıĵķĸĺļľłńņňŋōŏőŕŗřśŝşšţťŧũūŭůűųŵŷźżžſ＃０１２３４５６７８９＿ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ',
      'aaaaaaceeeeiiiidnoooooouuuuyyaaaccccddeeeeegggghhiiiiijkkllllnnnnooorrrsssstttuuuuuuwyzzzs#0123456789_abcdefghijklmnopqrstuvwxyz'
    ),
    '[^\p{IsAlphabetic}\p{Nd}\u0e47-\u0e4e_·・\u200c]',
    ''
  ) AS hashtag
FROM texts
CROSS JOIN UNNEST(tags) AS tag (name);

-- The number of uses of each hashtag in the text of a post, outside of HTML tags. A hashtag that is
-- only in the list of the post counts once.
CREATE VIEW used_hashtags AS
SELECT
  window_start,
  window_end,
  hashtag,
  MAX(
    GREATEST(
      1,
      COALESCE(
        REGEXP_COUNT(
          text,
          '(?<![&/\p{IsAlphabetic}\p{Nd}_])#(?![^<>]*>)(?:<span[^<>]*>)?'
            || hashtag || '(?:[\s<>#&]|$)'
        ),
        0
      )
    )
  ) AS uses
FROM listed_hashtags
WHERE hashtag <> ''
GROUP BY window_start, window_end, `key`, hashtag;

CREATE VIEW ranked_hashtags AS
SELECT
  window_start,
  window_end,
  ARRAY_AGG(hashtag) AS hashtags,  -- rows arrive in the order of `place`
  ARRAY_AGG(uses) AS hashtag_counts
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY window_start, window_end ORDER BY uses DESC, hashtag
    ) AS place
  FROM (
    SELECT window_start, window_end, hashtag, CAST(SUM(uses) AS BIGINT) AS uses
    FROM used_hashtags
    GROUP BY window_start, window_end, hashtag
  )
)
WHERE place <= 10
GROUP BY window_start, window_end;

CREATE VIEW results AS
SELECT
  DATE_FORMAT(totals.window_start, 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `key`,
  totals.window_end AS observed_at,
  totals.window_start,
  totals.window_end,
  posts,
  accounts,
  average_engagement,
  max_engagement,
  languages,
  language_counts,
  COALESCE(hashtags, ARRAY_REMOVE(ARRAY[''], '')) AS hashtags,
  COALESCE(hashtag_counts, ARRAY_REMOVE(ARRAY[CAST(0 AS BIGINT)], CAST(0 AS BIGINT)))
    AS hashtag_counts
FROM totals
JOIN ranked_languages
  ON totals.window_start = ranked_languages.window_start
  AND totals.window_end = ranked_languages.window_end
LEFT JOIN ranked_hashtags
  ON totals.window_start = ranked_hashtags.window_start
  AND totals.window_end = ranked_hashtags.window_end;

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO dashboard SELECT * FROM results;
  INSERT INTO late
  SELECT
    `key`, CURRENT_TIMESTAMP, 'dashboard', IF(is_ahead, 'ahead', 'late'), written_at, window_start,
    `watermark`
  FROM windowed
  WHERE (is_ahead OR is_late) AND event = 'new';
END;
