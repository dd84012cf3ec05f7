"""Pseudo-MOS: people's mean per cell, the metric's order within it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from iqa.data.manifest import LEVELS, PRISTINE
from iqa.data.synthetic.distortions import KINDS, distort
from iqa.data.synthetic.pseudo_mos import fidelity, human_cells, pseudo_mos, untouched_score
from iqa.errors import UserError


@pytest.fixture(scope="module")
def scored() -> tuple[list[str], list[int], np.ndarray, np.ndarray]:
    """Forty fidelities of odd shape in every cell, in mixed order, and their scores."""
    random = np.random.default_rng(0)
    cells = [(kind, level) for kind in KINDS for level in LEVELS for _ in range(40)]
    random.shuffle(cells)
    kinds, levels = [kind for kind, _ in cells], [level for _, level in cells]
    values = random.exponential(size=len(cells)) ** 2
    return kinds, levels, values, pseudo_mos(kinds, levels, values)


def members(kinds: list[str], levels: list[int], kind: str, level: int) -> np.ndarray:
    return (np.array(kinds) == kind) & (np.array(levels) == level)


def test_every_cell_keeps_the_mean_that_people_gave(scored) -> None:
    kinds, levels, _, scores = scored
    for cell in human_cells().itertuples():
        mean = scores[members(kinds, levels, cell.name, cell.level)].astype(np.float64).mean()
        assert mean == pytest.approx((cell.mean - 1) / 4, abs=1e-6)


def test_scores_stay_in_range_and_spread_no_more_than_people(scored) -> None:
    kinds, levels, _, scores = scored
    assert scores.dtype == np.float32
    assert scores.min() >= 0
    assert scores.max() <= 1
    for cell in human_cells().itertuples():
        spread = scores[members(kinds, levels, cell.name, cell.level)].std()
        assert 0 < spread <= cell.std / 4 + 1e-6


def test_higher_fidelity_scores_higher_within_a_cell(scored) -> None:
    kinds, levels, values, scores = scored
    for kind, level in [("jpeg", 1), ("jpeg", 5), ("gaussian_blur", 3), ("mean_shift", 3)]:
        cell = members(kinds, levels, kind, level)
        by_fidelity = scores[cell][np.argsort(values[cell])]
        assert (np.diff(by_fidelity) >= 0).all()
        assert by_fidelity[0] < by_fidelity[-1]


def test_the_scale_of_fidelity_does_not_matter(scored) -> None:
    kinds, levels, values, scores = scored
    np.testing.assert_allclose(pseudo_mos(kinds, levels, 7 * values + 3), scores, atol=1e-6)


def test_untouched_pictures_get_the_best_cell_and_no_spread() -> None:
    scores = pseudo_mos([PRISTINE] * 3, [0, 0, 0], np.array([1.0, 0.2, 0.7]))
    assert scores == pytest.approx([untouched_score()] * 3)
    assert untouched_score() == pytest.approx((human_cells()["mean"].max() - 1) / 4)


def test_a_cell_without_differences_gets_its_mean() -> None:
    mean = float(human_cells().query("name == 'jpeg' and level == 2")["mean"].iloc[0] - 1) / 4
    assert pseudo_mos(["jpeg"], [2], np.array([0.4])) == pytest.approx([mean])
    assert pseudo_mos(["jpeg"] * 2, [2, 2], np.array([1.0, 1 - 1e-8])) == pytest.approx([mean] * 2)


@pytest.mark.parametrize("size", [(16, 16), (32, 32), (48, 96), (224, 130)])
def test_fidelity_is_one_for_equal_pictures_and_falls_with_noise(size: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 6, 6, generator=random)
    clean = (torch.nn.functional.interpolate(coarse, size, mode="bilinear") * 255).to(torch.uint8)
    falling = [fidelity(clean, clean)]
    falling += [fidelity(clean, distort(clean, "white_noise", level, [0, 1])) for level in (1, 3, 5)]
    assert falling[0].dtype == np.float32
    assert falling[0] == pytest.approx([1, 1], abs=1e-4)
    assert all((better > worse).all() for better, worse in pairwise(falling))


def test_fidelity_of_pictures_without_detail_is_finite() -> None:
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert fidelity(black, black) == pytest.approx([1])


def test_fidelity_does_not_depend_on_the_batch() -> None:
    random = torch.Generator().manual_seed(1)
    clean = torch.randint(0, 256, (5, 3, 40, 40), dtype=torch.uint8, generator=random)
    worse = distort(clean, "jpeg", 3, range(5))
    alone = np.concatenate([fidelity(clean[i : i + 1], worse[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(fidelity(clean, worse), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "levels", "values", "message"),
    [
        (["jpg"], [1], [0.5], "did you mean 'jpeg'"),
        (["jpeg"], [7], [0.5], "level 7"),
        (["jpeg"], [1, 2], [0.5], "1, 2 and 1"),
        (["jpeg"] * 2, [1, 1], [0.5, np.nan], "picture 1"),
    ],
)
def test_bad_calls_say_what_to_mend(kinds, levels, values, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pseudo_mos(kinds, levels, np.array(values))


def test_fidelity_refuses_other_pictures() -> None:
    with pytest.raises(UserError, match="float32"):
        fidelity(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
    with pytest.raises(UserError, match="number or size"):
        fidelity(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
