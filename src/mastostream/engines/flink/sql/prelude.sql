-- What the files of the windowed analyses share: settings, topics, and the posts of each window.
--
-- The posts of a window are a view: when a post is edited, its counts are read again, or it is
-- deleted, Flink corrects the results. Each post counts once, in the window of its creation, with
-- its newest version. A boost counts as the post that it boosts.
--
-- Flink's own SQL client runs this file before the file of an analysis, both unchanged:
--   sql-client.sh -i prelude.sql -f count.sql
-- mastostream replaces the literals that have a name in a comment by the settings of the user.

SET 'table.local-time-zone' = 'UTC';
-- Objects are not copied between steps. Aggregates are not computed in two phases, as this only
-- costs time in a single subtask.
SET 'pipeline.object-reuse' = 'true';
SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE';
-- The record of a window that changes is written once in this time, or when a step has taken as
-- many changes.
SET 'table.exec.mini-batch.enabled' = /*mini_batch*/ 'true';
SET 'table.exec.mini-batch.allow-latency' = /*correct_every*/ '10000 ms';
SET 'table.exec.mini-batch.size' = '20000';
-- What is known of a post or a window is kept until it has not changed for the horizon and a day.
-- Flink measures this by the wall clock.
SET 'table.exec.state.ttl' = /*state_ttl*/ '691200000 ms';
-- A record of a window replaces the one before it. None may be null: rows without a number of posts
-- are not written.
SET 'table.exec.sink.upsert-materialize' = 'NONE';
SET 'table.exec.sink.not-null-enforcer' = 'DROP';

CREATE TABLE posts (
  id STRING,
  created_at TIMESTAMP_LTZ(3),
  edited_at TIMESTAMP_LTZ(3),
  uri STRING,
  account ROW<acct STRING, username STRING, url STRING>,
  `language` STRING,
  content STRING,
  tags STRING,  -- as JSON
  favourites_count BIGINT,
  reblogs_count BIGINT,
  replies_count BIGINT,
  quotes_count BIGINT,
  reblog ROW<id STRING, created_at TIMESTAMP_LTZ(3), edited_at TIMESTAMP_LTZ(3), uri STRING,
    account ROW<acct STRING, username STRING, url STRING>, `language` STRING, content STRING,
    tags STRING, favourites_count BIGINT, reblogs_count BIGINT, replies_count BIGINT,
    quotes_count BIGINT>,
  mastostream ROW<`key` STRING, event STRING, instance STRING, observed_at TIMESTAMP_LTZ(3)>,
  arrived_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = /*topic*/ 'Mastodon_stream',
  'properties.bootstrap.servers' = /*servers*/ 'localhost:9092',
  'properties.group.id' = /*group*/ 'mastostream-flink-sql',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'value.format' = 'json',
  'value.json.ignore-parse-errors' = 'true',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TABLE late (
  `key` STRING,
  observed_at TIMESTAMP_LTZ(3),
  analysis STRING,
  reason STRING,
  created_at TIMESTAMP_LTZ(3),
  window_start TIMESTAMP_LTZ(3)
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

-- Versions of posts, and deletions. Members of an account are written as they are; `records` names
-- it.
CREATE VIEW delivered AS
SELECT
  IF(mastostream IS NULL, IF(reblog IS NULL, id, reblog.id), mastostream.`key`) AS `key`,
  COALESCE(mastostream.event, 'new') AS event,
  mastostream IS NOT NULL AS has_stamp,
  arrived_at,
  IF(reblog IS NULL, created_at, reblog.created_at) AS created_at,
  CASE
    WHEN mastostream IS NOT NULL THEN mastostream.observed_at
    WHEN reblog IS NULL THEN IF(edited_at > created_at, edited_at, created_at)
    ELSE IF(reblog.edited_at > reblog.created_at, reblog.edited_at, reblog.created_at)
  END AS observed_at,
  LOWER(COALESCE(
    NULLIF(IF(reblog IS NULL, account.acct, reblog.account.acct), ''),
    NULLIF(IF(reblog IS NULL, account.username, reblog.account.username), '')
  )) AS acct,
  IF(reblog IS NULL, uri, reblog.uri) AS uri,
  IF(reblog IS NULL, account.url, reblog.account.url) AS page,
  mastostream.instance AS instance,
  COALESCE(IF(reblog IS NULL, favourites_count, reblog.favourites_count), 0) * /*favourites*/ 1
    + COALESCE(IF(reblog IS NULL, reblogs_count, reblog.reblogs_count), 0) * /*reblogs*/ 2
    + COALESCE(IF(reblog IS NULL, replies_count, reblog.replies_count), 0) * /*replies*/ 3
    + COALESCE(IF(reblog IS NULL, quotes_count, reblog.quotes_count), 0) * /*quotes*/ 2
    AS engagement_score,
  -- The primary subtag (RFC 5646, section 2.2.1), or `und` for a post without a language.
  COALESCE(
    NULLIF(
      LOWER(REGEXP_EXTRACT(
        IF(reblog IS NULL, `language`, reblog.`language`), '^\s*([a-zA-Z]{2,3})(?![^-_\s])', 1
      )),
      ''
    ),
    'und'
  ) AS `language`,
  IF(reblog IS NULL, content, reblog.content) AS content,
  IF(reblog IS NULL, tags, reblog.tags) AS tags
FROM posts
WHERE IF(reblog IS NULL OR mastostream.event = 'delete', id, reblog.id) <> ''
  AND (mastostream IS NULL OR mastostream.`key` <> '')
  AND COALESCE(mastostream.event, 'new') IN ('new', 'edit', 'refresh', 'delete');

-- With the host of the author's server, which is in the address of the post.
CREATE VIEW hosts AS
SELECT
  *,
  COALESCE(
    NULLIF(REGEXP_EXTRACT(uri, '^https?://([^/?#@\s]{1,255})(?![^/?#])', 1), ''),
    NULLIF(REGEXP_EXTRACT(page, '^https?://([^/?#@\s]{1,255})(?![^/?#])', 1), ''),
    NULLIF(SPLIT_INDEX(acct, '@', 1), ''),
    NULLIF(instance, '')
  ) AS host
FROM delivered;

-- With `name@host` of the author, which is the same on every server that shows the post.
CREATE VIEW records AS
SELECT
  *,
  IF(
    uri LIKE 'pseudonym:%' OR host IS NULL,
    SPLIT_INDEX(acct, '@', 0),
    SPLIT_INDEX(acct, '@', 0) || '@' || LOWER(host)
  ) AS account
FROM hosts;

-- What differs between analyses: the distance between the starts of two windows, and what is kept
-- of a post; uses of hashtags are kept as `news=2 python=1`. The file of an analysis changes this
-- view before it uses others.
CREATE VIEW analysed_records AS
SELECT
  *,
  60000 AS slide_ms,
  CAST(NULL AS STRING) AS kept_account,
  CAST(NULL AS BIGINT) AS kept_score,
  CAST(NULL AS STRING) AS kept_language,
  CAST(NULL AS STRING) AS kept_hashtags
FROM records;

-- The same with all times in milliseconds since the epoch.
CREATE VIEW timed AS
SELECT
  *,
  EXTRACT(EPOCH FROM created_at) * 1000 + EXTRACT(MILLISECOND FROM created_at) AS created_ms,
  EXTRACT(EPOCH FROM observed_at) * 1000 + EXTRACT(MILLISECOND FROM observed_at) AS observed_ms,
  EXTRACT(EPOCH FROM arrived_at) * 1000 + EXTRACT(MILLISECOND FROM arrived_at) AS arrived_ms
FROM analysed_records
WHERE event = 'delete' OR (account IS NOT NULL AND created_at IS NOT NULL);

-- Why a version does not count, and the start of the last window that contains its creation.
CREATE VIEW judged AS
SELECT
  *,
  CASE
    WHEN event = 'delete' THEN CAST(NULL AS STRING)
    WHEN observed_ms - created_ms > /*horizon_ms*/ 604800000 THEN 'late'
    WHEN created_ms - IF(has_stamp, observed_ms, arrived_ms) > 3600000 THEN 'ahead'
  END AS reason,
  created_ms - MOD(MOD(created_ms, slide_ms) + slide_ms, slide_ms) AS start_ms
FROM timed
WHERE observed_ms IS NOT NULL;

-- New posts that do not count.
CREATE VIEW late_posts AS
SELECT
  `key`,
  TO_TIMESTAMP_LTZ(observed_ms, 3) AS observed_at,
  reason,
  TO_TIMESTAMP_LTZ(created_ms, 3) AS created_at,
  TO_TIMESTAMP_LTZ(start_ms, 3) AS window_start
FROM judged
WHERE reason IS NOT NULL AND event = 'new';

CREATE VIEW countable AS
SELECT
  `key`,
  event = 'delete' AS is_deletion,
  IF(event = 'delete', CAST(NULL AS BIGINT), observed_ms) AS version_ms,
  observed_ms,
  created_ms,
  start_ms,
  kept_account AS account,
  kept_score AS engagement_score,
  kept_language AS `language`,
  kept_hashtags AS hashtags,
  PROCTIME() AS received_at
FROM judged
WHERE reason IS NULL;

-- With the newest version so far. Of equally new ones, and of a version and an equally new
-- deletion, the later in the log is newer.
CREATE VIEW changes AS
SELECT
  *,
  MAX(version_ms) OVER (
    PARTITION BY `key` ORDER BY received_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS newest_ms
FROM countable;

-- What is known of each post: its newest version, the windows that any of its versions were in, and
-- the deletions that came when no newer version was known.
CREATE VIEW states AS
SELECT
  `key`,
  MAX(version_ms) AS version_ms,
  LAST_VALUE(is_deletion) FILTER (WHERE observed_ms = newest_ms) AS is_deleted,
  LAST_VALUE(created_ms) FILTER (WHERE version_ms = newest_ms) AS created_ms,
  LAST_VALUE(start_ms) FILTER (WHERE version_ms = newest_ms) AS start_ms,
  LAST_VALUE(account) FILTER (WHERE version_ms = newest_ms) AS account,
  LAST_VALUE(engagement_score) FILTER (WHERE version_ms = newest_ms) AS engagement_score,
  LAST_VALUE(`language`) FILTER (WHERE version_ms = newest_ms) AS `language`,
  LAST_VALUE(hashtags) FILTER (WHERE version_ms = newest_ms) AS hashtags,
  ARRAY_AGG(DISTINCT start_ms) FILTER (WHERE NOT is_deletion) AS starts,
  ARRAY_AGG(DISTINCT observed_ms)
    FILTER (WHERE is_deletion AND (newest_ms IS NULL OR observed_ms > newest_ms)) AS deletions
FROM changes
GROUP BY `key`;

-- The deletions, and the first millisecond at which a deletion of the post does not count, in
-- order: before it is the newest deletion that counts.
CREATE VIEW ordered AS
SELECT
  *,
  ARRAY_SORT(ARRAY_APPEND(deletions, created_ms + /*horizon_ms*/ 604800000 + 1)) AS moments,
  ARRAY_POSITION(
    ARRAY_SORT(ARRAY_APPEND(deletions, created_ms + /*horizon_ms*/ 604800000 + 1)),
    created_ms + /*horizon_ms*/ 604800000 + 1
  ) AS place
FROM states;

CREATE VIEW entries AS
SELECT
  held.ms AS start_ms,
  IF(deleted_ms > version_ms, deleted_ms, version_ms) AS observed_ms,
  held.ms = start_ms AND NOT is_deleted AND (deleted_ms IS NULL OR deleted_ms <= version_ms)
    AS counts,
  account,
  engagement_score,
  `language`,
  hashtags
FROM (
  SELECT *, IF(place > 1, moments[place - 1], CAST(NULL AS BIGINT)) AS deleted_ms FROM ordered
)
CROSS JOIN UNNEST(starts) AS held (ms);

-- One row for each window, which stays: without it, Flink would delete a window's record while the
-- entry of the only post changes. Analyses give a number of posts only where it has arrived.
CREATE VIEW window_starts AS
SELECT start_ms
FROM (
  SELECT start_ms, ROW_NUMBER() OVER (PARTITION BY start_ms ORDER BY received_at) AS place
  FROM countable
  WHERE NOT is_deletion
)
WHERE place = 1;

-- The rows of each window, with the key of its record. Those that do not count are deleted posts,
-- posts that another window has now, and the one that stays.
CREATE VIEW window_rows AS
SELECT DATE_FORMAT(TO_TIMESTAMP_LTZ(start_ms, 3), 'yyyy-MM-dd''T''HH:mm:ss''Z''') AS `key`, *
FROM (
  SELECT 0 AS stays, * FROM entries
  UNION ALL
  SELECT
    1,
    start_ms,
    CAST(NULL AS BIGINT),
    FALSE,
    CAST(NULL AS STRING),
    CAST(NULL AS BIGINT),
    CAST(NULL AS STRING),
    CAST(NULL AS STRING)
  FROM window_starts
);
