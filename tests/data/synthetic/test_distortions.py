"""The 25 kinds of distortion: repeatable, independent of the batch, and growing with the level."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from iqa.data.manifest import DISTORTIONS, LEVELS, PRISTINE
from iqa.data.synthetic.distortions import KINDS, distort
from iqa.data.synthetic.distortions.common import blur
from iqa.data.synthetic.distortions.lab import lab_to_rgb, rgb_to_lab
from iqa.data.synthetic.pseudo_mos import human_cells
from iqa.errors import UserError

#: Cells whose parameter means no change; people scored them like untouched pictures.
UNCHANGED = {("gaussian_blur", 1), ("motion_blur", 1), ("color_saturation_2", 1), ("mean_shift", 3)}
#: Kinds whose levels run through their mildest in the middle, by rising damage.
OTHER_ORDER = {"mean_shift": (3, 2, 1), "contrast_change": (3, 2, 1)}
BY_CHANCE = {
    "motion_blur", "color_shift", "white_noise", "white_noise_color_component", "impulse_noise",
    "multiplicative_noise", "denoise", "jitter", "non_eccentricity_patch", "color_block",
}  # fmt: skip


def scenes(count: int = 4, height: int = 64, width: int = 64, seed: int = 0) -> Tensor:
    """Pictures with smooth colours, edges and texture, uint8 [count, 3, height, width]."""
    random = torch.Generator().manual_seed(seed)
    smooth = F.interpolate(torch.rand(count, 3, 5, 5, generator=random), (height, width), mode="bicubic")
    edges = F.interpolate(torch.rand(count, 3, 11, 11, generator=random), (height, width), mode="nearest")
    texture = blur(torch.rand(count, 3, height, width, generator=random) - 0.5, 0.8)
    mixed = 0.1 + 0.4 * smooth + 0.35 * edges + 0.3 * texture
    return (mixed.clamp(0, 1) * 255).round().to(torch.uint8)


def damage(clean: Tensor, kind: str, level: int) -> float:
    worse = distort(clean, kind, level, range(len(clean)))
    return float((worse.float() - clean.float()).square().mean())


def test_the_kinds_are_those_that_people_scored() -> None:
    cells = human_cells()
    listed = [
        (number, name, level, KINDS[name].parameters[level - 1])
        for number, name in enumerate(DISTORTIONS, start=1)
        for level in LEVELS
    ]
    assert listed == list(cells[["kind", "name", "level", "parameter"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_picture_whatever_the_batch(kind: str) -> None:
    clean = scenes(5, 40, 56)
    seeds = [11, 12, 13, 14, 15]
    together = distort(clean, kind, 4, seeds)
    alone = torch.cat([distort(clean[i : i + 1], kind, 4, seeds[i : i + 1]) for i in range(5)])
    backwards = distort(clean.flip(0), kind, 4, seeds[::-1]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, backwards)


@pytest.mark.parametrize("kind", KINDS)
def test_chance_comes_from_the_seed_alone(kind: str) -> None:
    clean = scenes(1).expand(2, -1, -1, -1)
    torch.manual_seed(1)
    first = distort(clean, kind, 5, [1, 2])
    torch.manual_seed(2)
    again = distort(clean, kind, 5, [1, 2])
    assert torch.equal(first, again)
    assert torch.equal(first[0], first[1]) == (kind not in BY_CHANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 96), (97, 61)])
def test_every_level_of_every_size_is_a_picture_of_its_own(kind: str, height: int, width: int) -> None:
    clean = scenes(2, height, width)
    before = clean.clone()
    results = [distort(clean, kind, level, [3, 4]) for level in LEVELS]
    assert torch.equal(clean, before)
    for level, result in zip(LEVELS, results, strict=True):
        assert result.dtype == torch.uint8
        assert result.shape == clean.shape
        assert torch.equal(result, clean) == ((kind, level) in UNCHANGED)
    for milder, stronger in pairwise(results):
        assert not torch.equal(milder, stronger)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [32, 128])
def test_damage_grows_with_the_level(kind: str, side: int) -> None:
    clean = scenes(8, side, side)
    order = OTHER_ORDER.get(kind, LEVELS)
    if (kind, side) == ("pixelate", 32):
        order = (1, 3, 5)  # squares of one or two pixels: neighbouring levels differ in place, not in size
    growing = [damage(clean, kind, level) for level in order]
    assert growing == sorted(growing)
    if kind in OTHER_ORDER:
        falling = [damage(clean, kind, level) for level in (4, 5)]
        assert falling == sorted(falling)


def test_brightness_moves_the_way_its_name_says() -> None:
    clean = scenes(4)
    mean = clean.float().mean()
    assert distort(clean, "brighten", 4, range(4)).float().mean() > mean
    assert distort(clean, "darken", 4, range(4)).float().mean() < mean
    assert distort(clean, "mean_shift", 1, range(4)).float().mean() > mean
    assert distort(clean, "contrast_change", 1, range(4)).float().std() > clean.float().std()
    assert distort(clean, "contrast_change", 5, range(4)).float().std() < clean.float().std()


def test_saturation_1_takes_the_colour_out() -> None:
    grey = distort(scenes(2), "color_saturation_1", 4, [0, 0])
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_noise_has_its_variance() -> None:
    flat = torch.full((2, 3, 128, 128), 128, dtype=torch.uint8)
    for level, variance in zip(LEVELS, KINDS["white_noise"].parameters, strict=True):
        noise = distort(flat, "white_noise", level, [5, 6]).double() / 255
        assert float(noise.var()) == pytest.approx(variance, rel=0.05)


def test_color_quantization_leaves_few_colours() -> None:
    few = distort(scenes(1, 96, 96), "color_quantization", 5, [0])
    assert len(few[0].flatten(1).unique(dim=1).T) <= 8


def test_pictures_without_detail_pass_through_every_kind() -> None:
    flat = torch.zeros((1, 3, 32, 32), dtype=torch.uint8)
    for kind in KINDS:
        assert distort(flat, kind, 5, [0]).shape == flat.shape


def test_lab_agrees_with_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 9, 11), dtype=torch.uint8, generator=random)
    ours = rgb_to_lab(images)
    theirs = torch.from_numpy(color.rgb2lab(images.permute(0, 2, 3, 1).numpy())).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours, theirs.float(), atol=0.05, rtol=0)
    assert torch.equal((lab_to_rgb(ours) * 255).round().to(torch.uint8), images)


def test_blur_agrees_with_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    plane = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(0))
    theirs = ndimage.gaussian_filter(plane[0, 0].double().numpy(), 3.0, mode="nearest")
    torch.testing.assert_close(blur(plane, 3.0)[0, 0].double(), torch.from_numpy(theirs), atol=5e-3, rtol=0)


def test_pristine_is_a_copy() -> None:
    clean = scenes(2)
    copy = distort(clean, PRISTINE, 0, [0, 1])
    assert torch.equal(copy, clean)
    assert copy.data_ptr() != clean.data_ptr()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gausian_blur"}, "did you mean 'gaussian_blur'"),
        ({"level": 0}, "got: 0"),
        ({"level": 6}, "from 1 to 5"),
        ({"images": torch.zeros(1, 3, 32, 32)}, "torch.float32"),
        ({"images": torch.zeros(1, 1, 32, 32, dtype=torch.uint8)}, r"\[1, 1, 32, 32\]"),
        ({"images": torch.zeros(1, 3, 8, 32, dtype=torch.uint8)}, "32 x 8"),
        ({"seeds": [1, 2]}, "2 seeds"),
    ],
)
def test_bad_calls_say_what_to_mend(change: dict, message: str) -> None:
    call = {"images": scenes(1), "kind": "jpeg", "level": 1, "seeds": [0], **change}
    with pytest.raises(UserError, match=message):
        distort(**call)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_gives_the_same_pictures(kind: str) -> None:
    clean = scenes(2)
    on_cpu = distort(clean, kind, 4, [1, 2]).int()
    on_gpu = distort(clean.cuda(), kind, 4, [1, 2])
    assert on_gpu.is_cuda
    assert ((on_gpu.cpu().int() - on_cpu).abs() > 1).float().mean() < 0.01
