"""Single ratings of pictures, whatever table they came in: one list that means, errors and halves are taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ratings:
    """R ratings of N pictures.

    Attributes:
        pictures: N.
        picture: int64 [R], whose rating each is, 0 to N - 1.
        value: float64 [R], on the raters' own scale.
        rater: int64 [R], places in `raters`; empty where nobody knows who rated.
        raters: their names, each of which gave at least one rating; empty where nobody knows them.
    """

    pictures: int
    picture: np.ndarray
    value: np.ndarray
    rater: np.ndarray
    raters: tuple[str, ...] = ()

    @property
    def counts(self) -> np.ndarray:
        """How many ratings each picture has, int64 [N]."""
        return np.bincount(self.picture, minlength=self.pictures)

    @property
    def by_rater(self) -> np.ndarray:
        """How many ratings each rater gave, int64 [raters]."""
        return np.bincount(self.rater, minlength=len(self.raters))

    def means(self) -> np.ndarray:
        """The mean opinion score of each picture, float64 [N]; NaN where there is no rating."""
        return _divided(np.bincount(self.picture, self.value, self.pictures), self.counts)

    def errors(self) -> np.ndarray:
        """The standard error of each mean, float64 [N]; NaN with fewer than two ratings."""
        spread = (self.value - self.means()[self.picture]) ** 2
        counts = self.counts
        errors: np.ndarray = np.sqrt(_divided(np.bincount(self.picture, spread, self.pictures), counts * (counts - 1)))
        return errors

    def of_pictures(self, rows: Sequence[int] | np.ndarray) -> Ratings:
        """The ratings of these pictures, numbered as they stand in `rows`; raters who rated none of them are gone."""
        place = np.full(self.pictures, -1, dtype=np.int64)
        place[np.asarray(rows, dtype=np.int64)] = np.arange(len(rows))
        number = place[self.picture]
        return self._where(number >= 0, number, len(rows))

    def without(self, raters: Sequence[int] | np.ndarray) -> Ratings:
        """All but the ratings of these raters."""
        return self._where(~np.isin(self.rater, raters), self.picture, self.pictures) if self.raters else self

    def _where(self, kept: np.ndarray, picture: np.ndarray, pictures: int) -> Ratings:
        if not self.raters:
            return Ratings(pictures, picture[kept], self.value[kept], self.rater)
        known, rater = np.unique(self.rater[kept], return_inverse=True)
        names = tuple(self.raters[place] for place in known)
        return Ratings(pictures, picture[kept], self.value[kept], rater.astype(np.int64), names)


def rated_by(pictures: int, picture: np.ndarray, value: np.ndarray, rater: Sequence[str]) -> tuple[Ratings, int]:
    """Ratings by raters' names; and how many repeat an earlier one of the same picture by the same rater.

    A rater who rated a picture several times counts once, with the mean.
    """
    names, number = np.unique(np.asarray(rater, dtype=str), return_inverse=True)
    key = picture.astype(np.int64) * len(names) + number
    once, place, times = np.unique(key, return_inverse=True, return_counts=True)
    means = np.bincount(place, value, len(once)) / times
    found = Ratings(pictures, once // len(names), means, once % len(names), tuple(map(str, names)))
    return found, len(key) - len(once)


def _divided(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return shares
