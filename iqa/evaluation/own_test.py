"""Which pictures a model may be judged on: its own test split, or all of a set that it never saw.

Whether a set is the model's own is told by what its pictures are, not by how its table is called or where it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from iqa.errors import UserError

#: Of the pictures that two sets could share, the share from which on they are one set.
SAME_SET = 0.5


def is_own(manifest: pd.DataFrame, known_by: Sequence[str], *, same_settings: bool) -> bool:
    """Whether a set is the one that a model was trained on.

    Args:
        manifest: of the training, with the column `known_by`.
        known_by: what the set's pictures are known by.
        same_settings: whether the settings name the set as the training's do: all there is to go by where the manifest
            was written without `known_by`.
    """
    trained, given = set(manifest["known_by"]) - {""}, set(known_by) - {""}
    if not trained or not given:
        return same_settings
    return len(trained & given) >= SAME_SET * min(len(trained), len(given))


def refuse_known(
    manifest: pd.DataFrame, table: pd.DataFrame, known_by: Sequence[str], *, own: bool, folder: Path
) -> None:
    """See to it that no picture to be judged was trained on or selected by, nor another one of its content.

    Args:
        manifest: of the training, with the column `known_by`.
        table: the pictures to be judged, with what each is `known_by`.
        own: whether they are of the training's set, whose names of contents mean the same.
        folder: of the experiment, for the message.

    Raises:
        UserError: some were.
    """
    learned = manifest[manifest["split"] != "test"]
    pictures = set(learned["known_by"]) - {""}
    contents = set(learned["content"]) if own else set()
    known = [
        str(image)
        for image, content, known in zip(table["image"], table["content"].astype(str), known_by, strict=True)
        if known in pictures or content in contents
    ]
    if not known:
        return
    raise UserError(
        f"{folder} would be tested on pictures that it was trained on or selected by",
        got=f"{len(known)} of {len(table)} pictures, such as {known[0]}",
        expected="the test split of its training, or a set that it never saw",
        fix="leave out settings that draw the splits anew, such as data.split_seed, data.split_shares or data.seed"
        if own
        else "take these pictures out of the set",
    )
