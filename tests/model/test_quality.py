"""The model as a whole: what it predicts, what learns, and what a checkpoint brings back."""

from __future__ import annotations

import pytest
import torch

from iqa.config import ModelConfig
from iqa.errors import UserError
from iqa.model.quality import QualityModel

SIDE = 64
CLUSTERS = 3
#: Of the twelve pictures.
SORTS = torch.arange(12) % 4


def pictures(number: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (number, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def config(**changes) -> ModelConfig:
    small = {"feature_dim": 24, "hidden_dim": 16, "n_clusters": CLUSTERS, "mixture": {"dim": 4}}
    return ModelConfig(backbone="resnet10t", pretrained=False, **{**small, **changes})


def build(**changes) -> QualityModel:
    torch.manual_seed(0)
    return QualityModel.from_config(config(**changes), SIDE)


def started(**changes) -> QualityModel:
    model = build(**changes).eval()
    model.start_mixture(model(pictures()).embedding, SORTS, config(**changes).mixture)
    return model


def same_state(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_a_prediction_has_the_promised_shapes(covariance):
    prediction = started(mixture={"dim": 4, "covariance": covariance})(pictures())
    assert prediction.score.shape == (12,)
    assert prediction.embedding.shape == (12, 24)
    assert prediction.z.shape == (12, 4)
    assert prediction.responsibilities.shape == (12, CLUSTERS)
    assert prediction.log_likelihood.shape == (12,)


def test_without_clusters_there_is_no_mixture_and_no_projection():
    model = build(n_clusters=0)
    prediction = model(pictures())
    assert prediction.z is prediction.responsibilities is prediction.log_likelihood is None
    assert not [name for name in model.state_dict() if "mixture" in name or "projection" in name]
    with pytest.raises(UserError, match="no mixture"):
        model.start_mixture(prediction.embedding, SORTS, config().mixture)


def test_features_can_be_kept_and_predicted_from_later():
    model = started()
    torch.testing.assert_close(model.from_features(model.features(pictures())).score, model(pictures()).score)


def test_a_trained_backbone_judges_a_picture_and_its_mirror_image_alike():
    model = started()
    mirrored = pictures().flip(-1)
    torch.testing.assert_close(model(pictures()).score, model(mirrored).score)
    alone = started(mirror=False)
    assert not torch.allclose(alone(pictures()).score, alone(mirrored).score)
    torch.testing.assert_close(model.features(pictures()), (alone.features(pictures()) + alone.features(mirrored)) / 2)
    # In training each is a picture of its own, and what is kept of a frozen backbone is of the picture itself.
    assert not torch.allclose(model.train().features(pictures()), model.features(mirrored))
    frozen = started(freeze_backbone=True)
    assert not torch.allclose(frozen.features(pictures()), frozen.features(mirrored))


def test_the_head_ignores_the_mixture_until_it_is_started():
    model = build().eval()
    before = model(pictures()).score
    with torch.no_grad():
        model.mixture.means += 1
    assert torch.equal(model(pictures()).score, before)
    model.start_mixture(model(pictures()).embedding, SORTS, config().mixture)
    assert not torch.equal(model(pictures()).score, before)


def test_starting_the_mixture_shows_it_standardised_points():
    z = started()(pictures()).z.detach()
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(4), atol=0.05, rtol=0)


def test_more_clusters_than_pictures_is_refused():
    model = build(n_clusters=20).eval()
    with pytest.raises(UserError, match="more clusters than pictures"):
        model.start_mixture(model(pictures()).embedding, SORTS, config().mixture)


def test_the_score_reads_the_mixture_but_does_not_bend_it():
    model = started()
    before = model(pictures()).score
    model(pictures()).score.sum().backward()
    assert model.mixture.means.grad is None
    assert model.backbone.net.conv1[0].weight.grad.abs().sum() > 0
    with torch.no_grad():
        model.mixture.means += 1
    assert not torch.equal(model(pictures()).score, before)


def test_likelihood_and_balance_teach_the_mixture_alone():
    model = started()
    prediction = model(pictures())
    (prediction.unlikelihood + prediction.imbalance).backward()
    taught = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert taught == {"mixture"}


@pytest.mark.parametrize("fitted", [False, True])
def test_every_parameter_takes_part_in_every_step(fitted):
    model = (started() if fitted else build()).train()
    prediction = model(pictures())
    (prediction.score.square().mean() + prediction.unlikelihood + prediction.imbalance).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_frozen_backbone_stays_as_it_is():
    model = build(freeze_backbone=True).train()
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    assert not model.features(pictures()).requires_grad
    model(pictures()).score.sum().backward()
    optimizer.step()
    assert not model.backbone.training
    assert model.head.training
    assert same_state(model.backbone.state_dict(), before)


@pytest.mark.parametrize("clusters", [0, CLUSTERS])
def test_a_state_dict_brings_back_the_same_predictions(clusters):
    trained = build(n_clusters=clusters)
    if clusters:
        trained.start_mixture(trained(pictures()).embedding.detach(), SORTS, config().mixture)
    trained(pictures())
    restored = QualityModel.from_config(config(n_clusters=clusters), SIDE, load_weights=False)
    restored.load_state_dict(trained.state_dict())
    assert torch.equal(restored.eval()(pictures()).score, trained.eval()(pictures()).score)


def test_the_untrained_model_predicts_the_given_mean():
    model = QualityModel.from_config(config(), SIDE, score_mean=0.6).eval()
    assert (model(pictures()).score - 0.6).abs().max() < 0.2


def test_one_picture_can_be_predicted_in_training_and_evaluation():
    model = started()
    for mode in (True, False):
        head = model.train(mode).from_features(model.eval().features(pictures(1)))
        assert head.score.shape == (1,)
        assert head.score.isfinite().all()


def test_heads_learn_each_by_itself_and_are_averaged():
    model = started(heads=3, n_clusters=2)
    said = model.eval()(pictures())
    assert said.by_head.shape == (3, len(pictures()))
    torch.testing.assert_close(said.score, said.by_head.mean(0))
    assert said.by_head.std(0).min() > 0
    model.train().from_features(model.features(pictures())).by_head[1].sum().backward()
    assert not any(parameter.grad.any() for parameter in model.head.parameters())
    assert not any(parameter.grad.any() for parameter in model.companions[1].parameters())
    assert any(parameter.grad.any() for parameter in model.companions[0].parameters())


@pytest.mark.parametrize("pca_dim", [0, 6])
def test_heads_of_a_part_see_one_backbone_at_one_scale(pca_dim: int) -> None:
    parts = {"backbone": "resnet10t+test_resnet", "scales": (1.0, 0.5), "part_heads": 1, "heads": 2}
    torch.manual_seed(0)
    model = QualityModel.from_config(
        config().model_copy(update={**parts, "freeze_backbone": True, "pca_dim": pca_dim}), SIDE
    )
    if model.reduction is not None:
        with torch.no_grad():
            model.reduction.fit(model.backbone(pictures()))
    model.eval()
    features = model.features(pictures())
    widths = [sum(part) for part in model.backbone.parts] if model.reduction is None else model.reduction.columns[1:]
    assert len(widths) == 4
    said = model.from_features(features).by_head
    assert len(said) == 2 + 4
    blind = features.clone()
    blind[:, features.shape[1] - widths[-1] :] += torch.randn(widths[-1])
    changed = (model.from_features(blind).by_head - said).abs().amax(1) > 1e-6
    # Without components the heads of the whole see the last part, too.
    assert changed.tolist() == [not pca_dim, not pca_dim, False, False, False, True]


def test_heads_of_parts_need_parts() -> None:
    with pytest.raises(ValueError, match="several backbones or several"):
        config(part_heads=1)


def test_features_of_each_map_can_be_normalised_by_themselves() -> None:
    model = build(normalise="by_map", freeze_backbone=True).eval()
    features = model.features(pictures())
    (widths,) = model.backbone.parts
    assert len(widths) > 3
    assert sum(widths) == features.shape[1]
    # However large one map's features are, they count the same.
    louder = torch.cat([1000 * features[:, : widths[0]], features[:, widths[0] :]], dim=1)
    torch.testing.assert_close(model.from_features(louder).score, model.from_features(features).score)
    together = build(freeze_backbone=True).eval()
    assert not torch.allclose(together.from_features(louder).score, together.from_features(features).score)


def test_the_last_map_can_be_left_out() -> None:
    early, every, last = (build(stages=stages).backbone.eval() for stages in ("early", "all", "last"))
    features = every(pictures())
    torch.testing.assert_close(early(pictures()), features[:, : early.num_features])
    torch.testing.assert_close(last(pictures()), features[:, early.num_features :])
