# SPDX-License-Identifier: Apache-2.0
"""Which tests of a directory run, and which of them beside each other.

    python -m tests.plan tests/endtoend [--regex PATTERN] [--long]

Prints JSON: rounds, which follow each other; each is a list of parts, which run at the same time;
each part is a list of names, which one process runs in their order. Two attributes of a test class
or of a test decide:

``beside``
    A name: runs beside the tests of other names. Those of one name follow each other. Without it a
    test runs alone, after all of these.
``long``
    True: takes longer than a run of all tests has time for. Left out without ``--long``.
"""

import argparse
import json
import re
import sys
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T", bound=Callable[..., Any])


def long(test: T) -> T:
    """Mark a test that runs only with ``--long``."""
    test.long = True  # type: ignore[attr-defined]
    return test


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Return the tests of a suite and of all suites in it."""
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from flatten(one)
        else:
            yield one


def attribute(test: unittest.TestCase, name: str, default: Any) -> Any:
    """Return what is said of a test, or else of its class."""
    method = getattr(test, str(getattr(test, "_testMethodName", "")), None)
    return getattr(method, name, getattr(test, name, default))


def rounds(
    tests: Iterator[unittest.TestCase], regex: str = "", with_long: bool = False
) -> list[list[list[str]]]:
    """Return the rounds of the tests that are wanted; see the module's docstring.

    :param regex: only tests whose names match.
    :param with_long: those that take long, too.
    """
    beside: dict[str, list[str]] = {}
    for test in sorted(tests, key=unittest.TestCase.id):
        if re.search(regex, test.id()) and (with_long or not attribute(test, "long", False)):
            beside.setdefault(attribute(test, "beside", ""), []).append(test.id())
    alone = beside.pop("", [])
    together = [beside[name] for name in sorted(beside)]
    return [parts for parts in (together, [alone] if alone else []) if parts]


def main() -> None:
    """Print the plan.

    Ends with an error where a module cannot be imported: its tests would be missing.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--regex", default="")
    parser.add_argument("--long", action="store_true")
    options = parser.parse_args()
    loader = unittest.TestLoader()
    suite = loader.discover(options.directory, top_level_dir=str(ROOT))
    if loader.errors:
        sys.exit("\n".join(map(str, loader.errors)))
    print(json.dumps(rounds(flatten(suite), options.regex, options.long)))


if __name__ == "__main__":
    main()
