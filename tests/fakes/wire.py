# SPDX-License-Identifier: Apache-2.0
"""HTTP servers that stand for OpenStack's services, and how such services misbehave."""

from __future__ import annotations

import dataclasses
import enum
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import fixtures


class Mood(enum.Enum):
    """How a service answers that is not well."""

    MAINTENANCE = "answers 503"
    HTML = "answers a web page with status 200"
    TRUNCATED = "breaks off in the middle of its JSON"
    WRONG = "answers JSON of another shape"
    REDIRECT = "redirects to itself without end"
    SLOW = "answers after minutes"
    DRIP = "answers a byte now and then"
    SILENT = "closes the connection without an answer"
    ENDLESS = "answers without end"


# Longer than any deadline of a test.
_PATIENCE = 20.0
_PAGE = b"<!DOCTYPE html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>"


@dataclasses.dataclass(frozen=True)
class Request:
    """What a server was asked; ``body`` is None where there is none or no JSON."""

    method: str
    target: str
    body: Any
    headers: Any

    @property
    def path(self) -> str:
        """The path without query."""
        return urllib.parse.urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.target).query))


# Status, body (None for none, bytes as they are), headers beside those of every answer; or a mood.
Reply = tuple[int, Any, Mapping[str, str]] | Mood


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        pass  # whoever asked closed the connection


class JsonServer(fixtures.Fixture):
    """A server of JSON on a port of its own.

    :param answer: returns the reply to a request; called by one thread per connection.
    :ivar url: where it listens, without a path.
    """

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self._answer = answer

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        answer = self._answer
        self.ended = threading.Event()
        ended = self.ended

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two packets: the second does not wait for the first's confirmation.
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = answer(Request(self.command, self.path, _parsed(body), self.headers))
                if isinstance(reply, Mood):
                    _misbehave(self, reply, ended)
                    return
                status, content, headers = reply
                text = content if isinstance(content, bytes) else b""
                if not text and content is not None:
                    text = json.dumps(content).encode()
                _send(self, status, text, {"Content-Type": "application/json", **headers})

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815

        server = _Server(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.addCleanup(ended.set)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def _send(
    handler: http.server.BaseHTTPRequestHandler,
    status: int,
    text: bytes,
    headers: Mapping[str, str],
    length: int | None = None,
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(text)


def _misbehave(
    handler: http.server.BaseHTTPRequestHandler, mood: Mood, ended: threading.Event
) -> None:
    kind = {"Content-Type": "application/json"}
    if mood is Mood.MAINTENANCE:
        _send(handler, 503, json.dumps({"error": {"message": "maintenance"}}).encode(), kind)
    elif mood is Mood.HTML:
        _send(handler, 200, _PAGE, {"Content-Type": "text/html"})
    elif mood is Mood.TRUNCATED:
        _send(handler, 200, b'{"flavors": [{"id": "1", "na', kind)
    elif mood is Mood.WRONG:
        _send(handler, 200, b'[{"unexpected": [null, 1, {}]}]', kind)
    elif mood is Mood.REDIRECT:
        here = f"http://{handler.headers['Host']}{handler.path}"
        _send(handler, 302, b"", {"Location": here})
    elif mood is Mood.SLOW:
        ended.wait(_PATIENCE)
        handler.close_connection = True
    elif mood is Mood.SILENT:
        handler.close_connection = True
    elif mood is Mood.DRIP:
        _send(handler, 200, b"{", kind, length=1000)
        _write_on(handler, b" ", 0.1, ended)
    elif mood is Mood.ENDLESS:
        _send(handler, 200, b"{", kind, length=2**40)
        _write_on(handler, b" " * 2**20, 0.0, ended)


def _write_on(
    handler: http.server.BaseHTTPRequestHandler, data: bytes, pause: float, ended: threading.Event
) -> None:
    """Go on writing until the other side has enough, or the test has."""
    handler.close_connection = True
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and not ended.wait(pause):
        handler.wfile.write(data)
        handler.wfile.flush()
