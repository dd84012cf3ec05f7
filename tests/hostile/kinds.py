"""The kinds of hostile input: what cases are drawn from, and what is done with each."""

from __future__ import annotations

import base64
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

from hostile.judging import Outcome, judge
from hostile.strategies import ODD_NAMES, as_json, json_files, leaves, mutated, mutated_trees, texts, trees
from hostile.workshop import TABLES, Workshop, table_bytes
from iqa.config.data import DataConfig
from iqa.config.reading import load_config, override_config, read_config
from iqa.config.recipes import recipe_texts
from iqa.data.audit.twins.groups import groups_from_file
from iqa.data.scored.load import load_scored
from iqa.data.store.pictures import check_header, read_rgb
from iqa.data.store.rules import Rules
from iqa.data.store.squares import open_squares
from iqa.data.store.views import ViewPolicy
from iqa.deploy.card import write_card
from iqa.errors import IqaError
from iqa.evaluation.comparison import as_markdown, compare_tested
from iqa.evaluation.tested import read_contender
from iqa.files import write_json
from iqa.model.backbone.weights import load_pretrained
from iqa.scoring import load_scorer
from iqa.scoring.base import SCORES
from iqa.scoring.ensemble import read_members
from iqa.scoring.inputs import find_inputs
from iqa.scoring.journal import Journal, free_folder
from iqa.scoring.picture import open_picture
from iqa.scoring.results import finished
from iqa.scoring.sent import admit
from iqa.tracking import read_run_note
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.session import Session

Work = Callable[[Any], object]


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        cases: what is drawn.
        work: what is done with a case; it may write into `room`.
        share: of all cases.
        also: errors beside the project's own that are a refusal.
    """

    name: str
    cases: st.SearchStrategy[Any]
    work: Work
    room: Path
    root: Path
    share: float
    also: tuple[type[Exception], ...] = field(default=())

    def judge(self, case: Any) -> Outcome:
        """How one case ends."""
        shutil.rmtree(self.room, ignore_errors=True)
        self.room.mkdir()
        outcome = judge(lambda: self.work(case), self.root, also=self.also, room=self.room)
        shutil.rmtree(self.room)
        return outcome


#: By name, what makes a kind, and its share of all cases.
MAKERS: dict[str, tuple[Callable[[Workshop, Path], tuple[st.SearchStrategy[Any], Work]], float]] = {}
#: Where a picture or a request is refused, it is by a ValueError or in a row.
ALSO: dict[str, tuple[type[Exception], ...]] = {"pictures": (ValueError,)}


def kind_of(share: float) -> Callable[[Callable[[Workshop, Path], tuple[st.SearchStrategy[Any], Work]]], Any]:
    """Register what makes a kind."""

    def register(maker: Callable[[Workshop, Path], tuple[st.SearchStrategy[Any], Work]]) -> Any:
        MAKERS[maker.__name__] = maker, share
        return maker

    return register


def make_kind(name: str, workshop: Workshop) -> Kind:
    """A kind by its name."""
    maker, share = MAKERS[name]
    room = workshop.root / "room"
    return Kind(name, *maker(workshop, room), room, workshop.root, share, ALSO.get(name, ()))


def _recipes() -> list[Any]:
    base = read_config({"experiment_name": "base"}).to_dict()
    short = {"experiment_name": "a", "data": {"dataset": "photos"}, "training": {"epochs": 2, "scheduler": "cosine"}}
    guide = {"experiment_name": "g", "device": "cuda", "seed": 3, "loss_weights": {"quality_loss": 1.0}, "logging": {}}
    return [
        base,
        short,
        guide,
        {**short, "model": {"scales": [1.0, 0.5], "mixture": {"dim": 2}}, "tuning": {"trials": 3}},
    ]


@kind_of(0.24)
def configs(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """Files of settings."""
    plain = st.sampled_from([1, 2, 3, 8, 0.5, 0.0, True, False, "auto", None, [1.0], [0.8, 0.1, 0.1], {}, 10**400, "a"])
    near = st.builds(as_json, mutated_trees(_recipes(), plain), st.sampled_from([0, 1, 3, 9, 25, 16]))
    files = json_files(_recipes()) | near | mutated([text.encode() for text in recipe_texts().values()])

    def work(content: bytes) -> None:
        (room / "case.json").write_bytes(content)
        config = load_config(room / "case.json")
        _keep(config, room)

    return files, work


@kind_of(0.24)
def overrides(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """Words of a command line that change settings."""
    base = read_config({"experiment_name": "base"})
    keys = st.sampled_from([*base.flat(), "data", "model", "training.loss", "model.mixture", "tuning.space"])
    keys = st.one_of(keys, keys, keys, texts, st.builds("{}.{}".format, keys, texts))
    values = st.one_of(
        leaves.map(str), trees.map(json.dumps), texts, st.sampled_from(["[" * 99999, "1" * 5000, "{}", '"'])
    )
    one = st.builds("--{}={}".format, keys, values)
    kept = st.sampled_from([f"--{key}={json.dumps(value)}" for key, value in base.flat().items()])
    two = st.builds(lambda key, value: f"--{key}\0\0{value}", keys, values)  # parted below
    one = st.one_of(one, one, one, texts)
    words = st.lists(st.one_of(one, two, kept, kept, kept), min_size=1, max_size=3)

    def work(case: list[str]) -> None:
        arguments = [part for word in case for part in word.split("\0\0", 1)]
        _keep(override_config(base, arguments), room)

    return words, work


def _keep(config: Any, room: Path) -> None:
    """What is taken can be written and read again, and its experiment has a place of its own below another."""
    write_json(room / "out" / "config.json", config.to_dict())
    assert load_config(room / "out" / "config.json") == config
    place = (room / "experiments" / config.experiment_name).resolve()
    assert place.parent == (room / "experiments").resolve(), "an experiment leaves its place"


@kind_of(0.18)
def tables(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """Tables of scores, for training and for scoring."""
    frame = workshop.table_frame()
    valid = {suffix: table_bytes(frame, suffix) for suffix in TABLES}
    valid["txt"] = table_bytes(frame.assign(mos=frame["mos"].map(lambda each: f"{each:.2f}".replace(".", ","))), "txt")
    damaged = st.sampled_from(TABLES).flatmap(lambda suffix: st.tuples(st.just(suffix), mutated([valid[suffix]])))
    records = st.tuples(st.sampled_from(("json", "csv")), json_files([frame.to_dict("records"), frame.to_dict("list")]))
    cell = st.sampled_from(ODD_NAMES) | leaves
    changes = st.lists(st.tuples(st.integers(0, 11), st.sampled_from(list(frame)), cell), min_size=1, max_size=6)
    named = st.tuples(st.sampled_from(TABLES), changes).map(lambda case: (case[0], _changed(frame, case[1], case[0])))
    cases = st.tuples(st.one_of(damaged, named, records), st.sampled_from(("fail", "skip")))

    def work(case: tuple[tuple[str, bytes], str]) -> None:
        (suffix, content), on_error = case
        table = room / f"table.{suffix}"
        table.write_bytes(content)
        refused = []
        for each in (_to_train, _to_score):
            try:
                for file in each(table, workshop, room, on_error):
                    inside = file.parent.resolve() / file.name
                    assert inside.is_relative_to(workshop.pictures), f"{file} is outside the pictures' folder"
            except IqaError as error:
                refused.append(error)
        if len(refused) == 2:
            raise refused[0]

    return cases, work


def _changed(frame: Any, changes: Sequence[tuple[int, str, Any]], suffix: str) -> bytes:
    frame = frame.astype(object)
    for row, column, value in changes:
        big = isinstance(value, int) and abs(value) >= 2**63
        frame.loc[row, column] = str(value) if big else value
    return table_bytes(frame, suffix)


def _to_train(table: Path, workshop: Workshop, room: Path, on_error: str) -> list[Path]:
    settings: dict[str, Any] = {"dataset": "csv", "root": str(room), "csv": table.name, "groups": "none"}
    settings |= {"image_root": str(workshop.pictures), "on_error": on_error, "cache_dir": str(room / "cache")}
    found = load_scored(DataConfig(**settings), judged_whole=True)
    return [workshop.pictures / name for name in found.manifest["image"]]


def _to_score(table: Path, workshop: Workshop, room: Path, on_error: str) -> list[Path]:
    inputs = find_inputs(str(table), root=str(workshop.pictures))
    return [inputs.path(name) for name in inputs.names if name not in inputs.faults]


@kind_of(0.12)
def records(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """What earlier commands left: histories, manifests, results, notes, journals, caches."""
    experiment = workshop.trained
    good = read_contender(ExperimentFolder(experiment))
    names = ("config.json", "training_history.json", "manifest.csv", "visualizations/test_results.json",
             "visualizations/test_predictions.csv")  # fmt: skip
    valid = {name: (experiment / name).read_bytes() for name in names}
    valid["mlflow.json"] = b'{"run_id": "0123", "tracking_uri": "sqlite:///mlflow.db", "experiment_id": "1"}'
    valid["ensemble.json"] = b'{"members": ["../a", "../b"]}'
    valid["groups.csv"] = b"image,group\n0.png,a\n1.png,b\n"
    valid["summary.json"] = b'{"inputs": "0", "figures": ["histogram.png"], "scored": 1}'
    inputs = find_inputs(str(workshop.pictures / "0.png"))
    with Journal(room.with_name("scored"), model="0", coverage=0.9, inputs=inputs) as journal:
        row = dict.fromkeys(("score", "calibrated", "low", "high"), 0.5) | {"error": None, "note": None}
        journal.append([("0.png", "1-2-3")], pd.DataFrame([dict.fromkeys(SCORES, 0.5) | row]))
    valid["scores.journal.jsonl"] = (room.with_name("scored") / "scores.journal.jsonl").read_bytes()
    cached = _squares(workshop, workshop.root / "squares")
    files = sorted(path for path in (workshop.root / "squares").rglob("*") if path.is_file() and path.suffix != ".lock")
    valid |= {f"squares/{path.relative_to(workshop.root / 'squares')}": path.read_bytes() for path in files}

    def damaged(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
        kind = json_files([json.loads(valid[name])]) if name.endswith(".json") else mutated([valid[name]])
        return st.tuples(st.just(name), kind)

    def work(case: tuple[str, bytes]) -> None:
        name, content = case
        if name.startswith("squares/"):
            shutil.copytree(workshop.root / "squares", room / "squares")
            (room / name).write_bytes(content)
            found = _squares(workshop, room / "squares")
            assert torch.equal(found.starts, cached.starts)
            assert torch.equal(found.images, cached.images), "damaged pictures are taken"
            return
        for part in (*names, "best_model.pth"):
            (room / part).parent.mkdir(exist_ok=True)
            (room / part).symlink_to(experiment / part)
        (room / name).unlink(missing_ok=True)
        (room / name).write_bytes(content)
        if name == "scores.journal.jsonl":
            assert free_folder(room, workshop.pictures)
            with Journal(room, model="0", coverage=0.9, inputs=inputs) as journal:
                journal.pending(inputs)
                journal.table(inputs)
        elif name == "groups.csv":
            groups_from_file(room / name, ["0.png", "1.png"])
        elif name == "summary.json":
            (room / "scores.csv").write_text("image\n")
            finished(room, inputs, "csv")
        elif name == "ensemble.json":
            read_members(room)
        elif name == "mlflow.json":
            read_run_note(room)
        else:
            _compare(room, good)

    return st.sampled_from(sorted(valid)).flatmap(damaged), work


def _squares(workshop: Workshop, cache: Path) -> Any:
    names = workshop.names[:3]
    return open_squares(
        cache, "s", "f", names, lambda name: read_rgb(workshop.pictures / name), ViewPolicy(24), workers=1
    )


def _compare(folder: Path, good: Any) -> None:
    """An experiment's folder beside a sound one, and its card; both are tried, whatever the first says."""
    _every_one(
        IqaError,
        lambda: as_markdown(compare_tested([read_contender(ExperimentFolder(folder)), good], samples=20)),
        lambda: write_card(folder),
    )


def _every_one(refusal: type[Exception], *works: Callable[[], object]) -> None:
    """Do all of it, whatever the first says, and then raise what was refused first."""
    refused = []
    for work in works:
        try:
            work()
        except refusal as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _tensor(case: tuple[list[int], Any, float]) -> torch.Tensor:
    shape, kind, value = case
    return torch.full(shape, value).to(kind)


tensors: st.SearchStrategy[torch.Tensor] = st.tuples(
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64, torch.float64]),
    st.sampled_from([0.0, 1.0, float("nan"), float("inf")]),
).map(_tensor)


@kind_of(0.07)
def checkpoints(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """Trained models and weights, to score with and to start from."""
    import timm

    path = workshop.trained
    content = torch.load(path / "best_model.pth", weights_only=True)
    valid = (path / "best_model.pth").read_bytes()
    backbone = timm.create_model("test_resnet", num_classes=0)
    weights = saved(backbone.state_dict())
    safe = save_safetensors(backbone.state_dict())
    others = [pickle.dumps({"format": 2}), pickle.dumps(torch.zeros(2)), valid[:2000], weights[-900:],
              saved({"format": 2, "model": {}, "config": {}}), saved([torch.zeros(3)]), saved(content["model"]),
              b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}", json.dumps({"format": 2}).encode()]  # fmt: skip
    heads = {"pth": valid, "weights.pth": weights}
    pickled = st.sampled_from(sorted(heads)).flatmap(
        lambda name: st.tuples(
            st.just(name), mutated([pickle_inside(heads[name])]).map(lambda each: with_pickle(heads[name], each))
        )
    )
    said = {key: value for key, value in content.items() if key not in ("model", "config")}
    figures = st.sampled_from(
        [0, 1, -1, 2, 48, 0.5, 1e308, float("nan"), float("inf"), True, None, "", [], {}, [0.5], [1, 2]]
    )
    beside = mutated_trees([said], figures | tensors).map(lambda tree: saved({**content, **tree}))
    trees_of = mutated_trees([content], st.one_of(trees, leaves, tensors)).map(saved)
    cases = st.one_of(
        st.tuples(st.just("pth"), trees_of),
        st.tuples(st.just("pth"), beside),
        st.tuples(st.just("pth"), beside),
        st.tuples(st.just("weights.pth"), mutated_trees([backbone.state_dict()], tensors | leaves).map(saved)),
        pickled,
        st.tuples(
            st.sampled_from(("pth", "weights.pth", "weights.safetensors")), mutated([valid, weights, safe, *others])
        ),
        st.tuples(st.just("weights.safetensors"), mutated([safe])),
    )

    def work(case: tuple[str, bytes]) -> None:
        suffix, held = case
        file = room / f"case.{suffix}"
        file.write_bytes(held)
        if suffix != "pth":
            load_pretrained(backbone, "test_resnet", str(file))
            return
        load_scorer(file, "cpu").score([workshop.pictures / "0.png"])

    return cases, work


@kind_of(0.02)
def resumed(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """A training that goes on from a damaged state."""
    path = workshop.trained
    content = torch.load(path / "last_model.pth", weights_only=True)
    config = ExperimentFolder(path).read_config()
    parts = {key: value for key, value in content.items() if key not in ("model", "config")}
    changed = mutated_trees([parts], st.one_of(trees, tensors)).map(
        lambda tree: {**content, **tree} if isinstance(tree, dict) else tree
    )
    cases = st.one_of(changed, mutated_trees([content], st.one_of(trees, tensors)))

    def work(tree: Any) -> None:
        folder = ExperimentFolder(room / "tiny")
        folder.path.mkdir()
        torch.save(tree, folder.last)
        Session(config, folder, resume=True, progress=False)

    return cases, work


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def pickle_inside(archive: bytes) -> bytes:
    """The pickle in a file of torch."""
    with zipfile.ZipFile(io.BytesIO(archive)) as held:
        return held.read(next(name for name in held.namelist() if name.endswith("data.pkl")))


def with_pickle(archive: bytes, pickled: bytes) -> bytes:
    """A file of torch with another pickle."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as held, zipfile.ZipFile(made, "w") as new:
        for name in held.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else held.read(name))
    return made.getvalue()


@kind_of(0.1)
def pictures(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """Picture files."""

    def work(content: bytes) -> None:
        file = room / "case.png"
        file.write_bytes(content)
        _every_one(
            ValueError,
            lambda: read_rgb(file),
            lambda: read_rgb(io.BytesIO(content), least=8),
            lambda: check_header(file),
            lambda: open_picture(content),
        )

    return mutated(workshop.picture_files()), work


@kind_of(0.03)
def requests(workshop: Workshop, room: Path) -> tuple[st.SearchStrategy[Any], Work]:
    """What a client sends to the served model."""
    _, scorer = workshop.small_model()
    rules = [Rules(), Rules(root=workshop.pictures), Rules(most_bytes=300, most_pixels=200, most_pictures=2)]
    files = workshop.picture_files()[:8]
    letters = [base64.b64encode(each) for each in files]
    data = [b"data:image/png;base64," + each for each in letters]
    nested = [b"data:text/plain;base64," + base64.b64encode(each) for each in data]
    sent = mutated([*letters, *data, *nested]).map(lambda each: each.decode("latin-1"))
    whole = st.sampled_from([each.decode() for each in letters + data])
    values = st.one_of(sent, sent, whole, mutated(files), texts, leaves, trees, st.sampled_from(ODD_NAMES))
    cases = st.tuples(st.lists(values, min_size=1, max_size=4), st.sampled_from(rules))

    def work(case: tuple[list[Any], Rules]) -> None:
        values, limits = case
        table = scorer.score(admit(values, limits), on_error="row")
        assert len(table) == len(values)
        assert (table["error"].isna() == table["score"].notna()).all(), "a row has neither score nor error, or both"
        told = " ".join(table["error"].dropna())
        assert str(workshop.root) not in told, "an answer tells where the server keeps files"
        if table["error"].notna().all():
            raise IqaError("every picture is refused")

    return cases, work
