"""The tour of the Python API: a script that runs as it stands, and a notebook for editors that know `# %%` cells.

`python docs/tour.py` takes about a minute on two cores, needs no network, and writes to the folder it is run in.
"""

# ruff: noqa: E402 - cells import what they need

# %% [markdown]
# This page is the script `docs/tour.py`. Run it with `python docs/tour.py` in an empty folder, or open it in an editor
# that knows `# %%` cells. It goes from pictures to a model that is trained, tested, compared, tuned, applied and
# exported. The settings are tiny so that everything takes about a minute on two cores; the figures that come out are
# therefore poor. The [tutorial](tutorial.md) does the same with commands.

# %% [markdown]
# ## Train
#
# `iqa.train` takes a file, the name of a standard experiment, nested values or a config object. Settings are changed by
# their dotted names. Nothing is printed unless `verbose=True`.

# %%
import iqa

TINY = {
    "data.train_samples": 300,
    "data.val_samples": 100,
    "data.test_samples": 100,
    "data.picture_size": 64,
    "data.image_size": 64,
    "training.epochs": 6,
    "model.mixture.warmup_epochs": 2,
}

clusters = iqa.train("quick_test", settings={**TINY, "experiment_name": "clusters"})
print(clusters)

# %% [markdown]
# The result knows its folder, its config and its history, one record for each epoch. In a notebook it shows its figures
# of merit as a table.

# %%
for record in clusters.history:
    print(record.epoch, record.val_srcc, record.learning_rate)
print(clusters.best.epoch, clusters.folder)

# %% [markdown]
# ## Test
#
# The test pictures take no part in training and do not choose the epoch. Every figure comes with a 95 % interval.

# %%
tested = iqa.evaluate(clusters)
print(tested)
print(tested.results["metrics"]["srcc"])

# %% [markdown]
# `results` is what `test_results.json` holds. `plot` draws any picture of the report as a matplotlib figure.

# %%
figure = tested.plot("predictions_scatter")
print([picture.name for picture in tested.pictures()])

# %% [markdown]
# ## Compare
#
# Does the mixture help? The control is the same experiment without it. What is trained and tested already is taken as
# it is; the difference in test SRCC has an interval over the same test pictures.

# %%
control = iqa.train("quick_test", settings={**TINY, "experiment_name": "no_mixture", "model.n_clusters": 0})
compared = iqa.compare([clusters.config, control.config], name="mixture")
for experiment in compared.found["experiments"]:
    print(experiment["name"], experiment["val_srcc"], experiment["difference"])

# %% [markdown]
# ## Tune
#
# A study searches, then trains what looked best again on other splits and seeds. Without a difference beyond chance it
# says so. The space is part of the config.

# %%
study = iqa.tune(
    "quick_test",
    settings={
        **TINY,
        "experiment_name": "study",
        "tuning.startup_trials": 2,
        "tuning.range_values": 3,
        "tuning.space": {"model.n_clusters": {"choices": [0, 4]}},
    },
    trials=4,
)
print(study)
print(study.tuned)

# %% [markdown]
# ## Pictures of your own
#
# A table of scores and a folder are all that is needed. Here photographs that come with scikit-image are blurred, and
# the blur stands in for what people would say. `group` names the photograph: pictures of one photograph never cross
# splits.

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from skimage import data

PHOTOGRAPHS = ("astronaut", "camera", "chelsea", "coffee", "rocket", "brick", "coins", "grass", "gravel")

Path("own/pictures").mkdir(parents=True, exist_ok=True)
random, rows = np.random.default_rng(0), []
for name in PHOTOGRAPHS:
    photograph = Image.fromarray(getattr(data, name)()).convert("RGB").resize((96, 96))
    for number in range(12):
        blur = random.uniform(0.3, 2)
        photograph.filter(ImageFilter.GaussianBlur(blur)).save(f"own/pictures/{name}-{number}.png")
        rows.append({"image": f"{name}-{number}.png", "mos": round(5 - 2 * blur, 2), "group": name})
pd.DataFrame(rows).to_csv("own/scores.csv", index=False)

# %% [markdown]
# Look before you train: the audit reads every picture once and lists what would spoil a training. It knows which
# pictures belong together, and writes a page that shows them.

# %%
audited = iqa.audit("own")
for finding in audited.findings:
    print(finding)
print(audited.folder / "audit.html")

# %% [markdown]
# Then it is one more experiment.

# %%
OWN = {"dataset": "csv", "root": "own", "csv": "scores.csv", "image_root": "pictures", "score_range": (1, 5)}

mine = iqa.train(
    "quick_test",
    settings={
        **{key: value for key, value in TINY.items() if not key.endswith("_samples")},
        "experiment_name": "mine",
        "data": {**OWN, "picture_size": 64, "image_size": 64, "batch_size": 32},
    },
)
print(iqa.evaluate(mine, skip_tsne=True))

# %% [markdown]
# ## Score
#
# `iqa.load` gives a scorer for a few pictures in a program. `low` and `high` are the ends of each score's interval,
# `typicality` says how usual the picture looks to this model. They are missing where the set is too small to tell.

# %%
scorer = iqa.load(mine.folder)
table = scorer.score(["own/pictures/coffee-0.png", "own/pictures/coffee-1.png"])
print(table.T)

# %% [markdown]
# `iqa.score` is for whole folders. It writes a table, a histogram and a contact sheet, and goes on where it was
# stopped.

# %%
scored = iqa.score(mine.folder, "own/pictures")
print(scored)

# %% [markdown]
# ## Take it away
#
# One file that scores without torch. Before it is left behind, pictures are scored both ways.

# %%
exported = iqa.export(mine.folder)
print(exported.file, exported.report["max_difference"])

again = iqa.load(exported.file).score(["own/pictures/coffee-0.png", "own/pictures/coffee-1.png"])
assert np.allclose(again["score"], table["score"], atol=0.005)
