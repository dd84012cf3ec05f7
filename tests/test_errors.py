"""A message is short enough to be read, whatever a user's file holds."""

from __future__ import annotations

import pytest

from iqa.errors import LONGEST, QUOTED, IqaError, UserError, cut, first_line, nearest, some


def test_a_message_says_what_was_got_what_was_expected_and_what_helps() -> None:
    assert str(UserError("no such thing", got=3, expected="4", fix="count again")) == (
        "no such thing\n  got: 3\n  expected: 4\n  fix: count again"
    )
    assert str(IqaError("no such thing")) == "no such thing"


@pytest.mark.parametrize("filler", ["x", "图", "\udcff", "é\n"])
def test_what_is_long_is_cut_and_what_helps_is_kept(filler: str) -> None:
    message = str(UserError("no such thing", got=filler * 300_000, expected=filler * 5000, fix="count again"))
    assert len(message.encode(errors="replace")) <= LONGEST
    assert message.startswith("no such thing\n  got: ")
    assert message.endswith("...\n  fix: count again")


def test_a_cut_text_is_a_text() -> None:
    assert cut("图片质量", 12) == "图片质量"
    assert cut("图片质量!", 12) == "图片质..."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n  no such thing  \nand much more"), "no such thing"),
        (KeyError(), "KeyError"),
        (ValueError("  \n "), "ValueError"),
        ("told by text\r\nand more", "told by text"),
        ("", ""),
    ],
)
def test_an_error_is_quoted_by_its_first_line(error: object, said: str) -> None:
    assert first_line(error) == said


def test_a_quoted_line_is_short() -> None:
    assert len(first_line(ValueError("x" * 5000))) == QUOTED


def test_a_near_name_is_suggested_and_a_far_one_is_not() -> None:
    assert nearest("resnett18", ["resnet18", "vit"]) == "did you mean 'resnet18'?"
    assert nearest("zzz", ["resnet18", "vit"]) is None


def test_of_many_names_some_are_told() -> None:
    assert some(list("abc")) == "a, b, c"
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"
