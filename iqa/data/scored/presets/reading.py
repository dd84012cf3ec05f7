"""From the name of a published set and the folder it lies in to its rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from iqa.config.data import DataConfig
from iqa.data.manifest import DISTORTIONS
from iqa.data.scored.cells import columns_shown, shown
from iqa.data.scored.columns import beside_root, numbers, text
from iqa.data.scored.locate import check_root
from iqa.data.scored.presets.catalog import CATALOG, Form, Shipped
from iqa.data.scored.presets.layouts import below, find, listing
from iqa.data.scored.presets.readers import plain
from iqa.data.scored.rawset import RAW_COLUMNS, RawSet
from iqa.errors import UserError

log = logging.getLogger(__name__)

#: What authors call the splits; 0, 1 and 2 are the toolkit's.
SPLIT_NAMES = {
    "": "", "training": "train", "train": "train", "0": "train", "validation": "val", "1": "val", "test": "test",
    "2": "test",
}  # fmt: skip
_KIND_BY_NUMBER = dict(enumerate(DISTORTIONS, start=1))


def read_preset(data: DataConfig) -> RawSet:
    """The set `data.dataset` in `data.root`, the folder as its authors ship it; `catalog` has the layouts.

    The authors' own table is taken, else the one that IQA-PyTorch made of it (meta_info_*Dataset.csv), else
    what `data.csv` names. `data.image_root` may name another folder of pictures. Columns, scale and direction
    are known; `data.columns.group`, `split` and `subset` may be "" to do without that part.

    Raises:
        UserError: a table or folder that is not there, a table of another form, or a setting that the set knows
            better.
    """
    shipped = CATALOG[data.dataset]
    _refuse_settings(data)
    root = Path(data.root or "").expanduser()
    if not root.is_dir():
        raise UserError("data.root is no folder", got=root, expected=f"a folder with {shipped.layout}")
    form, frame, files = _read_scores(data, root, shipped)
    folder = _image_root(data, root, shipped)
    table = _rows(frame, form, shipped, files[0])
    if not shipped.in_folders:
        table["image"] = np.array(below(folder, list(table["image"])), dtype=object)
    for role in ("group", "split", "subset"):
        if getattr(data.columns, role) == "":
            table[role] = ""
    if len(table) != shipped.pictures:
        log.warning("%s has %d scores; %d are published", data.dataset, len(table), shipped.pictures)
    return RawSet(table, folder, shipped.scale, files)


def _refuse_settings(data: DataConfig) -> None:
    columns = {f"columns.{role}": value for role, value in data.columns.model_dump().items()}
    dropped = [f"columns.{role}" for role in ("group", "split", "subset") if columns[f"columns.{role}"] == ""]
    given = [name for name, value in columns.items() if value is not None and name not in dropped]
    given += [name for name in ("score_range", "header", "ratings") if getattr(data, name) is not None]
    given += ["score_direction"] if data.score_direction != "higher_is_better" else []
    if given:
        raise UserError(
            f"the columns and the scale of {data.dataset} are known",
            got=", ".join(f"data.{name}" for name in given),
            expected="these settings left out; data.columns.group, split and subset may be ''",
            fix="set data.dataset to csv to describe the table yourself",
        )


def _read_scores(data: DataConfig, root: Path, shipped: Shipped) -> tuple[Form, pd.DataFrame, tuple[Path, ...]]:
    """The first form of the scores that is there, or the one that `data.csv` is in."""
    if data.csv is not None:
        path = beside_root(data, data.csv)
        if not path.exists():
            raise UserError("data.csv is not there", got=path, expected=f"a table of {data.dataset}'s scores")
        return _fitting(path, _forms_named(path, shipped), data.dataset)
    for form in shipped.forms:
        if (found := find(root, form.names)) is not None:
            return _fitting(found, [form], data.dataset)
    names = [name for form in shipped.forms for name in form.names]
    simplest = next((name for name in names if name.startswith("meta_info_")), names[0])
    raise UserError(
        f"no table of {data.dataset}'s scores in data.root",
        got=listing(root),
        expected=shipped.layout,
        fix=f"lay {simplest} there, or name the table in data.csv",
    )


def _forms_named(path: Path, shipped: Shipped) -> Sequence[Form]:
    """The forms that may be in a file, by its name; under a name of its own it is a plain table."""
    known = [form for form in shipped.forms if path.name.casefold() in {_last(name) for name in form.names}]
    return known or [form for form in shipped.forms if form.read is plain] or shipped.forms


def _fitting(path: Path, forms: Sequence[Form], dataset: str) -> tuple[Form, pd.DataFrame, tuple[Path, ...]]:
    """The first form whose columns are in the file."""
    for form in forms:
        frame, files = form.read(path)
        if all(_place(frame, column) is not None for column in form.columns.values()):
            return form, frame, files
    wanted = "; or ".join(", ".join(map(str, form.columns.values())) for form in forms)
    raise UserError(
        f"{path} lacks columns of {dataset}'s table",
        got=columns_shown(frame.columns),
        expected=wanted,
        fix="lay the authors' own table in data.root, or set data.dataset to csv to describe this one yourself",
    )


def _image_root(data: DataConfig, root: Path, shipped: Shipped) -> Path:
    given = data.image_root is not None
    folder = beside_root(data, data.image_root or "") if given else find(root, shipped.folders)
    if given and folder is not None:
        check_root(folder, "data.image_root", shipped.layout)
    if folder is None or not folder.is_dir():
        raise UserError(
            f"no folder of {data.dataset}'s pictures in data.root",
            got=listing(root),
            expected=shipped.layout,
            fix="unpack the pictures there, or name their folder in data.image_root",
        )
    return folder


def _rows(frame: pd.DataFrame, form: Form, shipped: Shipped, path: Path) -> pd.DataFrame:
    """The columns of a scored set, told by the table and by the names of its pictures."""
    cells = {role: frame.iloc[:, _place(frame, column)] for role, column in form.columns.items()}
    table = pd.DataFrame("", index=range(len(frame)), columns=list(RAW_COLUMNS), dtype=object)
    table["image"] = text(cells["image"])
    table["score"] = numbers(cells["score"])
    for role in ("group", "split"):
        if role in cells:
            table[role] = text(cells[role])
    if shipped.left_out is not None:
        table = table[~table["image"].str.fullmatch(shipped.left_out)].reset_index(drop=True)
    told = [shipped.tell(name) for name in table["image"]]
    _refuse(table["image"], [parts is None for parts in told], path, f"names like {shipped.name}")
    _refuse(table["split"], [name not in SPLIT_NAMES for name in table["split"]], path, "training, validation or test")
    parts = pd.DataFrame([part or {} for part in told], index=table.index)
    if "group" in parts:
        table["group"] = parts["group"]
    table["group"] = [group.casefold() for group in table["group"]]
    table["split"] = [SPLIT_NAMES[name] for name in table["split"]]
    if "subset" in parts:
        table["subset"] = [shipped.subset.format(part) for part in parts["subset"]]
    table["level"] = parts["level"].astype("int64") if "level" in parts else 0
    if "kind" in parts:
        table["kind"] = [_KIND_BY_NUMBER[int(number)] for number in parts["kind"]]
    return table.astype({column: object for column in RAW_COLUMNS if column not in ("score", "level")})


def _refuse(cells: pd.Series, wrong: Sequence[bool], path: Path, expected: str) -> None:
    strange = cells[np.asarray(wrong, dtype=bool)]
    if len(strange):
        raise UserError(
            f"{path} is another set's table: {len(strange)} values are unknown",
            got=shown(strange.iloc[0]),
            expected=expected,
        )


def _place(frame: pd.DataFrame, column: str | int) -> int | None:
    """The place of a column, by its name in any case, or by its number in a table without a header."""
    labels = [label.casefold() if isinstance(label, str) else label for label in frame.columns]
    wanted = column.casefold() if isinstance(column, str) else column
    return labels.index(wanted) if wanted in labels else None


def _last(name: str) -> str:
    return name.rpartition("/")[2].casefold()
