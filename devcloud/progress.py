# SPDX-License-Identifier: Apache-2.0
"""Shows what is being done and how many seconds it took; plain lines when not on a terminal."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

_REDRAW_SECONDS = 0.5


class Progress:
    """A list of steps, each ending with its duration; safe to use from several threads."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._begun = time.monotonic()
        self._running: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._painter: threading.Thread | None = None

    @property
    def seconds(self) -> float:
        """Seconds since this display was made."""
        return time.monotonic() - self._begun

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show ``title`` while the block runs, then how long it took and whether it failed."""
        begun = time.monotonic()
        with self._lock:
            self._running[title] = begun
            if self._terminal and self._painter is None:
                self._painter = threading.Thread(target=self._repaint, daemon=True)
                self._painter.start()
        mark = "failed"
        try:
            yield
            mark = ""
        finally:
            with self._lock:
                del self._running[title]
                self._print(f"{title:<44} {time.monotonic() - begun:6.1f} s {mark}".rstrip())

    def say(self, text: str) -> None:
        """Print a line of its own."""
        with self._lock:
            self._print(text)

    def close(self) -> None:
        """Remove the line of running steps."""
        self._stop.set()
        if self._painter is not None:
            self._painter.join()
            self._painter = None

    def _print(self, text: str) -> None:
        self._stream.write(f"\r\033[K{text}\n" if self._terminal else f"{text}\n")
        self._stream.flush()

    def _repaint(self) -> None:
        while not self._stop.wait(_REDRAW_SECONDS):
            with self._lock:
                now = time.monotonic()
                steps = [f"{title} {now - begun:.0f} s" for title, begun in self._running.items()]
                self._stream.write("\r\033[K" + ("… " + " · ".join(steps))[:110] if steps else "")
                self._stream.flush()
        with self._lock:
            self._stream.write("\r\033[K")
            self._stream.flush()
