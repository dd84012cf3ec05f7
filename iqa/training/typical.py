"""What a checkpoint holds so that a picture can be called unlike those that the model was calibrated on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from iqa.config import ExperimentConfig
from iqa.conformal import LEAST
from iqa.data.prepared import Batches, PixelStore
from iqa.device import autocast
from iqa.distributed.sharing import gathered
from iqa.errors import IqaError
from iqa.model.backbone.several import members
from iqa.model.quality import QualityModel
from iqa.model.typicality import Distance, middle_columns
from iqa.progress import progress_bar
from iqa.training.frozen.features import cached_features
from iqa.training.frozen.table import drawn

#: Training pictures that tell what is usual; more move the distance by less than its noise.
MOST_PICTURES = 2000


def find_typical(
    model: QualityModel,
    store: PixelStore,
    config: ExperimentConfig,
    device: torch.device,
    precision: torch.dtype,
    *,
    progress: bool | None = None,
) -> dict[str, Any]:
    """The distance of training pictures, and the sorted distances of validation pictures, which it was not fitted to.

    Returns:
        the parts of `Distance`, distances: float64 [N], and note "";
        or only note, why there is none.
    """
    learned, held = store.indices("train"), store.indices("val")
    if len(held) < LEAST:
        return {"note": f"only {len(held)} validation pictures tell what is usual; it takes {LEAST}"}
    columns = middle_columns(model.backbone)
    (fitted, _), (judged, owner) = store.squares(drawn(learned, MOST_PICTURES)), store.squares(held)
    rows = torch.cat([fitted, judged])
    if config.model.freeze_backbone:
        # Of several backbones the first one's are looked at, and no others are read.
        first = members(model.backbone)[0]
        every = cached_features(store, first, config.data, device, precision, progress=progress)
        seen = torch.cat([part[:, columns] for part in every.in_turn(rows)])
    else:
        seen = _pooled(model, store, rows, columns, config, device, precision, progress)
    try:
        distance = Distance.fit(columns, seen[: len(fitted)])
    except IqaError as error:
        return {"note": str(error)}
    squares = distance.of_columns(seen[len(fitted) :]).double().numpy()
    of_pictures = np.bincount(owner.numpy(), squares) / np.bincount(owner.numpy())
    return {**distance.to_dict(), "distances": torch.from_numpy(np.sort(of_pictures)), "note": ""}


@torch.inference_mode()
def _pooled(
    model: QualityModel,
    store: PixelStore,
    rows: Tensor,
    columns: Tensor,
    config: ExperimentConfig,
    device: torch.device,
    precision: torch.dtype,
    progress: bool | None,
) -> Tensor:
    """Columns [V, E] of the features of squares of the store."""
    model.eval()
    batches, parts = Batches(store.images, rows, config.data.batch, device, divided=True), []
    portions = rows.split(config.data.batch)
    with progress_bar(total=len(portions), desc="what is usual", unit="batches", shown=progress, leave=False) as bar:
        for (images, _), portion in zip(batches.run(), portions, strict=True):
            with autocast(device, precision):
                seen = model.pooled(images)[:, columns.to(device)].float()
            parts.append(gathered(seen, len(portion)).cpu())
            bar.update()
    return torch.cat(parts)
