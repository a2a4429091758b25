# SPDX-License-Identifier: Apache-2.0
"""The command."""

import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from acceptance import options as options_module
from acceptance import promises
from acceptance.cloud import Cloud
from acceptance.errors import Broken
from acceptance.run import Run

INTERRUPTED = 130


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(words: Sequence[str]) -> int:
    """Run the program and return its exit status."""
    options = options_module.parse(words)
    if options.list:
        print(promises.listing())
        return 0
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run = Run(options, Cloud(options.cloud), say)
    except Broken as error:
        print(f"acceptance: {error}", file=sys.stderr)
        return 3
    status = 0
    try:
        run.all()
    except KeyboardInterrupt:
        say("interrupted")
        status = INTERRUPTED
    print(promises.table(run.results))
    return status or promises.exit_code(run.results)
