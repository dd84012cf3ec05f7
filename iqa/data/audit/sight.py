"""What pictures look like, in numbers that know nothing of scores: a backbone's features and statistics of quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from PIL import Image

from iqa.data.audit.natural import COUNT, statistics
from iqa.model.backbone.weights import load_pretrained

#: A small network whose weights are installed with the project, and the side of what it sees.
NETWORK, SIDE = "tf_efficientnet_lite0", 224
#: Longest side that statistics are taken at: those of larger pictures are not comparable otherwise.
MEASURED = 512


class Glance(NamedTuple):
    """A picture once it is decoded: its statistics, float32 [COUNT], and a square for the network, uint8."""

    statistics: np.ndarray
    square: np.ndarray


class Sight:
    """Turns pictures into features: first COUNT statistics, then means and deviations of the network's last map."""

    def __init__(self) -> None:
        network: Any = timm.create_model(NETWORK, pretrained=False, num_classes=0)
        load_pretrained(network, NETWORK)
        # Channels last: half the time on a processor.
        self._network, known = network.eval().to(memory_format=torch.channels_last), network.pretrained_cfg
        self._mean, self._std = (torch.tensor(known[name]).view(3, 1, 1) for name in ("mean", "std"))
        self.size = COUNT + 2 * int(network.num_features)

    def glance(self, picture: Image.Image) -> Glance:
        """What is kept of an RGB picture; for several threads at once."""
        small = picture.copy()
        small.thumbnail((MEASURED, MEASURED))
        square = small.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return Glance(statistics(small), np.array(square))

    @torch.inference_mode()
    def features(self, glances: Sequence[Glance]) -> np.ndarray:
        """float32 [n, size]."""
        pixels = torch.stack([torch.from_numpy(each.square).permute(2, 0, 1) for each in glances]).float() / 255
        pixels = ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        maps = self._network.forward_features(pixels)
        seen = torch.cat([maps.mean((2, 3)), maps.std((2, 3))], dim=1).numpy()
        return np.concatenate([np.stack([each.statistics for each in glances]), seen], axis=1)
