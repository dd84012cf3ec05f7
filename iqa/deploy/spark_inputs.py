"""Pictures that Spark finds and reads, on any file system that it knows: a folder's, or those that a table names."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError, cut, first_line

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

#: Tables of names that Spark reads, and what parts their cells.
LISTS = {".csv": ",", ".tsv": "\t", ".parquet": ""}
#: Rows of a table that are looked at for its column of names.
HEAD = 100
#: Why there is no picture, in the words of the local engine.
MISSING, EMPTY = "missing", "an empty file"


def find_on_spark(spark: SparkSession, where: str, column: str, root: str) -> tuple[DataFrame, DataFrame]:
    """The files to score (image, length, content), and what cannot be read (image, error); nothing is read yet.

    Raises:
        UserError: there is no such folder or table, or no picture in it.
    """
    if not where:
        raise UserError("nothing to score is named", expected="--input with a folder or a table")
    files, path = located(spark, where)
    if not files.exists(path):
        raise UserError(f"the input {where} does not exist", expected="a folder or a table")
    is_list = PurePath(where).suffix.lower() in LISTS
    if not is_list and (column or root):
        raise UserError("--column and --root are for tables", got=f"the input {where}", expected=", ".join(LISTS))
    if not is_list and not files.getFileStatus(path).isDirectory():
        raise UserError(f"--engine spark does not read {where}", expected=f"a folder, or a table: {', '.join(LISTS)}")
    if is_list:
        names = _names(spark, where, literal(path), column)
        return _named(spark, names, located(spark, root)[1] if root else path.getParent())
    found = _below(spark, path)
    faults = _empty(spark, found, path)
    if found.isEmpty() and faults.isEmpty():
        raise UserError(f"no pictures in {where}", expected=f"files ending in {', '.join(SUFFIXES)}")
    return found, faults


def located(spark: SparkSession, place: str) -> tuple[Any, Any]:
    """A place as Hadoop sees it: its file system, and its full path there.

    Raises:
        UserError: Spark knows no such file system.
    """
    from py4j.protocol import Py4JJavaError

    context: Any = spark.sparkContext
    try:
        if context._jsc.hadoopConfiguration().get("fs.defaultFS").startswith("file:") and "://" not in place:
            # Java stays where it was started, whatever folder this process has gone to since.
            place = os.path.abspath(os.path.expanduser(place))
        path = context._jvm.org.apache.hadoop.fs.Path(place)
        files = path.getFileSystem(context._jsc.hadoopConfiguration())
        return files, files.makeQualified(path)
    except Py4JJavaError as error:
        raise UserError(
            f"Spark does not reach {place}",
            got=first_line(error.java_exception.toString()),
            fix="give it what it lacks, such as --spark.jars.packages org.apache.hadoop:hadoop-aws:3.5.0 for s3a://",
        ) from error


def literal(path: Any) -> str:
    """A place as Spark reads it: no pattern, whatever signs it holds."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path.toString())


def _below(spark: SparkSession, folder: Any) -> DataFrame:
    """Pictures below a folder: image (the path from there), length and content.

    Raises:
        UserError: the folder is a whole file system.
    """
    from pyspark.sql import functions as F

    if folder.getParent() is None:
        raise UserError("the input is a whole file system", got=folder.toString(), expected="a folder of pictures")
    either = ["".join(f"[{sign}{sign.upper()}]" if sign.isalpha() else sign for sign in end) for end in SUFFIXES]
    found = (
        spark.read.format("binaryFile")
        .option("recursiveFileLookup", True)
        .option("pathGlobFilter", f"*{{{','.join(either)}}}")
        # Else those that begin with _, as Canon's cameras name pictures, would be left out in silence.
        .option("ignoredPathSegmentRegex", r"^\.")
        .load(literal(folder))
    )
    return found.select(_from(F.col("path"), folder), "length", "content")


def _from(path: Column, folder: Any) -> Column:
    """A path as it reads from a folder that it is in."""
    from pyspark.sql import functions as F

    return path.substr(F.lit(len(folder.toString().rstrip("/")) + 2), F.length(path)).alias("image")


def _empty(spark: SparkSession, found: DataFrame, folder: Any) -> DataFrame:
    """Files without a byte, which Spark lists and does not read."""
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    inside: Any = spark.sparkContext
    java: Any = inside._jvm.org.apache.spark.sql.functions
    # Within Java, where the list is: here it would take far more room.
    listed: Any = spark.range(1)
    listed = listed._jdf.withColumn("uri", java.explode(java.lit(found._jdf.inputFiles())))
    # An address holds signs of its own for most others, and a file's may have three / after its scheme.
    plain = F.regexp_replace(F.url_decode(F.replace("uri", F.lit("+"), F.lit("%2B"))), "^file:/+", "file:/")
    names = DataFrame(listed, spark).select(_from(plain, folder))
    ends = "|".join(re.escape(end) for end in SUFFIXES)
    lost = names.where(F.col("image").rlike(f"(?i)({ends})$")).join(found.select("image"), "image", "left_anti")
    return lost.select("image", F.lit(EMPTY).alias("error"))


def _names(spark: SparkSession, where: str, place: str, column: str) -> DataFrame:
    """The names that a table holds: image.

    Raises:
        UserError: it has no such column, or none that is known to hold them.
    """
    from pyspark.sql import functions as F

    from iqa.data.scored.columns import picture_column

    ending = PurePath(where).suffix.lower()
    reader = spark.read.option("header", True).option("sep", LISTS[ending] or ",").option("escape", '"')
    table = spark.read.parquet(place) if ending == ".parquet" else reader.csv(place)
    if column and column not in table.columns:
        raise UserError(f"the table {where} has no column '{cut(column)}'", expected=", ".join(table.columns))
    label = column or table.columns[picture_column(table.limit(HEAD).toPandas(), where, "--column")]
    cell = F.col("`" + label.replace("`", "``") + "`").cast("string")
    return table.select(F.trim(F.coalesce(cell, F.lit(""))).alias("image"))


def _named(spark: SparkSession, names: DataFrame, root: Any) -> tuple[DataFrame, DataFrame]:
    """What `find_on_spark` gives of names below a folder, which they may begin with and cannot leave."""
    from pyspark.sql import functions as F

    full = root.toString().rstrip("/") + "/"
    key = F.col("image")
    for beginning in (full, full.partition(":")[2], full.replace(":/", ":///", 1), "./"):
        key = F.when(key.startswith(beginning), key.substr(F.lit(len(beginning) + 1), F.length(key))).otherwise(key)
    names, found = names.withColumn("key", key), _below(spark, root).withColumnRenamed("image", "key")
    # Names are few beside pictures: they go to the pictures, which stay where they were read.
    wanted = found.join(F.broadcast(names), "key").select("image", "length", "content")
    missing = names.join(found.select("key"), "key", "left_anti").select("image", F.lit(MISSING).alias("error"))
    return wanted, missing
