"""`iqa serve`: a model that strangers may ask, which reads what they send and nothing that they name."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from places import ROOT
from tiny_model import picture, write_experiment

from iqa.config import ExperimentConfig
from iqa.data.store.rules import Rules
from iqa.deploy.servable import make_servable
from iqa.deploy.server import Address, Server
from iqa.errors import UserError
from iqa.scoring import Scorer, load_scorer
from iqa.scoring.sent import NOT_HELD, NOT_SERVED, admit
from iqa.tracking import open_run
from iqa.tracking.store import connect


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def usual(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("experiments") / "tiny")


@pytest.fixture(scope="module")
def scorer(experiment: Path) -> Scorer:
    return load_scorer(experiment, "cpu")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a server reads, with pictures beside it, and links that lead out of it and stay within."""
    place = tmp_path_factory.mktemp("server")
    for folder in ("pictures", "pictures/more", "private"):
        (place / folder).mkdir()
    for name in ("pictures/a.png", "pictures/more/b.png", "private/secret.png"):
        picture(2).save(place / name)
    (place / "pictures" / "out.png").symlink_to(place / "private" / "secret.png")
    (place / "pictures" / "out").symlink_to(place / "private")
    (place / "pictures" / "in.png").symlink_to(place / "pictures" / "more" / "b.png")
    (place / "pictures" / "round").symlink_to("round")
    (place / "pictures" / "notes.txt").write_text("not for strangers")
    os.mkfifo(place / "pictures" / "pipe")
    return place / "pictures"


def errors(scorer: Scorer, values: list[Any], rules: Rules) -> list[str | None]:
    return list(scorer.score(admit(values, rules), on_error="row")["error"])


# What is read


def outside(served: Path) -> list[str]:
    """Names of what a server must not read, of what exists and of what does not."""
    names = [
        *("/etc/hostname", "/etc/hostname-not", "/etc", "/", "..", "../..", "../../etc/hostname", "~", "."),
        *("../private/secret.png", "../private/absent.png", "more/../a.png", "../pictures/a.png", "out.png"),
        *("out/secret.png", "out/absent.png", "out", "round", "pipe", "more", "absent.png", "a.png/x", "a\0.png"),
        *("file:///etc/hostname", "/proc/self/environ", "/dev/zero", "x" * 500),
    ]
    return [*names, str(served.parent / "private" / "secret.png"), f"{served}/../private/secret.png", f"{served}-x"]


def test_without_a_folder_no_path_is_read_and_none_is_told_from_another(scorer: Scorer, served: Path) -> None:
    names = [*outside(served), str(served / "a.png"), "a.png"]
    assert set(errors(scorer, names, Rules())) == {NOT_HELD}


def test_within_the_folder_alone_a_path_is_read(
    scorer: Scorer, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(served)
    monkeypatch.chdir(served.parent / "private")  # where a server stands does not matter
    rules = Rules.from_environment({"IQA_SERVE_ROOT": str(link)})
    names = ["a.png", "more/b.png", "./more//b.png", "in.png", str(served / "a.png")]
    assert errors(scorer, names, rules) == [None] * len(names)
    assert set(errors(scorer, outside(served), rules)) == {NOT_SERVED}
    assert errors(scorer, ["notes.txt"], rules) == ["no picture of a known format, or damaged at its start"]


def test_names_that_are_refused_leave_nothing_open(served: Path) -> None:
    descriptors, rules = Path("/proc/self/fd"), Rules(root=served)
    if not descriptors.exists():
        pytest.skip("this system does not tell what is open")
    before = len(list(descriptors.iterdir()))
    assert [rules.in_root(name) for name in ("more", "pipe", "absent.png") for _ in range(20)] == [None] * 60
    assert len(list(descriptors.iterdir())) == before


def test_pictures_are_read_as_they_are_sent(scorer: Scorer) -> None:
    content = encoded(picture(2))
    ways = [content, bytearray(content), usual(content), base64.encodebytes(content).decode()]
    ways += [base64.urlsafe_b64encode(content).decode(), "data:image/png;base64," + usual(content)]
    scores = scorer.score(admit(ways, Rules()), on_error="row")
    assert list(scores["error"]) == [None] * len(ways)
    assert scores["score"].nunique() == 1
    assert scores["score"][0] == pytest.approx(scorer.score([content])["score"][0], abs=1e-4)


def test_what_is_no_picture_says_so(scorer: Scorer) -> None:
    values = [None, "", "  ", float("nan"), 7, usual(b"%PDF" * 200), "data:image/png;base64,####", Path("a.png")]
    assert errors(scorer, values, Rules()) == [
        *["no picture was given"] * 4,
        "a int is no picture",
        "no picture, but PDF",
        "a data: address is a picture if it holds base64",
        f"a {type(Path()).__name__} is no picture",
    ]


# Limits


def test_each_limit_costs_its_picture_alone(scorer: Scorer, served: Path) -> None:
    content = encoded(picture(2, 90, 60))
    sent = [content, usual(content), base64.encodebytes(content).decode(), "a.png"]
    fine = usual(encoded(Image.new("RGB", (8, 8))))
    for rules, reason in [
        (Rules(served, most_bytes=len(content) - 1), f"more bytes than the limit of {len(content) - 1}"),
        (Rules(served, most_pixels=90 * 60 - 1), "90 x 60 pixels are more than the limit"),
    ]:
        assert errors(scorer, [*sent, fine], rules) == [reason] * 4 + [None]
    assert errors(scorer, ["A" * 3000], Rules(most_bytes=500)) == ["more bytes than the limit of 500"]
    assert errors(scorer, sent, Rules(served, most_bytes=len(content), most_pixels=90 * 60)) == [None] * 4
    surplus = errors(scorer, [fine, fine, fine, None], Rules(most_pictures=2))
    assert surplus == [None, None, *["more pictures in a request than the limit of 2"] * 2]


def test_rules_that_cannot_be_are_refused(tmp_path: Path) -> None:
    assert Rules.from_environment({"IQA_SERVE_ROOT": "", "IQA_SERVE_BYTES": " "}) == Rules()
    rules = Rules.from_environment({"IQA_SERVE_BYTES": "10", "IQA_SERVE_PIXELS": "20", "IQA_SERVE_PICTURES": "3"})
    assert rules == Rules(None, 10, 20, 3)
    for name, value in [
        *[("IQA_SERVE_ROOT", str(tmp_path / "absent")), ("IQA_SERVE_BYTES", "1e6"), ("IQA_SERVE_PIXELS", "0")],
        *[("IQA_SERVE_PIXELS", "9" * 5000), ("IQA_SERVE_PICTURES", "-1"), ("IQA_SERVE_PICTURES", "many")],
    ]:
        with pytest.raises(UserError, match=name):
            Rules.from_environment({name: value})


# The model that is served


def test_a_logged_model_is_served_as_it_is_unless_it_reads_paths(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    client = connect(uri)
    config = ExperimentConfig(experiment_name="tiny", tracking={"uri": uri, "system_metrics": False})
    with open_run(config, role="train", name="tiny", directory=experiment) as tracker:
        tracker.log_files(experiment)
        tracker.log_served_model(experiment)
    (output,) = client.get_run(tracker.run_id).outputs.model_outputs
    size = (experiment / "best_model.pth").stat().st_size
    made = {}
    for name in (f"runs:/{tracker.run_id}", f"runs:/{tracker.run_id}/model", f"models:/{output.model_id}"):
        folder = tmp_path / f"made{len(made)}"
        folder.mkdir()
        made[name] = make_servable(name, folder)
        assert (made[name].size, made[name].note) == (size, "")
        assert (made[name].folder / "MLmodel").is_file()
    logged = made[f"models:/{output.model_id}"].folder
    described = (logged / "MLmodel").read_text()
    assert output.model_id in described

    (logged / "MLmodel").write_text(described.replace("iqa_pictures: as sent", "iqa_pictures: any"))
    monkeypatch.setattr("iqa.deploy.servable.fetch_model", lambda *_: logged)
    (tmp_path / "today").mkdir()
    today = make_servable("models:/early", tmp_path / "today")
    assert "early version" in today.note
    assert "iqa_pictures: as sent" in (today.folder / "MLmodel").read_text()


# The command


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Served:
    """`iqa serve` in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "iqa", "serve", *arguments],
            cwd=folder,
            env={
                **os.environ,
                **{"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"},
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("w"),
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("  printf"):
                break
        self.stderr = (folder / "stderr").read_text()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", "\n".join(self.lines))
        assert found, self.stderr
        self.url, self.port = found[0], int(found[1])
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def ask(self, values: list[Any]) -> list[dict[str, Any]]:
        asked = json.dumps({"dataframe_records": [{"image": value} for value in values]}).encode()
        request = urllib.request.Request(
            f"{self.url}/invocations", asked, headers={"Content-Type": "application/json"}, method="POST"
        )
        return list(
            json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))["predictions"]
        )

    def shell(self, line: str) -> list[dict[str, Any]]:
        """What a printed line answers."""
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=60)
        return list(json.loads(done.stdout)["predictions"])

    def leaves_nothing(self) -> bool:
        with socket.socket() as probe:
            closed = probe.connect_ex(("127.0.0.1", self.port)) != 0
        return closed and not any(lives(child) for child in self.children)


@pytest.fixture(scope="module")
def server(experiment: Path, served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = {"IQA_SERVE_ROOT": str(served), "IQA_SERVE_PICTURES": "40", "IQA_SERVE_PIXELS": "10000"}
    started = Served(tmp_path_factory.mktemp("work"), str(experiment), "--port", "0", **limits, IQA_LOG="json")
    yield started
    started.process.kill()
    started.process.wait()


def test_the_printed_lines_work_as_they_are_printed(server: Served, scorer: Scorer, tmp_path: Path) -> None:
    (first,) = [line.strip() for line in server.lines if line.startswith("  curl")]
    (row,) = server.shell(first)
    assert row["error"] is None
    assert isinstance(row["score"], float)
    picture(5).save(tmp_path / "mine.png")
    (second,) = [line.strip() for line in server.lines if line.startswith("  printf")]
    (row,) = server.shell(second.replace("FILE", str(tmp_path / "mine.png")))
    assert row["score"] == pytest.approx(scorer.score([tmp_path / "mine.png"])["score"][0], abs=1e-4)


def test_a_server_reads_what_it_may_and_tells_nothing_of_the_rest(server: Served, served: Path) -> None:
    names, large = outside(served), usual(encoded(picture(2, 200, 100)))
    rows = server.ask([*names, "a.png", str(served / "in.png"), usual(encoded(picture(2))), large])
    assert {row["error"] for row in rows[: len(names)]} == {NOT_SERVED}
    assert {row["score"] for row in rows[: len(names)]} == {None}
    assert [row["error"] for row in rows[len(names) :]] == [
        None,
        None,
        None,
        "200 x 100 pixels are more than the limit",
    ]
    rows = server.ask(["a.png"] * 42)
    assert [row["error"] for row in rows[38:]] == [None, None, *["more pictures in a request than the limit of 40"] * 2]
    assert str(ROOT) not in json.dumps(rows)


def test_what_serving_takes_is_told_first(server: Served) -> None:
    told = json.loads(server.stderr.splitlines()[0])
    assert (told["work"], told["disk"] > 1000, told["memory"] > 1e8) == ("serve", True, True)
    assert str(server.temporary) in told["writes"][0]


def test_ctrl_c_leaves_nothing_running(server: Served) -> None:
    assert len(server.children) >= 2
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(timeout=30) == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == "stopped\n"
    assert server.leaves_nothing()
    assert list(server.temporary.iterdir()) == []


#: In place of MLflow, which takes long: it starts a server that ignores that it should end, and fails or answers late.
FAKE = """
import subprocess, sys, time
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
if {stays}:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()
    open("child", "w").write(str(child.pid))
    time.sleep(99)
try:
    sys.exit(1)
finally:
    print("Traceback (most recent call last):")
    print("iqa.errors.UserError: the checkpoint is damaged")
    print("  got: nothing")
    print("Traceback (most recent call last):")
    print("Exception: Command 'exec uvicorn' returned non zero return code. Return code = 1")
"""


def faked(folder: Path, stays: bool) -> Server:
    (folder / "mlflow.py").write_text(FAKE.replace("{stays}", str(stays)))
    return Server(folder, Address.free("127.0.0.1", 0), workers=1, env_manager="local", folder=folder)


def test_a_server_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError) as failed, faked(tmp_path, stays=False) as server:
        server.wait_until_ready()
    assert str(failed.value) == (
        "the server ended before it answered\n  got: iqa.errors.UserError: the checkpoint is damaged\n  got: nothing"
    )


def test_a_server_that_does_not_answer_is_given_up_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iqa.deploy.server.GRACE", 0.5)
    with pytest.raises(UserError, match="no answer of the server in 2 s"), faked(tmp_path, stays=True) as server:
        server.wait_until_ready(seconds=2)
    child = int((tmp_path / "child").read_text())
    assert not psutil.pid_exists(child) or not lives(psutil.Process(child))


@pytest.mark.parametrize(
    ("host", "url", "is_open"),
    [
        ("127.0.0.1", "http://127.0.0.1:7", False),
        ("localhost", "http://localhost:7", False),
        ("::1", "http://[::1]:7", False),
        ("0.0.0.0", "http://127.0.0.1:7", True),
        ("::", "http://[::1]:7", True),
        ("192.0.2.1", "http://192.0.2.1:7", True),
    ],
)
def test_an_address_that_others_reach_is_known(host: str, url: str, is_open: bool) -> None:
    assert (Address(host, 7).url, Address(host, 7).is_open) == (url, is_open)


START = """
import time
from pathlib import Path
from iqa.deploy.server import Address, Server
server = Server(Path(), Address.free("127.0.0.1", 0), workers=1, env_manager="local", folder=Path())
print(server._process.pid, flush=True)
time.sleep(99)
"""


def test_a_server_does_not_outlive_a_command_that_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has died")
    (tmp_path / "mlflow.py").write_text("import time; time.sleep(99)")
    command = subprocess.Popen(
        [sys.executable, "-c", START],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    server = psutil.Process(int(command.stdout.readline()))
    command.kill()
    command.wait()
    deadline = time.monotonic() + 20
    while lives(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(server)


def test_what_cannot_be_served_is_refused_at_once(run, experiment: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refusals = [
            run("-m", "iqa", "serve", experiment, "--port", port),
            run("-m", "iqa", "serve", experiment, IQA_SERVE_ROOT="absent"),
            run("-m", "iqa", "serve"),
        ]
    for done, said in zip(refusals, [f"127.0.0.1:{port}", "IQA_SERVE_ROOT is no folder", "no model"], strict=True):
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
