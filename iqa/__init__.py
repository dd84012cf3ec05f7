"""CNN + GMM + MLP image quality assessment, tracked by MLflow.

    import iqa

    trained = iqa.train("quick_test")
    tested = iqa.evaluate(trained)
    table = iqa.load(trained.folder).score(["a.jpg", "b.png"])

Each function is described where it is defined, in `iqa.api` or `iqa.deploy`, and imported when it is first asked for:
`import iqa` waits for neither torch nor MLflow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iqa.api.audit import audit
    from iqa.api.compare import compare
    from iqa.api.ensemble import ensemble
    from iqa.api.evaluate import evaluate
    from iqa.api.score import score
    from iqa.api.train import train
    from iqa.api.tune import tune
    from iqa.deploy.export.exporting import export
    from iqa.deploy.loading import load
    from iqa.deploy.promotion import promote

__all__ = ["audit", "compare", "ensemble", "evaluate", "export", "load", "promote", "score", "train", "tune"]
__version__ = "0.2.0"

_HOMES = {"export": "iqa.deploy.export.exporting", "load": "iqa.deploy.loading", "promote": "iqa.deploy.promotion"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'iqa' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES.get(name, f"iqa.api.{name}")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
