"""A workshop of valid files, in which the tests of this folder damage what they need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from hostile.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Valid files, made once; what a test changes it changes in a copy."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(autouse=True)
def _quiet(one_thread: None) -> Iterator[None]:
    """What is said of thousands of odd files would fill the report of a failure."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
