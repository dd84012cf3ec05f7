"""A model that MLflow can serve, as a function of Spark."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.tracking.store import good_manners

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

#: What Spark calls MLflow's types. MLflow cannot hand on a whole number that is missing: it travels as a float.
TYPES = {"double": "double", "long": "double", "string": "string"}


def spark_function(
    spark: SparkSession, model: Path, environment: Mapping[str, str]
) -> tuple[Callable[[Column], Column], dict[str, str]]:
    """The model in a folder as a function of a column of pictures, each a file's bytes.

    It gives a struct with a field for each column that the model gives. A text that is missing comes as "None", a
    number, whole or not, as NaN or null. Python processes on Spark's machines load the model: on a cluster once each,
    by a local master once a task.

    Args:
        model: what `iqa.deploy.servable.make_servable` makes.
        environment: variables that the model is loaded under there.

    Returns:
        the function, and MLflow's type of each field: "double", "long" or "string".
    """
    from mlflow.models import Model
    from mlflow.pyfunc import spark_udf

    fields = {str(each.name): str(each.type.name) for each in Model.load(str(model)).signature.outputs.inputs}
    struct = ", ".join(f"{name} {TYPES[kind]}" for name, kind in fields.items())
    logging.getLogger("mlflow.models").setLevel(logging.ERROR)
    with good_manners():
        function = spark_udf(
            spark, str(model), result_type=f"struct<{struct}>", env_manager="local", extra_env=dict(environment)
        )
    return function, fields
