# SPDX-License-Identifier: Apache-2.0
"""Runs Magnum's own unit tests of one area in this process.

``python -m tests.functional.releases.upstream AREA RESULT [TEST…]``, with AREA ``api`` or
``conductor``, writes to the file RESULT, as JSON, how many passed and the reason of each that did
not. If this package's entry points are there, its driver is loaded before the first test, as
Magnum's services do when they start.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import pathlib
import sys
import unittest
from collections.abc import Iterator
from typing import Any


class _Result(unittest.TestResult):
    """Counts, and keeps the names of what did not pass with the last line of its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self.bad: dict[str, str] = {}

    def addSuccess(self, test: Any, details: Any = None) -> None:  # noqa: N802
        self.passed += 1

    # testtools gives details instead of err.
    def addError(self, test: Any, err: Any = None, details: Any = None) -> None:  # noqa: N802
        if err is not None:
            text = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]
        else:
            text = "".join(one.as_text() for name, one in details.items() if "traceback" in name)
        self.bad[test.id()] = text.strip().rpartition("\n")[2]

    addFailure = addError  # noqa: N815

    def addUnexpectedSuccess(self, test: Any, details: Any = None) -> None:  # noqa: N802
        self.bad[test.id()] = "unexpected success"

    def addSkip(self, test: Any, reason: Any = None, details: Any = None) -> None:  # noqa: N802
        self.bad[test.id()] = f"skipped: {reason or details}"


def _give_back_options() -> None:
    """Declare options that the base class of the tests of Magnum 20 to 22 sets.

    keystonemiddleware has lost them since then; Magnum itself never reads them.
    """
    from oslo_config import cfg

    names = ("admin_user", "admin_password", "admin_tenant_name")
    cfg.CONF.register_opts([cfg.StrOpt(name) for name in names], group="keystone_authtoken")


def _each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _each(item)
        else:
            yield item


def main() -> None:
    """Run the tests."""
    area, result_file, *only = sys.argv[1:]
    import magnum

    root = pathlib.Path(magnum.__file__).parents[1]
    _give_back_options()
    suite = unittest.TestLoader().discover(
        str(root / "magnum/tests/unit" / area), top_level_dir=str(root)
    )
    if area == "api":
        import magnum.api.app
    for entry_point in importlib.metadata.entry_points(group="magnum.drivers", name="swarm_mode"):
        entry_point.load()
    if only:
        suite = unittest.TestSuite(test for test in _each(suite) if test.id() in only)
    logging.disable(logging.CRITICAL)
    result = _Result()
    suite.run(result)
    told = {
        "magnum": importlib.metadata.version("magnum"),
        "ours": "magnum_swarm_mode.driver" in sys.modules,
        "passed": result.passed,
        "bad": result.bad,
    }
    pathlib.Path(result_file).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
