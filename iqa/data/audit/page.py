"""The audit as one HTML page that needs no other file: what was found, and the groups as rows of small pictures."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np

from iqa.data.audit.auditing import Audit

#: Groups that are shown, pictures of each, and their longest side.
GROUPS, PICTURES, SIDE = 40, 8, 112
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; } td { padding: .1rem 1.5rem .1rem 0; } td + td { text-align: right; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; padding: .5rem 0; border-bottom: 1px solid #eee; }
figure { margin: 0; width: 112px; } figcaption { font-size: 11px; overflow-wrap: anywhere; color: #555; }
li { margin: .3rem 0; }
"""


#: What is said below the figures on scores.
_CEILING = (
    "<p>Ceiling: the SRCC with these scores that no model can honestly exceed, since the scores hold noise. Raters "
    "tell it where the table has their ratings, twins (pictures that show the same) where there are enough of them.</p>"
)


def page(audit: Audit, title: str) -> str:
    """The page as text.

    Args:
        title: what the set is called.
    """
    groups = audit.several
    parts = [f"<h1>{html.escape(title)}: audit</h1>", "<h2>Findings</h2>", _findings(audit)]
    for name, figures in audit.sections.items():
        parts += [f"<h2>{name.capitalize()}</h2>", _figures(figures)]
        if name == "copies" and groups:
            shown = f"the {GROUPS} largest of " if len(groups) > GROUPS else ""
            parts.append(f"<p>Pictures that belong together, {shown}{len(groups)} group{'s' * (len(groups) != 1)}:</p>")
            scores = audit.scores
            parts += [_row(audit, rows, scores) for rows in groups[:GROUPS]]
        if name == "suspects":
            parts.append(_suspects(audit))
        if name == "scores":
            parts.append(_CEILING)
        if name == "raters":
            parts.append(_rejected(figures["rejected"]))
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}: audit</title>'
        f"<style>{_STYLE}</style>\n<body>\n{body}\n</body></html>\n"
    )


def _findings(audit: Audit) -> str:
    if not audit.findings:
        return "<p>Nothing odd.</p>"
    lines = [f"<li><b>{each.section}</b> {html.escape(str(each))}</li>" for each in audit.findings]
    return f"<ul>{''.join(lines)}</ul>"


def _figures(figures: dict[str, Any]) -> str:
    rows = []
    for name, value in figures.items():
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            continue  # it is shown below
        if name == "reliability" and value:
            shown = (
                f"{value['reliability']:.3f} ({value['low']:.3f} to {value['high']:.3f}); halves of the {value['way']} "
                f"have an SRCC of {value['halves']:.3f}"
            )
        elif isinstance(value, dict):
            shown = ", ".join(f"{_shown(count)} {what}" for what, count in value.items()) or "none"
        else:
            shown = _shown(value)
        words = html.escape(name.replace("_", " "))
        rows.append(f"<tr><td>{words}</td><td>{html.escape(shown)}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, dict):
        return _shown(value.get("count"))  # rows of a kind, the first of which are named
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rejected(raters: list[dict[str, Any]]) -> str:
    """Raters who did not rate as the others did."""
    lines = [f"<li>{html.escape(each['rater'])}: {html.escape(each['why'])}</li>" for each in raters]
    return f"<p>Raters unlike the others:</p><ul>{''.join(lines)}</ul>" if lines else ""


def _suspects(audit: Audit) -> str:
    """The suspects as a contact sheet, the oddest first."""
    first = audit.sections["suspects"]["first"]
    if not first:
        return ""
    figures = []
    for each in first:
        caption = html.escape(f"{each['image']}: scored {each['score']:.3g}, expected {each['expected']:.3g}")
        figures.append(f"<figure>{_picture(audit, each['image'])}<figcaption>{caption}</figcaption></figure>")
    said = (
        "Scores that pictures which look alike contradict most, the oddest first. What is expected is told by all "
        "pictures of other contents. Look whether the score is wrong, or the picture odd:"
    )
    return f'<p>{said}</p><div class="row">{"".join(figures)}</div>'


def _row(audit: Audit, rows: list[int], scores: np.ndarray) -> str:
    split = audit.found.manifest["split"]
    figures = []
    for row in rows[:PICTURES]:
        name = audit.names[row]
        caption = html.escape(f"{name} ({scores[row]:.3g}, {split.iloc[row]})")
        figures.append(f"<figure>{_picture(audit, name)}<figcaption>{caption}</figcaption></figure>")
    more = f"<p>and {len(rows) - PICTURES} more</p>" if len(rows) > PICTURES else ""
    return f'<div class="row">{"".join(figures)}{more}</div>'


def _picture(audit: Audit, name: str) -> str:
    try:
        picture = audit.found.read(name)
    except ValueError:
        return ""
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'
