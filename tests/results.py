# SPDX-License-Identifier: Apache-2.0
"""Counts the results in a subunit stream: ``stestr last --subunit | python -m tests.results``."""

import collections
import json
import sys
from typing import BinaryIO

import subunit

# Results that are no test's end: a list of tests, a sign of life.
_NOT_FINAL = (None, "exists", "inprogress")


class _Last:
    """Keeps the last status of each test; one that never ended stays ``inprogress``."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}

    def startTestRun(self) -> None:  # noqa: N802  (testtools' protocol)
        """Nothing is prepared."""

    def stopTestRun(self) -> None:  # noqa: N802
        """Nothing is closed."""

    def status(
        self, test_id: str | None = None, test_status: str | None = None, **_: object
    ) -> None:
        """Receive an event of the stream."""
        if test_id is None or test_status in (None, "exists"):
            return
        if test_status == "inprogress" and self.statuses.get(test_id) not in _NOT_FINAL:
            return
        self.statuses[test_id] = str(test_status)


def count(stream: BinaryIO) -> dict[str, int]:
    """Return how many tests ended in each status: success, fail, skip, inprogress, …"""
    last = _Last()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(last)
    return dict(collections.Counter(last.statuses.values()))


if __name__ == "__main__":
    print(json.dumps(count(sys.stdin.buffer)))
