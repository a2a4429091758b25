# SPDX-License-Identifier: Apache-2.0
"""HTTP over TLS with an engine that is not trusted, within one deadline.

Python's and urllib3's timeouts hold for each read: a server that sends a byte now and then evades
them, in the handshake, in headers, in the sizes of chunks, in the body and after it. Here each read
gets only what is left of the time for the whole exchange, and counts what arrives.

No name is resolved, no proxy used, no redirect followed, nothing decompressed, no cookie kept.
"""

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import requests
from requests import adapters

from magnum_swarm_mode import text
from magnum_swarm_mode.wire import answers

# A server that does not even accept the connection shall leave time for the others.
_CONNECT_SHARE = 0.5
_LEAST_SECONDS = 0.2
_LONGEST_HEAD = 64 * answers.KIB
_PIECE = 64 * answers.KIB
# What chunks may take beside their contents: a 16th of these, and this.
_FRAMING = 64 * answers.KIB
_LONGEST_MESSAGE = 1000
# Files that a user's command fetches: a backup of the swarm's state.
_LONGEST_STREAM = 4096 * answers.MIB
_BUFFER = 16 * answers.KIB
_VERSION = re.compile(r"/v\d{1,3}\.\d{1,3}(?=/)")


class Rejected(requests.RequestException):
    """The answer is not accepted; the text says why, and nothing of what it holds."""


def in_url(address: str) -> str:
    """Return an address as it stands in a URL."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return address
    return f"[{address}]" if version == 6 else address


class Adapter(adapters.BaseAdapter):
    """Sends a session's requests to one address and port, and nowhere else.

    :param bounds: how large an answer may be.
    :param seconds: that each exchange gets; None where ``deadline`` is set before.
    :param streams: whether a caller may take an answer as a stream, for a file.
    :ivar deadline: when all exchanges end, a time of the monotonic clock in seconds.
    """

    def __init__(
        self,
        address: str,
        port: int,
        context: ssl.SSLContext,
        bounds: answers.Bounds,
        seconds: float | None = None,
        *,
        streams: bool = False,
    ) -> None:
        super().__init__()
        self.bounds = bounds
        self.deadline = 0.0
        self._address, self._port, self._context = address, port, context
        self._seconds, self._streams = seconds, streams
        self._socket: _Socket | None = None

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"https://{in_url(self._address)}:{self._port}"

    def send(self, request: Any, stream: bool = False, *_: Any, **__: Any) -> "Answer":
        """Send a request, and return the answer, whose body has been read unless it is streamed.

        :raises requests.RequestException: a Timeout, a ConnectionError, or Rejected.
        """
        if not str(request.url).startswith(f"{self.url}/"):
            raise Rejected("is not asked by another address")
        if self._seconds is not None:
            self.deadline = time.monotonic() + self._seconds
        connection = self._socket or self._connect()
        # It is kept only where the exchange ends well.
        self._socket = None
        is_kept = is_streamed = False
        try:
            connection.deadline = self.deadline
            response = connection.exchange(request)
            answer = Answer(request, response)
            if stream and self._streams and answer.ok:
                answer.raw, is_streamed = _Stream(connection, response), True
                return answer
            answer.read(connection, self.bounds)
            is_kept = not response.will_close
        except answers.BadAnswerError as error:
            raise Rejected(str(error)) from error
        except TimeoutError as error:
            raise requests.Timeout("the answer takes too long") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise requests.ConnectionError(error) from error
        finally:
            if is_kept:
                self._socket = connection
            elif not is_streamed:
                connection.close()
        return answer

    def _connect(self) -> "_Socket":
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise requests.Timeout("no time left")
        try:
            family = (
                socket.AF_INET6
                if ipaddress.ip_address(self._address).version == 6
                else socket.AF_INET
            )
        except ValueError as error:
            raise Rejected("is no IP address") from error
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(max(left * _CONNECT_SHARE, _LEAST_SECONDS))
            try:
                raw.connect((self._address, self._port))
            except TimeoutError as error:
                raise requests.ConnectTimeout("the connection is not accepted") from error
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The handshake as a whole gets this time.
            raw.settimeout(max(self.deadline - time.monotonic(), _LEAST_SECONDS))
            secured = self._context.wrap_socket(raw, server_hostname=self._address)
        except TimeoutError as error:
            raw.close()
            raise requests.Timeout("the handshake takes too long") from error
        except OSError as error:
            raw.close()
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(error) from error
        return _Socket(secured, f"{in_url(self._address)}:{self._port}")

    def close(self) -> None:
        """End the connection that is kept."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Answer(requests.Response):
    """An answer whose text is UTF-8, and whose JSON has been parsed within bounds."""

    def __init__(self, request: Any, response: http.client.HTTPResponse) -> None:
        """Look at the head of an answer.

        :raises answers.BadAnswerError: when it is of a kind that is not accepted.
        """
        super().__init__()
        self._response = response
        self._list: list[Any] | None = None
        self.request, self.url = request, request.url
        self.status_code = response.status
        # The server's own words for a status are of no use.
        self.reason = http.client.responses.get(response.status, "")
        self.encoding = "utf-8"
        if 300 <= response.status < 400:
            raise answers.BadAnswerError("its answer is a redirect, which is not followed")
        if not (200 <= response.status < 300 or 400 <= response.status < 600):
            raise answers.BadAnswerError(f"its answer has status {response.status}")
        if (response.getheader("Content-Encoding") or "identity").lower() != "identity":
            raise answers.BadAnswerError("its answer is compressed, which is not accepted")
        if (response.getheader("Transfer-Encoding") or "chunked").lower() != "chunked":
            raise answers.BadAnswerError("its answer is encoded in a way that is not accepted")
        self.headers.update(response.getheaders())

    def read(self, connection: "_Socket", bounds: answers.Bounds) -> None:
        """Read the body, and parse it where it is a list.

        :raises answers.BadAnswerError: when it is not accepted.
        """
        if not self.ok:
            self._read_error(connection)
            return
        target = urllib.parse.urlsplit(str(self.url)).path
        is_get = self.request.method == "GET"
        bound = bounds(_VERSION.sub("", target, count=1) if is_get else "")
        pieces = connection.pieces(self._response, bound.size)
        if bound.items is None:
            self._content = b"".join(pieces)
        else:
            self._list, self._content = answers.listing(pieces, bound), b""
        self._content_consumed = True

    def _read_error(self, connection: "_Socket") -> None:
        body = b"".join(connection.pieces(self._response, answers.LONGEST_ERROR))
        try:
            told = answers.document(body)
            message = told.get("message") if isinstance(told, dict) else ""
        except answers.BadAnswerError:
            message = body.decode("utf-8", "replace")
        self._list = None
        self._message = text.line(message or "", _LONGEST_MESSAGE)
        self._content, self._content_consumed = self._message.encode(), True

    def json(self, **_: Any) -> Any:
        """Return what the body says.

        :raises Rejected: when it is no JSON, or has too many parts.
        """
        if not self.ok:
            return {"message": self._message}
        if self._list is not None:
            return self._list
        try:
            return answers.document(self.content)
        except answers.BadAnswerError as error:
            raise Rejected(str(error)) from error


class _Socket:
    """A connection, each of whose reads and writes gets what is left of the time."""

    def __init__(self, secured: ssl.SSLSocket, host: str) -> None:
        self.deadline = 0.0
        self._secured, self._host = secured, host
        self._reader = _Reader(self)

    def wait(self) -> ssl.SSLSocket:
        """Return the socket for one more read or write.

        :raises TimeoutError: when the time is over.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        self._secured.settimeout(left)
        return self._secured

    def makefile(self, *_: Any) -> io.BufferedReader:
        """Return what an answer is read from, as ``http.client`` demands it."""
        self._reader = _Reader(self)
        return io.BufferedReader(self._reader, _BUFFER)

    def exchange(self, request: Any) -> http.client.HTTPResponse:
        """Send a request and return the answer as far as its head."""
        given = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "accept-encoding", "connection", "transfer-encoding")
        }
        fields = {"Host": self._host, "Accept-Encoding": "identity", **given}
        head = f"{request.method} {request.path_url} HTTP/1.1\r\n"
        head += "".join(f"{name}: {_decoded(value)}\r\n" for name, value in fields.items())
        self._send(f"{head}\r\n".encode("latin-1"))
        body = request.body
        if hasattr(body, "read"):
            while piece := body.read(_PIECE):
                self._send(piece)
        elif body:
            self._send(body.encode() if isinstance(body, str) else body)
        response = http.client.HTTPResponse(self, method=request.method)  # type: ignore[arg-type]
        self._reader.budget = _LONGEST_HEAD
        response.begin()
        return response

    def pieces(self, response: http.client.HTTPResponse, longest: int) -> Iterator[bytes]:
        """Yield an answer's body.

        :param longest: in bytes.
        :raises answers.BadAnswerError: when it is longer.
        """
        too_long = answers.BadAnswerError(f"its answer is larger than {longest} bytes")
        if (response.length or 0) > longest:
            raise too_long
        self._reader.budget = longest + longest // 16 + 2 * _FRAMING
        before, got = self._reader.count, 0
        while piece := response.read(_PIECE):
            got += len(piece)
            if got > longest or self._reader.count - before > got + got // 16 + 2 * _FRAMING:
                raise too_long
            yield piece
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)

    def stream(self) -> None:
        """Let the rest of an answer be as long as a file."""
        self._reader.budget = _LONGEST_STREAM

    def close(self) -> None:
        """End the connection."""
        self._secured.close()

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.wait().send(view) :]


class _Reader(io.RawIOBase):
    """What arrives at a socket.

    :ivar budget: how many bytes may still arrive.
    :ivar count: how many have arrived.
    """

    def __init__(self, connection: _Socket) -> None:
        super().__init__()
        self.budget = 0
        self.count = 0
        self._connection = connection

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, at least one byte."""
        if self.budget <= 0:
            raise answers.BadAnswerError("its answer is padded beyond measure")
        count = self._connection.wait().recv_into(memoryview(buffer)[: self.budget])
        self.count += count
        self.budget -= count
        return count


class _Stream:
    """The body of an answer that a caller takes as it comes."""

    def __init__(self, connection: _Socket, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response
        connection.stream()

    def read(self, size: int | None = None) -> bytes:
        """Return so many bytes at most; none at the end."""
        try:
            piece = self._response.read(size)
            if not piece and self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
        except TimeoutError as error:
            raise requests.Timeout("the answer takes too long") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise requests.ConnectionError(error) from error
        return piece

    def close(self) -> None:
        """End the connection, which is not used again."""
        self._connection.close()


def _decoded(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
