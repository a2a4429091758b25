# SPDX-License-Identifier: Apache-2.0
"""Break the driver in one place at a time, and print which check of the model notices it.

``python -m tests.model.mutations [NAME ...]`` changes the checkout that it runs in, one file at a
time, plays sequences in a process of its own until the first one fails, and restores the file. It
refuses to run where git shows changes. Its exit code is 1 where a fault was not noticed.
"""

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import unittest
from typing import Any
from unittest import mock

from tests import replaced
from tests.model.breaks import BREAKS, WRITTEN, Break
from tests.replaced import ROOT

_SEQUENCES, _SEED, _SECONDS = 300, 1, 900


def main() -> int:
    """Play the given faults, or all, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="or its beginning; default: all")
    parser.add_argument("--sequences", type=int, default=_SEQUENCES, help="for each at most")
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument("--seconds", type=int, default=_SECONDS, help="for what is drawn")
    parser.add_argument("--emphasis", help="instead of the fault's own")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = tuple(options.names) or ("",)
    chosen = [one for one in BREAKS if one.name.startswith(names)]
    if options.play:
        return _play(chosen[0], options)
    if changes := replaced.changes(ROOT):
        sys.stderr.write(f"Refused: the checkout {ROOT} has changes:\n{changes}")
        return 2
    missed = 0
    for one in chosen:
        sys.stdout.write(f"{one.name} [{options.emphasis or one.emphasis}]: ")
        sys.stdout.flush()
        with broken(one):
            missed += _process(one, options)
    return int(missed > 0)


def broken(one: Break) -> contextlib.AbstractContextManager[None]:
    """Put a fault into the driver for a while.

    :raises ValueError: where the old text is not there exactly once.
    """
    return replaced.replaced(one.name, [one.edit])


def _process(one: Break, options: Any) -> int:
    """Play in a process of its own, which loads the driver as it is now; 1 if nothing noticed."""
    numbers = [f"--{name}={getattr(options, name)}" for name in ("sequences", "seed", "seconds")]
    emphasis = f"--emphasis={options.emphasis or one.emphasis}"
    command = [sys.executable, "-W", "ignore", "-m", "tests.model.mutations", "--play"]
    return subprocess.run(
        [*command, *numbers, emphasis, one.name], check=False, cwd=ROOT, env=replaced.ENVIRONMENT
    ).returncode


def _play(one: Break, options: Any) -> int:
    """Play until something is noticed, and print what and in which sequence."""
    if one.new not in one.edit.path.read_text(encoding="utf-8"):
        raise ValueError(f"{one.edit.path} is not broken")
    noticed = _written() if options.emphasis == WRITTEN else _drawn(options)
    sys.stdout.write(f"noticed {noticed}\n" if noticed else "not noticed\n")
    return int(not noticed)


def _written() -> str:
    """Play the sequences that are written down; return which test failed first, and how."""
    from tests.functional.conductor.test_model import LifeTest

    runner = unittest.TextTestRunner(io.StringIO(), failfast=True)
    result = runner.run(unittest.defaultTestLoader.loadTestsFromTestCase(LifeTest))
    for test, trace in [*result.failures, *result.errors]:
        said = " ".join(trace.rpartition("Error: ")[2].split())
        return f"by {test.id().rpartition('.')[2]}: {said[:300]}"
    return ""


def _drawn(options: Any) -> str:
    """Play sequences that Hypothesis draws; return after how many something failed, and what."""
    from hypothesis import Phase, settings

    from tests.model import machine
    from tests.model.counts import COUNTS

    noticed = ""

    def check(found: list[str]) -> None:
        nonlocal noticed
        if found and not noticed:
            noticed = f"after {COUNTS.sequences + 1} sequences: {found[0][:300]}"
        assert not found, found

    def end(*_: Any) -> None:
        sys.stdout.write(f"not noticed in {options.seconds} s: {COUNTS.text()}\n")
        sys.stdout.flush()
        os._exit(1)

    # What fails is not made shorter, which takes long.
    shortly = settings(machine.SETTINGS, phases=[Phase.generate], report_multiple_bugs=False)
    signal.signal(signal.SIGALRM, end)
    signal.alarm(options.seconds)
    with (
        mock.patch.object(machine.Life, "_assert", staticmethod(check)),
        mock.patch.object(machine, "SETTINGS", shortly),
    ):
        try:
            machine.play(options.emphasis, options.sequences, options.seed)
        except Exception as error:
            count, kind = COUNTS.sequences, type(error).__name__
            noticed = noticed or f"after {count} sequences: {kind}: {error}"[:300]
    if not noticed:
        sys.stdout.write(f"{COUNTS.text()}: ")
    return noticed


if __name__ == "__main__":
    sys.exit(main())
