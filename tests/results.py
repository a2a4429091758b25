# SPDX-License-Identifier: Apache-2.0
"""Prints the results in a subunit stream: ``stestr last --subunit | python -m tests.results``.

JSON, a list: ``id``, ``status`` and ``seconds`` of each test and, unless it passed, ``text``: what
it left to read, its traceback last.
"""

import io
import json
import sys
from typing import Any, BinaryIO

import subunit
import testtools

# No ends of tests: a name in a list; output without a test.
_NO_TEST = ("exists", "unknown")


class _Results:
    """Keeps the last end of each test; one that never ended is ``inprogress``."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, Any] = {}  # when the last test of each process ended

    def take(self, test: Any) -> None:
        """Receive a test as ``testtools.StreamToDict`` describes it."""
        status = str(test["status"])
        if status in _NO_TEST or (status == "inprogress" and test["id"] in self.tests):
            return
        began, ended = test["timestamps"]
        process = next((tag for tag in test["tags"] if tag.startswith("worker-")), "")
        seconds = 0.0
        if began and ended:
            # Setting up a class or module belongs to the first test that needs it.
            seconds = (ended - min(began, self._ended.get(process, began))).total_seconds()
            self._ended[process] = ended
        self.tests[test["id"]] = {
            "id": test["id"],
            "status": status,
            "seconds": seconds,
            "text": "" if status == "success" else _text(test["details"]),
        }


def _text(details: dict[str, Any]) -> str:
    """Return what a test left to read: its tracebacks last."""
    names = sorted(details, key=lambda name: (name.startswith("traceback"), name))
    texts = (f"{name}:\n{details[name].as_text().strip()}" for name in names)
    return "\n\n".join(text for text in texts if not text.endswith(":\n"))


def read(stream: BinaryIO) -> list[dict[str, Any]]:
    """Return how each test of a stream ended."""
    results = _Results()
    target = testtools.StreamToDict(results.take)
    target.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(target)
    target.stopTestRun()
    return list(results.tests.values())


def read_kept(content: bytes) -> list[dict[str, Any]]:
    """Return how each test of a run ended, from the file that stestr's repository has of it.

    Those files are in version 1 of the protocol.
    """
    newer = io.BytesIO()
    target = testtools.ExtendedToStreamDecorator(subunit.StreamResultToBytes(newer))
    target.startTestRun()
    subunit.ProtocolTestCase(io.BytesIO(content)).run(target)
    target.stopTestRun()
    newer.seek(0)
    return read(newer)


if __name__ == "__main__":
    print(json.dumps(read(sys.stdin.buffer)))
