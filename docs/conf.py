"""How Sphinx makes the site: `make docs` reads this, offline, and takes every warning for an error."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from generators import expand  # noqa: E402

import iqa  # noqa: E402

project, author = "iqa", "the authors of iqa"
version = release = iqa.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "generators"]

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True

nitpicky = True
#: Python itself and other packages: their own sites are not asked, so that the build needs no network.
nitpick_ignore_regex = [("py:.*", r"(?!iqa\.).*"), ("py:class", r"iqa\.(config|data|model|scoring\.sc\w+)\..*")]

#: Quotation marks stay as they are: commands are copied.
smartquotes_action = "De"

html_theme = "furo"
html_title = f"iqa {release}"
html_show_copyright = html_show_sourcelink = html_copy_source = False


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what is generated in its place, before a page is parsed."""
    source[0] = expand(source[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill_in)
