"""A set is a model's own by its pictures, wherever they lie and whatever their table is called."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from iqa.errors import UserError
from iqa.evaluation.own_test import is_own, refuse_known

TRAINED = pd.DataFrame(
    {
        "image": ["a.png", "b.png", "c.png", "d.png"],
        "split": ["train", "val", "test", "test"],
        "content": ["1", "2", "3", "4"],
        "known_by": ["aa", "bb", "cc", "dd"],
    }
)
FOLDER = Path("experiments/mine")


@pytest.mark.parametrize(
    ("known_by", "own"),
    [
        (["aa", "bb", "cc", "dd"], True),
        (["cc", "dd"], True),  # its test split alone
        (["aa", "bb", "cc", "xx", "yy"], True),  # some were added
        (["xx", "yy"], False),
        (["aa", "xx", "yy", "zz"], False),  # one that both have makes no set of it
    ],
)
def test_a_set_is_known_by_its_pictures(known_by: list[str], own: bool) -> None:
    for same_settings in (True, False):
        assert is_own(TRAINED, known_by, same_settings=same_settings) is own


@pytest.mark.parametrize("same_settings", [True, False])
def test_where_nothing_is_known_of_pictures_settings_decide(same_settings: bool) -> None:
    assert is_own(TRAINED.assign(known_by=""), ["aa"], same_settings=same_settings) is same_settings
    assert is_own(TRAINED, [""], same_settings=same_settings) is same_settings


def judged(images: list[str], known_by: list[str], content: list[str], *, own: bool) -> None:
    refuse_known(TRAINED, pd.DataFrame({"image": images, "content": content}), known_by, own=own, folder=FOLDER)


def test_the_own_test_split_may_be_judged() -> None:
    judged(["c.png", "d.png"], ["cc", "dd"], ["3", "4"], own=True)


def test_a_picture_that_was_trained_on_is_refused_under_any_name() -> None:
    for own in (True, False):
        with pytest.raises(UserError, match=r"1 of 2 pictures, such as other\.png"):
            judged(["c.png", "other.png"], ["cc", "aa"], ["3", "9"], own=own)


def test_a_content_that_was_selected_by_is_refused_within_a_set_and_means_nothing_in_another() -> None:
    with pytest.raises(UserError, match=r"draw the splits anew"):
        judged(["new.png"], ["xx"], ["2"], own=True)
    judged(["new.png"], ["xx"], ["2"], own=False)
