# SPDX-License-Identifier: Apache-2.0
"""What is kept of an engine's JSON, and how large it may be; pure.

An engine belongs to a tenant. 3 MiB of ``{}`` become 100 MB of Python's objects, so a list is
parsed one item at a time while it arrives, and of each item only what is used is kept. What is not
a list is small, and is refused where it has more parts than an honest answer can have.
"""

import codecs
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from magnum_swarm_mode import text

KIB, MIB = 1024, 1024 * 1024
# An engine describes a node in 2 to 3 KiB, most of which is its plugins and the swarm's authority.
_NODE_BYTES = 8 * KIB
_SLACK_BYTES = 512 * KIB
# Of a list as a whole, however many nodes there are. It is not kept.
_LONGEST_LIST = 64 * MIB
_LONGEST_DOCUMENT = MIB
LONGEST_ERROR = 64 * KIB
# A config of Docker holds up to 1000 KiB, which base64 makes a third longer.
_LONGEST_ITEM = 2 * MIB
# An item or document beyond this size is one long text, not many small parts.
_SMALL = 128 * KIB
_MOST_PARTS = 20_000
_MOST_VALUES = 80_000
_MOST_LABELS = 50_000
_LONGEST_PEM = 16 * KIB
_SPACE = re.compile(r"[ \t\n\r]*")


class BadAnswerError(ValueError):
    """The answer is not accepted; the text says why, and nothing of what it holds."""


Leaf = Callable[[Any], Any]
Shape = Mapping[str, Any]  # names of members; a value is a Leaf or a Shape


def line(value: Any) -> str | None:
    """Keep a text that is shown."""
    return text.line(value) if isinstance(value, str) else None


def exact(value: Any) -> str | None:
    """Keep a text that is sent back, and never shown."""
    return value if isinstance(value, str) else None


def pem(value: Any) -> str | None:
    """Keep a certificate, which is compared."""
    return value[:_LONGEST_PEM] if isinstance(value, str) else None


def number(value: Any) -> int | None:
    """Keep a number that an engine's 64 bits can hold."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) < 2**63 else None


def flag(value: Any) -> bool | None:
    """Keep a truth."""
    return value if isinstance(value, bool) else None


def labels(value: Any) -> dict[str, str] | None:
    """Keep texts by name, which are sent back."""
    if not isinstance(value, Mapping):
        return None
    return {name: one for name, one in value.items() if isinstance(one, str)}


_RESOURCES = {"NanoCPUs": number, "MemoryBytes": number}
NODE: Shape = {
    "ID": line,
    "Version": {"Index": number},
    # All that engines know of; a changed node is sent back with it.
    "Spec": {"Name": exact, "Role": line, "Availability": line, "Labels": labels},
    "Description": {
        "Hostname": line,
        "Engine": {"EngineVersion": line},
        "Resources": _RESOURCES,
        "TLSInfo": {"TrustRoot": pem, "CertIssuerSubject": pem, "CertIssuerPublicKey": pem},
    },
    "Status": {"State": line, "Message": line, "Addr": line},
    "ManagerStatus": {"Leader": flag, "Reachability": line, "Addr": line},
}
TASK: Shape = {
    "ID": line,
    "NodeID": line,
    "ServiceID": line,
    "DesiredState": line,
    "Status": {"State": line},
    "Spec": {"Resources": {"Reservations": _RESOURCES}},
}
SERVICE: Shape = {"ID": line, "Spec": {"Mode": {"Replicated": {"Replicas": number}}}}
CONFIG: Shape = {"ID": line, "Spec": {"Name": exact, "Labels": labels, "Data": exact}}


@dataclasses.dataclass(frozen=True)
class Bound:
    """How large an answer may be.

    :ivar size: in bytes.
    :ivar items: how many items a list may have; None where no list is expected.
    :ivar shape: what is kept of each item; None for all.
    """

    size: int
    items: int | None = None
    shape: Shape | None = None


Bounds = Callable[[str], Bound]
_DOCUMENT = Bound(_LONGEST_DOCUMENT)


def for_conductor(nodes: int) -> Bounds:
    """Return the bound of each answer to the conductor, by its path without version.

    :param nodes: how many the cluster has, or shall have.
    """
    size = _SLACK_BYTES + nodes * _NODE_BYTES
    bounds = {
        # Besides its nodes a swarm lists those that are gone until their entries are removed.
        "/nodes": Bound(min(size, _LONGEST_LIST // 2), 200 + 4 * nodes, NODE),
        # A node of the usual size runs tens of tasks; one takes 3 KiB.
        "/tasks": Bound(min(16 * size, _LONGEST_LIST), 10_000 + 100 * nodes, TASK),
        "/services": Bound(min(16 * size, _LONGEST_LIST), 10_000, SERVICE),
        "/configs": Bound(4 * MIB, 1000, CONFIG),
    }
    return lambda path: bounds.get(path, _DOCUMENT)


def for_command(nodes: int) -> Bounds:
    """Return the bound of each answer to a user's command, which compares whole descriptions."""
    bounds = {
        "/nodes": for_conductor(nodes)("/nodes"),
        **{
            path: Bound(_LONGEST_LIST, 100_000)
            for path in ("/tasks", "/services", "/configs", "/secrets")
        },
    }
    return lambda path: bounds.get(path, _DOCUMENT)


def document(body: bytes) -> Any:
    """Return what a JSON text in UTF-8 says.

    :raises BadAnswerError: when it is none, or has too many parts.
    """
    try:
        content = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadAnswerError("its answer is not in UTF-8") from error
    _check_parts(content, 0)
    try:
        return text.parsed(content)
    except ValueError as error:
        raise BadAnswerError("its answer is no JSON") from error


def listing(pieces: Iterable[bytes], bound: Bound) -> list[Any]:
    """Return what is kept of the items of a JSON list, which comes in pieces.

    :raises BadAnswerError: when it is no list of objects, or there are too many.
    """
    window = _Window(pieces)
    window.expect("[")
    kept: list[Any] = []
    found = 0
    if window.skip("]"):
        return window.end(kept)
    while True:
        item = window.item()
        if len(kept) == (bound.items or 0):
            raise BadAnswerError(f"it lists more than {bound.items} items")
        whole = item if bound.shape is None else reduced(item, bound.shape)
        found += _labels_in(whole)
        if found > _MOST_LABELS:
            raise BadAnswerError(f"it lists more than {_MOST_LABELS} labels")
        kept.append(whole)
        if not window.skip(","):
            window.expect("]")
            return window.end(kept)


def reduced(value: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Return what a shape names of a value; what is missing or of another type is left out."""
    kept = {}
    for name, inner in shape.items():
        if (one := value.get(name)) is None:
            continue
        if isinstance(inner, Mapping):
            result = reduced(one, inner) if isinstance(one, Mapping) else None
        else:
            result = inner(one)
        if result is not None:
            kept[name] = result
    return kept


def _labels_in(item: Mapping[str, Any]) -> int:
    spec = item.get("Spec")
    found = spec.get("Labels") if isinstance(spec, Mapping) else None
    return len(found) if isinstance(found, Mapping) else 0


def _check_parts(content: str, start: int) -> None:
    """Refuse a text of many parts, which would become far larger objects."""
    if len(content) - start <= _SMALL:
        return
    parts = content.count("{", start) + content.count("[", start)
    if parts > _MOST_PARTS or content.count(",", start) > _MOST_VALUES:
        raise BadAnswerError("its answer has more parts than can be explained")


class _Window:
    """The part of a text that has arrived and is not parsed yet."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._decode = codecs.getincrementaldecoder("utf-8")("strict").decode
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at, self._is_last = "", 0, False
        # How far the text has been checked. What follows an item in it is not checked again: a
        # long item leaves room for thousands of small ones.
        self._checked = 0

    def skip(self, sign: str) -> bool:
        """Pass white space and, if it is there, a sign; return whether it was."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                is_there = self._text[self._at] == sign
                self._at += is_there
                return is_there
            if not self._more():
                return False

    def expect(self, sign: str) -> None:
        """Pass a sign that must be there."""
        if not self.skip(sign):
            raise BadAnswerError("its answer is no JSON list")

    def item(self) -> dict[str, Any]:
        """Return the next item, which must be an object."""
        self.expect("{")
        self._at -= 1
        while True:
            if self._checked < len(self._text):
                _check_parts(self._text, self._at)
                self._checked = len(self._text)
            try:
                found, self._at = self._scan(self._text, self._at)
            except RecursionError as error:
                raise BadAnswerError("its answer is no JSON") from error
            except ValueError as error:
                # Most likely it is not whole yet. Its length doubles before it is tried again, so
                # that all attempts together cost as much as two.
                have = len(self._text) - self._at
                if have > _LONGEST_ITEM:
                    raise BadAnswerError("its answer has an item that is too long") from error
                while len(self._text) - self._at < 2 * have:
                    if not self._more():
                        break
                if len(self._text) - self._at == have:
                    raise BadAnswerError("its answer is no JSON") from error
            else:
                return found  # type: ignore[no-any-return]

    def end(self, kept: list[Any]) -> list[Any]:
        """Return what was kept if nothing but white space follows."""
        self.skip("")
        if self._at < len(self._text):
            raise BadAnswerError("its answer is no JSON list")
        return kept

    def _more(self) -> bool:
        """Take in another piece; return whether there was one."""
        if self._is_last:
            return False
        piece = next(self._pieces, None)
        self._is_last = piece is None
        try:
            arrived = self._decode(piece or b"", final=self._is_last)
        except UnicodeDecodeError as error:
            raise BadAnswerError("its answer is not in UTF-8") from error
        self._text, self._at, self._checked = self._text[self._at :] + arrived, 0, 0
        return not self._is_last
