"""Kinds 9-10: JPEG 2000 and JPEG through the real codecs, picture by picture on the CPU.

Both get milder as pictures get smaller than the reference: the same scene on fewer pixels has more detail in
each.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iqa.data.synthetic.distortions.common import size_scale

#: Bytes of a JPEG 2000 stream that hold no picture: nothing in a large one, more than the budget of a small
#: one.
_J2K_HEADER = 200


def jpeg2000(images: Tensor, ratio: float, seeds: Sequence[int]) -> Tensor:
    """Compress to 1/`ratio` of the bytes, headers not counted.

    The ratio shrinks with the picture's side; at 32 x 32 pixels a ratio of 400 would leave 8 bytes.
    """
    samples = images[0].numel()
    budget = samples / max(1.0, ratio * min(1.0, size_scale(images)))
    rate = max(1.0, samples / (budget + _J2K_HEADER))
    options = {"quality_mode": "rates", "quality_layers": [rate], "irreversible": True, "mct": 1}
    return _round_trip(images, "JPEG2000", options)


def jpeg(images: Tensor, quality: float, seeds: Sequence[int]) -> Tensor:
    """JPEG (4:2:0) at this quality for pictures of the reference size.

    Blocks are 8 x 8 pixels whatever the size and cover more of a smaller picture; there the steps of the
    quantiser (50 / quality of the standard ones) shrink with the side, down to a quarter.
    """
    steps = 50 / quality * min(1.0, max(size_scale(images), 0.25))
    scaled = 50 / steps if steps > 1 else 100 - 50 * steps
    return _round_trip(images, "JPEG", {"quality": round(scaled)})


def _round_trip(images: Tensor, codec: str, options: dict[str, Any]) -> Tensor:
    results = []
    for picture in images.permute(0, 2, 3, 1).cpu().contiguous().numpy():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, format=codec, **options)
        results.append(torch.from_numpy(np.array(Image.open(file).convert("RGB"))))
    return torch.stack(results).permute(0, 3, 1, 2).contiguous().to(images.device)
