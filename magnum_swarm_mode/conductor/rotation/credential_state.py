# SPDX-License-Identifier: Apache-2.0
"""How far the rotation of a credential has come, as the cluster's record holds it; pure."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.db.store import State

KIND = "credential"
# How long managers may take to say that they use the new credential, in seconds.
PATIENCE_SECONDS = 600
# The time-out of Heat's updates where the cluster's row has none, in minutes.
_HEAT_MINUTES = 60

AGAIN = "The former credential stays valid; rotate the credential again."
GOES_ON = "The credential was rotated. Replacing the cluster's certificates goes on."
INTERRUPTED = f"The rotation of the credential was interrupted. {AGAIN}"


class Step(enum.StrEnum):
    """How far a rotation has come."""

    MAKING = "making"
    ASKING = "asking"
    TELLING = "telling"
    WAITING = "waiting"
    REVOKING = "revoking"


@dataclasses.dataclass(frozen=True)
class Rotation:
    """The rotation of a credential; times are seconds since 1970.

    :ivar step: one of :class:`Step`, or a step of a newer release.
    :ivar number: of the rights that are made.
    :ivar began: when it was asked for.
    :ivar deadline: when it is given up, whatever it waits for; 0 where that is not known yet.
    :ivar before: status and reason that the cluster had before.
    :ivar credential: Keystone's id of the new credential.
    :ivar generation: of the settings that tell managers the credential.
    :ivar since: when managers were told.
    :ivar notes: what is to be said at the end beside what was done.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    step: str = Step.MAKING
    number: int = 0
    began: int = 0
    deadline: int = 0
    before: tuple[str, str | None] = ("", None)
    credential: str = ""
    generation: int = 0
    since: int = 0
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what the record holds."""
        known = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "unknown"
        }
        lists = {"before": list(self.before), "notes": list(self.notes)}
        return {**self.unknown, **known, **lists, "step": str(self.step), "kind": KIND}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Rotation":
        """Read what :meth:`to_json` wrote, also that of another release."""
        names = {field.name for field in dataclasses.fields(cls)} - {"unknown"}
        known = {name: value for name, value in values.items() if name in names}
        status, reason, *_ = [*(known.get("before") or ()), "", None][:2]
        known["before"] = (str(status or ""), reason)
        known["notes"] = tuple(known.get("notes") or ())
        unknown = {
            name: value for name, value in values.items() if name not in names and name != "kind"
        }
        return cls(**known, unknown=unknown)

    def is_overdue(self, now: float) -> bool:
        """Tell whether it has waited for as long as it may."""
        return bool(self.deadline) and now > self.deadline

    def noting(self, note: str) -> "Rotation":
        """Return it with one more sentence for the end."""
        if note in self.notes:
            return self
        return dataclasses.replace(self, notes=(*self.notes, note))


def is_under_way(state: State) -> bool:
    """Tell whether a credential is being rotated."""
    return state.rotation.get("kind") == KIND


def of(state: State) -> Rotation:
    """Return the rotation that is under way."""
    return Rotation.from_json(state.rotation)


def limit_seconds(timeout_minutes: int) -> int:
    """Return how long a rotation may take: an update of Heat, and managers after it.

    :param timeout_minutes: that Heat gets for an update; 0 for its default.
    """
    return 60 * (timeout_minutes or _HEAT_MINUTES) + PATIENCE_SECONDS


def changed(state: State, **changes: Any) -> State:
    """Return a state whose rotation has come further."""
    rotation = dataclasses.replace(of(state), **changes)
    return dataclasses.replace(state, rotation=rotation.to_json())


def begun(state: State, grant: Grant, rotation: Rotation) -> State:
    """Return the state in which rights are made, and what had stopped before is set aside."""
    state = grants.adding(state, grant)
    return dataclasses.replace(state, rotation=rotation.to_json(), paused=state.rotation)


def over(state: State) -> State:
    """Return a state in which no credential is rotated, and what was set aside is not any more."""
    return dataclasses.replace(state, rotation=state.paused, paused={})


def new_grant(state: State) -> Grant | None:
    """Return the rights that are made; None when they were revoked and forgotten already."""
    number = of(state).number
    return next((one for one in grants.others(state) if one.number == number), None)


def handed_over(state: State) -> State:
    """Return the state in which the new rights are those in use, and the former are to go."""
    new = new_grant(state)
    if new is None:
        return state
    former = grants.present(state)
    rotation = dataclasses.replace(of(state), step=Step.TELLING)
    return dataclasses.replace(
        grants.adding(grants.without(state, new), former),
        owner_id=new.owner_id,
        grant=new.number,
        trust_id=new.trust_id,
        node_credential_id=rotation.credential,
        rotation=rotation.to_json(),
    )


def with_group(state: State, uuid: str, known: Mapping[str, str]) -> State:
    """Return a state that knows more of a node group, unless that is forgotten by now."""
    if uuid not in state.groups:
        return state
    made = {**state.groups[uuid], **known}
    return dataclasses.replace(state, groups={**state.groups, uuid: made})


def stack_names(state: State) -> dict[str, str]:
    """Return by which name or id Heat knows each further group's stack, as far as is recorded."""
    found = {
        uuid: made.get("stack_id") or made.get("stack_name") or ""
        for uuid, made in state.groups.items()
    }
    return {uuid: name for uuid, name in found.items() if name}


def ending(rotation: Rotation, problems: list[str]) -> tuple[str, str | None]:
    """Return status and reason of a cluster whose credential was rotated.

    :param problems: what could not be revoked.
    """
    status, reason = rotation.before
    if rotation.notes:
        return "UPDATE_FAILED", " ".join(
            ["The credential was rotated.", *problems, *rotation.notes]
        )
    if status != "UPDATE_FAILED":
        return "UPDATE_COMPLETE", " ".join(problems) or None
    # What failed before is not mended by this.
    return status, " ".join([*problems, f"The credential was rotated. Before that: {reason}"])
