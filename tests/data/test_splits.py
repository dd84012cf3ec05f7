"""Contents stay whole, shares are met, and the order of rows decides nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iqa.data.manifest import SPLITS
from iqa.data.splits import complete_split, redraw, refuse_few, refuse_useless, split_by_group
from iqa.errors import UserError

SHARES = (0.7, 0.1, 0.2)
GROUPS = st.lists(st.integers(0, 12), min_size=3, max_size=60).filter(lambda groups: len(set(groups)) >= 3)


def counts(split: np.ndarray) -> dict[str, int]:
    return {name: int((split == name).sum()) for name in SPLITS}


def table(split: list[str], group: list[str] | None = None) -> pd.DataFrame:
    names = [f"{number}.jpg" for number in range(len(split))]
    return pd.DataFrame({"image": names, "group": group or [""] * len(split), "split": split})


@settings(deadline=None)
@given(GROUPS, st.integers(0, 5))
def test_groups_stay_whole_and_no_split_is_empty(groups: list[int], seed: int) -> None:
    split = split_by_group([str(group) for group in groups], SHARES, seed)
    assert pd.Series(split).groupby(groups).nunique().max() == 1
    assert min(counts(split).values()) > 0
    # What a greedy draw guarantees, whatever the sizes of the groups.
    largest = max(np.bincount(groups))
    for name, share in zip(SPLITS, SHARES, strict=True):
        assert abs(counts(split)[name] - share * len(groups)) <= 2 * largest


@settings(deadline=None)
@given(GROUPS, st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(groups: list[int], random) -> None:
    names = [str(group) for group in groups]
    order = list(range(len(names)))
    random.shuffle(order)
    split = split_by_group(names, SHARES, 3)
    np.testing.assert_array_equal(split_by_group([names[row] for row in order], SHARES, 3), split[order])


def test_thousands_of_singletons_meet_the_shares_exactly() -> None:
    split = split_by_group([f"{number}.jpg" for number in range(10_000)], SHARES, 0)
    assert counts(split) == {"train": 7000, "val": 1000, "test": 2000}


def test_groups_of_one_size_meet_the_shares_to_half_a_group() -> None:
    split = split_by_group([f"I{number // 125:02}" for number in range(81 * 125)], SHARES, 0)
    assert counts(split) == {"train": 57 * 125, "val": 8 * 125, "test": 16 * 125}


def test_uneven_groups_meet_the_shares_as_nearly_as_they_can() -> None:
    groups = [group for group, size in zip("abcdef", (40, 30, 10, 10, 5, 5), strict=True) for _ in range(size)]
    assert counts(split_by_group(groups, SHARES, 0)) == {"train": 70, "val": 10, "test": 20}


def test_another_seed_is_another_draw() -> None:
    names = [str(number) for number in range(100)]
    assert (split_by_group(names, SHARES, 0) != split_by_group(names, SHARES, 1)).any()


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(UserError, match=r"(?s)2 contents with 6 pictures.*data\.columns\.group"):
        split_by_group(list("aaabbb"), SHARES, 0)


def test_a_complete_split_is_taken_as_it_is() -> None:
    split = ["test", "train", "val", "train"]
    assert complete_split(table(split), SHARES, 0).tolist() == split


def test_a_missing_validation_is_a_tenth_of_training() -> None:
    given_split = ["train"] * 200 + ["test"] * 50
    group = [str(number // 2) for number in range(250)]
    split = complete_split(table(given_split, group), SHARES, 0)
    assert counts(split) == {"train": 180, "val": 20, "test": 50}
    assert (split[200:] == "test").all()
    assert (split[::2] == split[1::2]).all()


def test_a_missing_test_is_its_share_of_training() -> None:
    split = complete_split(table(["train"] * 90 + ["val"] * 10), SHARES, 0)
    assert counts(split) == {"train": 70, "val": 10, "test": 20}
    assert (split[90:] == "val").all()


@pytest.mark.parametrize("name", ["", "train", "test"])
def test_a_set_of_one_split_is_drawn_as_a_whole(name: str) -> None:
    assert counts(complete_split(table([name] * 100), SHARES, 0)) == {"train": 70, "val": 10, "test": 20}


def test_the_table_is_left_alone() -> None:
    before = table(["train"] * 20 + ["test"] * 5)
    after = before.copy()
    complete_split(after, SHARES, 0)
    pd.testing.assert_frame_equal(after, before)


@pytest.mark.parametrize(
    ("split", "group", "message"),
    [
        (["train", "", "val", "test"], None, r"1 of 4 rows name none, such as 1\.jpg"),
        (["train", ""], None, "only some rows"),
        (["val", "test"], None, "no training"),
        (["train", "test", "val"], ["a", "a", "b"], "a in test and train"),
    ],
)
def test_splits_that_cannot_be_used_are_refused(split: list[str], group: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        complete_split(table(split, group), SHARES, 0)


def test_groups_in_some_rows_alone_are_refused() -> None:
    with pytest.raises(UserError, match=r"(?s)2 of 4 rows name none, such as 1\.jpg.*ffill.*data\.columns\.group"):
        complete_split(table([""] * 4, ["a", "", "b", ""]), SHARES, 0)


def test_each_split_can_be_given_several_contents() -> None:
    groups = [str(number // 2) for number in range(24)]
    split = split_by_group(groups, SHARES, 0, least=2)
    assert pd.Series(groups).groupby(split).nunique().min() == 2
    assert counts(split_by_group(list("abcd"), SHARES, 0, least=2)) == {"train": 2, "val": 1, "test": 1}


@pytest.mark.parametrize(
    ("split", "scores", "message"),
    [
        (
            ["train"] * 3 + ["val"] + ["test"] * 2,
            range(6),
            r"(?s)validation pictures: 1.*3 train, 1 val, 2 test.*split_s",
        ),
        (["train"] * 3 + ["val"] * 2 + ["test"], range(6), r"test pictures: 1"),
        (["train"] * 3 + ["val"] * 2, range(5), r"test pictures: 0"),
        (["train", "val", "val", "test", "test"], [1, 3, 3, 1, 2], r"(?s)validation scores are all alike.*2 pictures"),
        (["train", "val", "val", "test", "test"], [1, 3, 2, 2, 2], r"test scores are all alike"),
    ],
)
def test_splits_that_tell_nothing_are_refused(split: list[str], scores: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        refuse_useless(np.array(split, dtype=object), np.array(scores, dtype=float))


def test_two_scores_that_differ_are_enough() -> None:
    refuse_useless(np.array(["train", "val", "val", "test", "test"], dtype=object), np.array([1.0, 1, 2, 3, 1]))


@pytest.mark.parametrize(
    ("split", "group", "message"),
    [
        ([""] * 5, None, r"draw val and test from: 5(?s:.*)at least 6"),
        ([""] * 50, ["a", "b", "c", "d", "e"] * 10, r"from: 5(?s:.*)50 pictures of 5 contents"),
        (["train"] * 5, None, "val and test from: 5"),
        (["train"] * 3 + ["test"] * 9, None, r"draw val from: 3(?s:.*)at least 4"),
        (["train"] * 3 + ["val"] * 9, None, "draw test from: 3"),
    ],
)
def test_too_few_contents_to_draw_from_are_refused(split: list[str], group: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        refuse_few(table(split, group))


@pytest.mark.parametrize(
    "split", [[""] * 6, ["train"] * 4 + ["test"], ["train", "val", "test"], ["val", "test"], ["train", ""]]
)
def test_what_is_enough_or_refused_elsewhere_is_let_through(split: list[str]) -> None:
    refuse_few(table(split))


def test_validation_that_is_drawn_anew_has_two_contents() -> None:
    content = np.array([f"c{number}" for number in range(9)])
    split = np.array(["train"] * 7 + ["val", "test"], dtype=object)
    for seed in range(5):
        assert (redraw(content, split, seed) == "val").sum() == 2
