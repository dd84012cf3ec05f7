"""Whatever a tracking server does, a training goes on, is told in words that help, and loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import Proxy, Reply, Rule, mlflow_server
from mlflow import MlflowClient
from PIL import Image

import iqa
from iqa.commands.main import main
from iqa.config import ExperimentConfig
from iqa.errors import UserError
from iqa.records import EpochRecord
from iqa.tracking import check_place, open_run, read_run_note
from iqa.tracking.sending import outbox
from iqa.tracking.sending.delivery import PENDING
from iqa.tracking.sending.sync import send_waiting

EPOCHS = 6
#: Bytes of the checkpoint, and of what a small proxy takes.
LARGE, LIMIT = 300_000, 100_000
PAGE = b"<!doctype html><html><title>Sign in</title></html>"
HTML = (("Content-Type", "text/html"),)
FULL = b'{"error_code": "INTERNAL_ERROR", "message": "(sqlite3.OperationalError) database or disk is full"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, place_database: Callable[[Path], None]) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    place_database(folder / "mlflow.db")
    with mlflow_server(folder) as address:
        yield address


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between a training and the server; who waits, waits a second."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("iqa.tracking.store.PROBE_SECONDS", 1)
    proxy = Proxy(server)
    yield proxy
    proxy.close()


def everything(reply: Reply) -> Rule:
    return lambda method, path, size: reply


def api(reply: Reply) -> Rule:
    """All but the question whether the server lives."""
    return lambda method, path, size: None if path == "/health" else reply


def part(word: str, reply: Reply) -> Rule:
    return lambda method, path, size: reply if word in path else None


#: What a server does -> the rule of the proxy, and words that a warning has.
FAULTS: dict[str, tuple[Rule, str]] = {
    "is down": (everything(Reply()), "does not answer"),
    "hangs": (everything(Reply(503, seconds=4)), "does not answer in time"),
    "lives and hangs": (api(Reply(503, seconds=4)), "does not answer in time"),
    "fails at everything": (everything(Reply(500, b"oops")), "fails (500)"),
    "lives and fails": (api(Reply(500, b"oops")), "fails (500)"),
    "is overrun": (everything(Reply(429)), "has too much to do (429)"),
    "is being deployed": (everything(Reply(503, PAGE)), "fails (503)"),
    "wants a login": (api(Reply(401, b"You are not authenticated.")), "wants a login (401): set MLFLOW_TRACKING_USER"),
    "forbids it": (api(Reply(403, b"Permission denied")), "does not let this login write there (403)"),
    "refuses the host": (everything(Reply(403, b"Invalid Host header - possible DNS rebinding")), "--allowed-hosts"),
    "is behind a login page": (everything(Reply(200, PAGE, HTML)), "answers with a page"),
    "redirects to a login page": (
        lambda method, path, size: (
            Reply(200, PAGE, HTML) if path == "/login" else Reply(302, headers=(("Location", "/login"),))
        ),
        "answers with a page",
    ),
    "has a full disk": (api(Reply(500, FULL)), "fails (500); its own log says why"),
    "has no place for files": (part("/mlflow-artifacts/", Reply(500, b"NoSuchBucket")), "fails (500)"),
    "has a place for files that hangs": (part("/mlflow-artifacts/", Reply(503, seconds=4)), "does not answer in time"),
    "may not write files": (part("/mlflow-artifacts/", Reply(403, b"AccessDenied")), "(403)"),
    "takes no large files": (
        lambda method, path, size: Reply(413, PAGE) if size > LIMIT else None,
        "takes nothing of this size (413): raise the limit",
    ),
    "is slow": (everything(Reply(seconds=0.3, passed=True)), ""),
}  # fmt: skip


def settings(uri: str) -> ExperimentConfig:
    return ExperimentConfig(experiment_name="small", tracking={"uri": uri, "system_metrics": False})


def epoch(number: int) -> EpochRecord:
    figures = dict.fromkeys(("train_loss", "train_srcc", "train_plcc", "train_krcc", "train_rmse"), 0.1 * number)
    figures |= dict.fromkeys(("val_loss", "val_srcc", "val_plcc", "val_krcc", "val_rmse"), 0.2 * number)
    return EpochRecord(epoch=number, learning_rate=1e-3, images_per_second=100.0, seconds=1.0, **figures)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "experiments" / "small"
    (folder / "visualizations").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "best_model.pth").write_bytes(bytes(LARGE))
    Image.new("RGB", (30, 20), "red").save(folder / "visualizations" / "features_pca.png")
    return folder


def train(uri: str, folder: Path, spoil: Callable[[], None]) -> float:
    """Log what a training logs; `spoil` is called before its third epoch. Returns its longest wait."""
    config, waits = settings(uri), []
    with open_run(config, role="train", name="small", directory=folder) as tracker:
        tracker.log_config(config)
        for number in range(1, EPOCHS + 1):
            if number == 3:
                spoil()
            began = time.monotonic()
            tracker.log_epoch(epoch(number))
            waits.append(time.monotonic() - began)
        tracker.log_files(folder / "best_model.pth")
        tracker.log_pictures(folder / "visualizations", "visualizations")
        tracker.log_tags({"last": "word"})
    return max(waits)


def assert_whole(server: str, folder: Path) -> None:
    """Nothing is lost and nothing doubled."""
    client = MlflowClient(server)
    run = client.get_run(read_run_note(folder)["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["last"] == "word"
    for name in ("epoch/val/srcc", "epoch/train/loss", "epoch/train/learning_rate"):
        assert [each.step for each in client.get_metric_history(run.info.run_id, name)] == list(range(1, EPOCHS + 1))
    files = {each.path: each.file_size for each in client.list_artifacts(run.info.run_id)}
    assert files["best_model.pth"] == LARGE
    assert "config.json" in files
    assert len(client.list_artifacts(run.info.run_id, "visualizations")) == 1
    assert not (folder / PENDING).exists()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("begins", ["at the start", "on the way"])
def test_nothing_is_lost_whatever_a_server_does(
    server: str, proxy: Proxy, folder: Path, said: list[str], fault: str, begins: str
) -> None:
    rule, told = FAULTS[fault]
    if begins == "at the start":
        proxy.rule = rule
    assert train(proxy.address, folder, lambda: setattr(proxy, "rule", rule)) < 0.1
    warnings = "\n".join(said)
    assert told in warnings
    assert all(said.count(line) == 1 for line in said)
    proxy.rule = lambda method, path, size: None
    sent, left = send_waiting(folder)
    assert (sent > 0, left) == (bool(told), 0)
    assert_whole(server, folder)


def test_what_a_server_takes_does_not_wait_for_what_it_does_not(server: str, proxy: Proxy, folder: Path) -> None:
    proxy.rule = FAULTS["takes no large files"][0]
    train(proxy.address, folder, lambda: None)
    client = MlflowClient(server)
    run = client.get_run(read_run_note(folder)["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["epoch/val/srcc"] == pytest.approx(0.2 * EPOCHS)
    assert {each.path for each in client.list_artifacts(run.info.run_id)} >= {"config.json", "visualizations"}
    assert len((folder / PENDING).read_text().splitlines()) == 1


def test_a_server_without_models_takes_the_rest(server: str, proxy: Proxy, folder: Path, said: list[str]) -> None:
    proxy.rule = part("logged-models", Reply(404, PAGE))
    with open_run(settings(proxy.address), role="train", name="small", directory=folder) as tracker:
        tracker.log_served_model(folder)
        tracker.log_metrics({"test_srcc": 0.5})
    assert "knows nothing of the kind (404): it is older than what is sent" in "\n".join(said)
    run = MlflowClient(server).get_run(read_run_note(folder)["run_id"])
    assert (run.info.status, run.data.metrics["test/srcc"]) == ("FINISHED", 0.5)


def test_a_server_that_comes_back_gets_what_waited_during_the_training(
    server: str, proxy: Proxy, folder: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.2)
    proxy.rule = everything(Reply(503))

    def heal() -> None:
        proxy.rule = lambda method, path, size: None
        time.sleep(0.4)

    train(proxy.address, folder, heal)
    assert "MLflow answers again; what it missed was sent" in "\n".join(said)
    assert_whole(server, folder)


def test_it_is_sent_to_where_the_server_is_by_now(server: str, proxy: Proxy, folder: Path, said: list[Any]) -> None:
    proxy.rule = everything(Reply())
    train(proxy.address, folder, lambda: None)
    assert send_waiting(folder)[0] == 0
    assert send_waiting(folder, server)[1] == 0
    assert_whole(server, folder)


def test_the_command_sends_what_waits_and_says_what_still_does(
    server: str, proxy: Proxy, folder: Path, said: list[str], capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parents[1])
    proxy.rule = api(Reply(401))
    train(proxy.address, folder, lambda: None)
    said.clear()
    with pytest.raises(SystemExit) as left:
        main(["sync"])
    assert left.value.code == 1
    assert "deliveries still wait" in capfd.readouterr().err
    assert "MLFLOW_TRACKING_USERNAME" in "".join(said)
    proxy.rule = lambda method, path, size: None
    main(["sync", str(folder)])
    assert "experiments/small: " in capfd.readouterr().out
    assert_whole(server, folder)
    main(["sync"])
    assert capfd.readouterr().out == ""
    with pytest.raises(SystemExit) as absent:
        main(["sync", "nowhere"])
    assert absent.value.code == 2


def test_what_mlflow_would_refuse_is_found_before_anything_is_done(
    server: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(server)
    gone, deleted = client.create_run("0").info.run_id, client.create_experiment("deleted")
    client.delete_run(gone)
    client.delete_experiment(deleted)
    for name, value, told in (
        ("MLFLOW_RUN_ID", "nonsense", "MLFLOW_RUN_ID names no run"),
        ("MLFLOW_RUN_ID", gone, "was deleted"),
        ("MLFLOW_EXPERIMENT_ID", "999", "no experiment 999"),
        ("MLFLOW_EXPERIMENT_ID", deleted, "was deleted"),
        ("MLFLOW_EXPERIMENT_NAME", "deleted", "was deleted"),
    ):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            with pytest.raises(UserError, match=told):
                iqa.train("quick_test", settings={"tracking.uri": server})
    assert list(tmp_path.iterdir()) == []
    proxy.rule = everything(Reply())
    with monkeypatch.context() as environment:
        environment.setenv("MLFLOW_RUN_ID", "nonsense")
        check_place(settings(proxy.address))  # a server that is down has not refused it
