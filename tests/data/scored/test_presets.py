"""The published sets, each laid out as it is shipped, with its real scores and stand-in pictures."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from iqa.config.data import DataConfig, Preset
from iqa.data.manifest import DISTORTIONS
from iqa.data.scored.joins import join
from iqa.data.scored.presets import read_preset
from iqa.data.scored.presets.catalog import CATALOG
from iqa.data.scored.rawset import RAW_COLUMNS, RawSet
from iqa.errors import UserError

META = "meta_info/meta_info_{}Dataset.csv"
LIVE_COUNTS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}


@dataclass(frozen=True)
class Real:
    """A real table, where it goes in the set's folder, where the pictures go, and what was published of them."""

    table: str
    column: str
    place: str
    folder: str
    pictures: int
    groups: int
    subsets: int


REAL = {
    "koniq10k": Real("koniq10k/koniq10k_distributions_sets.csv", "image_name", "", "1024x768", 10073, 0, 0),
    "kadid10k": Real(META.format("KADID10k"), "dist_name", "", "images", 10125, 81, 0),
    "tid2013": Real("tid2013_mos_with_names.txt", "1", "mos_with_names.txt", "distorted_images", 3000, 25, 24),
    "tid2008": Real(META.format("TID2008"), "dist_name", "", "distorted_images", 1700, 25, 17),
    "live": Real(META.format("LIVEIQA"), "dist_name", "", "", 779, 29, 5),
    "csiq": Real(META.format("CSIQ"), "dist_name", "", "dst_imgs", 866, 30, 6),
    "spaq": Real(META.format("SPAQ"), "Image name", "", "TestImage", 11125, 0, 0),
    "clive": Real(META.format("LIVEChallenge"), "img_name", "", "Images", 1162, 0, 0),
    "livemd": Real(META.format("LIVEMD"), "dist_name", "", "", 450, 15, 2),
    "agiqa3k": Real("agiqa3k/data.csv", "name", "", "", 2982, 300, 6),
    "pipal": Real(META.format("PIPAL"), "dist_name", "", "Dist_Imgs", 23200, 200, 7),
}


@pytest.fixture(scope="module")
def link() -> Callable[[Path, Iterable[str]], None]:
    """Put one small picture under many names in a folder."""

    def put(folder: Path, names: Iterable[str]) -> None:
        # One more for each call: file systems limit the links to a file.
        picture, made = None, set()
        for name in names:
            path = folder / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            if picture is None:
                picture = path
                Image.new("RGB", (8, 8)).save(picture, "PNG")
            else:
                os.link(picture, path)

    return put


@pytest.fixture(scope="module")
def annotations(shared_data: Path) -> Path:
    return shared_data / "annotations"


@pytest.fixture(scope="module")
def real(tmp_path_factory, link, annotations: Path) -> Callable[[str], tuple[Path, RawSet]]:
    """The folder of a set, laid out once, and the set read from it."""
    known: dict[str, tuple[Path, RawSet]] = {}

    def lay_out(name: str) -> tuple[Path, RawSet]:
        if name not in known:
            root, shape = tmp_path_factory.mktemp(name), REAL[name]
            shutil.copy(annotations / shape.table, root / (shape.place or Path(shape.table).name))
            link(root / shape.folder, source(annotations, name)[shape.column])
            known[name] = root, read_preset(DataConfig(dataset=name, root=str(root)))
        return known[name]

    return lay_out


def source(annotations: Path, name: str) -> pd.DataFrame:
    """A real table, read without any of the code under test."""
    path = annotations / REAL[name].table
    if path.suffix == ".txt":
        return pd.read_csv(path, sep=" ", header=None).rename(columns=str)
    return pd.read_csv(path)


def unit(raw: RawSet) -> pd.Series:
    """Scores by picture, in [0, 1], higher is better."""
    return pd.Series(raw.scale.to_unit(raw.table["score"]).to_numpy(), index=raw.table["image"].to_numpy())


def same(one: RawSet, other: RawSet, *, bare: bool = True) -> None:
    """Both hold the same pictures with the same scores, groups, splits and subsets, in whatever order."""
    tables = []
    for raw in (one, other):
        names = raw.table["image"].str.rpartition("/")[2] if bare else raw.table["image"]
        tables.append(raw.table.assign(image=names).sort_values("image", ignore_index=True))
    pd.testing.assert_frame_equal(*tables)
    assert one.scale == other.scale


def test_every_name_of_the_config_has_its_entry():
    assert set(CATALOG) == set(get_args(Preset))


@pytest.mark.parametrize("name", REAL)
def test_every_row_joins_and_counts_are_as_published(name, real):
    root, raw = real(name)
    shape = REAL[name]
    table, report = join(raw, on_error="fail")
    assert (report.rows, report.used, report.faults, report.duplicates) == (shape.pictures, shape.pictures, 0, 0)
    assert len(table) == shape.pictures
    assert all((raw.image_root / image).is_file() for image in table["image"].iloc[::97])
    assert raw.image_root == root / shape.folder
    assert raw.files == (root / (shape.place or Path(shape.table).name),)
    assert tuple(raw.table.columns) == RAW_COLUMNS
    assert len(set(raw.table["group"]) - {""}) == shape.groups
    assert len(set(raw.table["subset"]) - {""}) == shape.subsets
    assert ("" in set(raw.table["group"])) == (shape.groups == 0)
    assert ("" in set(raw.table["subset"])) == (shape.subsets == 0)


@pytest.mark.parametrize("name", REAL)
def test_scores_are_the_published_ones_and_fill_their_scale(name, real, annotations):
    _, raw = real(name)
    frame = source(annotations, name)
    columns = [column for column in ("MOS", "mos", "dmos", "mos_quality", "elo_score", "0") if column in frame]
    published = frame.set_index(REAL[name].column)[columns[0]]
    scores = raw.table.set_index("image")["score"]
    assert (scores == published[scores.index]).all()
    assert unit(raw).between(0, 1).all()
    # A scale of another set, such as 0..100 for 0..1, would leave the scores in a corner of it.
    assert unit(raw).max() - unit(raw).min() > 0.6


@pytest.mark.parametrize("name", sorted(set(REAL) - {"kadid10k"}))
def test_only_kadid_tells_kinds_that_we_know(name, real):
    _, raw = real(name)
    assert set(raw.table["kind"]) == {""}
    assert set(raw.table["level"]) == {0}


def test_kadid_kinds_and_levels_are_those_of_the_human_means(real, annotations):
    _, raw = real("kadid10k")
    cells = pd.read_csv(annotations / "kadid10k_cells.csv").set_index(["name", "level"])
    means = raw.table.groupby(["kind", "level"])["score"].agg(["mean", "count"])
    assert set(raw.table["kind"]) == set(DISTORTIONS)
    assert len(means) == 125
    assert (means["count"] == 81).all()
    assert np.allclose(means["mean"], cells["mean"][means.index], atol=1e-3)


# Direction: what was done to the pictures says which ones are worse.


def test_kadid_level_1_is_better_than_level_5(real):
    _, raw = real("kadid10k")
    kinds = raw.table[~raw.table["kind"].isin(["mean_shift", "contrast_change"])]
    means = raw.scale.to_unit(kinds["score"]).groupby([kinds["kind"], kinds["level"]]).mean().unstack()
    assert (means[1] > means[5]).all()


@pytest.mark.parametrize(
    ("name", "level", "mildest", "heaviest"),
    [
        ("tid2013", r"(?i)_(\d)\.bmp$", "1", "5"),
        ("tid2008", r"(?i)_(\d)\.bmp$", "1", "4"),
        ("csiq", r"\.(\d)\.png$", "1", "4"),
    ],
)
def test_mild_distortions_score_higher_than_heavy_ones(name, level, mildest, heaviest, real):
    _, raw = real(name)
    # The levels of TID's local blocks (15) and contrast (17) run otherwise.
    table = raw.table[~raw.table["subset"].isin(["distortion 15", "distortion 17"])]
    levels = table["image"].str.extract(level)[0]
    means = raw.scale.to_unit(table["score"]).groupby([table["subset"], levels]).mean().unstack()
    assert (means[mildest] > means[heaviest] + 0.1).all()


def test_livemd_more_blur_noise_and_compression_score_lower(real):
    _, raw = real("livemd")
    means = unit(raw).groupby(lambda image: image.rpartition("/")[2].partition("_")[2]).mean()
    for least, most in [("blur1", "blur3"), ("jpeg1", "jpeg3"), ("noise1", "noise3"), ("blur1", "blur1_jpeg3")]:
        assert means[f"{least}.bmp"] > means[f"{most}.bmp"] + 0.1


def test_live_pictures_of_high_ssim_score_higher(real):
    # Structural similarity that the authors of LIVE and SSIM published for their release 2: above .995 and below .63.
    like_the_reference = [19, 26, 58, 59, 69, 77, 102, 105]
    unlike_it = [107, 121, 135, 155, 175, 177, 201, 225]
    scores = unit(real("live")[1])
    good = [scores[f"jp2k/img{number}.bmp"] for number in like_the_reference]
    bad = [scores[f"jp2k/img{number}.bmp"] for number in unlike_it]
    assert min(good) > max(bad) + 0.3


def test_pipal_stronger_distortions_score_lower(real):
    # Among the distortions 01, three levels each of five kinds.
    _, raw = real("pipal")
    table = raw.table[raw.table["subset"] == "distortion 01"]
    number = table["image"].str.extract(r"_(\d\d)\.bmp$")[0].astype(int)
    means = raw.scale.to_unit(table["score"]).groupby(number).mean()
    for first in (0, 3, 6, 9, 12):
        assert means[first] > means[first + 1] > means[first + 2]


def test_koniq_scores_follow_the_votes(real, annotations):
    # Votes c1 (bad) to c5 (excellent), and the plain means that circulate as labels.
    _, raw = real("koniq10k")
    frame = source(annotations, "koniq10k").set_index("image_name")
    labels = pd.read_csv(annotations / "maniqa/koniq10k_label.txt", sep=r"\s+", header=None, index_col=0)[1]
    votes = sum(frame[f"c{vote}"] * vote for vote in range(1, 6))
    scores = unit(raw)
    assert scores.corr(votes[scores.index], "spearman") > 0.98
    assert scores.corr(labels[scores.index], "spearman") > 0.98


def test_spaq_sharp_pictures_score_higher(real, annotations):
    sharpness = source(annotations, "spaq").set_index("Image name")["Sharpness"]
    scores = unit(real("spaq")[1])
    assert scores.corr(sharpness[scores.index], "spearman") > 0.9


def test_agiqa_late_generators_score_higher_than_early_ones(real):
    _, raw = real("agiqa3k")
    means = raw.scale.to_unit(raw.table["score"]).groupby(raw.table["subset"]).mean()
    assert set(means.index) == {"AttnGAN", "glide", "DALLE2", "sd1.5", "midjourney", "xl2.2"}
    assert means["AttnGAN"] < means["glide"] < means["DALLE2"] < means["xl2.2"]


def test_clive_is_higher_is_better_and_leaves_the_training_pictures_out(real, annotations):
    _, raw = real("clive")
    mos = source(annotations, "clive").set_index("img_name")["mos"]
    scores = unit(raw)
    assert scores.idxmax() == mos.drop([f"t{number}.bmp" for number in range(1, 8)]).idxmax()
    assert not scores.index.str.startswith("t").any()


# Splits.


@pytest.mark.parametrize("name", sorted(set(REAL) - {"koniq10k"}))
def test_sets_without_an_official_split_leave_it_open(name, real):
    _, raw = real(name)
    assert set(raw.table["split"]) == {""}


def test_koniq_has_its_official_split_in_both_tables(real, annotations, tmp_path):
    root, raw = real("koniq10k")
    assert dict(raw.table["split"].value_counts()) == {"train": 7058, "val": 1000, "test": 2015}
    toolkit = annotations / META.format("KonIQ10k")
    same(raw, read_preset(DataConfig(dataset="koniq10k", root=str(root), csv=str(toolkit))))


def test_koniq_scores_without_sets_are_the_z_scores(link, annotations, tmp_path):
    frame = source(annotations, "koniq10k").drop(columns="set").head(50)
    means = sum(frame[f"c{vote}"] * vote for vote in range(1, 6))
    frame = frame.assign(MOS=means, MOS_zscore=frame["MOS"])
    frame.to_csv(tmp_path / "koniq10k_scores_and_distributions.csv", index=False)
    link(tmp_path / "koniq10k_512x384" / "512x384", frame["image_name"])
    raw = read_preset(DataConfig(dataset="koniq10k", root=str(tmp_path)))
    assert list(raw.table["score"]) == list(frame["MOS_zscore"])
    assert set(raw.table["split"]) == {""}
    assert join(raw, on_error="fail")[1].used == 50


# Groups.


@pytest.mark.parametrize("name", ["kadid10k", "tid2013", "tid2008", "live", "csiq", "livemd", "pipal"])
def test_pictures_of_one_reference_are_one_group(name, real, annotations):
    if name == "tid2013":
        references = source(annotations, name)["1"].str[:3].str.lower()
    else:
        frame = source(annotations, name)
        references = frame.iloc[:, 0].str.rpartition("/")[2].str.lower()
    _, raw = real(name)
    pairs = set(zip(raw.table["group"], references, strict=True))
    assert len(pairs) == len({group for group, _ in pairs}) == len({reference for _, reference in pairs})


def test_agiqa_pictures_of_one_prompt_are_one_group(real, annotations):
    _, raw = real("agiqa3k")
    prompts = source(annotations, "agiqa3k")["prompt"]
    assert len(set(zip(raw.table["group"], prompts, strict=True))) == prompts.nunique() == 300


# Authors' own files where the real ones hold the same scores in another form.


def test_kadid_of_the_authors(real, annotations, tmp_path):
    _, toolkit = real("kadid10k")
    frame = source(annotations, "kadid10k")[["dist_name", "ref_name", "dmos", "std"]]
    frame.set_axis(["dist_img", "ref_img", "dmos", "var"], axis=1).to_csv(tmp_path / "dmos.csv", index=False)
    raw = read_preset(DataConfig(dataset="kadid10k", root=str(tmp_path), image_root=str(toolkit.image_root)))
    same(raw, toolkit)


@pytest.mark.parametrize("name", ["tid2013", "tid2008"])
def test_tid_of_the_authors_and_of_the_toolkit(name, real, annotations, tmp_path):
    _, raw = real(name)
    frame = pd.read_csv(annotations / META.format(name.upper()))
    frame[["mos", "dist_name"]].to_csv(tmp_path / "mos_with_names.txt", sep=" ", header=False, index=False)
    shutil.copy(annotations / META.format(name.upper()), tmp_path)
    settings = {"dataset": name, "root": str(tmp_path), "image_root": str(raw.image_root)}
    authors = read_preset(DataConfig(**settings))
    assert authors.files == (tmp_path / "mos_with_names.txt",)
    same(authors, raw)
    toolkit = read_preset(DataConfig(**settings, csv=Path(META.format(name.upper())).name))
    assert toolkit.files == (tmp_path / Path(META.format(name.upper())).name,)
    same(toolkit, raw)


def test_live_of_the_authors(real, annotations, tmp_path):
    _, toolkit = real("live")
    known = source(annotations, "live").set_index("dist_name")
    names = [f"{folder}/img{number}.bmp" for folder, count in LIVE_COUNTS.items() for number in range(1, count + 1)]
    copies = [name not in known.index for name in names]
    dmos = [0.0 if copy else known["mos"][name] for name, copy in zip(names, copies, strict=True)]
    references = [
        "bikes.bmp" if copy else known["ref_name"][name][8:] for name, copy in zip(names, copies, strict=True)
    ]
    scipy.io.savemat(tmp_path / "dmos.mat", {"dmos": np.array([dmos]), "orgs": np.array([copies], dtype=float)})
    scipy.io.savemat(tmp_path / "refnames_all.mat", {"refnames_all": np.array([references], dtype=object)})
    raw = read_preset(DataConfig(dataset="live", root=str(tmp_path), image_root=str(toolkit.image_root)))
    assert sum(copies) == 203
    assert [file.name for file in raw.files] == ["dmos.mat", "refnames_all.mat"]
    same(raw, toolkit, bare=False)


def test_live_needs_both_files(tmp_path, link):
    link(tmp_path, ["jp2k/img2.bmp"])
    scipy.io.savemat(tmp_path / "dmos.mat", {"dmos": np.zeros((1, 982)), "orgs": np.zeros((1, 982))})
    settings = DataConfig(dataset="live", root=str(tmp_path))
    with pytest.raises(UserError, match=r"refnames_all\.mat is missing"):
        read_preset(settings)
    scipy.io.savemat(tmp_path / "refnames_all.mat", {"refnames_all": np.array([["bikes.bmp"] * 981], dtype=object)})
    with pytest.raises(UserError, match="differ in number"):
        read_preset(settings)
    (tmp_path / "refnames_all.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(UserError, match="cannot be read as a MATLAB file"):
        read_preset(settings)


def test_livemd_of_the_authors(real, annotations, tmp_path, link):
    _, toolkit = real("livemd")
    frame = source(annotations, "livemd")
    link(tmp_path, frame["dist_name"])
    for part in ("Part 1", "Part 2"):
        rows = frame[frame["dist_name"].str.startswith(part)]
        images = np.array([[name.rpartition("/")[2]] for name in rows["dist_name"]], dtype=object)
        scipy.io.savemat(tmp_path / part / "Imagelists.mat", {"distimgs": images})
        scipy.io.savemat(tmp_path / part / "Scores.mat", {"DMOSscores": rows["dmos"].to_numpy()[None]})
    raw = read_preset(DataConfig(dataset="livemd", root=str(tmp_path)))
    assert len(raw.files) == 4
    same(raw, toolkit, bare=False)
    assert join(raw, on_error="fail")[1].used == 450


def test_clive_of_the_authors(real, annotations, tmp_path):
    _, toolkit = real("clive")
    frame = source(annotations, "clive")
    (tmp_path / "Data").mkdir()
    images = np.array([[name] for name in frame["img_name"]], dtype=object)
    scipy.io.savemat(tmp_path / "Data" / "AllImages_release.mat", {"AllImages_release": images})
    scipy.io.savemat(tmp_path / "Data" / "AllMOS_release.mat", {"AllMOS_release": frame["mos"].to_numpy()[None]})
    same(read_preset(DataConfig(dataset="clive", root=str(tmp_path), image_root=str(toolkit.image_root))), toolkit)


def test_csiq_of_the_authors(real, annotations, tmp_path, link):
    _, toolkit = real("csiq")
    frame = source(annotations, "csiq")
    parts = frame["dist_name"].str.extract(r"^(?P<image>.+)\.(?P<kind>[^.]+)\.(?P<level>\d)\.png$")
    link(tmp_path / "dst_imgs", parts["kind"].str.lower() + "/" + frame["dist_name"])
    kinds = parts["kind"].str.lower().replace({"awgn": "noise", "jpeg2000": "jpeg 2000"})
    images = [int(image) if image.isdigit() else image for image in parts["image"]]
    rows = [[image, 1, kind, int(level), 0.1, dmos] for image, kind, level, dmos in
            zip(images, kinds, parts["level"], frame["dmos"], strict=True)]  # fmt: skip
    sheet = pd.DataFrame([["image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"], *rows])
    with pd.ExcelWriter(tmp_path / "csiq.DMOS.xlsx") as workbook:
        pd.DataFrame([["about"]]).to_excel(workbook, sheet_name="read me", header=False, index=False)
        sheet.to_excel(workbook, sheet_name="all_by_image", header=False, index=False, startrow=3, startcol=3)
    raw = read_preset(DataConfig(dataset="csiq", root=str(tmp_path)))
    assert set(raw.table["image"].str.partition("/")[0]) == {"awgn", "blur", "contrast", "fnoise", "jpeg", "jpeg2000"}
    same(raw, toolkit)
    assert join(raw, on_error="fail")[1].used == 866


def test_spaq_of_the_authors(real, annotations, tmp_path):
    _, toolkit = real("spaq")
    (tmp_path / "Annotations").mkdir()
    frame = source(annotations, "spaq").iloc[:300, :7]
    frame.to_excel(tmp_path / "Annotations" / "MOS and Image attribute scores.xlsx", index=False)
    raw = read_preset(DataConfig(dataset="spaq", root=str(tmp_path), image_root=str(toolkit.image_root)))
    pd.testing.assert_frame_equal(raw.table, toolkit.table.head(300))


def test_pipal_of_the_authors(real, annotations, tmp_path, link):
    _, toolkit = real("pipal")
    frame = source(annotations, "pipal")
    (tmp_path / "Train_Label").mkdir()
    for place, (reference, rows) in enumerate(frame.groupby("hq_name")):
        table = tmp_path / "Train_Label" / reference.replace(".bmp", ".txt")
        rows[["dist_name", "elo_score"]].to_csv(table, header=False, index=False)
        link(tmp_path / f"Distortion_{place // 50 + 1}", rows["dist_name"])
    raw = read_preset(DataConfig(dataset="pipal", root=str(tmp_path)))
    assert len(raw.files) == 200
    assert set(raw.table["image"].str.partition("/")[0]) == {f"Distortion_{part}" for part in range(1, 5)}
    same(raw, toolkit)
    assert join(raw, on_error="fail")[1].used == 23200


def test_pipal_list_of_the_2022_challenge(real, annotations):
    root, toolkit = real("pipal")
    path = annotations / "maniqa/pipal22_train.txt"
    same(read_preset(DataConfig(dataset="pipal", root=str(root), csv=str(path))), toolkit)


# BIQ2021.


def test_biq2021_as_it_is_here(shared_data, caplog):
    with caplog.at_level(logging.WARNING, logger="iqa"):
        raw = read_preset(DataConfig(dataset="biq2021", root=str(shared_data / "biq2021")))
    assert "3600 scores; 12000 are published" in caplog.text
    table, report = join(raw, on_error="fail")
    assert (report.used, report.faults, len(table)) == (3600, 0, 3600)
    assert set(raw.table["split"]) == {""}
    assert dict(raw.table["subset"].value_counts()) == {"ss01": 603, "ss02": 592, "ss03": 2405}
    assert set(raw.table["group"]) == {""}
    assert (raw.scale.low, raw.scale.high, raw.scale.higher_is_better) == (0, 1, True)
    # All are 512 x 512: what is blurred or dark takes fewer bytes. The first subset has most of both.
    table = table[table["subset"] == "ss01"]
    size = pd.Series([(raw.image_root / image).stat().st_size for image in table["image"]], index=table.index)
    assert size.corr(raw.scale.to_unit(table["score"]), "spearman") > 0.4


def test_biq2021_whole_has_its_official_split(tmp_path, link):
    counts = {"Train": 10, "Test": 2}
    for split, count in counts.items():
        names = [f"ss0{number % 3 + 1} ({split}{number}).jpg" for number in range(count)]
        rows = "".join(f"{name},0.{number}5,,\n" for number, name in enumerate(names))
        (tmp_path / f"{split} (Images and MOS).csv").write_text(f"Image Name,MOS,,\n{rows}")
        link(tmp_path / "Images", names)
    raw = read_preset(DataConfig(dataset="biq2021", root=str(tmp_path)))
    table, _ = join(raw, on_error="fail")
    assert dict(table["split"].value_counts()) == {"train": 10, "test": 2}
    assert set(table.loc[table["split"] == "test", "image"]) == {"ss01 (Test0).jpg", "ss02 (Test1).jpg"}
    assert list(table["score"].head(3)) == [0.05, 0.15, 0.25]
    assert len(raw.files) == 2


# Folders that are a little different, and what is refused.


def test_letters_of_another_case_and_one_folder_more(tmp_path, link):
    link(tmp_path / "KADID10k" / "Images", ["I01_01_01.png", "I01.png"])
    (tmp_path / "KADID10k" / "DMOS.CSV").write_text("dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.5\n")
    raw = read_preset(DataConfig(dataset="kadid10k", root=str(tmp_path)))
    table, _ = join(raw, on_error="fail")
    assert table.iloc[0].to_dict() == {
        "image": "I01_01_01.png", "score": 4.57, "group": "i01", "split": "", "subset": "",
        "kind": "gaussian_blur", "level": 1,
    }  # fmt: skip


def test_two_folders_that_may_be_the_set_are_neither(tmp_path, link):
    for name in ("one", "two"):
        link(tmp_path / name / "images", ["I01_01_01.png"])
        (tmp_path / name / "dmos.csv").write_text("dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.5\n")
    with pytest.raises(UserError, match="no table of kadid10k's scores") as error:
        read_preset(DataConfig(dataset="kadid10k", root=str(tmp_path)))
    assert "one/, two/" in str(error.value)


def test_parts_can_be_done_without(real):
    root, raw = real("koniq10k")
    columns = {"split": ""}
    assert set(read_preset(DataConfig(dataset="koniq10k", root=str(root), columns=columns)).table["split"]) == {""}
    root, raw = real("csiq")
    columns = {"group": "", "subset": ""}
    table = read_preset(DataConfig(dataset="csiq", root=str(root), columns=columns)).table
    assert set(table["group"]) == set(table["subset"]) == {""}
    assert list(table["score"]) == list(raw.table["score"])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"score_direction": "lower_is_better"}, "data.score_direction"),
        ({"score_range": [0, 1]}, "data.score_range"),
        ({"header": False}, "data.header"),
        ({"columns": {"score": "dmos"}}, "data.columns.score"),
        ({"columns": {"group": "ref_name"}}, "data.columns.group"),
    ],
)
def test_settings_that_the_set_knows_better_are_refused(settings, named, tmp_path):
    with pytest.raises(UserError, match="are known") as error:
        read_preset(DataConfig(dataset="csiq", root=str(tmp_path), **settings))
    assert f"got: {named}\n" in str(error.value)


def test_no_root(tmp_path):
    with pytest.raises(UserError, match=r"data\.root is no folder"):
        read_preset(DataConfig(dataset="spaq", root=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("name", CATALOG)
def test_no_table(name, tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError) as error:
        read_preset(DataConfig(dataset=name, root=str(tmp_path)))
    message = str(error.value)
    assert f"no table of {name}'s scores in data.root" in message
    assert f"got: {tmp_path} with pictures/" in message
    assert f"expected: {CATALOG[name].layout}" in message
    advised = message.rpartition("fix: lay ")[2].partition(" there")[0]
    assert advised in [place for form in CATALOG[name].forms for place in form.names]


def test_no_pictures(tmp_path):
    (tmp_path / "dmos.csv").write_text("dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.5\n")
    with pytest.raises(UserError, match="no folder of kadid10k's pictures") as error:
        read_preset(DataConfig(dataset="kadid10k", root=str(tmp_path)))
    assert "got: " + str(tmp_path) + " with dmos.csv" in str(error.value)
    with pytest.raises(UserError, match=r"data\.image_root is no folder"):
        read_preset(DataConfig(dataset="kadid10k", root=str(tmp_path), image_root="elsewhere"))


def test_unknown_columns(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "dmos.csv").write_text("picture,quality\nI01_01_01.png,4.57\n")
    with pytest.raises(UserError, match="lacks columns of kadid10k's table") as error:
        read_preset(DataConfig(dataset="kadid10k", root=str(tmp_path)))
    assert "got: picture, quality" in str(error.value)
    assert "expected: dist_img, dmos" in str(error.value)


def test_plain_koniq_means_are_refused(annotations, tmp_path):
    (tmp_path / "1024x768").mkdir()
    path = annotations / "maniqa/koniq10k_label.txt"
    with pytest.raises(UserError, match="lacks columns of koniq10k's table"):
        read_preset(DataConfig(dataset="koniq10k", root=str(tmp_path), csv=str(path)))


def test_the_table_of_another_set(annotations, tmp_path):
    (tmp_path / "dst_imgs").mkdir()
    path = tmp_path / "scores.csv"
    shutil.copy(annotations / META.format("KADID10k"), path)
    with pytest.raises(UserError, match="another set's table: 10125 values are unknown") as error:
        read_preset(DataConfig(dataset="csiq", root=str(tmp_path), csv="scores.csv"))
    assert "got: I01_01_01.png" in str(error.value)
    with pytest.raises(UserError, match=r"data\.csv is not there"):
        read_preset(DataConfig(dataset="csiq", root=str(tmp_path), csv="other.csv"))


def test_a_split_of_unknown_words(tmp_path, link):
    link(tmp_path / "512x384", ["1.jpg"])
    (tmp_path / "koniq10k_distributions_sets.csv").write_text("image_name,MOS,set\n1.jpg,70.5,holdout\n")
    with pytest.raises(UserError, match="1 values are unknown") as error:
        read_preset(DataConfig(dataset="koniq10k", root=str(tmp_path)))
    assert "got: holdout" in str(error.value)


def test_a_missing_picture_is_told_by_its_name(real, annotations, tmp_path, link):
    frame = source(annotations, "csiq")
    shutil.copy(annotations / META.format("CSIQ"), tmp_path)
    link(tmp_path / "dst_imgs", frame["dist_name"].iloc[1:])
    raw = read_preset(DataConfig(dataset="csiq", root=str(tmp_path)))
    table, report = join(raw, on_error="skip")
    assert len(table) == 865
    assert report.names == {"missing": [frame["dist_name"].iloc[0]]}
