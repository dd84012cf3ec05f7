"""A score for a distorted picture that stands on people: pseudo-MOS.

No person saw these pictures. But the mean that people gave to a kind and level of distortion in KADID-10k (H.
Lin, V. Hosu, D. Saupe, "KADID-10k: A large-scale artificially distorted IQA database", QoMEX 2019; 81
pictures a cell) correlates .94 (SRCC) with what they gave to each picture of it. That mean is kept; a
full-reference metric says only which pictures of a cell lie above it and which below.

The metric is HaarPSI (R. Reisenhofer et al., "A Haar wavelet-based perceptual similarity index for image
quality assessment", Signal Processing: Image Communication 61, 2018), by piq. SRCC of the metric's 125 cell
means against people's, and milliseconds a picture on one core of a busy machine, on 4, 6 and 24 Kodak pictures
(those of 32 x 32 enlarged to 64 x 64):

    metric      512 x 384      224 x 224      32 x 32
    HaarPSI     .936   36      .940    7      .928   .7
    VSI         .951   71      .933   36      .947   34
    MDSI        .941   17      .861   11      .891   .9
    MS-GMSDc    .932   32      .914    6      .914   .6
    GMSD        .880   19      .868    4      .879   .3
    FSIM           -           .848   82         -

HaarPSI comes within .02 of VSI, the best, at half its cost on the largest and a fiftieth on the smallest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd
import piq
import torch
import torch.nn.functional as F
from torch import Tensor

from iqa.data.manifest import DISTORTIONS, LEVELS, PRISTINE
from iqa.errors import UserError, nearest

#: Part of every cache's recipe: raise it when any score changes.
VERSION = 2
#: Smaller pictures are enlarged to this short side before the metric (SRCC .928 against .907 at 32 x 32).
_METRIC_SIDE = 64
#: Samples scored at once; bounds the metric's memory.
_SAMPLES_AT_ONCE = 2**21
#: Fidelities of one cell that spread less than this are equal: what is left is rounding.
_SAME_FIDELITY = 1e-6


def human_cells() -> pd.DataFrame:
    """KADID-10k's human means: 125 rows of kind (number), name, level, mean and std (1..5), count, parameter.

    `mean` and `std` run over the `count` pictures of the cell; `parameter` is what our distortions use.
    """
    return _read_cells().copy()


def untouched_score() -> float:
    """Score in 0..1 of a picture left as it is: the mean of the least damaged cell, 4.6 of 5."""
    return _to_unit(float(_read_cells()["mean"].max()))


@torch.no_grad()
def fidelity(reference: Tensor, distorted: Tensor) -> np.ndarray:
    """How much of the clean pictures is left, by HaarPSI.

    Args:
        reference, distorted: uint8 [B, 3, H, W] on one device, at least 16 pixels high and wide.

    Returns:
        float32 [B], 1 for equal pictures, lower for worse ones.

    Raises:
        UserError: types or shapes differ from that.
    """
    for images in (reference, distorted):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise UserError(
                "fidelity compares RGB pictures in bytes",
                got=f"{images.dtype} {list(images.shape)}",
                expected="torch.uint8 [B, 3, H, W]",
            )
    if reference.shape != distorted.shape:
        raise UserError(
            "clean and distorted pictures differ in number or size",
            got=f"{list(reference.shape)} and {list(distorted.shape)}",
        )
    step = max(1, _SAMPLES_AT_ONCE // max(1, reference[:1].numel()))
    scores = [
        piq.haarpsi(_enlarged(clean), _enlarged(worse), data_range=255.0, reduction="none").cpu()
        for clean, worse in zip(reference.split(step), distorted.split(step), strict=True)
    ]
    found = torch.cat(scores).to(torch.float32)
    # HaarPSI weighs by structure: where neither picture has any it divides by nothing, and nothing is lost.
    return torch.where(found.isfinite(), found, 1.0).clamp(0, 1).numpy()


def pseudo_mos(kinds: Sequence[str], levels: Sequence[int], fidelity: np.ndarray) -> np.ndarray:
    """Scores of distorted pictures; each cell's mean over them is the human one.

    Within a cell the scores follow the fidelity's z-score z as tanh(z / 2), centred and given the human
    spread of the cell. Where that would leave 0..1 the spread is narrowed, never the mean moved. Untouched
    pictures all get `untouched_score()`.

    Args:
        kinds, levels: one kind (or PRISTINE) and level of distortion per picture; levels of PRISTINE are
        ignored. fidelity: float [N], higher is better.

    Returns:
        float32 [N] in 0..1, where people's scale 1..5 maps to (m - 1) / 4.

    Raises:
        UserError: unknown kind or level, lengths that differ, or a fidelity that is not finite.
    """
    values = np.asarray(fidelity, dtype=np.float64)
    if not len(kinds) == len(levels) == len(values):
        raise UserError(
            "every picture needs kind, level and fidelity",
            got=f"{len(kinds)}, {len(levels)} and {len(values)}",
        )
    if not np.isfinite(values).all():
        raise UserError("a fidelity is not finite", got=f"picture {int(np.argmin(np.isfinite(values)))}")
    cells: dict[tuple[str, int], list[int]] = {}
    for index, (kind, level) in enumerate(zip(kinds, levels, strict=True)):
        cells.setdefault((kind, 0 if kind == PRISTINE else int(level)), []).append(index)
    scores = np.empty(len(values))
    people = _read_cells().set_index(["name", "level"])
    for (kind, level), members in cells.items():
        if kind == PRISTINE:
            scores[members] = untouched_score()
            continue
        _check_cell(kind, level)
        mean, std = people.loc[(kind, level), ["mean", "std"]]
        scores[members] = _spread(values[members], _to_unit(float(mean)), float(std) / 4)
    return scores.astype(np.float32)


def _spread(fidelity: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Scores around `mean` in the order of `fidelity`, spread by `std` or as much of it as fits into 0..1."""
    deviation = fidelity.std()
    if deviation < _SAME_FIDELITY:
        return np.full(len(fidelity), mean)
    bounded = np.tanh((fidelity - fidelity.mean()) / deviation / 2)
    bounded -= bounded.mean()
    bounded /= bounded.std()
    fitting = min(std, mean / -bounded.min(), (1 - mean) / bounded.max())
    return np.asarray(np.clip(mean + fitting * bounded, 0, 1))


def _enlarged(images: Tensor) -> Tensor:
    short = min(images.shape[-2:])
    unit = images.to(torch.float32)
    if short >= _METRIC_SIDE:
        return unit
    return F.interpolate(unit, scale_factor=-(-_METRIC_SIDE // short), mode="bilinear")


def _check_cell(kind: str, level: int) -> None:
    if kind not in DISTORTIONS:
        raise UserError(f"no human scores for distortion '{kind}'", fix=nearest(kind, [*DISTORTIONS, PRISTINE]))
    if level not in LEVELS:
        raise UserError(f"no human scores for level {level} of '{kind}'", expected="1 to 5")


def _to_unit(mean: float) -> float:
    return (mean - 1) / 4


@cache
def _read_cells() -> pd.DataFrame:
    with resources.files("iqa.data.synthetic").joinpath("kadid10k_cells.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
