"""Tables that count, for each picture, how many people gave each score of the scale."""

from __future__ import annotations

import numpy as np
import pandas as pd

from iqa.data.scored.columns import numbers, score_scale, text
from iqa.data.scored.ratings.faults import Faults, empty
from iqa.data.scored.ratings.means import Asked, Rated, averaged
from iqa.data.scored.ratings.places import rating_places, scores_counted, total_place
from iqa.data.scored.ratings.rated import Ratings
from iqa.errors import UserError

#: How far shares of a picture may sum from 1, and a share of its ratings may be from a whole number of them.
SUM, WHOLE = 0.02, 0.1


def read_counts(asked: Asked) -> Rated:
    """A row for each picture. An empty cell counts none; a picture without any rating has no score.

    Shares in place of counts are counted by the column that says how many ratings there are; without one the means are
    known, and the single ratings are not.

    Raises:
        UserError: columns cannot be told, or what they stand for; a cell is no count and `data.on_error` is "fail".
    """
    columns = rating_places(asked.frame, asked.data, asked.where)
    places = asked.about(columns)
    scores = scores_counted([asked.frame.columns[column] for column in columns], asked.data, asked.where)
    counts = np.stack([numbers(asked.frame.iloc[:, column]) for column in columns], axis=1)
    counts[np.stack([empty(text(asked.frame.iloc[:, column])) for column in columns], axis=1)] = 0
    said = [asked.taken_for(places)]
    said.append(
        f"counts in '{asked.label(columns[0])}' (score {scores[0]:g}) to '{asked.label(columns[-1])}' ({scores[-1]:g})"
    )
    shares = _are_shares(counts)
    total = total_place(asked.frame, [*columns, *places.values()]) if shares else None
    if total is not None:
        counts = counts * numbers(asked.frame.iloc[:, total])[:, None]
        counts = np.where(np.abs(counts - np.rint(counts)) < WHOLE, np.rint(counts), counts)
        said.append(f"shares of as many ratings as '{asked.label(total)}' says")
    said += _left_out(asked, counts, columns, whole=total is not None or not shares)
    scale = score_scale(pd.Series(scores), asked.data)
    beyond = (scores < scale.low) | (scores > scale.high)
    if counts[:, beyond].any():
        raise UserError(
            f"{asked.where} counts scores beyond data.score_range",
            got=", ".join(f"{score:g}" for score in scores[beyond]),
            expected=f"scores from {scale.low:g} to {scale.high:g}",
        )
    table, rows = asked.table(places), list(range(len(counts)))
    if shares and total is None:
        sums = counts.sum(axis=1)
        means = np.divide(counts @ scores, sums, out=np.full(len(sums), np.nan), where=sums > 0)
        said.append("shares of ratings, and no column says of how many: how sure the means are is not known")
        return Rated(table.assign(score=means), scale, ", ".join(said), rows, None)
    times = counts.astype(np.int64)
    picture = np.repeat(np.arange(len(times)), times.sum(axis=1))
    values = np.repeat(np.tile(scores, len(times)), times.ravel())
    ratings = Ratings(len(times), picture, values, np.empty(0, dtype=np.int64))
    return averaged(asked, table, ratings, scale, rows, said)


def _are_shares(counts: np.ndarray) -> bool:
    """Whether rows hold shares of ratings in place of counts."""
    rows = counts[np.isfinite(counts).all(axis=1) & (counts >= 0).all(axis=1)]
    rows = rows[rows.sum(axis=1) > 0]
    return len(rows) > 0 and bool((np.abs(rows.sum(axis=1) - 1) < SUM).all() and (rows != np.rint(rows)).any())


def _left_out(asked: Asked, counts: np.ndarray, columns: list[int], *, whole: bool) -> list[str]:
    """Take all counts of a picture with an impossible one away, in place; a word on them."""
    faults, bad = Faults(), np.zeros(len(counts), dtype=bool)
    known = np.isfinite(counts)
    wrong = {
        "counts that are no numbers": ~known,
        "counts below 0": known & (counts < 0),
        "counts that are not whole": known & (counts >= 0) & (counts != np.rint(counts)) & whole,
    }
    for reason, cells in wrong.items():
        rows, at = np.nonzero(cells)
        bad |= cells.any(axis=1)
        pairs = zip(rows.tolist(), at.tolist(), strict=True)
        faults.add(reason, (f"'{asked.label(columns[place])}' in {asked.units[row]}" for row, place in pairs))
    counts[bad] = 0
    return faults.settle(asked.data.on_error, asked.where)
