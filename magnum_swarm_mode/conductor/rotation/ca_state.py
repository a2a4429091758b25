# SPDX-License-Identifier: Apache-2.0
"""How far the replacement of a cluster's authority has come, as its record holds it; pure."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode.db.store import State

KIND = "ca"
STEPS = ("trust", "swarm", "sign", "only", "clean")
# How long a step may wait for something before the rotation stops.
STEP_SECONDS = 1200


@dataclasses.dataclass(frozen=True)
class Rotation:
    """How far a rotation has come; times are seconds since 1970.

    :ivar old, new: references in Magnum's certificate store, by column.
    :ivar step: one of ``STEPS``, or a step of a newer release.
    :ivar trusted: when all managers let in clients of both; 0 before.
    :ivar deadline: when it stops if the present step still waits then; 0 before it waits.
    :ivar failed: whether it stopped, until somebody has it go on.
    :ivar root: the number that Swarm's root has when it is replaced; 0 while that is not known.
    :ivar note: what is to be said at the end beside what was done.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    old: Mapping[str, str] = dataclasses.field(default_factory=dict)
    new: Mapping[str, str] = dataclasses.field(default_factory=dict)
    began: int = 0
    step: str = STEPS[0]
    trusted: int = 0
    deadline: int = 0
    failed: bool = False
    root: int = 0
    note: str = ""
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what the record holds."""
        known = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "unknown"
        }
        return {**self.unknown, **known, "kind": KIND}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Rotation":
        """Read what :meth:`to_json` wrote, also that of another release."""
        names = {field.name for field in dataclasses.fields(cls)} - {"unknown"}
        known = {name: value for name, value in values.items() if name in names}
        unknown = {
            name: value for name, value in values.items() if name not in names and name != "kind"
        }
        return cls(**known, unknown=unknown)

    def noting(self, note: str) -> str:
        """Return what is to be said at the end, with one more sentence."""
        return self.note if note in self.note else f"{self.note} {note}".strip()


def is_under_way(state: State) -> bool:
    """Tell whether a cluster's authority is being replaced, or shall be once that goes on."""
    return state.rotation.get("kind") == KIND


def of(state: State) -> Rotation:
    """Return the rotation that is under way."""
    return Rotation.from_json(state.rotation)


def has_stopped(state: State) -> bool:
    """Tell whether a replacement of the authority waits for somebody to have it go on."""
    return is_under_way(state) and of(state).failed


def following(step: str) -> str:
    """Return the step after one."""
    return STEPS[STEPS.index(step) + 1]


def progress(step: str) -> str:
    """Say which of the steps one is."""
    if step not in STEPS:
        return f"Replacing certificates, step {step} of a newer release"
    return f"Replacing certificates, step {STEPS.index(step) + 1} of {len(STEPS)}"
