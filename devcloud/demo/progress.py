# SPDX-License-Identifier: Apache-2.0
"""Shows how far a cluster is: one line that changes on a terminal, plain lines elsewhere."""

import shutil
from typing import TextIO

from devcloud.demo.observe import Seen

BAR = 11  # characters
QUIET = 5.0  # seconds between two plain lines, at least
SILENCE = 30.0  # seconds after which a plain line is written though nothing changed


def clock(seconds: float) -> str:
    """Minutes and seconds, as ``1:05``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def duration(seconds: float) -> str:
    """A duration for people, as ``1 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def bar(done: int, wanted: int, width: int = BAR) -> str:
    """A bar of ``width`` characters, filled in proportion."""
    filled = width * min(done, wanted) // wanted if wanted else 0
    return "#" * filled + "." * (width - filled)


def line(seen: Seen) -> str:
    """One look at a cluster in one line."""
    joined = seen.managers_joined + seen.workers_joined
    return (
        f"[{bar(joined, seen.nodes_wanted)}] "
        f"booted {seen.servers_running}/{seen.nodes_wanted}, "
        f"joined: managers {seen.managers_joined}/{seen.managers_wanted}, "
        f"workers {seen.workers_joined}/{seen.workers_wanted}; "
        f"Heat resources {seen.resources_done}/{seen.resources}; {seen.status}"
    )


class Display:
    """Writes progress to ``stream``; the caller tells it the time, in seconds since the start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tty = stream.isatty()
        self._last_text = ""
        self._last_time: float | None = None
        self._open = False

    def show(self, text: str, seconds: float) -> None:
        """Show the present state, or keep quiet where that would only be noise."""
        if self._tty:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\x1b[K" + f"{clock(seconds):>6}  {text}"[:width])
            self._open = True
        elif self._worth_a_line(text, seconds):
            self._stream.write(f"{clock(seconds):>6}  {text}\n")
            self._last_text, self._last_time = text, seconds
        self._stream.flush()

    def _worth_a_line(self, text: str, seconds: float) -> bool:
        if self._last_time is None:
            return True
        passed = seconds - self._last_time
        return passed >= SILENCE or (text != self._last_text and passed >= QUIET)

    def close(self) -> None:
        """End the line that was changing."""
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False
