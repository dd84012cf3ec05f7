"""Where clean pictures come from: photographs inside packages, CIFAR-10, or a folder."""

from __future__ import annotations

import hashlib
import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iqa.config.data import DataConfig
from iqa.data.manifest import SPLITS
from iqa.data.store.pictures import SUFFIXES
from iqa.data.synthetic.cifar10 import Cifar10Source
from iqa.data.synthetic.clean import CleanSource, PhotographSource
from iqa.errors import UserError

#: Photographs that packages carry: (package, path, is it a scene?). Looked at one by one; left out are
#: drawings, scans, blurred pictures, a star field (stars look like noise) and the motorcycle's second view.
#: Scenes and the rest (textures, microscope) are split separately, so that each split has both.
PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png", True),
    ("skimage", "data/camera.png", True),
    ("skimage", "data/chelsea.png", True),
    ("skimage", "data/coffee.png", True),
    ("skimage", "data/motorcycle_left.png", True),
    ("skimage", "data/rocket.jpg", True),
    ("sklearn", "datasets/images/china.jpg", True),
    ("sklearn", "datasets/images/flower.jpg", True),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", True),
    ("skimage", "data/brick.png", False),
    ("skimage", "data/coins.png", False),
    ("skimage", "data/grass.png", False),
    ("skimage", "data/gravel.png", False),
    ("skimage", "data/ihc.png", False),
    ("skimage", "data/retina.jpg", False),
)
DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def load_clean(data: DataConfig) -> CleanSource:
    """The clean pictures of a data set.

    Raises:
        UserError: the data set is not where it should be, or is too small to be split.
    """
    if data.dataset == "photos":
        return _photos(data)
    if data.dataset == "folder":
        return _folder(data)
    return Cifar10Source(data)


def _photos(data: DataConfig) -> PhotographSource:
    """Photographs inside scikit-image, scikit-learn and matplotlib: 9 train, 3 val, 3 test, by seed."""
    files: dict[str, Path] = {}
    strata: dict[bool, list[str]] = {True: [], False: []}
    for package, inside, scene in PHOTOGRAPHS:
        path = _package_folder(package) / inside
        files[path.stem] = path
        strata[scene].append(path.stem)
    mark = hashlib.sha256()
    for name, path in files.items():
        if not path.is_file():
            raise UserError(f"photograph {path} is missing", fix="reinstall the package that carries it")
        mark.update(name.encode() + path.read_bytes())
    rng = np.random.default_rng([data.seed, 1])
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for scene, held_out in ((True, 2), (False, 1)):
        names = [str(name) for name in rng.permutation(strata[scene])]
        splits["val"] += names[:held_out]
        splits["test"] += names[held_out : 2 * held_out]
        splits["train"] += names[2 * held_out :]
    return PhotographSource(files, splits, data.picture_size or 224, f"photos:{mark.hexdigest()}")


def _package_folder(package: str) -> Path:
    """Where a package is installed, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"data.dataset 'photos' needs the package {DISTRIBUTIONS[package]}",
            fix=f"pip install {DISTRIBUTIONS[package]}",
        )
    return Path(spec.submodule_search_locations[0])


def _folder(data: DataConfig) -> PhotographSource:
    """Every picture file under `data.root`, split 70/10/20 by seed; copies of a file count once."""
    root = Path(data.root or "").expanduser()
    if not root.is_dir():
        raise UserError("data.root is no folder", got=root, expected="a folder of clean pictures")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = _without_copies(found)
    files = {path.relative_to(root).as_posix(): path for path in found}
    if len(files) < 3:
        raise UserError(
            f"data.root {root} has too few pictures to split",
            got=f"{len(files)} different pictures",
            expected=f"at least 3 {', '.join(SUFFIXES)} files, one for each of {', '.join(SPLITS)}",
        )
    names = [str(name) for name in np.random.default_rng([data.seed, 2]).permutation(sorted(files))]
    val, test = max(1, round(0.1 * len(names))), max(1, round(0.2 * len(names)))
    splits = {"val": names[:val], "test": names[val : val + test], "train": names[val + test :]}
    stats = [(name, path.stat()) for name, path in files.items()]
    mark = hashlib.sha256(repr([(n, s.st_size, s.st_mtime_ns) for n, s in stats]).encode()).hexdigest()
    return PhotographSource(files, splits, data.picture_size or 224, f"folder:{mark}")


def _without_copies(paths: Sequence[Path]) -> list[Path]:
    """The first of each set of identical files: a copy in another split would be a known picture."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    kept = []
    for same_size in by_size.values():
        if len(same_size) > 1:
            by_bytes = {hashlib.sha256(path.read_bytes()).digest(): path for path in reversed(same_size)}
            same_size = list(by_bytes.values())
        kept += same_size
    return sorted(kept)
