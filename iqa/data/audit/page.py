"""The audit as one HTML page that needs no other file: what was found, and the groups as rows of small pictures."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

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
            parts.append(f"<p>Pictures that belong together, {shown}{len(groups)} groups:</p>")
            parts += [_row(audit, rows) for rows in groups[:GROUPS]]
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
        shown = f"{value:.4g}" if isinstance(value, float) else value
        if isinstance(value, dict):
            shown = ", ".join(f"{count} {what}" for what, count in value.items()) or "none"
        words = html.escape(name.replace("_", " "))
        rows.append(f"<tr><td>{words}</td><td>{html.escape(str(shown))}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _row(audit: Audit, rows: list[int]) -> str:
    table = audit.found.manifest
    scores = audit.found.scale.from_unit(table["score"])
    figures = []
    for row in rows[:PICTURES]:
        name = audit.names[row]
        caption = html.escape(f"{name} ({scores.iloc[row]:.3g}, {table['split'].iloc[row]})")
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
