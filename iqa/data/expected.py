"""What preparing a data section will come to, told before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS
from iqa.data.prepared import keeps_pixels, recipe_of, samples_of
from iqa.data.scored.load import load_scored, unheard
from iqa.data.store.cache import cache_folder, glimpse, recipe_key
from iqa.data.store.squares import expected_squares, known_squares, squares_folder
from iqa.data.store.views import ViewPolicy
from iqa.data.synthetic.sources import load_clean

#: Bytes of a table that is read twice without anybody noticing: some hundred thousand rows take seconds.
LARGE_TABLE = 2 * 10**6


@dataclass(frozen=True)
class Expected:
    """What preparing a data section will come to, told before it is done.

    Attributes:
        name: of the cache's folder.
        pictures: of each split, about, while the set's pictures were never looked at for copies; None where only
            reading a large table, or the hub, can tell.
        squares: of all pictures, about; of one, at most, where their number is not known.
        side: of a square in pixels.
        digest: of the squares, where the cache has them or knows them.
        kept: whether their pixels are, or will be, in the cache.
    """

    name: str
    pictures: dict[str, int] | None
    squares: int
    side: int
    digest: str | None = None
    kept: bool = True

    @property
    def missing(self) -> int:
        """Bytes that the cache lacks."""
        return 3 * self.side**2 * self.squares if self.kept and not self.digest else 0


def expect(data: DataConfig, *, to_train: bool = True, once: bool = False) -> Expected:
    """What `prepare` will come to; a few pictures are decoded for it, and nothing is written.

    Raises:
        UserError: as `prepare` raises it for what shows before pictures are decoded.
    """
    root = cache_folder(data.cache_dir)
    if not data.scored:
        source, samples = load_clean(data), samples_of(data)
        name = f"{data.dataset}-{recipe_key(recipe_of(data, source))}"
        return Expected(name, samples, sum(samples.values()), source.picture_size, glimpse(root / name))
    views = ViewPolicy.from_config(data)
    if data.dataset == "huggingface" or _is_large(data):
        return Expected(data.dataset, None, views.crops, views.side, kept=data.store == "cache" or not once)
    with unheard():
        found = load_scored(data, judged_whole=not to_train, look=False)
    names = found.manifest["image"].sort_values().tolist()
    counts = {split: int((found.manifest["split"] == split).sum()) for split in SPLITS}
    keep = keeps_pixels(data, found, names, views, once=once)
    folder = squares_folder(root, data.dataset, found.fingerprint, names, views, keep=keep)
    there = glimpse(folder) is not None
    squares, digest = known_squares(folder, views) if there else (expected_squares(names, found.read, views), None)
    return Expected(folder.name, counts, squares, views.side, digest, keep)


def _is_large(data: DataConfig) -> bool:
    """Whether a user's own table takes long to read."""
    table = Path(data.root or "").expanduser() / (data.csv or "")
    return data.dataset == "csv" and table.is_file() and table.stat().st_size > LARGE_TABLE
