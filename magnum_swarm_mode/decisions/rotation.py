# SPDX-License-Identifier: Apache-2.0
"""How far replacements of a cluster's certificates and credentials have come; pure."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

CA_STEPS = ("trust", "swarm", "sign", "only", "clean")
# What a user does about a replacement of certificates that stopped, and about a rotation.
RESUME = "Resize a node group to its present count to go on."
AGAIN = "The former credential stays valid; rotate the credential again."


@dataclasses.dataclass(frozen=True)
class CaRotation:
    """The replacement of a cluster's authority; times are seconds since 1970.

    :ivar old, new: references in Magnum's certificate store, by column.
    :ivar step: one of ``CA_STEPS``, or a step of a newer release.
    :ivar trusted: when all managers let in clients of both; 0 before.
    :ivar deadline: when it stops if the present step still waits then; 0 before it waits.
    :ivar failed: whether it stopped, until somebody has it go on.
    :ivar reason: why it stopped, as the cluster's row says it.
    :ivar root: the number that Swarm's root has when it is replaced; 0 while that is not known.
    :ivar note: what is to be said at the end beside what was done.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    old: Mapping[str, str] = dataclasses.field(default_factory=dict)
    new: Mapping[str, str] = dataclasses.field(default_factory=dict)
    began: int = 0
    step: str = CA_STEPS[0]
    trusted: int = 0
    deadline: int = 0
    failed: bool = False
    reason: str = ""
    root: int = 0
    note: str = ""
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def noting(self, note: str) -> str:
        """Return what is to be said at the end, with one more sentence."""
        return self.note if note in self.note else f"{self.note} {note}".strip()

    @property
    def resumed(self) -> "CaRotation":
        """What goes on if it has stopped; its present step has its whole time again then."""
        if not self.failed:
            return self
        return dataclasses.replace(self, failed=False, reason="", deadline=0)

    @property
    def following(self) -> str:
        """The step after the present one."""
        return CA_STEPS[CA_STEPS.index(self.step) + 1]

    @property
    def progress(self) -> str:
        """A sentence's beginning that says which of the steps the present one is."""
        if self.step not in CA_STEPS:
            return f"Replacing certificates, step {self.step} of a newer release"
        return f"Replacing certificates, step {CA_STEPS.index(self.step) + 1} of {len(CA_STEPS)}"


class CredentialStep(enum.StrEnum):
    """How far the rotation of a credential has come."""

    MAKING = "making"
    ASKING = "asking"
    TELLING = "telling"
    WAITING = "waiting"
    REVOKING = "revoking"


@dataclasses.dataclass(frozen=True)
class CredentialRotation:
    """The rotation of a credential; times are seconds since 1970.

    :ivar step: one of :class:`CredentialStep`, or a step of a newer release.
    :ivar number: of the rights that are made.
    :ivar began: when it was asked for.
    :ivar deadline: when it is given up, whatever it waits for; 0 where that is not known yet.
    :ivar status: that the cluster had before.
    :ivar reason: that the cluster had before.
    :ivar credential: Keystone's id of the new credential.
    :ivar generation: of the settings that tell managers the credential.
    :ivar since: when managers were told.
    :ivar notes: what is to be said at the end beside what was done.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    step: str = CredentialStep.MAKING
    number: int = 0
    began: int = 0
    deadline: int = 0
    status: str = ""
    reason: str | None = None
    credential: str = ""
    generation: int = 0
    since: int = 0
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def is_overdue(self, now: float) -> bool:
        """Return whether it has waited for as long as it may."""
        return bool(self.deadline) and now > self.deadline

    def noting(self, note: str) -> "CredentialRotation":
        """Return it with one more sentence for the end."""
        if note in self.notes:
            return self
        return dataclasses.replace(self, notes=(*self.notes, note))
