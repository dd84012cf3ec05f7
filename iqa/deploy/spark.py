"""More pictures than one machine can score: the served model as a function of Spark, from bytes to parquet.

Nothing but counts comes back to the process that asks. A picture that cannot be read costs its row; a process of Spark
that dies costs its task, which Spark starts again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from iqa.data.store.rules import BYTES, PICTURES, PIXELS, ROOT
from iqa.deploy.servable import make_servable
from iqa.deploy.server import MEMORY
from iqa.deploy.spark_inputs import find_on_spark, literal, located
from iqa.errors import IqaError, UserError, cut
from iqa.scoring.results import REASONS, TABLES
from iqa.tracking.models.spark_function import spark_function

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Bytes of a picture: the whole of it passes through Java's memory several times.
MOST_BYTES = 2**27
#: Pictures, and bytes of pictures, that Python is handed at once.
BATCH, BATCH_BYTES = 64, 2**26
#: Times that a task is tried, whatever kills it.
TRIES = 4

SETTINGS = {
    # A process for each core: more threads of torch would only wait for those of the others.
    "spark.executorEnv.OMP_NUM_THREADS": "1",
    **{f"spark.executorEnv.{name}": value for name, value in MEMORY.items()},
    "spark.task.maxFailures": str(TRIES),
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH),
    "spark.sql.execution.arrow.maxBytesPerBatch": str(BATCH_BYTES),
    # Some 250 pictures a task, however small: enough to load a model for, and little to do again.
    "spark.sql.files.maxPartitionBytes": str(2**28),
    "spark.sql.files.openCostInBytes": str(2**20),
    # Its page listens on all addresses and asks nobody who they are.
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.driver.memory": "2g",
    "spark.executor.memory": "2g",
}
#: Of a master on this machine, which nobody else has to reach.
LOOPBACK: dict[str, Any] = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
LOCAL_ADDRESS = "SPARK_LOCAL_IP"


@dataclass(frozen=True)
class SparkScores:
    """What Spark has written.

    Attributes:
        place: the folder of parquet files.
        summary: pictures, scored, unreadable, seconds, the spread of the scores (mean, median, min, max; None of
            none) and the commonest reasons for unreadable ones, with their counts.
    """

    place: str
    summary: dict[str, Any]


def score_on_spark(
    model: str,
    pictures: str,
    output: str,
    *,
    master: str = "local[*]",
    column: str = "",
    root: str = "",
    settings: Mapping[str, Any] | None = None,
) -> SparkScores:
    """Score pictures where Spark reads them, and write `scores.parquet` below `output`.

    It has the columns of the local engine but `note`: image, the model's figures, and error, in no order.

    Args:
        model: as `make_servable` takes it.
        pictures: a folder, searched with all below it, or a table (csv, tsv, parquet) with a column of names;
            both on any file system that Spark knows, such as s3a://bucket/photos.
        output: a folder on such a file system.
        master: Spark's, such as local[2] or spark://host:7077.
        column: of names in a table; found by usual names or by content if none is given.
        root: the folder that a table's names are relative to, and cannot leave; its own if none is given.
        settings: of Spark, by its names.

    Raises:
        UserError: there is no Java or no pyspark, or no such model, pictures or master, or the table is there already.
        IqaError: Spark gave up.
    """
    if not output:
        raise UserError("--engine spark needs a place for its table", fix="--output FOLDER")
    for name in settings or {}:
        if not name.startswith("spark."):
            raise UserError("--engine spark has no such setting", got=f"--{name}", expected="those of Spark: --spark.*")
    check_installed()
    # It says of each of its modules that it was made for an older pandas.
    warnings.filterwarnings("ignore", category=FutureWarning, module="pyspark")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="iqa-spark-") as folder:
        served = make_servable(model, Path(folder))
        with _session(master, settings or {}) as spark:
            place = _free(spark, output)
            table = _scored(spark, served.folder, *find_on_spark(spark, pictures, column, root))
            table.write.parquet(place.toString())
            return SparkScores(_shown(place), _summarise(spark, place) | {"seconds": time.monotonic() - began})


def check_installed() -> None:
    """Refuse to begin without what Spark needs.

    Raises:
        UserError: there is no Java or no pyspark.
    """
    try:
        import pyspark  # noqa: F401
    except ImportError as error:
        raise UserError(
            "--engine spark needs pyspark, which is not installed", fix='pip install "iqa[spark]"'
        ) from error
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=str(Path(home, "bin")) if home else None) is None:
        raise UserError(
            "--engine spark needs Java, which is not installed",
            got=f"no java in JAVA_HOME, {home}" if home else "no java in PATH",
            expected="Java 17 or newer",
            fix="install it, on Debian by apt-get install default-jre-headless",
        )


@contextmanager
def _session(master: str, settings: Mapping[str, Any]) -> Iterator[SparkSession]:
    """Spark, stopped in the end; what it says when it fails becomes one message."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    # The driver and, by a local master, its tasks run in this environment. A cluster has its own.
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("iqa score")
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault(LOCAL_ADDRESS, "127.0.0.1")
        builder = builder.config(map=LOOPBACK)
        # By itself a local master tries a task once.
        master = re.sub(r"^local\[([^,\]]+)\]$", rf"local[\1,{TRIES}]", master)
    quiet = {"spark.ui.showConsoleProgress": "true" if sys.stderr.isatty() else "false"}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    chosen: dict[str, Any] = SETTINGS | quiet | texts
    try:
        spark = builder.master(master).config(map=chosen).getOrCreate()
    except (PySparkException, Py4JError) as error:
        raise UserError(
            "Spark does not start",
            got=_reason(error),
            expected="a master such as local[2] or spark://host:7077, and Java 17 or newer",
        ) from error
    try:
        yield spark
    except (PySparkException, Py4JError) as error:
        raise IqaError("Spark gave up", got=_reason(error), fix="IQA_TRACEBACK=1 shows the rest") from error
    finally:
        spark.stop()


def _reason(error: Exception) -> str:
    """The line of a long report that says why: what Python raised in a task, else the first that Java names."""
    told = str(error)
    lines = [line.strip(" :") for line in (told.partition("Traceback (most")[2] or told).splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"(?!py4j)(Caused by: )?[\w.$]+(Error|Exception): ?\S", line)]
    return cut((named or lines or [type(error).__name__])[0])


def _free(spark: SparkSession, output: str) -> Any:
    """Where the table goes.

    Raises:
        UserError: it is there already.
    """
    files, path = located(spark, f"{output.rstrip('/')}/{TABLES['parquet']}")
    if files.exists(path):
        raise UserError(f"{_shown(path)} is there already", expected="an --output that holds no results")
    return path


def _shown(path: Any) -> str:
    return str(path.toString()).removeprefix("file:")


def _scored(spark: SparkSession, model: Path, found: DataFrame, missing: DataFrame) -> DataFrame:
    """Rows of the table, of all that was named."""
    from pyspark.sql import functions as F

    # Who runs this names the pictures, and no stranger: the limits are those of what can be read at all.
    pixels = Image.MAX_IMAGE_PIXELS or 2**31 - 1
    limits = {ROOT: "", BYTES: str(MOST_BYTES), PIXELS: str(pixels), PICTURES: str(BATCH)}
    judge, fields = spark_function(spark, model, limits)
    said = found.where(F.col("length") <= MOST_BYTES).select("image", judge(F.col("content")).alias("said"))
    columns = [F.col("image")]
    for name, kind in fields.items():
        value = F.col(f"said.{name}")
        given = value != "None" if kind == "string" else ~F.isnan(value)
        columns.append(F.when(given, value.cast({"long": "bigint"}.get(kind, kind))).alias(name))
    reason = F.lit(f"more bytes than the limit of {MOST_BYTES}")
    heavy = found.where(F.col("length") > MOST_BYTES).select("image", reason.alias("error"))
    return said.select(*columns).unionByName(heavy.unionByName(missing), allowMissingColumns=True)


def _summarise(spark: SparkSession, place: Any) -> dict[str, Any]:
    """Counts and spread of what was written; asks it of Spark again, for the rows are on no one machine."""
    from pyspark.sql import functions as F

    table, score = spark.read.parquet(literal(place)), F.col("score")
    (row,) = table.select(
        F.count("*").alias("pictures"),
        F.count("score").alias("scored"),
        F.avg(score).alias("mean"),
        F.percentile_approx(score, 0.5).alias("median"),
        F.min(score).alias("min"),
        F.max(score).alias("max"),
    ).collect()
    counts = table.where("error IS NOT NULL").groupBy("error").count().orderBy(F.desc("count")).limit(REASONS)
    spread = {name: row[name] for name in ("mean", "median", "min", "max")}
    return {
        "pictures": row.pictures,
        "scored": row.scored,
        "unreadable": row.pictures - row.scored,
        "score": spread if row.scored else None,
        "reasons": {each["error"]: each["count"] for each in counts.collect()},
    }
