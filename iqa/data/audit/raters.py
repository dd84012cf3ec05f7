"""What single ratings tell: who rated unlike the others, how sure mean scores are, and what a model can reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iqa.data.audit.findings import Finding, of_count, of_names
from iqa.data.audit.twins.links import Links
from iqa.data.scored.cells import shown
from iqa.data.scored.ratings.rated import Ratings
from iqa.data.scored.ratings.reliability import noise_of_twins, reliability
from iqa.data.scored.ratings.screening import Judged

#: A ceiling below this is worth a word.
LOW = 0.9
#: How far the looks (mean grey levels) and the sharpness of two pictures may differ that show the same.
SAME_LOOK, SAME_SHARPNESS = 2.0, 0.1


def rater_facts(ratings: Ratings, judged: Judged, *, left_out: bool, progress: bool | None = None) -> dict[str, Any]:
    """Figures on ratings and raters.

    Args:
        ratings: that the scores are the means of.
        judged: all raters, also those who are left out.
        left_out: whether the rejected ones are.
    """
    counts, errors = ratings.counts, ratings.errors()
    told = reliability(ratings, progress=progress)
    known = errors[np.isfinite(errors)]
    return {
        "ratings": len(ratings.value),
        "raters": len(judged.names) or None,
        "raters_kept": len(ratings.raters) or None,
        "ratings_a_picture": {"min": int(counts.min()), "median": float(np.median(counts)), "max": int(counts.max())},
        "single_rating": int((counts == 1).sum()),
        "standard_error": float(known.mean()) if len(known) else None,
        "reliability": told.to_dict() if told else None,
        "judged": judged.judged,
        "gave_one_rating": int((judged.ratings == 1).sum()),
        "rejected_left_out": left_out,
        "rejected": [
            {
                "rater": judged.names[place],
                "why": judged.rejected[place],
                "ratings": int(judged.ratings[place]),
                "far_off": _number(judged.far[place]),
                "correlation": _number(judged.correlation[place]),
            }
            for place in judged.out.tolist()
        ],
    }


def rater_findings(facts: dict[str, Any] | None) -> list[Finding]:
    """What is odd about ratings and raters."""
    if facts is None:
        return []
    names = [f"{shown(each['rater'])} ({each['why']})" for each in facts["rejected"]]
    end = "left out" if facts["rejected_left_out"] else "data.screen_raters leaves them out"
    found = of_names(
        "raters",
        "unlike_others",
        f"rater did not rate as the others did; {end}",
        f"raters did not rate as the others did; {end}",
        names,
    )
    if facts["single_rating"]:
        found += of_count(
            "raters",
            "single_rating",
            "picture has a single rating, which does not say how sure it is",
            "pictures have a single rating, which does not say how sure it is",
            facts["single_rating"],
        )
    return found


def ceilings(raters: dict[str, Any] | None, scores: np.ndarray, twins: np.ndarray) -> dict[str, Any]:
    """What the noise of the scores leaves a model to reach, by the raters and by twins; None where these do not tell.

    Args:
        raters: see `rater_facts`.
        scores: float64 [N].
        twins: pairs of pictures that show the same, see `twin_pairs`.
    """
    halves = raters["reliability"] if raters else None
    noise = noise_of_twins(scores, twins)
    return {
        "ceiling_by_raters": halves["ceiling"] if halves else None,
        "ceiling_by_twins": noise.ceiling if noise else None,
        "twin_pairs": len(twins),
        "noise_by_twins": noise.noise if noise else None,
    }


def ceiling_findings(facts: dict[str, Any]) -> list[Finding]:
    """A word where the scores' own noise keeps every model far from perfect."""
    told = {"raters": facts["ceiling_by_raters"], "twins": facts["ceiling_by_twins"]}
    low = {by: value for by, value in told.items() if value is not None and value < LOW}
    if not low:
        return []
    values = ", ".join(f"{value:.2f} by {by}" for by, value in low.items())
    said = f"the scores' own noise lets no model honestly reach an SRCC above {values}: more ratings a picture help"
    return [Finding("scores", "noisy", said)]


def twin_pairs(names: list[str], same: np.ndarray, links: Links, facts: pd.DataFrame) -> np.ndarray:
    """Pairs of pictures that show the same in the same quality, no picture in two of them: int64 [P, 2].

    Copies, and variants of one size whose looks and sharpness hardly differ.

    Args:
        names: of the pictures.
        same: a number for each, the same for the same bytes.
        links: between them.
        facts: of each, see `facts.look_into`.
    """
    place = {name: number for number, name in enumerate(names)}
    order = np.array([place[name] for name in links.names], dtype=np.int64)
    copies = [[int(same[row]), int(row)] for row in np.flatnonzero(same != np.arange(len(same)))]
    sizes, sharpness = facts[["width", "height"]].to_numpy(), facts["sharpness"].to_numpy()
    near = []
    for one, other in links.variants.tolist():
        look = np.abs(links.grey[one].astype(np.float32) - links.grey[other]).mean()
        first, second = order[one], order[other]
        sharp = abs(sharpness[first] - sharpness[second]) <= SAME_SHARPNESS
        if look <= SAME_LOOK and sharp and (sizes[first] == sizes[second]).all():
            near.append([int(first), int(second)])
    taken: set[int] = set()
    found = []
    for pair in [*copies, *near]:
        if taken.isdisjoint(pair):
            taken.update(pair)
            found.append(pair)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
