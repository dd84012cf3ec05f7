"""What each published set is: its tables as they are shipped, its folders, its scale, and what its names tell.

Scales are the nominal ones, or, where there is none, ends that hold every published score. Directions are not
taken from the names of columns but checked on the scores, wherever something tells which pictures are worse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iqa.data.manifest import ScoreScale
from iqa.data.scored.presets import readers


@dataclass(frozen=True)
class Form:
    """One way in which a set's scores are shipped.

    Attributes:
        names: where it lies below `data.root`; the first that is there is taken.
        image, score, group, split: columns, by name or by number where there is no header; None: not told.
        read: opens it; gives a table with these columns.
    """

    names: tuple[str, ...]
    image: str | int
    score: str | int
    group: str | None = None
    split: str | None = None
    read: Callable[[Path], readers.Read] = readers.plain

    @property
    def columns(self) -> dict[str, str | int]:
        """The column of each role that this form tells."""
        told = {"image": self.image, "score": self.score, "group": self.group, "split": self.split}
        return {role: column for role, column in told.items() if column is not None}


@dataclass(frozen=True)
class Shipped:
    """A set as it is published.

    Attributes:
        pictures: number of scored pictures.
        paper: that describes it.
        scale: where all scores lie, and which end is good.
        forms: of its scores, the best first.
        folders: of its pictures, the best first; see `layouts.find`.
        layout: what should be in `data.root`, for messages.
        name: what a picture's name looks like; its parts `group`, `subset`, `kind` and `level` are taken.
        subset: what a subset is called, from that part of the name.
        left_out: names of pictures that are scored and still no part of the set.
    """

    pictures: int
    paper: str
    scale: ScoreScale
    forms: tuple[Form, ...]
    folders: tuple[str, ...]
    layout: str
    name: str = ".*"
    subset: str = "{}"
    left_out: str | None = None

    @property
    def in_folders(self) -> bool:
        """Whether the tables name pictures with their folders."""
        return "/" in self.name

    def tell(self, image: str) -> dict[str, str] | None:
        """The parts of a picture's name; None if it is no name of this set."""
        match = re.fullmatch(self.name, image, re.IGNORECASE)
        return None if match is None else match.groupdict()


def _toolkit(
    name: str, score: str, image: str = "dist_name", group: str | None = None, split: str | None = None
) -> Form:
    """The table that IQA-PyTorch made of a set's own files."""
    return Form((f"meta_info_{name}Dataset.csv",), image, score, group, split)


def _tid(year: int, pictures: int, types: str, levels: str) -> Shipped:
    """TID2008 and TID2013: 25 references, MOS on 0..9, higher is better. Names mix upper and lower case."""
    papers = {
        2008: 'Ponomarenko et al., "TID2008", Advances of Modern Radioelectronics, 2009',
        2013: 'Ponomarenko et al., "Image database TID2013", Signal Processing: Image Communication, 2015',
    }
    return Shipped(
        pictures=pictures,
        paper=papers[year],
        scale=ScoreScale(0, 9),
        forms=(Form(("mos_with_names.txt", f"tid{year}_mos_with_names.txt"), 1, 0), _toolkit(f"TID{year}", "mos")),
        folders=("distorted_images",),
        layout=f"mos_with_names.txt or meta_info_TID{year}Dataset.csv, and distorted_images/",
        name=rf"(?P<group>i\d\d)_(?P<subset>{types})_[{levels}]\.bmp",
        subset="distortion {}",
    )


CATALOG = {
    # 10,073 photographs, official split 7,058 / 1,000 / 2,015. `MOS` of the table with the sets and
    # `MOS_zscore` of the one without are the same z-scores on 0..100, higher is better; plain means on 1..5,
    # which also circulate, are not taken.
    "koniq10k": Shipped(
        pictures=10073,
        paper='Hosu et al., "KonIQ-10k", IEEE TIP 2020',
        scale=ScoreScale(0, 100),
        forms=(
            Form(("koniq10k_distributions_sets.csv", "metadata/koniq10k_distributions_sets.csv"),
                 "image_name", "MOS", split="set"),
            _toolkit("KonIQ10k", "mos", "img_name", split="split"),
            Form(("koniq10k_scores_and_distributions.csv",), "image_name", "MOS_zscore"),
        ),
        folders=("1024x768", "512x384", "images"),
        layout="koniq10k_distributions_sets.csv or meta_info_KonIQ10kDataset.csv, and 1024x768/ or 512x384/",
    ),
    # 81 references x 25 distortions x 5 levels. `dmos` runs 1..5 and, in spite of its name, higher is better.
    "kadid10k": Shipped(
        pictures=10125,
        paper='Lin et al., "KADID-10k", QoMEX 2019',
        scale=ScoreScale(1, 5),
        forms=(Form(("dmos.csv",), "dist_img", "dmos"), _toolkit("KADID10k", "dmos")),
        folders=("images", "distorted_images"),
        layout="dmos.csv or meta_info_KADID10kDataset.csv, and images/",
        name=r"(?P<group>i\d\d)_(?P<kind>0[1-9]|1\d|2[0-5])_0(?P<level>[1-5])\.png",
    ),
    # 24 distortions x 5 levels.
    "tid2013": _tid(2013, 3000, r"0[1-9]|1\d|2[0-4]", "1-5"),
    # 17 distortions x 4 levels.
    "tid2008": _tid(2008, 1700, r"0[1-9]|1[0-7]", "1-4"),
    # 29 references, five distortions in a folder each. DMOS on 0..100, lower is better: also in the toolkit's
    # table, whose column is called mos. dmos_realigned.mat, on another scale, is not taken.
    "live": Shipped(
        pictures=779,
        paper='Sheikh et al., "A statistical evaluation of recent full reference IQA algorithms", IEEE TIP 2006',
        scale=ScoreScale(0, 100, higher_is_better=False),
        forms=(
            Form(("dmos.mat",), "image", "dmos", "reference", read=readers.live),
            _toolkit("LIVEIQA", "mos", group="ref_name"),
        ),
        folders=("jp2k/..",),
        layout="dmos.mat and refnames_all.mat or meta_info_LIVEIQADataset.csv, and jp2k/ jpeg/ wn/ gblur/ fastfading/",
        name=r"(?P<subset>jp2k|jpeg|wn|gblur|fastfading)/img\d+\.bmp",
    ),
    # 30 references, six distortions at four or five levels. DMOS on 0..1, lower is better.
    "csiq": Shipped(
        pictures=866,
        paper='Larson and Chandler, "Most apparent distortion", Journal of Electronic Imaging, 2010',
        scale=ScoreScale(0, 1, higher_is_better=False),
        forms=(Form(("csiq.DMOS.xlsx",), "image", "dmos", read=readers.csiq), _toolkit("CSIQ", "dmos")),
        folders=("dst_imgs", "dst_imgs_all", "distorted_images", "awgn/.."),
        layout="csiq.DMOS.xlsx or meta_info_CSIQDataset.csv, and dst_imgs/ (its folders awgn/ ... or none)",
        name=r"(?P<group>.+)\.(?P<subset>awgn|blur|contrast|fnoise|jpeg|jpeg2000)\.[1-5]\.png",
    ),
    # 11,125 photographs by smartphones. MOS on 0..100, higher is better.
    "spaq": Shipped(
        pictures=11125,
        paper='Fang et al., "Perceptual Quality Assessment of Smartphone Photography", CVPR 2020',
        scale=ScoreScale(0, 100),
        forms=(
            Form(("Annotations/MOS and Image attribute scores.xlsx", "MOS and Image attribute scores.xlsx"),
                 "Image name", "MOS"),
            _toolkit("SPAQ", "MOS", "Image name"),
        ),
        folders=("TestImage", "img"),
        layout="Annotations/MOS and Image attribute scores.xlsx or meta_info_SPAQDataset.csv, and TestImage/",
    ),
    # LIVE in the Wild: 1,162 photographs. MOS on 0..100, higher is better. t1 to t7 only taught the observers
    # what to do, and papers leave them out.
    "clive": Shipped(
        pictures=1162,
        paper='Ghadiyaram and Bovik, "Massive Online Crowdsourced Study", IEEE TIP 2016',
        scale=ScoreScale(0, 100),
        forms=(
            Form(("Data/AllMOS_release.mat", "AllMOS_release.mat"), "image", "mos", read=readers.clive),
            _toolkit("LIVEChallenge", "mos", "img_name"),
        ),
        folders=("Images",),
        layout="Data/AllMOS_release.mat and AllImages_release.mat or meta_info_LIVEChallengeDataset.csv, and Images/",
        left_out=r"t\d+\.bmp",
    ),
    # LIVE multiply distorted: 15 references, blur then JPEG (part 1), blur then noise (part 2). DMOS on 0..100,
    # lower is better. A reference is in both parts, so its name alone is the group.
    "livemd": Shipped(
        pictures=450,
        paper='Jayaraman et al., "Objective quality assessment of multiply distorted images", Asilomar 2012',
        scale=ScoreScale(0, 100, higher_is_better=False),
        forms=(
            Form(("Part 1/Scores.mat",), "image", "dmos", read=readers.livemd),
            _toolkit("LIVEMD", "dmos"),
        ),
        folders=("Part 1/..",),
        layout="Part 1/ and Part 2/, each with Scores.mat and Imagelists.mat; or meta_info_LIVEMDDataset.csv for these",
        name=r"(?P<subset>part [12])/[^/]+/(?P<group>[^/_]+)_[^/]+\.bmp",
    ),
    # 2,982 pictures made from 300 prompts by six generators. Quality (not alignment) on 0..5, higher is better.
    "agiqa3k": Shipped(
        pictures=2982,
        paper='Li et al., "AGIQA-3K", IEEE TCSVT 2023',
        scale=ScoreScale(0, 5),
        forms=(Form(("data.csv",), "name", "mos_quality", "prompt"),),
        folders=("images", "AttnGAN_normal_000.jpg/.."),
        layout="data.csv, and the pictures beside it or in images/",
        name=r"(?P<subset>[^_]+)_.+",
    ),
    # The 23,200 training pictures of 200 references, by groups of distortions and restorations 00 to 06; no
    # other scores are shipped with them, so the split is drawn. Elo ratings without ends, higher is better: all
    # published ones, of the validation pictures too, run from 868 to 1857.
    "pipal": Shipped(
        pictures=23200,
        paper='Gu et al., "PIPAL", ECCV 2020',
        scale=ScoreScale(850, 1900),
        forms=(
            Form(("Train_Label",), 0, 1, read=readers.pipal),
            _toolkit("PIPAL", "elo_score"),
            Form(("pipal22_train.txt",), 0, 1),
        ),
        folders=("Train_Dist", "Train_Distort", "Dist_Imgs", "Distortion_1/.."),
        layout="Train_Label/ or meta_info_PIPALDataset.csv, and Train_Dist/ or Distortion_1/ to Distortion_4/",
        name=r"(?P<group>a\d{4})_(?P<subset>\d\d)_\d\d\.bmp",
        subset="distortion {}",
    ),
    # 12,000 photographs in three subsets. MOS on 0..1, higher is better. Official split 10,000 /
    # 2,000, known only where both tables are there.
    "biq2021": Shipped(
        pictures=12000,
        paper='Ahmed and Asif, "BIQ2021", Journal of Electronic Imaging, 2022',
        scale=ScoreScale(0, 1),
        forms=(Form(("Train (Images and MOS).csv",), "Image Name", "MOS", split="split", read=readers.biq2021),),
        folders=("Images",),
        layout="Train (Images and MOS).csv, Test (Images and MOS).csv, and Images/",
        name=r"(?P<subset>ss\d\d).*",
    ),
}  # fmt: skip
