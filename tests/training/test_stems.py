"""Training behind the frozen stages: the same training as from pictures, for less."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from iqa.data.prepared import prepare
from iqa.errors import UserError
from iqa.model.backbone.backbone import Backbone
from iqa.training.build import build_model, input_size, start_backbone
from iqa.training.checkpoints import ExperimentFolder
from iqa.training.feeds import PixelFeed, StemFeed
from iqa.training.frozen.stems import kept_stems
from iqa.training.loop import Trainer
from iqa.training.session import Session

CPU = torch.device("cpu")
PART = {"model.frozen_stages": 2, "model.freeze_norm": True, "training.precision": "float32"}


def pictures(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("name", ["resnet10t", "test_resnet", "test_efficientnet", "mobilenetv3_small_050"])
def test_the_parts_are_the_whole_network(name: str, stages: int) -> None:
    backbone = Backbone(name, pretrained=False, image_size=64, frozen_stages=stages).eval()
    whole = Backbone(name, pretrained=False, image_size=64).eval()
    whole.load_state_dict(backbone.state_dict())
    assert list(whole.state_dict()) == list(backbone.state_dict())
    expected = whole(pictures())
    torch.testing.assert_close(backbone(pictures()), expected)
    torch.testing.assert_close(backbone.from_stem(backbone.stem(pictures())), expected)


def test_frozen_stages_stay_as_they_are_and_the_rest_learns(tiny) -> None:
    trainer = _trainer(tiny(**PART), stems=True)
    before = {name: value.clone() for name, value in trainer.model.backbone.state_dict().items()}
    list(trainer.epochs())
    after = trainer.model.backbone.state_dict()
    frozen = trainer.model.backbone.frozen_state()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert not changed & set(frozen)
    assert {name.split(".")[1] for name in frozen if "." in name} >= {"conv1", "layer1", "layer2"}
    running = [name for name in after if "running" in name or "num_batches" in name]
    assert running
    assert not changed & set(running)


def test_training_behind_the_stages_is_training_from_pictures(tiny) -> None:
    config = tiny(**PART, **{"training.flip": False, "model.dropout": 0})
    from_stems, from_pictures = (list(_trainer(config, stems=stems).epochs()) for stems in (True, False))
    for ours, theirs in zip(from_stems, from_pictures, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert ours.val_srcc == pytest.approx(theirs.val_srcc, abs=0.02)


@pytest.mark.parametrize("stages", [0, 2])
def test_crops_are_drawn_anew_keep_their_scale_and_leave_the_judging_alone(tiny, stages: int) -> None:
    config = tiny(**{**PART, "training.crop": 0.5, "model.frozen_stages": stages})
    trainer = _trainer(config, stems=stages > 0)
    shapes = set()
    for inputs, _ in trainer.feed.training(0):
        shapes.add(tuple((inputs.own.maps if stages else inputs.own).shape[-2:]))
    whole = trainer.feed._stems.maps.shape[1] if stages else 48
    assert shapes == {(whole // 2, whole // 2)}
    first, again, other = (next(iter(trainer.feed.training(seed)))[0] for seed in (0, 0, 1))
    drawn = [each.own.maps if stages else each.own for each in (first, again, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    judged = next(iter(trainer.feed.inputs("val")))
    assert (judged.own.maps if stages else judged.own).shape[-1] == whole
    if not stages:
        seen: list[int] = []
        stem = trainer.model.backbone.net.conv1
        stem.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
        trainer.feed.predict(trainer.model.train(), first)
        trainer.feed.predict(trainer.model.eval(), judged)
        assert set(seen) == {24, 48}


def test_a_stopped_training_goes_on_to_the_same_weights(tiny, tmp_path: Path) -> None:
    config = tiny(**PART, **{"training.crop": 0.75})
    whole = Session(config, ExperimentFolder(tmp_path / "whole"))
    with whole.claimed():
        pass
    list(whole.run())
    stopped = Session(config, ExperimentFolder(tmp_path / "stopped"))
    with stopped.claimed():
        pass
    for record in stopped.run():
        stopped.save()
        if record.epoch == 2:
            break
    resumed = Session(config, ExperimentFolder(tmp_path / "stopped"), resume=True)
    list(resumed.run())
    for name, value in whole.trainer.model.state_dict().items():
        assert torch.equal(value, resumed.trainer.model.state_dict()[name]), name


def test_judging_sees_each_picture_and_its_mirror_image(tiny) -> None:
    trainer = _trainer(tiny(**PART, **{"model.n_clusters": 0}), stems=True)
    model = trainer.model.eval()
    store = prepare(tiny(**PART).data, progress=False)
    with torch.inference_mode():
        said = torch.cat([trainer.feed.predict(model, inputs).score for inputs in trainer.feed.inputs("val")])
        expected = model(store.images[store.squares(store.indices("val"))[0]]).score
    torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "stages", "said"),
    [("test_vit", 1, "a ResNet, EfficientNet or MobileNet"), ("test_resnet", 4, "leaves no stage to train")],
)
def test_what_cannot_be_split_is_said(name: str, stages: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Backbone(name, pretrained=False, image_size=160, frozen_stages=stages)


@pytest.mark.parametrize(
    "other", [{"model.freeze_backbone": True}, {"model.scales": "[1, 0.5]"}, {"model.backbone": "resnet18+resnet34"}]
)
def test_settings_that_do_not_go_together_are_refused(tiny, other: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"model\.frozen_stages"):
        tiny(**{"model.frozen_stages": 1, **other})


def _trainer(config, *, stems: bool) -> Trainer:
    store = prepare(config.data, progress=False)
    size = input_size(config, store)
    model = build_model(config, start_backbone(config, size), size, CPU)
    settings = {"flip": config.training.flip, "crop": config.training.crop}
    if stems:
        kept = kept_stems(store, model.backbone, config, CPU, torch.float32, progress=False)
        feed = StemFeed(store, kept, config.data.batch, CPU, mirror=config.model.mirror, **settings)
    else:
        feed = PixelFeed(store, config.data.batch, CPU, **settings)
    assert isinstance(model.backbone.net, nn.Module)
    return Trainer(model, feed, config, CPU, progress=False)
