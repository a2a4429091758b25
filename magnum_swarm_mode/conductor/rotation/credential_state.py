# SPDX-License-Identifier: Apache-2.0
"""How far the rotation of a credential has come, as the cluster's record holds it; pure."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import sentences
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.cloud.credentials import Grant
from magnum_swarm_mode.decisions import rotation
from magnum_swarm_mode.decisions.record import Kind, State
from magnum_swarm_mode.decisions.rotation import CredentialRotation, CredentialStep

# How long managers may take to say that they use the new credential, in seconds.
PATIENCE_SECONDS = 600
# The time-out of Heat's updates where the cluster's row has none, in minutes.
_HEAT_MINUTES = 60

AGAIN = rotation.AGAIN
GOES_ON = "The credential was rotated. Replacing the cluster's certificates goes on."
INTERRUPTED = f"{sentences.CREDENTIAL} was interrupted. {AGAIN}"


def of(state: State) -> CredentialRotation:
    """Return the rotation that is under way."""
    return state.credential or CredentialRotation()


def limit_seconds(timeout_minutes: int) -> int:
    """Return how long a rotation may take: an update of Heat, and managers after it.

    :param timeout_minutes: that Heat gets for an update; 0 for its default.
    """
    return 60 * (timeout_minutes or _HEAT_MINUTES) + PATIENCE_SECONDS


def changed(state: State, **changes: Any) -> State:
    """Return a state whose rotation has come further."""
    return dataclasses.replace(state, credential=dataclasses.replace(of(state), **changes))


def begun(state: State, grant: Grant, rotation: CredentialRotation) -> State:
    """Return the state in which rights are made."""
    return dataclasses.replace(grants.adding(state, grant), credential=rotation)


def over(state: State) -> State:
    """Return a state in which no credential is rotated."""
    return dataclasses.replace(state, credential=None)


def new_grant(state: State) -> Grant | None:
    """Return the rights that are made; None when they were revoked and forgotten already."""
    number = of(state).number
    return next((one for one in grants.others(state) if one.number == number), None)


def handed_over(state: State) -> State:
    """Return the state in which the new rights are those in use, and the former are to go."""
    new = new_grant(state)
    if new is None:
        return state
    made = changed(state, step=CredentialStep.TELLING)
    made = made.owning(Kind.CREDENTIAL, str(new.number), id=of(state).credential)
    return dataclasses.replace(made, owner_id=new.owner_id, grant=new.number)


def with_group(state: State, uuid: str, known: Mapping[str, str]) -> State:
    """Return a state that knows more of a node group, unless that is forgotten by now."""
    return state.owning(Kind.GROUP, uuid, **known) if uuid in state.groups else state


def stack_names(state: State) -> dict[str, str]:
    """Return by which name or id Heat knows each further group's stack, as far as is recorded."""
    return {one.key: one.handle for one in state.things(Kind.GROUP) if one.handle}


def ending(state: State, problems: list[str]) -> tuple[str, str | None]:
    """Return status and reason of a cluster whose credential was rotated.

    :param problems: what could not be revoked.
    """
    rotation = of(state)
    status, reason = rotation.status, rotation.reason
    if rotation.notes:
        return "UPDATE_FAILED", " ".join(
            ["The credential was rotated.", *problems, *rotation.notes]
        )
    only_rotated = AGAIN in (reason or "") and not state.plan.failed
    if status != "UPDATE_FAILED" or only_rotated:
        return "UPDATE_COMPLETE", " ".join(problems) or None
    # What failed before is not mended by this, unless it was a rotation.
    return status, " ".join([*problems, f"The credential was rotated. Before that: {reason}"])
