"""`data.batch_size: "auto"`: as many pictures at once as the GPU holds and the training set has steps for."""

from __future__ import annotations

import copy

import torch

from iqa.config import ExperimentConfig
from iqa.config.data import USUAL_BATCH
from iqa.data.prepared import PixelStore
from iqa.device import autocast, choose_precision
from iqa.distributed.group import same, world_size
from iqa.model.quality import QualityModel

#: An epoch has at least so many steps, and a batch at most so many pictures: larger ones learn less from an epoch.
LEAST_STEPS, MOST, LEAST = 16, 1024, 8
#: Of the free memory, what a step may take: the optimiser's state, the pictures and the fragments need the rest.
SHARE = 0.7


def fix_batch_size(
    config: ExperimentConfig, model: QualityModel, store: PixelStore, device: torch.device
) -> ExperimentConfig:
    """`config` with a number for its batch size, all processes taken together; the model is left as it is."""
    if config.data.batch_size != "auto":
        return config
    wanted = max(LEAST, min(MOST, len(store.indices("train")) // LEAST_STEPS))
    most = 2 ** (wanted.bit_length() - 1)
    if device.type == "cuda" and not config.model.freeze_backbone:
        size = min(most, world_size() * _that_fits(config, model, device, store.views.side, most))
    else:
        # Nothing limits a CPU or a head alone but how well they learn.
        size = min(USUAL_BATCH, most)
    return config.model_copy(update={"data": config.data.model_copy(update={"batch_size": same(size)})})


def _that_fits(config: ExperimentConfig, model: QualityModel, device: torch.device, side: int, most: int) -> int:
    """The largest power of two up to `most` whose step stays within its share of the memory."""
    precision = choose_precision(config.training.precision, device)
    trial = copy.deepcopy(model).train()
    free, _ = torch.cuda.mem_get_info(device)
    size = LEAST
    with torch.random.fork_rng(devices=[device]):
        while 2 * size <= most and _step_takes(trial, 2 * size, side, device, precision) < SHARE * free:
            size *= 2
    del trial
    torch.cuda.empty_cache()
    return size


def _step_takes(model: QualityModel, pictures: int, side: int, device: torch.device, precision: torch.dtype) -> float:
    """Bytes of a step forward and back; infinite if there is not enough."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        with autocast(device, precision):
            score = model(torch.zeros(pictures, 3, side, side, dtype=torch.uint8, device=device)).score
        score.sum().backward()
    except torch.OutOfMemoryError:
        return float("inf")
    finally:
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
    return float(torch.cuda.max_memory_allocated(device) - before)
