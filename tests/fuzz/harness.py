# SPDX-License-Identifier: Apache-2.0
"""Gives inputs to targets, and measures what each of them costs."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import signal
import sys
import time
import traceback
import tracemalloc
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import hypothesis
from hypothesis import strategies as st

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
# What one input may cost at most.
MOST_SECONDS = 1.0
MOST_BYTES = 64 << 20
# After so many seconds an input is ended: it waits for something that never comes.
_PATIENCE = 20.0
# Beyond this, a time is measured again, and the least of three counts: caches are cold at first.
_NOISE_SECONDS = 0.05
# Hypothesis remembers the inputs of a round.
_ROUND = 1000
# Of fewer, a round begins with the same few simple ones.
_LEAST = 50
# For which an input that breaks the contract is made smaller.
_SHRINK_SECONDS = 60.0
# Rounds without a new input after which a target has no more.
_STERILE = 20
_HARMFUL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_OWN = "magnum_swarm_mode"


class Target:
    """A parser, and its contract.

    Subclasses say the contract in their docstrings.

    :cvar name: also of the folder of its kept inputs.
    :cvar refusals: the exceptions that may leave the parser.
    :cvar longest: of each text that is shown, in characters.
    """

    name = ""
    refusals: tuple[type[BaseException], ...] = ()
    longest = 10_000

    def inputs(self) -> st.SearchStrategy[bytes]:
        """Return what inputs are made of."""
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
        super().__init__(f"{kind}: {data[:200]!r}{'…' if len(data) > 200 else ''}")
        self.kind, self.data, self.detail = kind, data, detail


class _Hang(BaseException):
    """An input is not done in a multiple of the time that it may take."""


@dataclasses.dataclass
class Figures:
    """What the inputs of a target came to.

    :ivar seconds: altogether, the making of the inputs included.
    :ivar slowest: seconds of processor that the slowest input takes.
    :ivar largest: bytes that the largest input needed beside itself, at its peak.
    """

    name: str
    inputs: int = 0
    kept: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    largest: int = 0
    refusals: int = 0
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """Return the figures on one line."""
        return (
            f"{self.name:18} {self.inputs:>8} inputs {self.kept:>4} kept {self.seconds:>7.1f} s "
            f"slowest {1000 * self.slowest:>6.1f} ms memory {self.largest / (1 << 20):>5.1f} MiB "
            f"{self.refusals:>8} refused {len(self.findings):>3} findings"
        )


class Runner:
    """Gives inputs to one target.

    :ivar figures: what they came to.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.figures = Figures(target.name)
        self._seen: set[int] = set()

    def run(self, inputs: int, seed: int) -> Figures:
        """Give the kept inputs, and so many others that differ from each other.

        The first that breaks the contract is made smaller, and ends it.
        """
        began = time.monotonic()
        with self.target.ready(), _alarm(), _silence():
            for data in kept(self.target.name):
                self.figures.kept += 1
                with contextlib.suppress(Finding):
                    self._give(data)
            with contextlib.suppress(Finding):
                self._make(inputs, seed)
        self.figures.seconds = time.monotonic() - began
        return self.figures

    def _make(self, inputs: int, seed: int) -> None:
        sterile = number = made = 0
        while made < inputs and not self.figures.findings:
            before = self.figures.inputs
            self._round(min(_ROUND, max(_LEAST, inputs - made)), seed * 1_000_003 + number)
            number += 1
            new = self.figures.inputs - before
            made += new
            sterile = 0 if new else sterile + 1
            if sterile > _STERILE:
                raise RuntimeError(f"{self.target.name} has no more than {made} different inputs")

    def _round(self, inputs: int, seed: int) -> None:
        settings = hypothesis.settings(
            max_examples=inputs,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        )
        last: list[Finding] = []
        end = 0.0

        def property_(data: bytes) -> None:
            nonlocal end
            if last and time.monotonic() > end:
                return
            try:
                self._new(data, again=bool(last))
            except Finding as finding:
                end = end or time.monotonic() + _SHRINK_SECONDS
                last.append(finding)
                raise

        given = hypothesis.given(self.target.inputs())(property_)
        try:
            hypothesis.seed(seed)(settings(given))()
        except (Finding, hypothesis.errors.Flaky):
            if not last:
                raise
            # The last one is the smallest.
            self.figures.findings.append(last[-1])
            raise last[-1] from None

    def _new(self, data: bytes, *, again: bool) -> None:
        """Give an input unless it was given before; while one is made smaller, also then."""
        key = hash(data)
        if again or key not in self._seen:
            self._seen.add(key)
            cost = self._checked(data)
            if not again:
                self._count(cost)

    def _give(self, data: bytes) -> None:
        try:
            self._count(self._checked(data))
        except Finding as finding:
            self.figures.findings.append(finding)
            raise

    def _count(self, cost: _Cost) -> None:
        figures = self.figures
        figures.inputs += 1
        figures.refusals += cost.refused
        figures.slowest = max(figures.slowest, cost.seconds)
        figures.largest = max(figures.largest, cost.memory)

    def _checked(self, data: bytes) -> _Cost:
        """Return what an input costs.

        :raises Finding: when it breaks the contract.
        """
        cost = self._measured(data)
        if cost.seconds > max(_NOISE_SECONDS, self.figures.slowest):
            cost.seconds = min(cost.seconds, *(self._measured(data).seconds for _ in range(2)))
        if cost.seconds > MOST_SECONDS:
            raise Finding(f"{self.target.name} takes more than {MOST_SECONDS} s", data)
        if cost.memory > MOST_BYTES:
            raise Finding(f"{self.target.name} takes more than {MOST_BYTES >> 20} MiB", data)
        for text in cost.texts:
            if len(text) > self.target.longest:
                raise Finding(f"{self.target.name} says more than {self.target.longest}", data)
            if harmful := [one for one in text if is_harmful(one)]:
                raise Finding(f"{self.target.name} says {harmful[0]!r}", data, text[:200])
        return cost

    def _measured(self, data: bytes) -> _Cost:
        target = self.target
        cost = _Cost()
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
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
                "".join(traceback.format_exception(error, limit=-6))[-3000:],
            ) from error
        finally:
            cost.seconds = time.process_time() - began
            cost.memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            signal.setitimer(signal.ITIMER_REAL, 0)
        return cost


@dataclasses.dataclass
class _Cost:
    seconds: float = 0.0
    memory: int = 0
    refused: bool = False
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
def _silence() -> Iterator[None]:
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
