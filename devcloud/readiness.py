# SPDX-License-Identifier: Apache-2.0
"""Waits until a service answers, and stops waiting as soon as its process is gone."""

import http.client
import socket
import time
import urllib.parse
from collections.abc import Callable

from devcloud import commands, processes
from devcloud.errors import DevcloudError
from devcloud.processes import Service

_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 60


def http_status(url: str, timeout: float = _ANSWER_SECONDS) -> int:
    """The status of a GET of ``url``; 0 when nothing answers within ``timeout`` seconds."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def answers(address: str, timeout: float = _ANSWER_SECONDS) -> bool:
    """Whether an ``http://`` address answers below 500, or a host:port accepts connections.

    An API that wants a token answers 401, which is an answer.
    """
    if address.startswith("http://"):
        return 0 < http_status(address, timeout) < 500
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout):
            return True
    except OSError:
        return False


def wait(service: Service, seconds: float) -> None:
    """Wait until the service answers.

    :param seconds: how long at most.
    :raises DevcloudError: the process ended, or the time was over.
    """
    if not service.address:
        return
    wait_until(
        lambda: answers(service.address),
        lambda: processes.running(service.name) is None,
        service.name,
        seconds,
    )


def wait_until(
    is_ready: Callable[[], bool], is_dead: Callable[[], bool], name: str, seconds: float
) -> None:
    """Wait for ``is_ready``, at most ``seconds``.

    :raises DevcloudError: ``is_dead`` said so first, or the time was over; with the log's end.
    """
    deadline = time.monotonic() + seconds
    while not is_ready():
        if is_dead():
            raise DevcloudError(f"{name} ended while it started; {log_end(name)}")
        if time.monotonic() > deadline:
            raise DevcloudError(f"{name} did not answer within {seconds:g} s; {log_end(name)}")
        time.sleep(_POLL_SECONDS)


def log_end(name: str) -> str:
    """Where the service's log is, and its last lines."""
    path = processes.log_path(name)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"it has no log {path}"
    return f"{path} ends with:\n{commands.tail(text)}"
