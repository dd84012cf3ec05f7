"""Every family of timm's models works as a backbone, but for two that are refused in words."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import timm
import torch

from iqa.config.reading import build_config
from iqa.errors import UserError
from iqa.model.backbone.backbone import Backbone
from iqa.model.backbone.networks import default_image_size, native_size, pretrained_config

#: Families all of whose models end in several maps; of coat, some do.
BRANCHED = {"crossvit", "efficientvim"}
#: Families whose layers step through Python where tensors have no numbers, which takes longer than numbers do.
RECURRENT = {"sequencer"}
AUTOCAST = torch.autocast


def without_numbers(name: str, size: int) -> Backbone:
    """A backbone whose tensors have shapes and nothing in them, which takes no time to build and run."""

    def autocast(kind: str, **arguments: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if kind == "meta" else AUTOCAST(kind, **arguments)

    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(torch, "autocast", autocast)
        return Backbone(name, pretrained=False, image_size=size)


@pytest.mark.parametrize("family", sorted({*timm.list_modules()} - BRANCHED))
def test_a_model_of_every_family_gives_features(family: str) -> None:
    name = timm.list_models(module=family)[0]
    size = default_image_size(name, native_size(name))
    try:
        backbone = without_numbers(name, size) if family not in RECURRENT else None
    except UserError as error:
        if "meta tensors" not in str(error):
            raise
        backbone = None  # its way depends on what a picture holds
    if backbone is None:
        backbone = Backbone(name, pretrained=False, image_size=96)
    assert backbone.num_features > 0


@pytest.mark.parametrize("name", ["coat_tiny", *(timm.list_models(module=family)[0] for family in sorted(BRANCHED))])
def test_a_model_that_ends_in_several_maps_is_refused_with_some_that_do_not(name: str) -> None:
    with pytest.raises(UserError, match=r"(?s)does not end in one feature map.*resnet18"):
        without_numbers(name, native_size(name))


@pytest.mark.parametrize("prefix", ["", "timm/", "hf-hub:timm/", "hf_hub:timm/"])
@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k"])
def test_a_model_of_timm_may_be_called_as_the_hub_calls_it(prefix: str, name: str) -> None:
    config = build_config({"experiment_name": "a", "model": {"backbone": prefix + name}})
    assert config.model.backbone == name
    assert pretrained_config(config.model.backbone)["architecture"] == "resnet18"
    both = build_config({"experiment_name": "a", "model": {"backbone": f"{prefix}{name} + {prefix}resnet34"}})
    assert both.model.backbone.replace(" ", "") == f"{name}+resnet34"


def test_a_tag_that_a_model_does_not_have_is_answered_with_those_that_it_has() -> None:
    with pytest.raises(UserError) as caught:
        Backbone("resnet50.a1_in22k", pretrained=False, image_size=64)
    message = str(caught.value)
    assert "'resnet50' has no weights called 'a1_in22k'" in message
    assert "tv_in1k" in message
    assert "did you mean 'a1_in1k'" in message


@pytest.mark.parametrize("name", ["hf-hub:somebody/model", "https://somewhere/model.pth", "local-dir:/models"])
def test_a_model_from_elsewhere_is_told_how_to_come_in(name: str) -> None:
    with pytest.raises(UserError, match=r"(?s)unknown backbone.*model\.weights"):
        pretrained_config(name)
