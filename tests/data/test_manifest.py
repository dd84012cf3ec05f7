"""A plan gives every kind and level its share, every photograph its turn, and no photograph two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iqa.data.manifest import DISTORTIONS, PRISTINE, digest, from_csv, to_csv, typed, validate
from iqa.data.synthetic.plan import plan_distortions
from iqa.errors import UserError

CONTENTS = {
    "train": [f"a{number}" for number in range(10)],
    "val": ["b0", "b1", "b2"],
    "test": ["c0", "c1", "c2"],
}
SAMPLES = {"train": 260, "val": 60, "test": 40}


def plan(**changes: object) -> pd.DataFrame:
    settings = {"contents": CONTENTS, "samples": SAMPLES, "pristine_share": 1 / 26, "seed": 0} | changes
    return plan_distortions(**settings)


def scored() -> pd.DataFrame:
    manifest = plan()
    manifest["score"] = np.linspace(0, 1, len(manifest), dtype=np.float32)
    return manifest


def spread(counts: pd.Series, of: int) -> int:
    """Difference between the most and the least frequent of `of` values, of which some may be absent."""
    return counts.max() - (counts.min() if len(counts) == of else 0)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(4, 700), seed=st.integers(0, 5), share=st.sampled_from([0.0, 1 / 26, 0.5]))
def test_every_kind_level_and_pair_gets_its_share(count: int, seed: int, share: float) -> None:
    manifest = plan(samples={"train": count, "val": 4, "test": 4}, seed=seed, pristine_share=share)
    train = manifest[manifest["split"] == "train"]
    distorted = train[train["kind"] != PRISTINE]
    assert abs(len(train) - len(distorted) - share * count) <= 0.5
    assert spread(distorted["kind"].value_counts(), 25) <= 1
    assert spread(distorted["level"].value_counts(), 5) <= 1
    assert spread(distorted[["kind", "level"]].value_counts(), 125) <= 1
    assert spread(train["content"].value_counts(), 10) <= 1


def test_all_untouched_is_possible() -> None:
    assert set(plan(pristine_share=1.0)["kind"]) == {PRISTINE}


def test_more_samples_keep_the_first_ones() -> None:
    few = plan(samples={"train": 100, "val": 60, "test": 40}, crops=True)
    many = plan(samples={"train": 700, "val": 60, "test": 40}, crops=True)
    few_train, many_train = (m[m["split"] == "train"].reset_index(drop=True) for m in (few, many))
    pd.testing.assert_frame_equal(few_train, many_train[:100])
    pd.testing.assert_frame_equal(
        few[few["split"] == "test"].reset_index(drop=True),
        many[many["split"] == "test"].reset_index(drop=True),
    )


def test_the_seed_decides() -> None:
    assert digest(plan()) == digest(plan())
    assert digest(plan()) != digest(plan(seed=1))


def test_each_use_of_a_photograph_is_another_crop() -> None:
    manifest = plan(crops=True)
    assert manifest["image"].is_unique
    assert (manifest["image"].str.partition("#")[0] == manifest["content"]).all()


def test_pictures_without_colour_are_spared_distortions_of_colour() -> None:
    manifest = plan(colourless={"a0", "a1", "a2", "a3", "b0"})
    colour = manifest["kind"].isin([name for name, group in DISTORTIONS.items() if group == "color"])
    assert not manifest.loc[colour, "content"].isin({"a0", "a1", "a2", "a3", "b0"}).any()
    assert spread(manifest.loc[manifest["split"] == "train", "content"].value_counts(), 10) <= 6


def test_a_set_without_any_colour_is_still_planned() -> None:
    grey = {name for names in CONTENTS.values() for name in names}
    assert len(plan(colourless=grey)) == 360


def test_a_split_without_pictures_is_refused() -> None:
    with pytest.raises(UserError, match="val"):
        plan(contents=CONTENTS | {"val": []})


def test_a_photograph_in_two_splits_is_refused() -> None:
    with pytest.raises(UserError, match="a3"):
        plan(contents=CONTENTS | {"test": ["c0", "a3"]})


@pytest.mark.parametrize(
    ("column", "value"),
    [("split", "rest"), ("kind", "smudge"), ("level", 6), ("level", 0), ("score", 1.5), ("score", np.nan)],
)
def test_an_impossible_value_is_named(column: str, value: object) -> None:
    manifest = scored()
    manifest.loc[0, column] = value
    with pytest.raises(UserError, match=column):
        validate(manifest)


def test_an_image_of_two_photographs_is_refused() -> None:
    manifest = scored()
    manifest["image"] = ["same"] * len(manifest)
    with pytest.raises(UserError, match="same"):
        validate(manifest)


def test_missing_columns_and_rows_are_refused() -> None:
    with pytest.raises(UserError, match="columns"):
        validate(scored().drop(columns="seed"))
    with pytest.raises(UserError, match="no rows"):
        validate(scored()[:0])


def test_the_digest_sees_every_value() -> None:
    manifest = scored()
    changed = manifest.copy()
    changed.loc[7, "score"] = np.nextafter(manifest["score"][7], np.float32(2))
    assert digest(typed(changed)) != digest(manifest)


def test_pictures_called_like_numbers_or_like_nothing_keep_their_names(tmp_path: Path) -> None:
    manifest = scored().replace({"content": {"a0": "007", "a1": "NA", "a2": "7", "a3": "1e3"}})
    (tmp_path / "manifest.csv").write_bytes(to_csv(manifest))
    pd.testing.assert_frame_equal(from_csv(tmp_path / "manifest.csv"), manifest)
