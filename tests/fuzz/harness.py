# SPDX-License-Identifier: Apache-2.0
"""Gives inputs to targets, and measures what each of them costs.

Processor is measured of each input. ``tracemalloc`` makes an input several times as slow, so memory
is measured of those that are kept, of a sample, and of long ones; beside these the size of the
process is watched. Where a batch of inputs makes it grow, each of them is measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import pathlib
import signal
import sys
import time
import traceback
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.fuzz import inputs as making

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
# What one input may cost at most.
MOST_SECONDS = 1.0
MOST_BYTES = 64 << 20
# After so many seconds an input is ended: it waits for something that never comes.
_PATIENCE = 20.0
# Beyond this, a time is measured again, and the least of three counts: caches are cold at first.
_NOISE_SECONDS = 0.05
# Inputs between two looks at the size of the process.
_BATCH = 50
# Memory is measured of one in so many, and of each from this size on.
_SAMPLE = 25
_LONG = 64 << 10
# One in so many is an input that is kept, with bytes changed.
_OF_KEPT = 12
# Inputs of the same drawn values.
_ROUND = 20_000
# For which an input that breaks the contract is made smaller.
_SHRINK_SECONDS = 60.0
# Inputs in a row that were given before, after which a target has no more.
_STERILE = 2000
_HARMFUL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_OWN = "magnum_swarm_mode"


class Target:
    """A parser, and its contract.

    Subclasses say the contract in their docstrings.

    :cvar name: also of the folder of its kept inputs.
    :cvar refusals: the exceptions that may leave the parser.
    :cvar longest: of each text that is shown, in characters.
    :cvar depths: functions that return, and do not raise, where a kept input is valid; see
        :mod:`tests.fuzz.depth`.
    """

    name = ""
    refusals: tuple[type[BaseException], ...] = ()
    longest = 10_000
    depths: tuple[Callable[..., Any], ...] = ()

    def inputs(self) -> making.Make:
        """Return what makes inputs."""
        raise NotImplementedError

    def ready(self) -> contextlib.AbstractContextManager[Any]:
        """Return what has to be there while inputs are given."""
        return contextlib.nullcontext()

    def read(self, data: bytes) -> Iterable[str]:
        """Give an input to the parser; return the texts that become visible by it."""
        raise NotImplementedError

    def told(self, error: BaseException) -> str:
        """Return what becomes visible by a refusal."""
        return str(error)


class Finding(Exception):  # noqa: N818 (it is one)
    """An input that breaks a contract.

    :ivar kind: what is broken, and where; the same for inputs that find the same.
    """

    def __init__(self, kind: str, data: bytes, detail: str = "") -> None:
        super().__init__(kind, data, detail)
        self.kind, self.data, self.detail = kind, data, detail

    def __str__(self) -> str:
        return f"{self.kind}: {self.data[:200]!r}{'…' if len(self.data) > 200 else ''}"


class _Hang(BaseException):
    """An input is not done in a multiple of the time that it may take."""


@dataclasses.dataclass
class Figures:
    """What the inputs of a target came to.

    :ivar seconds: of processor, altogether, the making of the inputs included.
    :ivar slowest: seconds of processor that the slowest input takes.
    :ivar largest: bytes that the largest input needed beside itself, at its peak.
    :ivar measured: of how many inputs the memory was measured singly.
    """

    name: str
    inputs: int = 0
    kept: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    largest: int = 0
    measured: int = 0
    refusals: int = 0
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """Return the figures on one line."""
        return (
            f"{self.name:18} {self.inputs:>8} inputs {self.kept:>4} kept {self.seconds:>7.1f} s "
            f"slowest {1000 * self.slowest:>6.1f} ms memory {self.largest / (1 << 20):>5.1f} MiB "
            f"{self.refusals / max(1, self.inputs):>4.0%} refused "
            f"{len(self.findings):>3} findings"
        )


class Runner:
    """Gives inputs to one target.

    :ivar figures: what they came to.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.figures = Figures(target.name)
        self._seen: set[int] = set()
        self._size = _Size()

    def run(self, inputs: int, seed: int) -> Figures:
        """Give the kept inputs, and so many others that differ from each other.

        The first of these that breaks the contract is made smaller, and ends it.
        """
        began = time.process_time()
        with self.target.ready(), _alarm(), silence():
            known = list(kept(self.target.name))
            for data in known:
                self.figures.kept += 1
                try:
                    self._count(self._checked(data, is_traced=True))
                except Finding as finding:
                    self.figures.findings.append(finding)
            if not self.figures.findings:
                try:
                    for at in range(0, inputs, _ROUND):
                        self._round(min(_ROUND, inputs - at), seed * 1_000_003 + at, known)
                except Finding as finding:
                    self.figures.findings.append(self._smallest(finding))
        self.figures.seconds = time.process_time() - began
        return self.figures

    def _round(self, inputs: int, seed: int, known: list[bytes]) -> None:
        new = self._new(making.Dice(seed), known)
        for at in range(0, inputs, _BATCH):
            self._give(list(itertools.islice(new, min(_BATCH, inputs - at))))

    def _new(self, dice: making.Dice, known: list[bytes]) -> Iterator[bytes]:
        """Yield inputs that were not given before."""
        make, sterile = self.target.inputs(), 0
        while sterile < _STERILE:
            is_of_kept = known and not dice.randrange(_OF_KEPT)
            data = making.cut(dice.choice(known), dice) if is_of_kept else make(dice)
            key = hash(data)
            sterile += 1
            if key not in self._seen:
                self._seen.add(key)
                sterile = 0
                yield data
        raise RuntimeError(f"{self.target.name} has no more than {len(self._seen)} inputs")

    def _give(self, batch: list[bytes]) -> None:
        """Give a batch of inputs; again and singly where they need more memory than those before.

        What the process has reserved before hides as much, so that is at most half of what one may
        take; else each input is measured.
        """
        is_tight = self._size.hidden() > MOST_BYTES // 2
        before = self._size.peak()
        untraced = []
        for number, data in enumerate(batch):
            is_traced = is_tight or len(data) > _LONG or number % _SAMPLE == 0
            if not is_traced:
                untraced.append(data)
            self._count(self._checked(data, is_traced=is_traced))
        if untraced and self._size.peak() > before:
            for data in untraced:
                cost = self._checked(data, is_traced=True)
                self.figures.largest = max(self.figures.largest, cost.memory)
            self.figures.measured += len(untraced)

    def _smallest(self, finding: Finding) -> Finding:
        """Return the finding of the same kind of an input that is a part of the first one."""
        end = time.monotonic() + _SHRINK_SECONDS
        found = finding
        size = len(found.data) // 2
        while size:
            at = 0
            while at < len(found.data):
                if time.monotonic() > end:
                    return found
                try:
                    self._checked(found.data[:at] + found.data[at + size :], is_traced=True)
                    at += size
                except Finding as smaller:
                    found, at = (smaller, at) if smaller.kind == found.kind else (found, at + size)
            size //= 2
        return found

    def _count(self, cost: _Cost) -> None:
        figures = self.figures
        figures.inputs += 1
        figures.refusals += cost.refused
        figures.measured += cost.is_traced
        figures.slowest = max(figures.slowest, cost.seconds)
        figures.largest = max(figures.largest, cost.memory)

    def _checked(self, data: bytes, *, is_traced: bool) -> _Cost:
        """Return what an input costs.

        :param is_traced: whether its memory is measured.
        :raises Finding: when it breaks the contract.
        """
        cost = self._measured(data, is_traced=is_traced)
        if cost.seconds > max(_NOISE_SECONDS, self.figures.slowest):
            again = (self._measured(data, is_traced=False) for _ in range(2))
            cost.seconds = min(cost.seconds, *(one.seconds for one in again))
        if cost.seconds > MOST_SECONDS:
            raise Finding(f"{self.target.name} takes more than {MOST_SECONDS} s", data)
        if cost.memory > MOST_BYTES:
            raise Finding(f"{self.target.name} takes more than {MOST_BYTES >> 20} MiB", data)
        for text in cost.texts:
            if len(text) > self.target.longest:
                raise Finding(f"{self.target.name} says more than {self.target.longest}", data)
            if not text.isprintable() and (harmful := [one for one in text if is_harmful(one)]):
                raise Finding(f"{self.target.name} says {harmful[0]!r}", data, text[:200])
        return cost

    def _measured(self, data: bytes, *, is_traced: bool) -> _Cost:
        target = self.target
        cost = _Cost(is_traced=is_traced)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        if is_traced:
            tracemalloc.start()
        # What other processes take of the processors is not counted.
        began = time.process_time()
        try:
            cost.texts = list(target.read(data))
        except target.refusals as error:
            cost.texts, cost.refused = [target.told(error)], True
        except KeyboardInterrupt:
            raise
        except _Hang as error:
            raise Finding(f"{target.name} is not done in {_PATIENCE} s", data) from error
        except BaseException as error:
            where = _where(error)
            raise Finding(
                f"{target.name} raises {type(error).__name__} {where}",
                data,
                "".join(traceback.format_exception(error, limit=-6, chain=False))[-3000:],
            ) from error
        finally:
            cost.seconds = time.process_time() - began
            if is_traced:
                cost.memory = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            signal.setitimer(signal.ITIMER_REAL, 0)
        return cost


class _Size:
    """The address space of this process, in bytes."""

    def peak(self) -> int:
        """Return how large it has been at most."""
        return self._said(b"VmPeak:")

    def hidden(self) -> int:
        """Return by how much it could grow, and not be larger than it has been."""
        return self.peak() - self._said(b"VmSize:")

    def _said(self, name: bytes) -> int:
        status = pathlib.Path("/proc/self/status").read_bytes()
        return int(status.partition(name)[2].split(None, 1)[0]) << 10


@dataclasses.dataclass
class _Cost:
    seconds: float = 0.0
    memory: int = 0
    refused: bool = False
    is_traced: bool = False
    texts: list[str] = dataclasses.field(default_factory=list)


def is_harmful(one: str) -> bool:
    """Return whether a character does harm where it is shown."""
    return unicodedata.category(one) in _HARMFUL and one not in "\n\t"


def kept(name: str) -> Iterator[bytes]:
    """Return the inputs of a target that are kept."""
    folder = CORPUS / name
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            yield path.read_bytes()


def keep(finding: Finding, name: str) -> pathlib.Path:
    """Write an input that broke a contract to those that are kept; return its file."""
    kind = finding.kind.removeprefix(f"{name} ")
    words = "".join(one if one.isalnum() else "-" for one in kind)
    path = CORPUS / name / ("-".join(filter(None, words.split("-")))[:80] + ".bin")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(finding.data)
    return path


def _where(error: BaseException) -> str:
    """Return the place in the product that an error passed last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _OWN in frame.filename] or frames[-1:]
    return f"in {pathlib.Path(own[-1].filename).name} {own[-1].name}" if own else "somewhere"


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Have libraries log nothing of all this."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def report(figures: Figures, *, keeps: bool = False) -> None:
    """Print what the inputs of a target came to, and each finding."""
    sys.stdout.write(f"{figures.text()}\n")
    for finding in figures.findings:
        sys.stdout.write(f"  {finding}\n")
        sys.stdout.write("".join(f"    {line}\n" for line in finding.detail.splitlines()))
        if keeps:
            sys.stdout.write(f"  kept in {keep(finding, figures.name)}\n")
    sys.stdout.flush()
