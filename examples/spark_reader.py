"""Reads an archive with Spark: the most used hashtags, and posts by language.

    python spark_reader.py mastostream-data/archive/Mastodon_stream
    python spark_reader.py hdfs://localhost:9000/kafka_demo/Mastodon_stream

JSON lines may be plain or gzip. Spark reads zstd only where Hadoop's native library is, which
pyspark alone does not bring: archive with ``--compression gzip``, or as Parquet, whose pages may
be zstd anyhow.
"""

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import ArrayType, LongType, StringType, StructField, StructType

# Only what is asked for: statuses of different servers and ages have different members.
STATUS = StructType(
    [
        StructField("id", StringType()),
        StructField("created_at", StringType()),
        StructField("language", StringType()),
        StructField("content", StringType()),
        StructField("reblogs_count", LongType()),
        StructField("favourites_count", LongType()),
        StructField("account", StructType([StructField("acct", StringType())])),
        StructField("tags", ArrayType(StructType([StructField("name", StringType())]))),
        StructField(
            "mastostream",
            StructType(
                [
                    StructField("key", StringType()),
                    StructField("event", StringType()),
                    StructField("observed_at", StringType()),
                ]
            ),
        ),
    ]
)


def read_archive(spark: SparkSession, folder: str) -> DataFrame:
    """Return the records with the same columns, whichever format they are kept in.

    Files whose names begin with ``_`` are left out by Spark itself; ``date=`` folders become a
    column ``date``.
    """
    try:
        parquet = spark.read.option("pathGlobFilter", "*.parquet").parquet(folder)
    except Exception as error:  # no such file: Spark cannot tell a schema
        if "UNABLE_TO_INFER_SCHEMA" not in str(error):
            raise
    else:
        return parquet
    lines = spark.read.schema(STATUS).option("pathGlobFilter", "*.jsonl*").json(folder)
    stamp = f.col("mastostream")
    return lines.select(
        "*",
        f.coalesce(stamp["key"], "id").alias("key"),
        f.coalesce(stamp["event"], f.lit("new")).alias("event"),
        f.coalesce(stamp["observed_at"], "created_at").cast("timestamp").alias("observed_at"),
        f.transform("tags", lambda tag: f.lower(tag["name"])).alias("hashtags"),
    )


def latest_posts(records: DataFrame) -> DataFrame:
    """Return each post once, as it was seen last; those that were deleted are gone.

    The archive keeps every sight of a post: the highest ``observed_at`` is the version that counts.
    """
    posts = records.where(f.col("key").isNotNull())
    version = f.max_by(f.struct(*records.columns), "observed_at")
    newest = posts.groupBy("key").agg(version.alias("seen"))
    return newest.select("seen.*").where(f.col("event") != "delete")


def main(folder: str) -> None:
    spark = (
        SparkSession.builder.master("local[2]")
        .appName("mastostream")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    try:
        records = read_archive(spark, folder)
        posts = latest_posts(records).cache()
        print(f"records {records.count()}")
        print(f"posts {posts.count()}")
        for row in posts.groupBy("language").count().orderBy(f.desc("count"), "language").take(5):
            print(f"language {row['language']} {row['count']}")
        tags = posts.select(f.explode("hashtags").alias("tag")).groupBy("tag").count()
        for row in tags.orderBy(f.desc("count"), "tag").take(10):
            print(f"hashtag {row['tag']!r} {row['count']}")
    finally:
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
