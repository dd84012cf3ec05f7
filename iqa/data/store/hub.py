"""A data set of Hugging Face `datasets`, opened from the hub or from a local folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.errors import UserError, first_line

if TYPE_CHECKING:
    from datasets import Dataset

HUB_SECONDS = 5


@dataclass(frozen=True)
class HubPlace:
    """Where a data set is loaded from, and how messages speak of it.

    Attributes:
        dataset: its name in `data.dataset`.
        title: what people call it.
        name: on the hub; None if it is only local.
        root: a local folder, which is used instead of the hub; or None.
        expected: what has to be there.
        instead: what else the user can do without it, or "".
    """

    dataset: str
    title: str
    name: str | None
    root: Path | None
    expected: str
    instead: str = ""

    @property
    def fingerprint(self) -> str:
        """Text that changes with the files of a local folder; on the hub, the set's name."""
        if not self.root:
            return f"{self.dataset}:{self.name}"
        stats = [(path.name, path.stat()) for path in sorted(self.root.rglob("*")) if path.is_file()]
        text = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        return f"{self.dataset}:{hashlib.sha256(text.encode()).hexdigest()}"

    def check_folder(self) -> None:
        """Refuse a `root` that is no folder (UserError)."""
        if self.root and not self.root.is_dir():
            raise UserError(
                "data.root is no folder", got=self.root, expected=f"a local copy of {self.title}: {self.expected}"
            )

    def load(self) -> Mapping[str, Dataset]:
        """The splits by name.

        Raises:
            UserError: no folder, no hub, or no data set there.
        """
        self.check_folder()
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"dataset '{self.dataset}' needs the package datasets", fix="pip install datasets"
            ) from error
        datasets.utils.logging.disable_progress_bar()
        if self.root is None:
            self._check_hub(Path(datasets.config.HF_DATASETS_CACHE))
        try:
            if self.root and any((self.root / name).is_file() for name in ("dataset_dict.json", "state.json")):
                found = datasets.load_from_disk(str(self.root))
            else:
                found = datasets.load_dataset(str(self.root or self.name))
        except Exception as error:
            # Broken files, missing columns and lost connections arrive as a dozen unrelated types.
            raise UserError(
                f"{self.title} cannot be loaded from {self.root or 'the Hugging Face hub'}",
                got=f"{type(error).__name__}: {first_line(error)}",
                expected=self.expected,
                fix="set data.root to a local copy",
            ) from error
        return {"train": found} if isinstance(found, datasets.Dataset) else dict(found)

    def _check_hub(self, cache: Path) -> None:
        """Fail at once where the hub cannot be reached: `load_dataset` would retry for half a minute first."""
        from huggingface_hub import constants, get_session

        if (cache / str(self.name).replace("/", "___")).is_dir():
            return
        offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
        try:
            if offline:
                raise OSError("HF_HUB_OFFLINE is set")
            get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
        except Exception as error:
            raise UserError(
                f"the Hugging Face hub cannot be reached and {self.title} is not in its local cache",
                got=error,
                fix=f"set data.root to a local copy of {self.title}" + (f", or {self.instead}" if self.instead else ""),
            ) from error
