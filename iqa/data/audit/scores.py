"""What the scores of a set look like: range, clipping, ties, and whether high ones mean good pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from iqa.data.audit.findings import EXAMPLES, Finding, of_count

#: Scales that people use, narrow ones first.
SCALES = ((0, 1), (1, 5), (0, 5), (1, 9), (0, 9), (1, 10), (0, 10), (1, 100), (0, 100))
#: Share of all scores at one end of the range that is more than chance.
CLIPPED = 0.02
#: A set with fewer different scores than this share of its pictures has many ties.
TIED = 0.1
#: A score so many times the quartiles' distance beyond them is far from all others (Tukey, Exploratory Data Analysis,
#: 1977), if so small a share of all lies there; where more do the scores are of another shape.
FAR, FEW = 3.0, 0.01
#: Correlation of score and sharpness that says something of the direction; sharp pictures are mostly the good ones.
TELLING = 0.15


def score_facts(scores: np.ndarray, sharpness: np.ndarray) -> dict[str, Any]:
    """Figures on scores as people gave them.

    Args:
        scores: float [N], on the set's own scale and in its own direction.
        sharpness: float [N], NaN where it is not known.
    """
    known = np.isfinite(sharpness)
    low, high = float(scores.min()), float(scores.max())
    told = known.sum() > 2 and np.ptp(sharpness[known]) > 0 and np.ptp(scores[known]) > 0
    fits = [scale for scale in SCALES if scale[0] <= low and high <= scale[1]]
    values, counts = np.unique(scores, return_counts=True)
    first, third = np.quantile(scores, [0.25, 0.75])
    far = scores[np.maximum(first - scores, scores - third) > FAR * (third - first)]
    return {
        "count": len(scores),
        "min": low,
        "max": high,
        "mean": float(scores.mean()),
        "std": float(scores.std()),
        "at_min": int((scores == low).sum()),
        "at_max": int((scores == high).sum()),
        "different": len(values),
        "most_frequent": float(values[counts.argmax()]),
        "most_frequent_count": int(counts.max()),
        "far": len(far),
        "furthest": np.unique(far)[::-1][:EXAMPLES].tolist(),
        "scale_guess": list(fits[0]) if fits else None,
        "srcc_with_sharpness": float(spearmanr(scores[known], sharpness[known])[0]) if told else None,
    }


def score_findings(facts: dict[str, Any], *, higher_is_better: bool) -> list[Finding]:
    """What is odd about scores.

    Args:
        facts: see `score_facts`.
        higher_is_better: what the settings say of them.
    """
    found = []
    for end in ("min", "max"):
        count = facts[f"at_{end}"]
        if count > max(2, CLIPPED * facts["count"]):
            said = (
                f"{count} of {facts['count']} scores are the {end}imum {facts[end]:g}: the scale may have cut them off"
            )
            found.append(Finding("scores", f"clipped_{end}", said, count))
    if facts["different"] < TIED * facts["count"]:
        values = facts["different"]
        said = f"{facts['count']} scores have {values} different value{'s' * (values != 1)}: ranks hold many ties"
        found.append(Finding("scores", "ties", said, facts["count"] - facts["different"]))
    if 0 < facts["far"] <= max(1, FEW * facts["count"]):
        one, several = "score lies far from all others", "scores lie far from all others"
        found += of_count("scores", "far", one, several, facts["far"], [f"{each:g}" for each in facts["furthest"]])
    srcc = facts["srcc_with_sharpness"]
    if srcc is not None and (srcc if higher_is_better else -srcc) < -TELLING:
        other = "lower_is_better" if higher_is_better else "higher_is_better"
        said = f"sharp pictures have the bad scores (SRCC {srcc:.2f}): should data.score_direction be {other}?"
        found.append(Finding("scores", "direction", said))
    return found
