"""Serves a trained model over HTTP: `iqa serve MODEL [--port 5001]`.

MLflow's own server answers at 127.0.0.1 until Ctrl-C; pictures come in as base64. What it reads and its limits are set
by the environment variables IQA_SERVE_ROOT, IQA_SERVE_BYTES, IQA_SERVE_PIXELS and IQA_SERVE_PICTURES.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iqa.commands.cli import add_model, named_model, parser_for
from iqa.files import roughly
from iqa.progress import tell

if TYPE_CHECKING:
    from iqa.deploy.servable import Servable
    from iqa.deploy.server import Server

#: Bytes of memory, as measured: of a worker besides its copies of the weights, and of all that is there but once.
WORKER, ONCE = 950 * 10**6, 500 * 10**6


def main(arguments: list[str]) -> None:
    options = read_arguments(arguments)
    # Imported late: --help must not wait for MLflow.
    from iqa.data.store.rules import ROOT, Rules
    from iqa.deploy.servable import make_servable
    from iqa.deploy.server import Address, Server

    # Refused here rather than by the server, which runs in another folder.
    rules = Rules.from_environment()
    if rules.root:
        os.environ[ROOT] = str(rules.root)
    address = Address.free(options.host, options.port)
    with tempfile.TemporaryDirectory(prefix="iqa-serve-") as folder:
        servable = make_servable(options.model, Path(folder))
        with Server(
            servable.folder,
            address,
            workers=options.workers,
            env_manager=options.env_manager,
            folder=Path(folder),
        ) as server:
            begins(options.model, servable, server, folder)
            server.wait_until_ready()
            show(server, options.model)
            try:
                server.wait()
            except KeyboardInterrupt:
                # How a server is meant to end.
                print("stopped", flush=True)


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = parser_for("serve", __doc__, "README.md says what a request holds, and how to let others in.")
    kinds = "folder of an experiment or ensemble, checkpoint or .onnx file, runs:/<id>/model, models:/<name>@<alias>"
    add_model(parser, kinds)
    parser.add_argument("--port", default=5001, type=int, help="0: any that is free (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--workers", default=1, type=int, help="processes that answer (default: %(default)s)")
    parser.add_argument(
        "--env-manager",
        default="local",
        choices=("local", "uv"),
        help="this environment, or one made of the model's requirements (default: local)",
    )
    options = parser.parse_args(arguments)
    options.model = named_model(options, "iqa serve experiments/quick_test")
    return options


def begins(model: str, servable: Servable, server: Server, folder: str) -> None:
    """The first line, on stderr as that of every command: what will be done, what it takes, where it writes."""
    what = f"{model} by {_workers(server)}"
    disk, memory = servable.size, ONCE + server.workers * (WORKER + 2 * servable.size)
    line = f"serve: {what}; about {roughly(disk)} of disk, {roughly(memory)} of memory; writes {folder}"
    tell(line, work="serve", what=what, disk=disk, each=0, memory=memory, gpu=0, writes=[folder])
    if servable.note:
        print(f"note: {servable.note}", file=sys.stderr)


def show(server: Server, model: str) -> None:
    """Where it answers, and requests to try it with."""
    print(f"{model} is served at {server.address.url} by {_workers(server)}; Ctrl-C stops it")
    if server.address.is_open:
        print("other machines can reach it, and it asks nobody who they are: put it behind a proxy that does")
    ask = f"curl -s {server.address.url}/invocations -H 'Content-Type: application/json' -d"
    start, end = '{"dataframe_records": [{"image": "', '"}]}'
    print(f"try it:\n  {ask} '{start}{tiny_picture()}{end}'")
    # printf is of the shell: a picture may be longer than what a program's arguments can hold.
    print(f"""with a picture of yours:\n  printf '{start}%s{end}' "$(base64 -w0 FILE)" | {ask} @-""", flush=True)


def _workers(server: Server) -> str:
    return f"{server.workers} worker{'s' * (server.workers > 1)} of {server.threads} thread{'s' * (server.threads > 1)}"


def tiny_picture() -> str:
    """A picture of 8 x 8 pixels in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((8, 8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
