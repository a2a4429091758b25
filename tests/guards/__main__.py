# SPDX-License-Identifier: Apache-2.0
"""Takes guards out, one at a time; see :mod:`tests.guards`."""

import argparse
import subprocess
import sys
import time

from tests import guards, replaced
from tests.guards import removed
from tests.guards.removed import Guard
from tests.replaced import ROOT

_SECONDS = 300.0  # for the tests of a guard; those that never end have noticed it


def main() -> int:
    """Print what notices that each guard is missing."""
    parser = argparse.ArgumentParser(
        description=guards.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="default: all")
    numbers = parser.parse_args().numbers
    if replaced.changes(ROOT):
        sys.stderr.write(f"Refused: the checkout {ROOT} has changes; commit them first.\n")
        return 2
    missed = 0
    for number, guard in enumerate(removed.guards(), 1):
        if not numbers or number in numbers:
            began = time.monotonic()
            with removed.without(guard):
                failed = _failed(guard)
            missed += not failed
            seconds = time.monotonic() - began
            sys.stdout.write(f"{number:2} {guard.missing}: {failed or 'NOT NOTICED'}")
            sys.stdout.write(f" ({seconds:.0f} s)\n")
            sys.stdout.flush()
    return int(missed > 0)


def _failed(guard: Guard) -> str:
    """Return the tests that fail; empty if none does."""
    command = [sys.executable, "-W", "ignore", "-m", "testtools.run", *guard.tests]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=replaced.ENVIRONMENT,
            timeout=_SECONDS,
            check=False,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"no end in {_SECONDS:.0f} s"
    lines = f"{done.stdout}\n{done.stderr}".splitlines()
    failed = [line.split(" ")[1] for line in lines if line.startswith(("FAIL: ", "ERROR: "))]
    if done.returncode and not failed:
        raise RuntimeError(f"{guard.missing}: {lines[-5:]}")
    return ", ".join(name.removeprefix("tests.") for name in failed)


if __name__ == "__main__":
    sys.exit(main())
