"""Reads an archive with Spark: the most used hashtags, and posts by language.

    python spark_reader.py mastostream-data/archive/Mastodon_stream
    python spark_reader.py hdfs://localhost:9000/kafka_demo/Mastodon_stream

JSON lines may be plain, gzip or zstd. Hadoop's own reader of zstd needs a native library, which
pyspark alone does not bring; so files of it are decompressed by Python, one in memory at a time.
For large archives on a cluster, archive as Parquet (``--format parquet``).
"""

import argparse
import os
import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import ArrayType, LongType, StringType, StructField, StructType

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

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

    Files whose names begin with ``_`` are left out by Spark itself.
    """
    try:
        parquet = spark.read.option("pathGlobFilter", "*.parquet").parquet(folder)
    except Exception as error:  # no such file: Spark cannot tell a schema
        if "UNABLE_TO_INFER_SCHEMA" not in str(error):
            raise
    else:
        return parquet
    lines = spark.read.option("pathGlobFilter", "*.{jsonl,jsonl.gz}").text(folder)
    packed = spark.read.format("binaryFile").option("pathGlobFilter", "*.jsonl.zst").load(folder)
    unpacked = packed.select(f.explode(unpack("content")).alias("value"))
    status = f.from_json("value", STATUS).alias("status")
    records = lines.select("value").union(unpacked).select(status).select("status.*")
    stamp = f.col("mastostream")
    return records.select(
        "*",
        f.coalesce(stamp["key"], "id").alias("key"),
        f.coalesce(stamp["event"], f.lit("new")).alias("event"),
        f.coalesce(stamp["observed_at"], "created_at").cast("timestamp").alias("observed_at"),
        f.transform("tags", lambda tag: f.lower(tag["name"])).alias("hashtags"),
    )


@f.udf(ArrayType(StringType()))
def unpack(content: bytes) -> list[str]:
    """Return the lines of a file that is compressed by zstd."""
    lines = zstd.decompress(bytes(content)).splitlines()
    return [line.decode("utf-8", "replace") for line in lines]


def latest_posts(records: DataFrame) -> DataFrame:
    """Return each post once, as it was seen last; those that were deleted are gone.

    The archive keeps every sight of a post: the highest ``observed_at`` is the version that counts.
    """
    posts = records.where(f.col("key").isNotNull())
    version = f.max_by(f.struct(*records.columns), "observed_at")
    newest = posts.groupBy("key").agg(version.alias("seen"))
    return newest.select("seen.*").where(f.col("event") != "delete")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="the folder of a topic in an archive")
    folder = parser.parse_args().folder

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
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
    main()
