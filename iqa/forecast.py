"""What a piece of work will take, told before it begins: pictures, disk and memory."""

from __future__ import annotations

from collections.abc import Mapping

import psutil
import torch

from iqa.config import ExperimentConfig
from iqa.data.expected import Expected, expect
from iqa.data.manifest import SPLITS
from iqa.data.store.cache import cache_folder
from iqa.data.synthetic.prepare import CHUNK_BYTES
from iqa.device import autocast, choose_device, choose_precision
from iqa.estimate import GPU_LIBRARIES, PASSING, TRACKING, Forecast
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.several import members, sensible_image_size
from iqa.model.quality import QualityModel
from iqa.training.checkpoints import checkpoint_bytes
from iqa.training.frozen.features import CPU_PIXELS, missing_features
from iqa.training.frozen.stems import missing_stems
from iqa.training.frozen.table import DTYPE, MOST_NUMBERS

#: Bytes, as measured: what preparing holds besides the pictures, and the figures of a test.
PREPARING, DRAWING = 250 * 10**6, 150 * 10**6
#: What a test writes, and what a study or a comparison does.
FIGURES = 25 * 10**5
#: Gradients of maps and room between them, as a share of the maps that a step keeps.
GRADIENTS = 1.4
#: Weights, their gradients, two moments, what is cast of them and what is judged.
COPIES_OF_WEIGHTS = 6
#: Pages of a memory map that the system leaves to a process; it takes them back where they are needed.
MAPPED = 10**9


def forecast(config: ExperimentConfig, *, trains: bool = True, logged_here: bool = False) -> Forecast:
    """What training a config, or testing what it describes, will take.

    The network is built once, without its weights, and looks at a few black pictures.

    Args:
        logged_here: MLflow keeps its copies on this machine.

    Raises:
        UserError: settings or data that cannot be used, as the work itself would tell.
    """
    device = choose_device(config.training.device)
    precision = choose_precision(config.training.precision, device)
    pictures = expect(config.data, to_train=trains, once=config.model.looks_once or not trains)
    side = config.data.image_size or sensible_image_size(config.model.backbone, pictures.side, whole=config.data.scored)
    with torch.random.fork_rng(devices=[]):
        model = QualityModel.from_config(config.model, side, load_weights=False)
        step = _step(model, config, pictures.side, precision, trains=trains)
    caches = {pictures.name: pictures.missing, **_computed(model, pictures, config, precision)}
    best, last = checkpoint_bytes(model)
    files = (best + last + logged_here * (2 * best + last)) if trains else (1 + 3 * logged_here) * FIGURES
    known, on_gpu = pictures.pictures is not None, device.type == "cuda"
    drawing = 0 if trains else DRAWING
    return Forecast(
        caches=caches if known else {},
        files=files,
        memory=_held(model, pictures, config, caches) + drawing + (GPU_LIBRARIES if on_gpu else step),
        gpu=step if on_gpu else 0,
        each=0 if known else sum(caches.values()),
        pictures=_counted(pictures),
    )


def _counted(pictures: Expected) -> str:
    if pictures.pictures is None:
        return "all pictures that its table names"
    return "/".join(f"{pictures.pictures[split]:,}" for split in SPLITS) + " pictures"


def _computed(
    model: QualityModel, pictures: Expected, config: ExperimentConfig, precision: torch.dtype
) -> dict[str, int]:
    """Bytes of features, or of the maps of frozen stages, that the cache lacks."""
    digest, squares = pictures.digest, pictures.squares
    if config.model.frozen_stages and isinstance(model.backbone, Backbone):
        size = missing_stems(digest, squares, pictures.side, model.backbone, config, precision)
        return {f"stems of {pictures.name} {model.backbone.name} {model.backbone.frozen_stages}": size}
    if not config.model.freeze_backbone:
        return {}
    root, found = cache_folder(config.data.cache_dir), {}
    for each in members(model.backbone):
        name = f"features of {pictures.name} {each.name} {each.sides} {each.stages} {each.pool.name}"
        found[name] = missing_features(digest, squares, each, root, precision)
    return found


def _held(model: QualityModel, pictures: Expected, config: ExperimentConfig, caches: Mapping[str, int]) -> int:
    """Bytes of memory besides what a step takes: libraries, pictures and features."""
    whole = 3 * pictures.side**2 * pictures.squares
    held = psutil.Process().memory_info().rss + config.tracking.enabled * TRACKING
    if pictures.missing:
        held += PREPARING + min(whole, CHUNK_BYTES)
    if any(caches.values()) or not config.model.freeze_backbone:
        held += min(whole, MAPPED)  # the network looks at them
    if config.model.freeze_backbone:
        numbers = pictures.squares * model.backbone.num_features
        if model.reduction is None:
            held += min(DTYPE.itemsize * numbers, MAPPED)  # training reads them
        else:
            held += 2 * 4 * min(numbers, MOST_NUMBERS) + 4 * pictures.squares * sum(model.reduction.columns)
    return int(held)


def _step(model: QualityModel, config: ExperimentConfig, side: int, precision: torch.dtype, *, trains: bool) -> int:
    """Bytes of weights and of a batch of squares of `side` pixels on its way through the network and back."""
    weights = sum(each.nbytes for each in model.parameters())
    batch = config.data.batch
    one = PASSING * passing(model, side, precision)
    if config.model.freeze_backbone:
        seen = max(1, min(batch, CPU_PIXELS // max(members(model.backbone)[0].sides) ** 2))
        return int(one * seen) + (COPIES_OF_WEIGHTS if trains else 2) * weights
    if not trains:
        return int(one * batch) + 2 * weights
    kept = GRADIENTS * _kept(model, side, config.training.crop, precision)
    return int(max(kept, one) * batch) + COPIES_OF_WEIGHTS * weights


def _kept(model: QualityModel, side: int, crop: float, precision: torch.dtype) -> int:
    """Bytes that a step of training keeps of a picture for the way back."""
    cropped = max(32, round(crop * side))
    sums = []
    for pictures in (2, 3):  # what comes with a third one: the rest does not grow with them
        kept: dict[int, int] = {}

        def note(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        images = torch.zeros(pictures, 3, cropped, cropped, dtype=torch.uint8)
        with (
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
            autocast(images.device, precision),
        ):
            said = model.train()(images, cropped / side)
        sums.append(sum(kept.values()))
        del said
    return sums[1] - sums[0]


def passing(model: QualityModel, side: int, precision: torch.dtype) -> int:
    """Bytes that a picture takes at most while it passes through the backbone."""
    largest = 0

    def hear(_: object, given: tuple[object, ...], made: object) -> None:
        nonlocal largest
        largest = max(largest, sum(each.nbytes for each in (*given, made) if isinstance(each, torch.Tensor)))

    hooks = [module.register_forward_hook(hear) for module in model.backbone.modules()]
    device = next(model.parameters()).device
    with torch.inference_mode(), autocast(device, precision):
        model.backbone.eval()(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=device))
    for hook in hooks:
        hook.remove()
    return largest
