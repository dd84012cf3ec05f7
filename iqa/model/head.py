"""From pooled backbone features to an embedding, a projection for the mixture, and a score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from iqa.model.directions import find_directions
from iqa.model.standardise import NormaliseParts, SettledScale, Standardise

_START_SCALE = 0.1  # of the last layer's weights: predictions start close to the mean score


class Projection(nn.Module):
    """Embedding [B, feature_dim] -> z, float32 [B, dim] of mean 0 and variance 1.

    Its directions (`find_directions`) are found where the mixture starts, and are not trained: clusters describe the
    embedding and do not bend it. Until then they are random.
    """

    directions: Tensor

    def __init__(self, feature_dim: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.randn(feature_dim, dim) / feature_dim**0.5)
        self.standardise = Standardise(dim)

    def forward(self, embedding: Tensor) -> Tensor:
        """Project embeddings [B, feature_dim]; no gradient goes back."""
        with torch.no_grad(), torch.autocast(embedding.device.type, enabled=False):
            z: Tensor = self.standardise(embedding.float() @ self.directions)
            return z

    @torch.no_grad()
    def calibrate(self, embeddings: Tensor, sorts: Tensor) -> Tensor:
        """Fit directions and running statistics to embeddings [N, feature_dim] of sorts [N]; returns their z [N, d]."""
        self.directions.copy_(find_directions(embeddings, sorts, self.directions.shape[1]))
        raw = embeddings.float() @ self.directions
        self.standardise.fit(raw)
        return self.standardise.apply_running(raw)


class QualityHead(nn.Module):
    """Embedding, projection and the MLP that gives the score.

    Args:
        num_features: D, columns of the features.
        normalised: columns of what is normalised by itself in each picture's features first, in order; empty: none.
        standardise: before that, standardise each feature over pictures.
        feature_dim: columns of the embedding.
        hidden_dim: width of the MLP's hidden layer.
        dropout: share of the embedding and of the hidden layer dropped in training.
        projection_dim: d, dimensions that the mixture sees; 0 builds no projection.
        encoding_size: columns that the mixture adds to the MLP's input; 0 without a mixture.
        score_mean: score that an untrained head starts at, on the 0-1 scale.
    """

    def __init__(
        self,
        num_features: int,
        *,
        normalised: Sequence[int] = (),
        standardise: bool = False,
        feature_dim: int = 512,
        hidden_dim: int = 512,
        dropout: float = 0.3,
        projection_dim: int = 0,
        encoding_size: int = 0,
        score_mean: float = 0.5,
    ) -> None:
        super().__init__()
        first: list[nn.Module] = [SettledScale(num_features)] if standardise else []
        if len(normalised) == 1:
            first.append(nn.LayerNorm(num_features))
        elif normalised:
            first.append(NormaliseParts(normalised))
        self.embedding = nn.Sequential(*first, nn.Linear(num_features, feature_dim), nn.GELU())
        self.projection = Projection(feature_dim, projection_dim) if projection_dim else None
        self.dropout = nn.Dropout(dropout)
        last = nn.Linear(hidden_dim, 1)
        with torch.no_grad():
            last.weight.mul_(_START_SCALE)
            last.bias.fill_(score_mean)
        self.regressor = nn.Sequential(
            nn.Linear(feature_dim + encoding_size, hidden_dim), nn.GELU(), nn.Dropout(dropout), last
        )

    def embed(self, features: Tensor) -> Tensor:
        """Features [B, D] -> embedding [B, feature_dim]."""
        embedding: Tensor = self.embedding(features)
        return embedding

    def project(self, embedding: Tensor) -> Tensor | None:
        """Embedding [B, feature_dim] -> z, float32 [B, d], or None without projection.

        Taken before dropout, so that training and evaluation show the mixture the same points.
        """
        return None if self.projection is None else self.projection(embedding)

    def score(self, embedding: Tensor, encoding: Tensor | None = None) -> Tensor:
        """Embedding [B, feature_dim] and the mixture's encoding [B, encoding_size] -> score, float32 [B].

        Scores are near 0-1 as the training scores are, but not held there. They are float32 from the embedding on:
        bfloat16 knows only some hundred scores between 0 and 1, and their correlation suffers.
        """
        with torch.autocast(embedding.device.type, enabled=False):
            inputs = self.dropout(embedding.float())
            if encoding is not None:
                inputs = torch.cat([inputs, encoding], dim=1)
            score: Tensor = self.regressor(inputs)
            return score.squeeze(1)
