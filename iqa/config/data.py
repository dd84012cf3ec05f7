"""The data section: which pictures, their scores, their splits, and how they are cut for the model."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from iqa.config.section import Section, Share

#: Pictures without human scores: distorted by the recipe and given a pseudo-MOS.
SyntheticSet = Literal["photos", "cifar10", "folder"]
#: Pictures with scores of a user's own.
OwnSet = Literal["csv", "huggingface"]
#: Published sets whose files, scale and split are known by name (`iqa.data.scored.presets`).
Preset = Literal[
    "koniq10k", "kadid10k", "tid2013", "tid2008", "live", "csiq",
    "spaq", "clive", "livemd", "agiqa3k", "pipal", "biq2021",
]  # fmt: skip
#: The batch size of `train`, and of "auto" where nothing but learning limits it.
USUAL_BATCH = 128
#: Settings of this section that change no result.
WITHOUT_INFLUENCE = frozenset({"data.num_workers", "data.cache_dir", "data.store", "data.licence"})
#: Samples made of a set without scores where the config says nothing.
SYNTHETIC_SAMPLES = {"train": 2000, "val": 500, "test": 500}


#: A column by its name in the header, or by its number from 0 where there is none.
Column = str | Annotated[int, Field(ge=0)] | None


class ColumnsConfig(Section):
    """Where a table keeps what; null: found by usual names (image, mos, ...), or absent; "": there is none."""

    #: Names of the picture files.
    image: Column = None
    #: What people said of each picture.
    score: Column = None
    #: Pictures of one content (one reference, one scene, one photographer) never cross splits.
    group: Column = None
    #: "train", "val" or "test" and their usual synonyms; without it the split is drawn.
    split: Column = None
    #: A part of the set that results are also given for.
    subset: Column = None
    #: Who gave a rating, where `data.ratings` is "long"; without it raters cannot be judged.
    rater: Column = None
    #: Where `data.ratings` is "wide": the columns of the raters; "counts": those that count ratings, one a score of the
    #: scale. Null: found by usual names with numbers (rater1, rater2, ...; 1, 2, ... or c1, c2, ...).
    ratings: list[str | Annotated[int, Field(ge=0)]] | None = None


class DataConfig(Section):
    """Which pictures, how many, and how they reach the model."""

    #: Which pictures: clean ones to distort (photos, cifar10, folder), a table of your own (csv), the hub's
    #: (huggingface), or a published set by its name.
    dataset: Literal[SyntheticSet, OwnSet, Preset] = "cifar10"
    #: Local copy of the data set: the folder as its authors ship it, or the folder of clean pictures.
    root: str | None = None
    #: Table of scores, for dataset "csv": CSV, TSV, parquet, JSON or xlsx; relative to `root` where that is given.
    csv: str | None = None
    #: Folder that the table's picture names are relative to, itself relative to `root`; null: the table's own.
    image_root: str | None = None
    #: Name on the Hugging Face hub, for dataset "huggingface" without `root`.
    hub_name: str | None = None
    #: Terms under which pictures and scores may be used, as the model's card shall repeat them, such as "CC BY 4.0".
    licence: str | None = None
    columns: ColumnsConfig = ColumnsConfig()
    #: Whether the table's first row names its columns; null: seen from its content.
    header: bool | None = None
    #: Whether a high score means a good picture, or, as with DMOS, a bad one.
    score_direction: Literal["higher_is_better", "lower_is_better"] = "higher_is_better"
    #: How a table holds several ratings of a picture, whose mean becomes its score: "long", a row for each rating;
    #: "wide", a column for each rater; "counts", a column for each score of the scale, with how many gave it. Null: one
    #: score a picture.
    ratings: Literal["long", "wide", "counts"] | None = None
    #: Leave out raters whom the tests of the ITU reject (`iqa.data.scored.ratings.screening`); `iqa audit` names them
    #: in any case.
    screen_raters: bool = False
    #: Ends of the scale of the scores; null: the least and the greatest score (or rating) of the table.
    score_range: tuple[float, float] | None = None
    #: What to do about pictures that are missing or unreadable and scores that are none.
    on_error: Literal["fail", "skip"] = "fail"
    #: Shares of train, val and test, where the set has no split of its own.
    split_shares: tuple[Share, Share, Share] = (0.7, 0.1, 0.2)
    #: Of the split that is drawn.
    split_seed: Annotated[int, Field(ge=0)] = 0
    #: What never crosses a drawn split, where the set names no groups: "auto", copies and variants of a picture and
    #: series of one scene, which are looked for; "none", only files that are the same; or a CSV file with the columns
    #: `image` and `group`, as `iqa audit` writes it, which takes the place of the set's own groups.
    groups: str = "auto"
    #: At most so many pictures of each split; null: all of a scored set, 2000/500/500 made of one without scores.
    train_samples: Annotated[int, Field(ge=4)] | None = None
    #: The same for validation.
    val_samples: Annotated[int, Field(ge=4)] | None = None
    #: The same for the test.
    test_samples: Annotated[int, Field(ge=4)] | None = None
    #: Pictures of a training step; "auto": as many as the GPU holds, so that an epoch keeps 16 steps.
    batch_size: Annotated[int, Field(ge=2)] | Literal["auto"] = USUAL_BATCH
    #: Threads that decode pictures while the cache is built; training itself needs none.
    num_workers: Annotated[int, Field(ge=0, le=256)] = 4
    #: Where scored pictures come from while a model looks at them: "cache", their squares are kept decoded on the disk;
    #: "stream", they are decoded ahead of the device whenever they are read; "auto": decoded once for a frozen
    #: backbone, kept for one that is trained if they take less than half of the free disk.
    store: Literal["auto", "cache", "stream"] = "auto"
    #: Side in pixels of the stored square; null: 32 for cifar10, 224 for pictures to distort, 512 for scored ones.
    picture_size: Annotated[int, Field(ge=16, le=2048)] | None = None
    #: How a scored picture becomes squares: its short side scaled to `picture_size` and squares cut along the long
    #: one; squashed into one square; or squares cut from its own pixels, unscaled.
    resize: Literal["short_side", "squash", "none"] = "short_side"
    #: At most so many squares of a picture, evenly spread; validation and test average over all of them.
    crops: Annotated[int, Field(ge=1, le=64)] = 4
    #: Side in pixels of what the backbone sees, resized on the device; null: sensible for backbone and picture.
    image_size: Annotated[int, Field(ge=32, le=2048)] | None = None
    #: Share of pictures left untouched.
    pristine_share: Share = 1 / 26
    #: Of what is made of clean pictures: which of them are in which split, distortions, crops.
    seed: Annotated[int, Field(ge=0)] = 0
    #: Prepared pictures and features; null: $IQA_CACHE or ~/.cache/iqa.
    cache_dir: str | None = None

    @property
    def scored(self) -> bool:
        """Whether people scored these pictures."""
        return self.dataset not in get_args(SyntheticSet)

    @property
    def batch(self) -> int:
        """The batch size; the usual one while "auto" is not settled."""
        return USUAL_BATCH if self.batch_size == "auto" else self.batch_size

    def samples(self, split: str) -> int | None:
        """How many pictures of a split are wanted at most; None: all there are."""
        wanted: int | None = getattr(self, f"{split}_samples")
        return wanted if wanted is not None or self.scored else SYNTHETIC_SAMPLES[split]

    @model_validator(mode="after")
    def _has_a_place(self) -> DataConfig:
        if self.dataset == "photos" and self.root:
            raise ValueError(
                f"data.root: got '{self.root}', but data.dataset 'photos' is the photographs of installed packages; "
                "data.dataset 'folder' takes clean pictures of your own"
            )
        if self.store == "stream" and not self.scored:
            raise ValueError(
                f"data.store: got 'stream' with data.dataset '{self.dataset}', whose pictures are made once and kept; "
                "expected 'auto' or 'cache'"
            )
        if self.dataset == "folder" and not self.root:
            raise ValueError("data.dataset 'folder' needs data.root, the folder of clean pictures")
        if self.dataset == "csv" and not self.csv:
            raise ValueError("data.dataset 'csv' needs data.csv, the table of pictures and scores")
        if self.dataset == "huggingface" and not (self.root or self.hub_name):
            raise ValueError("data.dataset 'huggingface' needs data.root (a local folder) or data.hub_name")
        self._refuse_idle_ratings()
        if self.dataset in get_args(Preset) and not self.root:
            raise ValueError(f"data.dataset '{self.dataset}' needs data.root, the folder as its authors ship it")
        return self

    def _refuse_idle_ratings(self) -> None:
        """Settings of ratings where nobody reads them."""
        idle = {
            "data.columns.rater": self.columns.rater is not None and self.ratings != "long",
            "data.columns.ratings": self.columns.ratings is not None and self.ratings not in ("wide", "counts"),
            "data.screen_raters": self.screen_raters and self.ratings not in ("long", "wide"),
        }
        for name, useless in idle.items():
            if useless:
                kinds = {"data.columns.rater": "long", "data.columns.ratings": "wide or counts"}
                raise ValueError(f"{name} is for data.ratings {kinds.get(name, 'long or wide')}, got {self.ratings}")

    @model_validator(mode="after")
    def _possible_numbers(self) -> DataConfig:
        if abs(sum(self.split_shares) - 1) > 1e-6 or min(self.split_shares) <= 0:
            raise ValueError(
                f"data.split_shares: got {list(self.split_shares)}, expected three positive shares that sum to 1"
            )
        if self.score_range is not None and self.score_range[0] >= self.score_range[1]:
            raise ValueError(f"data.score_range: got {list(self.score_range)}, expected [least, greatest]")
        return self
