"""`iqa audit` tells what would spoil a training, and leaves files that other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from iqa.commands.main import main
from iqa.config.data import DataConfig
from iqa.data.audit.facts import measure
from iqa.data.audit.scores import score_facts, score_findings
from iqa.data.audit.split import srcc_margin
from iqa.data.scored.load import load_scored

RANDOM = np.random.default_rng(0)


def picture(seed: int, shape: tuple[int, ...] = (12, 12, 3)) -> Image.Image:
    shapes = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(shapes).resize((96, 96), Image.Resampling.BICUBIC)


@pytest.fixture
def messy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as people have them: 40 pictures with all that can be odd about them, and a table beside."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "messy"
    (folder / "pictures").mkdir(parents=True)
    for number in range(40):
        picture(number).save(folder / "pictures" / f"{number:02}.png")
    made = folder / "pictures"
    (made / "01.png").write_bytes((made / "00.png").read_bytes())
    picture(2).save(made / "03.png", "JPEG", quality=70)
    Image.new("RGB", (96, 96), "teal").save(made / "04.png")
    picture(5).resize((40, 40)).save(made / "05.png")
    picture(6, (12, 12)).save(made / "06.png")
    (made / "07.png").write_bytes((made / "07.png").read_bytes()[:200])
    picture(99).save(made / "unlisted.png")
    (made / "notes.psd").write_text("8BPS")
    names = [f"pictures/{number:02}.png" for number in range(40)]
    scores = np.clip(np.linspace(-0.5, 5.5, 40), 1, 5)
    pd.DataFrame({"image": names, "mos": scores}).to_csv(folder / "scores.csv", index=False)
    return folder


def ended(*arguments: str) -> int:
    try:
        main(["audit", *arguments, "--tracking.enabled", "false"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_an_audit_of_a_messy_folder(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("messy") == 0
    report = json.loads(Path("audits/messy/audit.json").read_text())
    found = {each["kind"]: each for each in report["findings"]}
    assert {kind: found[kind]["count"] for kind in found if found[kind]["section"] == "files"} == {
        "unreadable": 1, "misnamed": 1, "tiny": 1, "blank": 1, "grey": 1, "unlisted": 1, "no_pictures": 1,
    }  # fmt: skip
    assert found["misnamed"]["examples"] == ["pictures/03.png (JPEG)"]
    assert (found["same_bytes"]["count"], found["alike"]["count"]) == (2, 4)
    assert report["groups"] == [["pictures/00.png", "pictures/01.png"], ["pictures/02.png", "pictures/03.png"]]
    assert {"clipped_min", "clipped_max", "few_in_test", "few_in_val"} <= set(found)
    assert (report["scores"]["scale_guess"], report["copies"]["groups"]) == ([1, 5], 38)
    said = capsys.readouterr().out
    assert "39 of 40 pictures can be read" in said
    page = Path("audits/messy/audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert "http" not in page


@pytest.mark.parametrize(("fail_on", "copies", "without"), [("none", 0, 0), ("copies", 1, 0), ("any", 1, 1)])
def test_what_was_found_may_be_an_exit_code(messy: Path, fail_on: str, copies: int, without: int) -> None:
    assert ended("messy/scores.csv", "--fail-on", fail_on) == copies
    table = pd.read_csv(messy / "scores.csv")
    table.drop([1, 3]).to_csv(messy / "scores.csv", index=False)
    assert ended("--data", "messy", "--fail_on", fail_on) == without


def test_pictures_may_lie_in_a_folder_that_the_table_does_not_name(messy: Path) -> None:
    table = pd.read_csv(messy / "scores.csv")
    table.assign(image=table["image"].str.removeprefix("pictures/")).to_csv(messy / "scores.csv", index=False)
    assert ended("messy") == 0
    assert json.loads(Path("audits/messy/audit.json").read_text())["files"]["pictures"] == 40


def test_its_groups_are_what_data_groups_takes(messy: Path) -> None:
    assert ended("messy", "--output", "out", "--data.split_seed", "3") == 0
    settings = {"dataset": "csv", "csv": str(messy / "scores.csv")}
    found = load_scored(DataConfig(**settings, groups="out/groups.csv"), judged_whole=True).manifest
    pd.testing.assert_frame_equal(found, load_scored(DataConfig(**settings), judged_whole=True).manifest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data are named"),
        (["nowhere"], "neither a folder nor a table"),
        (["messy/pictures"], "no tables"),
        (["messy", "--config", "quick_test"], "named twice"),
        (["--config", "quick_test"], "no scores of people to audit"),
    ],
)
def test_what_cannot_be_audited_is_told(messy: Path, capsys, arguments: list[str], message: str) -> None:
    assert ended(*arguments) == 2
    assert message in capsys.readouterr().err


def test_one_is_not_several(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("messy") == 0
    said = capsys.readouterr().out
    for words in ("1 picture is blank", "1 picture cannot be read", "1 file in", "1 picture has a side"):
        assert words in said
    assert " 1 pictures" not in said


@pytest.mark.parametrize(("name", "text"), [("README.txt", "Our study.\n\nScores: 1 to 5."), ("meta.json", '{"a": 1}')])
def test_notes_beside_a_table_are_no_table(messy: Path, name: str, text: str) -> None:
    (messy / name).write_text(text)
    assert ended("messy") == 0
    (messy / name).write_text((messy / "scores.csv").read_text() if name.endswith("txt") else '[{"image": "a.png"}]')
    assert ended("messy") == 2


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 pictures, each blurrier than the one before, rated by 20 people, one of whom guesses; and one slip."""
    folder = tmp_path_factory.mktemp("study")
    random = np.random.default_rng(0)
    blur = random.permutation(np.linspace(0, 4, 72))
    rows = []
    for number in range(72):
        picture(number, (24, 24, 3)).filter(ImageFilter.GaussianBlur(float(blur[number]))).save(
            folder / f"{number:02}.png"
        )
        quality = 5 - blur[number] if number != 30 else 1 + blur[number]
        for rater in range(20):
            rated = random.uniform(1, 5) if rater == 7 else random.normal(quality, 0.7)
            rows.append((f"{number:02}.png", f"anna{rater}", int(np.clip(round(rated), 1, 5))))
    pd.DataFrame(rows, columns=["image", "observer", "rating"]).to_csv(folder / "ratings.csv", index=False)
    return folder


def test_an_audit_of_ratings_names_raters_suspects_and_the_ceiling(
    study: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(str(study), "--data.ratings", "long", "--output", "out") == 0
    report = json.loads(Path("out/audit.json").read_text())
    raters, scores = report["raters"], report["scores"]
    assert [each["rater"] for each in raters["rejected"]] == ["anna7"]
    assert (raters["ratings"], raters["raters"], raters["judged"], raters["rejected_left_out"]) == (1440, 20, 20, False)
    assert 0.9 < scores["ceiling_by_raters"] < 1
    assert scores["ceiling_by_raters"] == pytest.approx(raters["reliability"]["reliability"] ** 0.5)
    assert (scores["ceiling_by_twins"], scores["twin_pairs"]) == (None, 0)
    assert report["suspects"]["first"][0]["image"] == "30.png"
    said = capsys.readouterr().out
    for words in (
        "honestly exceed an SRCC of 0.9",
        "1 rater did not rate as the others did",
        "far from those of pictures",
    ):
        assert words in said
    page = Path("out/audit.html").read_text()
    assert "anna7" in page
    assert "30.png: scored" in page


def test_raters_that_are_screened_out_are_still_named(study: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iqa.data.audit.auditing.LEAST", 1000)  # nobody looks for suspects
    assert ended(str(study), "--data.ratings", "long", "--data.screen_raters", "true", "--output", "out") == 0
    raters = json.loads(Path("out/audit.json").read_text())["raters"]
    assert ([each["rater"] for each in raters["rejected"]], raters["ratings"], raters["rejected_left_out"]) == (
        ["anna7"],
        1368,
        True,
    )
    data = DataConfig(dataset="csv", csv=str(study / "ratings.csv"), ratings="long", screen_raters=True)
    assert "anna7" not in load_scored(data, judged_whole=True).ratings.raters


def test_twins_that_are_scored_apart_tell_the_noise(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iqa.data.audit.auditing.LEAST", 1000)
    random = np.random.default_rng(0)
    rows = []
    for number in range(40):
        quality = random.uniform(1, 5)
        for end in "ab":
            made = picture(number)
            made.putpixel((3, 3), (0, 0, 10 * (end == "a")))
            made.save(tmp_path / f"{number}{end}.png")
            rows.append((f"{number}{end}.png", quality + random.normal(0, 0.3)))
    pd.DataFrame(rows, columns=["image", "mos"]).to_csv("scores.csv", index=False)
    assert ended("scores.csv", "--output", "out") == 0
    scores = json.loads(Path("out/audit.json").read_text())["scores"]
    assert scores["twin_pairs"] == 40
    assert scores["noise_by_twins"] == pytest.approx(0.3, rel=0.3)
    assert scores["ceiling_by_twins"] == pytest.approx((1 - scores["noise_by_twins"] ** 2 / scores["std"] ** 2) ** 0.5)


def test_scores_that_run_the_other_way_are_noticed() -> None:
    sharpness = RANDOM.normal(size=200)
    facts = score_facts(50 - 10 * sharpness + RANDOM.normal(size=200), sharpness)
    assert facts["srcc_with_sharpness"] < -0.9
    assert [each.kind for each in score_findings(facts, higher_is_better=True)] == ["direction"]
    assert score_findings(facts, higher_is_better=False) == []


def test_ties_and_ends_are_noticed() -> None:
    facts = score_facts(np.repeat([1.0, 2, 3, 4, 5], 20), np.full(100, np.nan))
    assert (facts["different"], facts["srcc_with_sharpness"]) == (5, None)
    kinds = {each.kind for each in score_findings(facts, higher_is_better=True)}
    assert kinds == {"clipped_min", "clipped_max", "ties"}


def test_a_score_that_is_out_of_place_is_noticed_and_a_long_tail_is_not() -> None:
    scores = np.append(RANDOM.uniform(1, 5, 200), 99)
    (far,) = score_findings(score_facts(scores, np.full(201, np.nan)), higher_is_better=True)
    assert (far.kind, far.count, str(far)) == ("far", 1, "1 score lies far from all others: 99")
    tail = score_facts(RANDOM.lognormal(0, 1.5, 2000), np.full(2000, np.nan))
    assert tail["far"] > 20
    assert score_findings(tail, higher_is_better=True) == []


def test_rows_that_cannot_be_used_are_a_finding(messy: Path) -> None:
    table = messy / "scores.csv"
    table.write_text(table.read_text() + "pictures/away.png,3\npictures/08.png,none\n")
    assert ended("messy", "--fail_on", "any") == 1
    report = json.loads(Path("audits/messy/audit.json").read_text())
    (found,) = [each for each in report["findings"] if each["kind"] == "rows"]
    assert found["count"] == 2
    assert "1 missing" in found["examples"]


def test_more_pictures_make_a_test_surer() -> None:
    assert srcc_margin(4) is None
    margins = [srcc_margin(count) or 0 for count in (10, 100, 1000)]
    assert margins == sorted(margins, reverse=True)
    assert margins[2] == pytest.approx(0.02, abs=0.005)


def test_blur_takes_sharpness() -> None:
    sharp = picture(3)
    soft = sharp.resize((24, 24)).resize((96, 96))
    assert measure(sharp.copy())["sharpness"] > measure(soft)["sharpness"] > 0
    assert measure(Image.new("RGB", (5, 1)))["sharpness"] == 0
