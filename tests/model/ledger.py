# SPDX-License-Identifier: Apache-2.0
"""What users asked for, in what order, and what became of it."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.model.conductors import Died

History = Sequence[tuple[str, str | None]]
ACCEPTED, REFUSED, UNKNOWN = "accepted", "refused", "unknown"
# What a request is about, and asks for, that lets a group be deleted.
_DELETION = ("group", False)


@dataclasses.dataclass
class Answer:
    """What became of a request.

    :ivar outcome: of Magnum's handler; unknown where its conductor died, or is not done.
    :ivar is_begun: whether a conductor that died had written something of it.
    :ivar ended: its place in the order of all that happened.
    """

    outcome: str = UNKNOWN
    is_begun: bool = False
    error: str = ""
    ended: int = 1 << 30


@dataclasses.dataclass
class Request:
    """One request, or a part of one.

    :ivar what: as ``count``, ``upgrade``.
    :ivar about: what it changes; a later request about the same supersedes it.
    :ivar value: what it asks for.
    :ivar began: its place in the order of all that happened.
    :ivar history: how many statuses there were before it.
    """

    what: str
    about: str
    value: Any
    began: int
    history: int
    answer: Answer = dataclasses.field(default_factory=Answer)

    @property
    def outcome(self) -> str:
        """What became of it."""
        return self.answer.outcome

    @property
    def is_binding(self) -> bool:
        """Whether it must be satisfied, or a failure told: its first trace is enough for some."""
        kept = self.what in ("count", "named", "label") or (self.what, self.value) == _DELETION
        return self.outcome == ACCEPTED or (kept and self.answer.is_begun)

    @property
    def error(self) -> str:
        """Why it was refused."""
        return self.answer.error

    @property
    def ended(self) -> int:
        """When it was answered, in the order of all that happened."""
        return self.answer.ended

    def part(self, what: str, about: str, value: Any) -> "Request":
        """Return what the same request asks for besides; it shares the answer."""
        return dataclasses.replace(self, what=what, about=about, value=value)


class Ledger:
    """The requests of one cluster."""

    def __init__(self) -> None:
        self.each: list[Request] = []
        self._clock = 0

    def note(self, what: str, about: str, value: Any, history: int) -> Request:
        """Note a request that is accepted by the API."""
        self._clock += 1
        request = Request(what, about, value, self._clock, history)
        self.each.append(request)
        return request

    def followed(
        self, request: Request, action: Callable[[], Any], done: Callable[[], int]
    ) -> Callable[[], None]:
        """Return an action that says what became of a request.

        :param done: returns how many writes there were of it.
        """

        answer = request.answer

        def run() -> None:
            try:
                action()
            except Died:
                answer.is_begun = done() > 0
                raise
            except Exception as error:
                answer.outcome, answer.error = REFUSED, f"{type(error).__name__}: {error}"
            else:
                answer.outcome = ACCEPTED
            finally:
                self._clock += 1
                answer.ended = self._clock

        return run

    def standing(self, what: str, about: str) -> list[Request]:
        """Return the requests about something that no later one supersedes."""
        own = [
            one
            for one in self.each
            if (one.what, one.about) == (what, about) and one.outcome != REFUSED
        ]
        binding = [one for one in own if one.is_binding]
        return [one for one in own if all(other.began < one.ended for other in binding)]

    def abouts(self, what: str) -> list[str]:
        """Return all that requests of a kind were about."""
        return list(dict.fromkeys(one.about for one in self.each if one.what == what))

    def binding(self, what: str, about: str, history: History) -> list[Request]:
        """Return those requests of which one must be satisfied; none where a failure was told."""
        found = self.standing(what, about)
        if not found or has_failed(history, min(one.history for one in found)):
            return []
        return found


def has_failed(history: Iterable[tuple[str, str | None]], since: int) -> bool:
    """Return whether a failure was told after so many statuses."""
    return any(
        status.endswith("_FAILED") or status.startswith("ROLLBACK")
        for status, _ in list(history)[since:]
    )
