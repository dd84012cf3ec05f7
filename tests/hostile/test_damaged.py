"""Input damaged at random works or is refused in the project's own words, quickly, and writes nothing elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hostile.kinds import MAKERS, make_kind
from hostile.workshop import Workshop

#: In all; `python benchmarks/hostile.py` tries 20,000.
CASES = 500


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MAKERS)
def test_damaged_input_is_refused_or_works(name: str, workshop: Workshop) -> None:
    kind = make_kind(name, workshop)

    @settings(
        max_examples=round(CASES * kind.share),
        phases=[Phase.generate, Phase.shrink],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.cases)
    def ends_well(case: Any) -> None:
        outcome = kind.judge(case)
        assert outcome.verdict in ("worked", "refused"), f"{outcome.where}: {outcome.said}"

    ends_well()


def test_the_kinds_share_all_cases() -> None:
    assert sum(share for _, share in MAKERS.values()) == pytest.approx(1)
