"""The running mean of the weights is what is judged, kept and resumed."""

from __future__ import annotations

from pathlib import Path

import torch
from test_session import begin, story, weights

from iqa.model.quality import QualityModel
from iqa.training.average import WARMUP, AveragedModel


def test_the_mean_is_the_one_that_the_formula_gives(tiny) -> None:
    config = tiny(**{"model.n_clusters": 2})
    torch.manual_seed(0)
    model = QualityModel.from_config(config.model, 48)
    average = AveragedModel(model, 0.9)
    weight = model.head.embedding[1].weight
    expected = weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            weight.add_(torch.randn_like(weight))
            model.mixture.means.add_(1)
        average.update()
        decay = min(0.9, (1 + step) / (WARMUP + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    average.follow()
    torch.testing.assert_close(average.model.head.embedding[1].weight, expected)
    assert torch.equal(average.model.mixture.means, model.mixture.means)
    assert not average.model.training


def test_the_averaged_model_is_kept_and_a_stopped_training_resumes_to_it(tiny, tmp_path: Path) -> None:
    config = tiny(**{"training.ema_decay": 0.9})
    whole = begin(config, tmp_path / "whole")
    list(whole.run())
    for record in begin(config, tmp_path / "parts").run():
        if record.epoch == 2:
            break
    list(begin(config, tmp_path / "parts", resume=True).run())
    assert story(tmp_path / "parts") == story(tmp_path / "whole")
    kept, live = weights(tmp_path / "whole" / "best_model.pth"), weights(tmp_path / "whole" / "last_model.pth")
    again = weights(tmp_path / "parts" / "best_model.pth")
    assert all(torch.equal(again[name], kept[name]) for name in kept)
    name = "head.embedding.1.weight"
    assert not torch.equal(kept[name], live[name])
