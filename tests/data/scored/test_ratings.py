"""Tables with several ratings a picture: three ways to hold them, one set of means, and nothing dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.scored.load import ScoredSet, load_scored
from iqa.data.scored.ratings.means import Rated
from iqa.data.scored.ratings.rated import Ratings, rated_by
from iqa.data.scored.ratings.reading import read_ratings
from iqa.errors import UserError

PICTURES, RATERS = 24, 8
RANDOM = np.random.default_rng(0)
#: Ratings of a small study on 1 to 5, NaN where a rater did not rate.
GIVEN = np.where(RANDOM.random((PICTURES, RATERS)) < 0.8, RANDOM.integers(1, 6, (PICTURES, RATERS)), np.nan)
NAMES = [f"{number:02}.png" for number in range(PICTURES)]


def long_table() -> pd.DataFrame:
    rows = [(NAMES[p], f"anna{r}", GIVEN[p, r]) for p, r in np.argwhere(np.isfinite(GIVEN))]
    return pd.DataFrame(rows, columns=["image", "observer", "rating"]).sample(frac=1, random_state=0)


def wide_table() -> pd.DataFrame:
    return pd.DataFrame(GIVEN, columns=[f"r{r + 1}" for r in range(RATERS)]).assign(image=NAMES)


def counts_table(prefix: str = "c") -> pd.DataFrame:
    return pd.DataFrame({f"{prefix}{k}": np.equal(GIVEN, k).sum(axis=1) for k in range(1, 6)}).assign(image=NAMES)


TABLES = {"long": long_table, "wide": wide_table, "counts": counts_table}


def read(frame: pd.DataFrame, ratings: str, **settings: object) -> Rated:
    data = DataConfig(dataset="csv", csv="scores.csv", ratings=ratings, **settings)
    return read_ratings(frame, data, "scores.csv", [f"line {row + 2}" for row in range(len(frame))])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((48, 48)).save(tmp_path / name)
    return tmp_path


def load(root: Path, frame: pd.DataFrame, **settings: object) -> ScoredSet:
    frame.to_csv(root / "scores.csv", index=False)
    return load_scored(DataConfig(dataset="csv", csv=str(root / "scores.csv"), groups="none", **settings))


@pytest.mark.parametrize("kind", TABLES)
def test_a_score_is_the_mean_of_the_ratings_however_a_table_holds_them(study: Path, kind: str) -> None:
    found = load(study, TABLES[kind](), ratings=kind)
    rows = [NAMES.index(name) for name in found.manifest["image"]]
    means = found.scale.from_unit(found.manifest["score"])
    np.testing.assert_allclose(means, np.nanmean(GIVEN, axis=1)[rows], atol=1e-5)
    assert found.ratings is not None
    np.testing.assert_allclose(found.ratings.means(), means, atol=1e-5)
    assert found.ratings.counts.tolist() == np.isfinite(GIVEN).sum(axis=1)[rows].tolist()
    deviations = np.nanstd(GIVEN, axis=1, ddof=1) / np.sqrt(np.isfinite(GIVEN).sum(axis=1))
    np.testing.assert_allclose(found.ratings.errors(), deviations[rows], atol=1e-9)
    assert len(found.ratings.raters) == (0 if kind == "counts" else RATERS)


def test_ratings_follow_pictures_that_are_left_out(study: Path) -> None:
    (study / "05.png").unlink()
    found = load(study, wide_table(), ratings="wide", on_error="skip", train_samples=6)
    assert "05.png" not in found.manifest["image"].tolist()
    means = np.nanmean(GIVEN, axis=1)[[NAMES.index(name) for name in found.manifest["image"]]]
    np.testing.assert_allclose(found.ratings.means(), means)


def test_json_records_are_a_table(study: Path) -> None:
    records = long_table().to_dict("records")
    for name, text in {
        "one.json": json.dumps(records),
        "lines.jsonl": "\n".join(map(json.dumps, records)),
        "columns.json": long_table().reset_index(drop=True).to_json(),
    }.items():
        (study / name).write_text(text)
        data = DataConfig(dataset="csv", csv=str(study / name), ratings="long", groups="none")
        assert load_scored(data).ratings.counts.sum() == np.isfinite(GIVEN).sum()


@pytest.mark.parametrize(
    "text", ['{"a.jpg": 3', "[1, 2]", '[{"image": "a.jpg", "ratings": [1, 2]}]', '{"a": [1], "b": []}']
)
def test_json_that_is_no_table_is_refused(study: Path, text: str) -> None:
    (study / "scores.json").write_text(text)
    with pytest.raises(UserError, match=r"scores\.json"):
        load_scored(DataConfig(dataset="csv", csv=str(study / "scores.json")))


@pytest.mark.parametrize("rows", [120, 9])
def test_a_row_for_each_rating_without_the_setting_names_the_setting(study: Path, rows: int) -> None:
    with pytest.raises(UserError, match=r"(?s)(several ratings|different rows).*data\.ratings to long"):
        load(study, long_table().sort_values("image").iloc[:rows])


def test_columns_of_raters_without_the_setting_name_the_setting(study: Path) -> None:
    with pytest.raises(UserError, match=r"data\.ratings to wide"):
        load(study, wide_table())


def test_a_rater_who_rated_a_picture_twice_counts_once_and_that_is_told() -> None:
    again = pd.concat([long_table(), long_table().iloc[:1].assign(rating=9)])
    found = read(again, "long")
    assert found.ratings.counts.sum() == np.isfinite(GIVEN).sum()
    assert "a picture that its rater had rated before: 1" in found.said


@pytest.mark.parametrize(("cell", "told"), [("good", "'good'"), (9, "9 in")])
@pytest.mark.parametrize("kind", ["long", "wide"])
def test_a_cell_that_is_no_rating_is_told_with_its_place(kind: str, cell: object, told: str) -> None:
    frame = TABLES[kind]().astype(object).reset_index(drop=True)
    column = "rating" if kind == "long" else "r3"
    frame.loc[4, column] = cell
    with pytest.raises(UserError, match=rf"(?s)1 rating of.*{told}.*line 6.*data\.on_error"):
        read(frame, kind, score_range=(1, 5))
    assert (
        f"LEFT OUT 1 {'that are no' if cell == 'good' else 'beyond'}"
        in read(frame, kind, score_range=(1, 5), on_error="skip").said
    )


def test_empty_cells_are_missing_ratings_and_are_counted() -> None:
    assert f"empty cells: {np.isnan(GIVEN).sum()}" in read(wide_table(), "wide").said
    frame = long_table().astype(object).reset_index(drop=True)
    frame.loc[3, "rating"] = "n/a"
    assert "empty ratings left out: 1" in read(frame, "long").said


@pytest.mark.parametrize(("count", "told"), [(-1, "below 0"), (2.5, "not whole"), ("many", "no numbers")])
def test_impossible_counts_are_told_with_their_place(count: object, told: str) -> None:
    frame = counts_table().astype(object)
    frame.loc[2, "c4"] = count
    with pytest.raises(UserError, match=rf"(?s)1 counts.*{told}: 'c4' in line 4"):
        read(frame, "counts")
    skipped = read(frame, "counts", on_error="skip")
    assert np.isnan(skipped.table["score"].to_numpy(dtype=float)).tolist() == [row == 2 for row in range(PICTURES)]


def test_a_picture_that_nobody_rated_is_a_row_without_a_score(study: Path) -> None:
    frame = counts_table()
    frame.loc[7, [f"c{k}" for k in range(1, 6)]] = 0
    with pytest.raises(UserError, match=r"(?s)1 x score is no number: 07\.png"):
        load(study, frame, ratings="counts")


@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (["1", "2", "3", "4", "5"], {}),
        (["votes_1", "votes_2", "votes_3", "votes_4", "votes_5"], {}),
        (
            ["Bad", "Poor", "Fair", "Good", "Excellent"],
            {"columns": {"ratings": ["Bad", "Poor", "Fair", "Good", "Excellent"]}},
        ),
        (list("vwxyz"), {"columns": {"ratings": list("vwxyz")}, "score_range": (1, 5)}),
    ],
)
def test_names_of_columns_say_which_score_they_count(labels: list[str], settings: dict) -> None:
    frame = counts_table().rename(columns={f"c{k}": label for k, label in enumerate(labels, start=1)})
    np.testing.assert_allclose(read(frame, "counts", **settings).table["score"], np.nanmean(GIVEN, axis=1))


def test_columns_whose_names_say_no_score_need_a_scale() -> None:
    frame = counts_table().rename(columns={f"c{k}": letter for k, letter in enumerate("vwxyz", start=1)})
    with pytest.raises(UserError, match=r"data\.score_range"):
        read(frame, "counts", columns={"ratings": list("vwxyz")})


def test_shares_are_counted_by_their_total_or_leave_the_number_unknown() -> None:
    frame = counts_table()
    counts = frame[[f"c{k}" for k in range(1, 6)]]
    shares = frame.assign(**counts.div(counts.sum(axis=1), axis=0).round(6))
    found = read(shares.assign(c_total=counts.sum(axis=1)), "counts")
    assert found.ratings.counts.tolist() == counts.sum(axis=1).tolist()
    bare = read(shares, "counts")
    assert bare.ratings is None
    assert "not known" in bare.said
    np.testing.assert_allclose(bare.table["score"], found.table["score"].astype(float), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "ratings", "message"),
    [
        ({"scene": ["a"] + ["b"] * 200}, "long", r"several values of 'group'.*"),
        ({"observer": [""] + ["x"] * 200}, "long", r"1 rating of .* without a rater"),
        ({"rating": ["?"] * 201}, "long", "holds no numbers"),
    ],
)
def test_a_long_table_that_contradicts_itself_is_refused(change: dict, ratings: str, message: str) -> None:
    frame = long_table().sort_values("image").reset_index(drop=True)
    with pytest.raises(UserError, match=message):
        read(frame.assign(**{column: cells[: len(frame)] for column, cells in change.items()}), ratings)


def test_columns_of_raters_that_cannot_be_told_are_asked_for() -> None:
    frame = wide_table().rename(columns={f"r{r + 1}": f"Anna {'abcdefgh'[r]}" for r in range(RATERS)})
    with pytest.raises(UserError, match=r"data\.columns\.ratings"):
        read(frame, "wide")
    names = [f"Anna {letter}" for letter in "abcdefgh"]
    assert read(frame, "wide", columns={"ratings": names}).ratings.raters == tuple(names)


@pytest.mark.parametrize(
    "settings", [{"columns": {"rater": "who"}}, {"columns": {"ratings": ["a", "b"]}}, {"screen_raters": True}]
)
def test_settings_of_ratings_need_ratings(settings: dict) -> None:
    with pytest.raises(ValueError, match=r"is for data\.ratings"):
        DataConfig(dataset="csv", csv="scores.csv", **settings)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcd"), st.integers(1, 5)), min_size=1, max_size=60))
def test_means_and_counts_are_those_of_pandas(rows: list[tuple[int, str, int]]) -> None:
    frame = (
        pd.DataFrame(rows, columns=["picture", "rater", "value"]).groupby(["picture", "rater"], as_index=False).mean()
    )
    columns = (np.array(column) for column in zip(*rows, strict=True))
    picture, rater, value = columns
    found, again = rated_by(6, picture, value, list(rater))
    assert again == len(rows) - len(frame)
    np.testing.assert_allclose(found.means(), frame.groupby("picture")["value"].mean().reindex(range(6)))
    np.testing.assert_allclose(found.errors(), frame.groupby("picture")["value"].sem().reindex(range(6)), atol=1e-9)


def test_choosing_pictures_keeps_their_ratings_and_forgets_raters_of_others() -> None:
    ratings = Ratings(3, np.array([0, 1, 2]), np.array([1.0, 2, 3]), np.array([0, 1, 2]), ("a", "b", "c"))
    found = ratings.of_pictures([2, 0])
    assert (found.means().tolist(), found.raters) == ([3, 1], ("a", "c"))
    assert ratings.without([1]).means().tolist()[::2] == [1, 3]


@pytest.mark.parametrize("columns", [{"rater": ""}, {}])
def test_raters_who_cannot_be_judged_are_not_screened_in_silence(columns: dict) -> None:
    frame = long_table() if columns else long_table().iloc[:60]
    with pytest.raises(UserError, match=r"no rater of scores\.csv can be judged"):
        read(frame, "long", columns=columns, screen_raters=True)


def test_screening_leaves_out_who_guesses_and_says_so() -> None:
    random = np.random.default_rng(3)
    true = random.uniform(1, 5, 80)
    given = np.clip(np.rint(true[:, None] + random.normal(0, 0.6, (80, 16))), 1, 5)
    given[:, 5] = random.integers(1, 6, 80)
    frame = pd.DataFrame(given, columns=[f"r{r}" for r in range(16)]).assign(image=[f"{p}.png" for p in range(80)])
    found = read(frame, "wide", screen_raters=True)
    np.testing.assert_allclose(found.table["score"], np.delete(given, 5, axis=1).mean(axis=1))
    assert "1 of 16 raters SCREENED OUT: r5 (" in found.said
    np.testing.assert_allclose(read(frame, "wide").table["score"], given.mean(axis=1))


@pytest.mark.parametrize("dataset", ["koniq10k", "huggingface"])
def test_ratings_of_sets_that_are_known_are_refused(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(UserError, match=r"(?s)data\.ratings.*data\.dataset to csv"):
        load_scored(DataConfig(dataset=dataset, root=str(tmp_path), ratings="wide"))
