"""A table of pictures as MLflow's record of the data that a run used."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.tracking.store import public_uri

if TYPE_CHECKING:
    import pandas as pd

#: MLflow refuses longer digests.
DIGEST_LENGTH = 36


def describe(table: pd.DataFrame, name: str, digest: str, source: str) -> dict[str, str | None]:
    """Name, digest, source, schema and size of `table`, as the fields of MLflow's Dataset entity."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.pandas_dataset import from_pandas

    located = "://" in source or Path(source).exists()
    # A data set that only has a name, such as pictures inside installed packages, comes from code.
    origin = public_uri(source) if located else CodeDatasetSource({"source": source})
    with warnings.catch_warnings():
        # Hints of no use to who trains: a folder is a local source, and whole numbers cannot be missing.
        warnings.filterwarnings("ignore", message="The specified dataset source can be interpreted")
        warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer")
        data = from_pandas(table, source=origin, name=name, digest=digest[:DIGEST_LENGTH])
        entity = data._to_mlflow_entity()
    return {
        "name": entity.name,
        "digest": entity.digest,
        "source_type": entity.source_type,
        "source": entity.source,
        "schema": entity.schema,
        "profile": entity.profile,
    }
