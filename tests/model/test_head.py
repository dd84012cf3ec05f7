"""Standardisation, projection and score."""

from __future__ import annotations

import torch

from iqa.model.head import QualityHead
from iqa.model.standardise import SettledScale, Standardise


def test_standardised_batches_have_mean_zero_and_variance_one():
    torch.manual_seed(0)
    values = torch.randn(200, 4) * torch.tensor([0.01, 1.0, 10.0, 100.0]) + 7
    standard = Standardise(4)(values)
    torch.testing.assert_close(standard.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.var(0, correction=0)[1:], torch.ones(3), atol=2e-3, rtol=0)


def test_running_statistics_follow_what_changes():
    layer = Standardise(1)
    for level in [0.0] * 50 + [9.0] * 50:
        layer(torch.randn(100, 1) + level)
    assert abs(layer.running_mean.item() - 9) < 0.3


def test_evaluation_and_single_pictures_use_the_running_statistics():
    layer = Standardise(2)
    values = torch.randn(50, 2) + 4
    layer.fit(values)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    alone = layer(values[:1])
    torch.testing.assert_close(alone, layer.eval()(values)[:1])
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


def test_a_settled_scale_is_that_of_the_first_batches_and_stays():
    layer, values = SettledScale(3, settling=4), torch.randn(400, 3) * torch.tensor([0.01, 1.0, 100.0]) + 5
    for batch in values.split(100):
        assert layer(batch).std(0).sub(1).abs().max() < 0.3, "right from the first batch on"
    torch.testing.assert_close(layer.running_mean, values.mean(0), atol=1e-3, rtol=1e-4)
    settled = layer(values)
    for _ in range(5):
        layer(values * 7 + 3)
    assert torch.equal(layer.eval()(values), settled)


def test_a_settled_scale_has_no_share_in_the_gradient_but_its_factor():
    layer, values = SettledScale(2), torch.randn(50, 2, requires_grad=True)
    layer(values).sum().backward()
    torch.testing.assert_close(values.grad, layer.running_var.rsqrt().expand(50, 2), rtol=1e-4, atol=0)


def test_scores_are_computed_in_full_precision_whatever_the_embedding():
    head = QualityHead(40).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedding = head.embed(torch.randn(300, 40))
        scores = head.score(embedding)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, head.score(embedding.float()))


def test_an_untrained_head_starts_near_the_mean_score():
    head = QualityHead(100, score_mean=0.7)
    assert (head.score(head.embed(torch.randn(64, 100))) - 0.7).abs().max() < 0.2


def test_without_projection_there_is_none():
    head = QualityHead(10, feature_dim=6, hidden_dim=4)
    assert head.project(torch.randn(2, 6)) is None
    assert not [name for name in head.state_dict() if "projection" in name]


def test_the_scale_of_the_features_does_not_matter():
    head = QualityHead(10, normalised=[10]).eval()
    features = torch.randn(3, 10)
    torch.testing.assert_close(head.embed(features), head.embed(1000 * features), atol=1e-4, rtol=1e-3)
