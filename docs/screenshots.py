"""Makes docs/screenshots/*.png and docs/figures/*.png: four backbones trained on the packaged photographs, MLflow's
pages of them, and figures of the test of one, which is the quick test.

`make screenshots` takes some minutes on two cores and needs chromium.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from browser import CHROMIUM, Visit, compare, served, visited  # noqa: E402

from iqa.config.recipes import recipe_texts  # noqa: E402

SHOTS, FIGURES = HERE / "screenshots", HERE / "figures"
#: Figures of a test by what the tutorial calls them, and their width in pixels.
DRAWN, WIDTH = {"scatter": "predictions_scatter", "intervals": "intervals", "clusters": "clusters"}, 1100
#: Weights of all of them come with packages.
BACKBONES = {
    "lite0": "tf_efficientnet_lite0",
    "lite1": "tf_efficientnet_lite1",
    "lite2": "tf_efficientnet_lite2",
    "lite0_and_lite1": "tf_efficientnet_lite0+tf_efficientnet_lite1",
}
#: Colours of a picture: as many as a page of charts needs, so that it stays small.
COLOURS = 128


def main() -> None:
    if CHROMIUM is None:
        sys.exit("error: no chromium here\n  fix: apt-get install chromium")
    quick = json.loads(recipe_texts()["quick_test"])
    configs = {name: quick | {"model": quick["model"] | {"backbone": each}} for name, each in BACKBONES.items()}
    with tempfile.TemporaryDirectory() as folder:
        said = compare(Path(folder), configs)
        for name, figure in DRAWN.items():
            with Image.open(Path(folder, "experiments", "lite0", "visualizations", f"{figure}.png")) as drawn:
                drawn.thumbnail((WIDTH, 10 * WIDTH))
                write(drawn, FIGURES / f"{name}.png")
        with served(Path(folder)) as server:
            link = said.splitlines()[-1].strip().replace("http://127.0.0.1:5000", server)
            with visited(1760, 500) as visit:
                visit.table(link)
                visit.page.get_by_role("button", name="Hide banner").click()
                keep(visit, "table")
            with visited(1760, 1150) as visit:
                visit.table(link)
                visit.page.get_by_role("button", name="Hide banner").click()
                visit.charts()
                keep(visit, "charts")
            with visited(1500, 760) as visit:
                visit.table(link)
                visit.compared("epoch/val/srcc")
                keep(visit, "compare")
            with visited(1500, 1000) as visit:
                visit.table(link)
                visit.run("lite0")
                visit.pictures("predictions_scatter")
                keep(visit, "run")


def keep(visit: Visit, name: str) -> None:
    """Write what the window shows."""
    if visit.faults:
        sys.exit(f"error: the page '{name}' has faults\n  got: {'; '.join(visit.faults)}")
    visit.settle()
    write(Image.open(io.BytesIO(visit.page.screenshot())), SHOTS / f"{name}.png")


def write(picture: Image.Image, place: Path) -> None:
    """Keep a picture small, and say where it is."""
    place.parent.mkdir(exist_ok=True)
    picture.convert("RGB").quantize(COLOURS).save(place, optimize=True)
    print(place)


if __name__ == "__main__":
    main()
