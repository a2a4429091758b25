# SPDX-License-Identifier: Apache-2.0
"""Conductors that are stopped, killed, and let go on, at each write and each request.

Each is a greenlet, so that nothing but the test says who goes on when. A boundary is the moment
before a write of the database or a request to a service.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import greenlet  # type: ignore[import-untyped]


class Died(BaseException):
    """The conductor's process has ended; nothing of it reaches anything any more."""


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of a conductor at a boundary.

    :ivar at: how many boundaries it passes before.
    :ivar how: ``dies`` before it, ``dies after`` it, or ``stalls`` before it.
    """

    at: int
    how: str


class Conductors:
    """The processes of a simulation.

    :ivar boundaries: how many there were so far.
    :ivar deaths: how many conductors died so far.
    :ivar errors: what reached a conductor's outermost frame.
    """

    def __init__(self, number: int) -> None:
        self.boundaries = self.deaths = 0
        self.errors: list[Exception] = []
        self.each = [Conductor(self) for _ in range(number)]

    def boundary(self) -> None:
        """Pass a boundary, as the conductor that is at work now, if one is."""
        if (conductor := self._present()) is not None:
            conductor.boundary()

    def live(self) -> None:
        """Raise in a conductor that has died."""
        if (conductor := self._present()) is not None:
            conductor.live()

    def done(self) -> int:
        """Return how many writes and requests the conductor at work has done of what it does."""
        conductor = self._present()
        return conductor.done if conductor is not None else 0

    @staticmethod
    def _present() -> "Conductor | None":
        return getattr(greenlet.getcurrent(), "conductor", None)


class Conductor:
    """One process; it does one thing at a time.

    :ivar done: how many writes and requests it has done of that.
    """

    def __init__(self, all_of_them: Conductors) -> None:
        self._all = all_of_them
        self._task: Any = None
        self._fate: Fate | None = None
        self._passed = 0
        self.done = 0
        self._dead = self._dies_next = False

    @property
    def is_stalled(self) -> bool:
        """Whether it is in the middle of something."""
        return self._task is not None

    def do(self, action: Callable[[], Any], fate: Fate | None = None) -> None:
        """Begin something, and do it to its end, unless its fate is another."""
        assert not self.is_stalled

        def run() -> None:
            try:
                action()
            except Died:
                pass
            except Exception as error:
                self._all.errors.append(error)

        self._dead = self._dies_next = False
        self.done = 0
        self._task = greenlet.greenlet(run)
        self._task.conductor = self
        self._go(fate)

    def go_on(self, fate: Fate | None = None) -> None:
        """Let it go on that stalled."""
        if self.is_stalled:
            self._go(fate)

    def die(self) -> None:
        """Let it end in the middle of something."""
        if self.is_stalled:
            self._end()
            self._task.throw(Died())
            self._task = None

    def _go(self, fate: Fate | None) -> None:
        self._fate, self._passed = fate, 0
        self._task.switch()
        if self._task.dead:
            self._task = None

    def _end(self) -> None:
        self._dead, self._dies_next = True, False
        self._all.deaths += 1

    def live(self) -> None:
        """Raise when it has died."""
        if self._dies_next:
            self._end()
        if self._dead:
            raise Died

    def boundary(self) -> None:
        """Pass a boundary, or do not."""
        self.live()
        self._all.boundaries += 1
        self._passed += 1
        if self._fate is None or self._passed <= self._fate.at:
            self.done += 1
            return
        how, self._fate = self._fate.how, None
        if how == "stalls":
            self._task.parent.switch()
            self.live()
            self.done += 1
        elif how == "dies after":
            self._dies_next = True
            self.done += 1
        else:
            self._end()
            raise Died
