# SPDX-License-Identifier: Apache-2.0
"""What inputs are made of: valid ones, in which something is changed.

A change is one of JSON's values (another one of the same kind or of another, nothing, twice, many,
deeper) or one of bytes (cut, put in, repeated, in another encoding). Most inputs have one or two,
so that what is behind the first check is reached. Places are known beforehand, so that a change
costs microseconds; where and which is drawn with a seed. Hypothesis draws the values.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import strategies as st

# Makes an input, or a part of one.
Make = Callable[["Dice"], bytes]


class Raw(str):
    """JSON that ``json.dumps`` would not write as such."""

    __slots__ = ()


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
_ENCODINGS = ("utf-16", "utf-32", "utf-8-sig", "utf-7")
# Of this size, a value is put in seldom: it costs as much as a hundred others.
_LONG = 2000  # characters
# How many values Hypothesis draws for a run.
_DRAWN = 400


def text(tree: Any, *, ascii_only: bool = True) -> str:
    """Return a tree as JSON."""
    return "".join(_Writer(ascii_only).written(tree).pieces)


def encoded(tree: Any) -> bytes:
    """Return a tree as JSON in bytes."""
    return text(tree).encode("utf-8", "surrogatepass")


@dataclasses.dataclass
class _Place:
    """Where a value stands in a text.

    :ivar first: where its name begins, if it has one; else where it begins.
    :ivar name_end: where its name ends; 0 where it has none.
    :ivar gone: what is removed with it, a comma included.
    """

    start: int
    end: int
    first: int
    name_end: int = 0
    gone: tuple[int, int] = (0, 0)


class _Writer:
    """Writes JSON, and notes where its values stand."""

    def __init__(self, ascii_only: bool) -> None:
        self.pieces: list[str] = []
        self.places: list[_Place] = []
        self._ascii, self._at = ascii_only, 0

    def written(self, tree: Any) -> _Writer:
        """Write a whole tree."""
        self._value(tree, 0, 0)
        return self

    def _add(self, piece: str) -> None:
        self.pieces.append(piece)
        self._at += len(piece)

    def _value(self, tree: Any, first: int, name_end: int) -> _Place:
        place = _Place(self._at, 0, first, name_end)
        self.places.append(place)
        if isinstance(tree, Raw):
            self._add(str(tree))
        elif isinstance(tree, dict | list):
            self._many(tree)
        else:
            self._add(json.dumps(tree, ensure_ascii=self._ascii))
        place.end = self._at
        return place

    def _many(self, tree: dict[str, Any] | list[Any]) -> None:
        named = isinstance(tree, dict)
        self._add("{" if named else "[")
        found: list[_Place] = []
        for key, one in tree.items() if isinstance(tree, dict) else enumerate(tree):
            if found:
                self._add(", ")
            first, name_end = self._at, 0
            if named:
                self._add(json.dumps(str(key), ensure_ascii=self._ascii))
                name_end = self._at
                self._add(": ")
            found.append(self._value(one, first, name_end))
        self._add("}" if named else "]")
        for place, after in itertools.pairwise(found):
            place.gone = (place.first, after.first)
        if found:
            before = found[-2].end if len(found) > 1 else found[-1].first
            found[-1].gone = (before, found[-1].end)


class _Pool:
    """Texts of JSON to put in, by what they begin with; long and broken ones are seldom drawn."""

    def __init__(self, values: Sequence[str]) -> None:
        short = [one for one in values if len(one) <= _LONG]
        self._any = short
        self._long = [one for one in values if len(one) > _LONG] or short
        self._broken = [text(one) for one in BROKEN]
        self._texts = [one for one in short if one[:1] == '"']
        self._objects = [one for one in short if one[:1] == "{"]
        self._numbers = [one for one in short if one[:1] in "-0123456789tfn"]

    def any(self, dice: Dice) -> str:
        """Return any value."""
        chance = dice.random()
        if chance < 0.92:
            return dice.choice(self._any)
        return dice.choice(self._long if chance < 0.98 else self._broken)

    def text(self, dice: Dice) -> str:
        """Return a text."""
        return dice.choice(self._texts)

    def like(self, dice: Dice, value: str) -> str:
        """Return a value of the same kind as another one."""
        kind = value[:1]
        if kind == '"':
            return self._changed(dice, value)
        if kind not in "[{":
            is_whole = dice.random() < 0.3
            return str(dice.randrange(70_000)) if is_whole else dice.choice(self._numbers)
        # One more member or item, which may be unknown.
        comma = ", " if len(value) > 2 else ""
        return f"{kind}{self._member(dice, value)}{comma}{value[1:]}"

    def _member(self, dice: Dice, value: str) -> str:
        """Return a member of an object, or an item of a list, most of them like its first."""
        if value[0] == "{":
            return f"{self.text(dice)}: {self.any(dice)}"
        if value[1] == "]" or dice.random() < 0.2:
            return self.any(dice)
        return dice.choice({'"': self._texts, "{": self._objects}.get(value[1], self._numbers))

    def _changed(self, dice: Dice, value: str) -> str:
        """Return a text of which a little is changed."""
        if "\\" in value or dice.random() < 0.4:
            return self.text(dice)
        at = 1 + dice.randrange(len(value) - 1)
        inner = self.text(dice)[1:-1][:200]
        if "\\" in inner:
            inner = str(dice.randrange(1000))
        skip = dice.choice((0, 0, 1, 3, 1000))
        return value[:at] + inner + value[min(at + skip, len(value) - 1) :]


@functools.lru_cache(maxsize=4)
def _pool(seed: int) -> _Pool:
    """Return the values of a run, most of which Hypothesis draws."""
    leaves = st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.none())
    trees = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=6,
    )
    drawn: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=_DRAWN,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.one_of(leaves, st.text(max_size=12), trees))
    def draw(value: Any) -> None:
        drawn.append(text(value, ascii_only=len(drawn) % 2 == 0))

    draw()
    return _Pool([*(text(one) for one in EVIL), *drawn])


class Dice(random.Random):
    """What is drawn with a seed.

    :ivar pool: values to put in.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.pool = _pool(seed)


class Document:
    """A valid text of JSON, with places to change."""

    def __init__(self, tree: Any, *, ascii_only: bool = True) -> None:
        writer = _Writer(ascii_only).written(tree)
        self.text = "".join(writer.pieces)
        self.places = writer.places

    def changed(self, dice: Dice) -> str:
        """Return the text with one change or a few."""
        pool = dice.pool
        count = bisect.bisect((0.6, 0.85, 0.95), dice.random()) + 1
        edits = sorted((self._edit(dice, pool) for _ in range(count)), reverse=True)
        result, last = self.text, len(self.text) + 1
        for start, end, value in edits:
            if end <= last and start < last:
                result = result[:start] + value + result[end:]
                last = start
        return result

    def _place(self, dice: Dice) -> _Place:
        # The whole is changed seldom: that is what a parser refuses at once.
        if len(self.places) == 1 or dice.random() < 0.03:
            return self.places[0]
        return self.places[1 + dice.randrange(len(self.places) - 1)]

    def _edit(self, dice: Dice, pool: _Pool) -> tuple[int, int, str]:
        place = self._place(dice)
        start, end = place.start, place.end
        now = self.text[start:end]
        name = self.text[place.first : place.name_end] if place.name_end else ""
        how = dice.random()
        if how < 0.45:
            return start, end, pool.like(dice, now)
        if how < 0.6:
            return start, end, pool.any(dice)
        if how < 0.65:
            other = dice.choice(self.places)
            return start, end, self.text[other.start : other.end]
        if how < 0.72 and start:
            return (*place.gone, "")
        if how < 0.8 and start:
            # Twice, or beside it something unknown.
            named = f"{name if dice.random() < 0.5 else pool.text(dice)}: " if name else ""
            return end, end, f", {named}{pool.any(dice)}"
        if how < 0.86 and name:
            return place.first, place.name_end, pool.text(dice)
        if how < 0.93:
            depth = dice.choice((1, 1, 1, 2, 5, 100, 900))
            around = dice.choice((("[", "]"), ('{"a": ', "}")))
            return start, end, around[0] * depth + now + around[1] * depth
        return end, end, _many(dice, name, now) if start else " "


def _many(dice: Dice, name: str, value: str) -> str:
    """Return the same many times more, up to 16 KiB; 300 KiB sometimes."""
    most = max(1, (300_000 if dice.random() < 0.05 else 16_000) // (len(value) + len(name) + 4))
    count = min(most, dice.choice((1, 2, 10, 100, 700)))
    if not name:
        return f", {value}" * count
    return "".join(f", {name[:-1]}{number}{name[-1:]}: {value}" for number in range(count))


def often(*choices: tuple[int, Make]) -> Make:
    """Return what makes inputs in one of several ways, each as often as is said."""
    makes = [make for _, make in choices]
    weights = list(itertools.accumulate(count for count, _ in choices))

    def make(dice: Dice) -> bytes:
        return makes[bisect.bisect(weights, dice.randrange(weights[-1]))](dice)

    return make


def just(data: bytes) -> Make:
    """Return what always makes the same."""
    return lambda _: data


def documents(*valid: Any, cuts: bool = True) -> Make:
    """Return what makes texts of JSON that were valid.

    :param valid: what they begin as.
    :param cuts: whether bytes are changed as well.
    """
    known = [Document(one, ascii_only=is_ascii) for one in valid for is_ascii in (True, False)]

    def make(dice: Dice) -> bytes:
        said = dice.choice(known).changed(dice)
        chance = dice.random()
        if chance < 0.97 or not cuts:
            data = said.encode("utf-8", "surrogatepass")
        else:
            name = dice.choice(_ENCODINGS)
            data = said.encode(name, "surrogatepass" if name != "utf-7" else "replace")
        if cuts and chance < 0.1:
            return cut(data, dice) if chance > 0.01 else dice.randbytes(dice.randrange(200))
        return data

    return make


def parts(*makes: Make, between: bytes) -> Make:
    """Return what makes inputs of several parts."""
    return lambda dice: between.join([make(dice) for make in makes])


def cutting(make: Make) -> Make:
    """Return what makes inputs whose bytes are changed."""
    return lambda dice: cut(make(dice), dice)


def cut(data: bytes, dice: Dice) -> bytes:
    """Return bytes with one change or two."""
    for _ in range(dice.choice((1, 1, 2))):
        how, at, value = dice.randrange(5), dice.randrange(len(data) + 1), dice.choice(_BYTES)
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


def answers(bodies: Make) -> Make:
    """Return what makes HTTP answers, of which most are valid around their bodies."""

    def plain(dice: Dice) -> bytes:
        return answer(bodies(dice), dice.choice(_FRAMES))

    def odd(dice: Dice) -> bytes:
        head = dice.choice(_HEADS) if dice.random() < 0.5 else _HEADS[0]
        fields = dice.choices(_FIELDS, k=dice.choice((0, 1, 1, 2)))
        return answer(bodies(dice), dice.choice(_FRAMES), head, fields)

    def wild(dice: Dice) -> bytes:
        return cut(odd(dice), dice)

    return often((14, lambda dice: answer(bodies(dice))), (2, plain), (2, odd), (1, wild))


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
