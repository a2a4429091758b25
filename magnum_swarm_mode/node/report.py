# SPDX-License-Identifier: Apache-2.0
"""What the node says: into its log, to the journal (standard output) and on the console."""

import contextlib
import time

from .errors import redact
from .paths import Paths


class Report:
    """Writes one line per event, never with a secret in it.

    :param name: the node's name, part of every line
    """

    def __init__(self, paths: Paths, name: str = "") -> None:
        self.paths = paths
        self.name = name
        self.step = "start"
        self._last = ""

    def begin(self, step: str) -> None:
        """Name the duty that starts now; a failure will bear this name."""
        self.step = step

    def say(self, text: str) -> None:
        """Write one line everywhere; an identical line in a row is written once."""
        line = " ".join(redact(f"magnum-swarm-mode: {self.name}: {self.step}: {text}").split())
        if line == self._last:
            return
        self._last = line
        print(line, flush=True)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # A full disk or a missing console must not stop the node.
        with contextlib.suppress(OSError):
            self.paths.log.touch(0o600)
            with self.paths.log.open("a") as log:
                log.write(f"{stamp} {line}\n")
        with contextlib.suppress(OSError), self.paths.console.open("w") as console:
            console.write(f"{line}\r\n")
