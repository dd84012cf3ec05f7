"""A real server of MLflow behind a proxy that can be told to misbehave."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from servers import LEAN, free_port, started

#: Headers that concern one connection alone.
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "host"}


@dataclass(frozen=True)
class Reply:
    """What the proxy says in the server's place.

    Attributes:
        status: of HTTP; 0: the connection is cut.
        seconds: before anything is said.
        passed: the server is asked after that.
    """

    status: int = 0
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0
    passed: bool = False


#: Of method, path and size of what is sent: the proxy's own reply; None: the server's.
Rule = Callable[[str, str, int], Reply | None]


class Proxy:
    """Passes requests on to a server, but for those that its rule answers.

    Attributes:
        address: of the proxy.
        rule: may be changed at any time.
        asked: method and path of each request.
    """

    def __init__(self, upstream: str) -> None:
        proxy = self
        host, _, port = upstream.removeprefix("http://").partition(":")
        self.rule: Rule = lambda method, path, size: None
        self.asked: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.asked.append((self.command, self.path))
                reply = proxy.rule(self.command, self.path, len(body))
                if reply is not None:
                    time.sleep(reply.seconds)
                if reply is None or reply.passed:
                    reply = self.of_server(body)
                if not reply.status:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            def of_server(self, body: bytes) -> Reply:
                connection = http.client.HTTPConnection(host, int(port), timeout=60)
                try:
                    headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    kept = [(key, value) for key, value in answer.getheaders() if key.lower() not in HOP_BY_HOP]
                    return Reply(answer.status, answer.read(), tuple(kept))
                except OSError:
                    return Reply()
                finally:
                    connection.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The address of a server over the database and the artifacts of a folder."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "files")),
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with started(
        command,
        f"{address}/health",
        cwd=folder,
        env=environment | LEAN,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        yield address
