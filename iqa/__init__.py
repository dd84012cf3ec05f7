"""CNN + GMM + MLP image quality assessment, tracked by MLflow.

    import iqa

    trained = iqa.train("quick_test")
    tested = iqa.evaluate(trained)
    table = iqa.load(trained.folder).score(["a.jpg", "b.png"])

Each function is described where it is defined, in `iqa.api`, and imported when it is first asked for: `import iqa`
waits for neither torch nor MLflow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iqa.api.compare import compare
    from iqa.api.ensemble import ensemble
    from iqa.api.evaluate import evaluate
    from iqa.api.score import load, score
    from iqa.api.train import train
    from iqa.api.tune import tune

__all__ = ["compare", "ensemble", "evaluate", "load", "score", "train", "tune"]
__version__ = "0.2.0"

_HOMES = {"load": "iqa.api.score"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'iqa' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES.get(name, f"iqa.api.{name}")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
