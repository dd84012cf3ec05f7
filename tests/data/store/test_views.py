"""Pictures of any size become squares the same way every time, and nothing of them is lost or squeezed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iqa.config.data import DataConfig
from iqa.data.store.views import ViewPolicy
from iqa.errors import UserError

SIDES = st.integers(20, 200)


def gradient(width: int, height: int) -> Image.Image:
    """Red tells the column, green the row, both in shares of 255."""
    rows, columns = np.mgrid[0:height, 0:width]
    shares = columns / max(width - 1, 1), rows / max(height - 1, 1), 0 * rows
    return Image.fromarray((np.stack(shares, 2) * 255).astype(np.uint8))


@settings(deadline=None, max_examples=60)
@given(width=SIDES, height=SIDES, crops=st.integers(1, 6), resize=st.sampled_from(["short_side", "squash", "none"]))
def test_squares_are_what_the_policy_says(width: int, height: int, crops: int, resize: str) -> None:
    policy = ViewPolicy(32, resize, crops)
    squares = policy.cut(gradient(width, height))
    assert 1 <= len(squares) <= crops
    assert squares.shape[1:] == (32, 32, 3)
    np.testing.assert_array_equal(squares, policy.cut(gradient(width, height)))


@pytest.mark.parametrize(("width", "height"), [(96, 32), (32, 96), (70, 40)])
def test_with_crops_enough_both_ends_are_seen(width: int, height: int) -> None:
    squares = ViewPolicy(32, "short_side", 8).cut(gradient(width, height)).astype(int)
    long_side = 0 if width > height else 1
    assert squares[..., long_side].min() < 8
    assert squares[..., long_side].max() > 247


def test_a_square_picture_of_the_right_size_is_left_alone() -> None:
    picture = gradient(48, 48)
    for resize in ("short_side", "squash", "none"):
        (square,) = ViewPolicy(48, resize, 4).cut(picture)
        np.testing.assert_array_equal(square, np.asarray(picture))


def test_proportions_are_kept_unless_squashed() -> None:
    wide = gradient(64, 32)
    kept = ViewPolicy(32, "short_side", 1).cut(wide)[0].astype(int)
    squashed = ViewPolicy(32, "squash", 1).cut(wide)[0].astype(int)
    assert np.ptp(kept[16, :, 0]) < 140  # the middle half of the columns
    assert np.ptp(squashed[16, :, 0]) > 240


def test_unscaled_squares_hold_the_pictures_own_pixels() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    squares = ViewPolicy(32, "none", 6).cut(noise)
    np.testing.assert_array_equal(squares[0], np.asarray(noise)[:32, :32])
    np.testing.assert_array_equal(squares[-1], np.asarray(noise)[-32:, -32:])
    assert len(squares) == 6


def test_a_single_square_is_the_middle_one() -> None:
    (square,) = ViewPolicy(32, "short_side", 1).cut(gradient(96, 32))
    assert abs(int(square[16, 16, 0]) - 127) < 8


def test_only_rgb_is_cut() -> None:
    with pytest.raises(UserError, match="RGB"):
        ViewPolicy(32).cut(Image.new("L", (40, 40)))


def test_a_config_gives_its_policy_and_a_checkpoint_the_same_again() -> None:
    policy = ViewPolicy.from_config(DataConfig(dataset="csv", csv="t.csv", picture_size=320, resize="none", crops=7))
    assert policy == ViewPolicy(320, "none", 7)
    assert ViewPolicy.from_dict(policy.to_dict()) == policy
