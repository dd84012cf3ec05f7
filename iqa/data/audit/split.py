"""How much a set's splits can tell: their sizes, and test pictures whose twins are trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from iqa.data.audit.findings import Finding, of_names
from iqa.data.manifest import SPLITS

#: Pictures and groups below which figures of a split mean little.
FEW_PICTURES, FEW_GROUPS = 30, 5
#: SRCC that uncertainty is told at.
USUAL = 0.85


def split_facts(split: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Pictures and groups of each split, and what an SRCC of USUAL is sure to on the test.

    Args:
        split: of each picture.
        groups: a number for each, the same for copies, variants and series.
    """
    facts: dict[str, Any] = {}
    for name in SPLITS:
        here = split == name
        facts[name] = {"pictures": int(here.sum()), "groups": len(np.unique(groups[here]))}
    facts["srcc_margin"] = srcc_margin(facts["test"]["pictures"])
    return facts


def srcc_margin(pictures: int) -> float | None:
    """Half of the 95 % interval of an SRCC of USUAL on so many pictures; None for too few to say.

    After D. Bonett and T. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", Psychometrika 65, 2000.
    """
    if pictures < 5:
        return None
    half = 1.96 * np.sqrt((1 + USUAL**2 / 2) / (pictures - 3))
    return float((np.tanh(np.arctanh(USUAL) + half) - np.tanh(np.arctanh(USUAL) - half)) / 2)


def split_findings(names: list[str], split: np.ndarray, groups: np.ndarray, facts: dict[str, Any]) -> list[Finding]:
    """What is wrong with splits.

    Args:
        names, split, groups: of each picture.
        facts: see `split_facts`.
    """
    test = np.asarray(split == "test", dtype=bool)
    known = np.flatnonzero(test & np.isin(groups, groups[~test]))
    of, end = f"of {int(test.sum())} test pictures", "a twin in training or validation: figures on them are too good"
    found = of_names("split", "twins_in_training", f"{of} has {end}", f"{of} have {end}", [names[row] for row in known])
    for name in ("val", "test"):
        pictures, few = facts[name]["pictures"], facts[name]["groups"]
        if pictures < FEW_PICTURES:
            said = (
                f"{name} has {pictures} picture{'s' * (pictures != 1)}: below {FEW_PICTURES} or so figures mean little"
            )
            found.append(Finding("split", f"few_in_{name}", said, pictures))
        elif few < FEW_GROUPS:
            said = f"{name} has pictures of {few} group{'s' * (few != 1)} alone: figures tell little of other contents"
            found.append(Finding("split", f"few_groups_in_{name}", said, few))
    return found
