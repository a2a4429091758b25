# SPDX-License-Identifier: Apache-2.0
"""What inputs are made of: valid ones, in which something is changed.

A change is one of JSON's tree (another kind, nothing, twice, many, deeper) or one of bytes (cut,
put in, repeated, in another encoding). An input has a few of each, so that most of it stays valid
and what is behind the first check is reached too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


class Raw(str):
    """JSON that ``json.dumps`` would not write as such."""

    __slots__ = ()


class Object(dict[str, Any]):
    """An object of JSON some of whose names occur twice."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.more: list[tuple[str, Any]] = []


# Each means something to some parser: a kind, a bound, a digit that is none, a terminal.
EVIL: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 2**64, 1.5, -0.0,
    Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("1e-999"), Raw("9" * 4200),
    "", " ", "0", "-1", "1e9", "NaN", "²", "٣", "9" * 30, "9" * 5000, "x" * 70_000, "語" * 5000,
    Raw('"\\ud800"'), Raw('"\\udfff\\ud800"'), "\x00", "\x1b[2J\x07",
    "\u202e\u2066\u200f", "a\r\nb: c", "\u2028",
    "\U0010ffff", "\U0001f433", "%s%n{0}%index%", "http://[", "http://a:b@[::1]:99999/", "//",
    "../../etc/passwd", "::1", "10.0.0.1", "[::]:2377", "0.0.0.0/0", "1.2.3.4/99", "a=b,c=d",
    "ready", "manager", "reachable", "FAILURE", "SUCCESS", "CREATE_FAILED", "UPDATE_IN_PROGRESS",
    [], {}, [[]], [{}], [None], [0, "", {}], {"": None}, {"a": {"b": []}}, {"0": "x"}, {"-1": {}},
    Raw("[" * 400 + "]" * 400), Raw("[" + "{}," * 5000 + "0]"), Raw('{"a":1,"a":2,"a":[3]}'),
)  # fmt: skip
# What no parser takes: too deep, too long, no JSON, no text.
BROKEN: tuple[Any, ...] = (
    Raw("9" * 5000), Raw("[" * 5000 + "]" * 5000), Raw("[" * 5000), "\ud800", "\udfff\ud800",
    Raw('{"a":' * 5000 + "1" + "}" * 5000), Raw("01"), Raw("'a'"), Raw("//"), Raw("1,"),
)  # fmt: skip
_BYTES = (
    b"", b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf",
    b"\r\n", b"\n\n", b"\r\n\r\n", b"{", b"]", b"\"", b"\\", b",", b":", b"\x1b[2J", b"null",
    b"[" * 2000,
    b" " * 5000, b"A" * 70_000, b"0\r\n\r\n", b"-1", b"9" * 5000,
)  # fmt: skip
_ENCODINGS = (*["utf-8"] * 30, "utf-16", "utf-32", "utf-8-sig", "utf-7")


def often(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return one of several strategies, each as often as is said; ``one_of`` takes each alike."""
    table = [strategy for count, strategy in choices for _ in range(count)]
    return st.sampled_from(range(len(table))).flatmap(table.__getitem__)


_VALUES = often(
    (10, st.sampled_from(EVIL)),
    (2, st.text(max_size=8)),
    (2, st.integers()),
    (1, st.sampled_from(BROKEN)),
)
# How, where, and what with.
_CHANGES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4095), _VALUES), max_size=4)
CUTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 65535), st.sampled_from(_BYTES)), max_size=2
)


def documents(*valid: Any, cuts: bool = True) -> st.SearchStrategy[bytes]:
    """Return texts of JSON that were valid.

    :param valid: what they begin as.
    :param cuts: whether bytes are changed as well.
    """
    trees = st.builds(changed, st.sampled_from(valid), _CHANGES)
    texts = st.builds(encoded, trees, st.sampled_from(_ENCODINGS))
    if not cuts:
        return texts
    return often((12, texts), (2, st.builds(cut, texts, CUTS)), (1, st.binary(max_size=200)))


def parts(*strategies: st.SearchStrategy[bytes], between: bytes) -> st.SearchStrategy[bytes]:
    """Return inputs of several parts."""
    return st.tuples(*strategies).map(between.join)


def changed(tree: Any, changes: Sequence[tuple[int, int, Any]]) -> Any:
    """Return a tree with changes."""
    root = [_own(tree)]
    for how, where, value in changes:
        places = list(_places(root))
        holder, key = places[where % len(places)]
        _CHANGE[how % len(_CHANGE)](holder, key, _own(value))
        if not root:
            return None
    return root[0]


def _own(value: Any) -> Any:
    if isinstance(value, dict):
        return Object({key: _own(one) for key, one in value.items()})
    return [_own(one) for one in value] if isinstance(value, list) else value


def _places(holder: Any) -> Any:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _replace(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


def _remove(holder: Any, key: Any, _: Any) -> None:
    if holder:
        del holder[key]


def _twice(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, Object):
        holder.more.append((key, value))
    elif isinstance(holder, list):
        holder.append(value)


def _rename(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, dict) and isinstance(value, str):
        holder[value] = holder.pop(key)
    else:
        holder[key] = value


def _deeper(holder: Any, key: Any, value: Any) -> None:
    holder[key] = [holder[key]] if isinstance(value, str | int) else Object({"a": holder[key]})


def _many(holder: Any, key: Any, value: Any) -> None:
    """Have the same often."""
    count = 2 + (abs(value) % 300 if isinstance(value, int) else 60)
    if isinstance(holder, list):
        holder.extend([holder[key]] * min(count, max(1, 20_000 // (1 + len(str(holder[key]))))))
    else:
        holder.update({f"{key}{number}": holder[key] for number in range(min(count, 60))})


_CHANGE = (_replace, _replace, _replace, _replace, _remove, _twice, _rename, _deeper, _many)


def encoded(tree: Any, encoding: str = "utf-8") -> bytes:
    """Return a tree as JSON; what no encoding has is written as it is."""
    return text(tree).encode(encoding, "surrogatepass" if encoding != "utf-7" else "replace")


def text(tree: Any) -> str:
    """Return a tree as JSON."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, dict):
        pairs = [*tree.items(), *getattr(tree, "more", ())]
        return "{" + ", ".join(f"{json.dumps(str(k))}: {text(one)}" for k, one in pairs) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(text, tree)) + "]"
    return json.dumps(tree, ensure_ascii=not isinstance(tree, str) or len(tree) % 2 == 0)


def cut(data: bytes, cuts: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return bytes with changes."""
    for how, where, value in cuts:
        at = where % (len(data) + 1)
        if how == 0:
            data = data[:at]
        elif how == 1:
            data = data[:at] + value + data[at:]
        elif how == 2:
            data = data[:at] + value + data[at + max(1, len(value)) :]
        elif how == 3:
            data = data[:at] + data[at : at + 64] * 40 + data[at + 64 :]
        else:
            data = data[at:] + data[:at]
    return data


_HEADS = (
    "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 204 ",
    "HTTP/1.1 404 Not Found", "HTTP/1.1 500 No", "HTTP/1.1 503 x", "HTTP/1.1 302 Found",
    "HTTP/1.1 401 \x1b[2J", "HTTP/1.1 101 Switch", "HTTP/1.1 100 Continue", "HTTP/1.1 99999 x",
    "HTTP/9.9 200", "HTTP/1.1 abc", "ICY 200 OK", "", "HTTP/1.1 -200 OK", "HTTP/1.1 200\tOK",
)  # fmt: skip
_FIELDS = (
    "Content-Type: application/json", "Content-Type: text/html; charset=utf-16",
    "Content-Type: application/json; charset=unicode_escape", "Content-Encoding: gzip",
    "Content-Encoding: identity", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked",
    "Connection: close", "Connection: keep-alive", "Location: http://169.254.169.254/",
    "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999",
    "Content-Length: " + "9" * 5000, "Content-Length: ²", "Content-Length: 5, 5", "Set-Cookie: a=b",
    "Api-Version: 1.45", "Api-Version: 1", "Api-Version: 1.2.3.4", "Api-Version: x.y",
    "Api-Version: 9999999999.1", "Api-Version: ²", "Api-Version: -1.-1", "Api-Version: 1.41\x1b",
    "Date: Sun, 29 Nov 2026 17:00:00 GMT", "Date: Sun, 29 Nov 99999999999 17:00:00 GMT",
    "Date: 1 1 1 1 1", "Date: Sun, 99 Foo 2026 99:99:99 +999999", "Date: , ", "Date: a b c d e f",
    "Date: Sun, 29 Nov 2026 17:00:00 " + "9" * 30, "X-Subject-Token: token",
    "X-Subject-Token: \x1b\x7fÿ", "X-Subject-Token: a\r\n b", "X-Subject-Token: " + "t" * 9000,
    "no colon", ": empty", " folded", "a" * 70_000 + ": b", "a: " + "b" * 70_000, "é: é",
    "\x00: \x00",
)  # fmt: skip
_FRAMES = ("length", "length", "length", "length", "chunks", "end", "short", "long", "ones")


def answers(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return HTTP answers, of which most are valid around their bodies."""
    fields = st.lists(st.sampled_from(_FIELDS), max_size=3)
    odd = st.builds(answer, bodies, st.sampled_from(_FRAMES), st.sampled_from(_HEADS), fields)
    plain = st.builds(answer, bodies, st.sampled_from(_FRAMES))
    good = st.builds(answer, bodies)
    wild = st.builds(cut, st.one_of(plain, odd), CUTS)
    return often((10, good), (2, plain), (2, odd), (2, wild))


def answer(
    body: bytes, frame: str = "length", head: str = _HEADS[0], fields: Sequence[str] = ()
) -> bytes:
    """Return an HTTP answer.

    :param frame: how it says where its body ends.
    """
    said = list(fields)
    if frame in ("chunks", "ones"):
        said.append("Transfer-Encoding: chunked")
        # Chunks of one byte are the most expensive ones; not too many.
        size = 1 if frame == "ones" and len(body) < 3000 else max(1, len(body) // 3)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
    elif frame != "end":
        length = len(body) + {"length": 0, "short": -3, "long": 3}[frame]
        said.append(f"Content-Length: {length}")
    lines = "\r\n".join([head, "Content-Type: application/json", *said, "", ""])
    return lines.encode("utf-8", "surrogatepass") + body
