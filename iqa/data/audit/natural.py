"""Statistics of one picture that change with its quality: of its detail, as photographs usually have it, and colours.

Detail after A. Mittal, A. Moorthy and A. Bovik, "No-reference image quality assessment in the spatial domain", IEEE TIP
21, 2012 (BRISQUE): each pixel without the mean of its neighbourhood, over its deviation there, follows a generalised
Gaussian in photographs, and products of neighbours an asymmetric one. Blur, noise and compression move their shapes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import gamma

#: Standard deviation of the neighbourhood, and how many of them it reaches: 7 x 7 pixels.
NEIGHBOURHOOD, REACH = 7 / 6, 2.6
#: Scales that detail is looked at, each half as large as the one before; sides below which there is none.
SCALES, LEAST = 2, 16
#: Shares of all pixels whose brightness is told.
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
#: Brightness, of 255, below which a pixel is black and above which it is white.
BLACK, WHITE = 8, 247
#: Figures of a picture.
COUNT = SCALES * (2 + 4 * 4) + len(QUANTILES) + 9
_SHAPES = np.arange(0.2, 10, 0.001)
_GAUSSIAN = gamma(1 / _SHAPES) * gamma(3 / _SHAPES) / gamma(2 / _SHAPES) ** 2


def statistics(picture: Image.Image) -> np.ndarray:
    """float32 [COUNT] of an RGB picture; those of its detail are 0 where it is too small to tell."""
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    found: list[float] = []
    for _ in range(SCALES):
        found += _detail(grey) if min(grey.shape) >= LEAST else [0.0] * (COUNT // SCALES - 7)
        grey = _halved(grey)
    return np.array([*found, *_colours(picture)], dtype=np.float32)


def _detail(grey: np.ndarray) -> list[float]:
    mean, square = (gaussian_filter(each, NEIGHBOURHOOD, truncate=REACH) for each in (grey, grey * grey))
    fine = (grey - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    beside, below = fine[:, :-1] * fine[:, 1:], fine[:-1] * fine[1:]
    across, back = fine[:-1, :-1] * fine[1:, 1:], fine[:-1, 1:] * fine[1:, :-1]
    return _symmetric(fine) + [value for each in (beside, below, across, back) for value in _asymmetric(each)]


def _symmetric(values: np.ndarray) -> list[float]:
    """Shape and variance of a generalised Gaussian."""
    variance = float(np.square(values).mean())
    ratio = variance / max(float(np.abs(values).mean()) ** 2, 1e-9)
    return [_shape(ratio), variance]


def _asymmetric(values: np.ndarray) -> list[float]:
    """Shape, mean and both variances of an asymmetric generalised Gaussian."""
    squares = np.square(values)
    negative = values < 0
    count = int(negative.sum())
    left = float(squares[negative].sum()) if count else 0.0
    whole = float(squares.sum())
    left, right = left / max(count, 1), (whole - left) / max(values.size - count, 1)
    skew = np.sqrt(left / max(right, 1e-9))
    ratio = (whole / values.size) / max(float(np.abs(values).mean()) ** 2, 1e-9)
    shape = _shape(ratio * (skew**2 + 1) ** 2 / max((skew**3 + 1) * (skew + 1), 1e-9))
    mean = (np.sqrt(right) - np.sqrt(left)) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
    return [shape, float(mean), left, right]


def _shape(ratio: float) -> float:
    """The shape of a generalised Gaussian whose variance over its squared mean deviation is `ratio`."""
    # The ratio falls with the shape.
    place = len(_SHAPES) - int(np.searchsorted(_GAUSSIAN[::-1], ratio))
    return float(_SHAPES[min(max(place, 0), len(_SHAPES) - 1)])


def _colours(picture: Image.Image) -> list[float]:
    """Brightness, its spread and ends; both opponent colours; saturation."""
    red, green, blue = np.moveaxis(np.asarray(picture, dtype=np.float32), -1, 0)
    light = (red + green + blue) / 3
    first, second = red - green, (red + green) / 2 - blue
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = (high - low) / np.maximum(high, 1)
    parts = [value for each in (first, second, saturation) for value in (float(each.mean()), float(each.std()))]
    ends = [float((light < BLACK).mean()), float((light > WHITE).mean())]
    return [*np.quantile(light, QUANTILES).tolist(), float(light.std()), *parts, *ends]


def _halved(grey: np.ndarray) -> np.ndarray:
    height, width = (side // 2 for side in grey.shape)
    halved: np.ndarray = grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
    return halved
