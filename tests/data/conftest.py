"""Sets are looked at for copies wherever they are opened: here, what is found is kept in a folder of the test's own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_CACHE", str(tmp_path_factory.mktemp("cache")))
