# SPDX-License-Identifier: Apache-2.0
"""What the driver remembers of a cluster: the one place of intent; pure.

======================  ============================================================================
Part                    Where
======================  ============================================================================
phase                   ``phase``; what may follow which is ``TRANSITIONS``
desired                 ``plan.desired`` and ``plan.upgrade``
operation               ``plan``, ``ca`` and ``credential``
conditions              ``plan.away`` and ``healing``
owned                   ``owned``
debts                   ``plan.debts``
======================  ============================================================================
"""

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any

from magnum_swarm_mode import clocks, exceptions, stored, text
from magnum_swarm_mode.decisions.healing import Memory
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.rotation import CaRotation, CredentialRotation

_FORMAT = 1
# How long a request may take from its record to Magnum's status, in seconds.
_MARK_SECONDS = 60
# How often it is tried to delete what a certificate store has kept of a cluster that is gone.
_ORPHAN_SECONDS = 600


class Phase(enum.StrEnum):
    """How far the making, or unmaking, of a cluster has come."""

    PREPARING = "preparing"  # credentials are made
    SUBMITTING = "submitting"  # Heat is asked for the stack; it may or may not exist
    CREATED = "created"  # the stack exists, or did
    ABANDONED = "abandoned"  # creation failed, and what it made is undone as far as that went
    DELETING = "deleting"  # the stack is asked to go
    CLEANING = "cleaning"  # the stack is gone; credentials remain


# From each phase to those that may follow it: nothing leads out of a deletion but its end.
TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.PREPARING: frozenset(
        # Of an interrupted creation the stack is found that it asked for.
        {Phase.PREPARING, Phase.SUBMITTING, Phase.CREATED, Phase.ABANDONED, Phase.DELETING}
    ),
    Phase.SUBMITTING: frozenset(
        {Phase.PREPARING, Phase.SUBMITTING, Phase.CREATED, Phase.ABANDONED, Phase.DELETING}
    ),
    Phase.CREATED: frozenset({Phase.ABANDONED, Phase.DELETING}),
    Phase.ABANDONED: frozenset({Phase.DELETING}),
    Phase.DELETING: frozenset({Phase.DELETING, Phase.CLEANING}),
    Phase.CLEANING: frozenset({Phase.CLEANING}),
}
# A phase that only a newer release knows: a user can delete the cluster all the same.
_FROM_UNKNOWN = frozenset({Phase.DELETING})


class Kind(enum.StrEnum):
    """What something is that was made outside of Magnum's database, and so how it is deleted."""

    GROUP = "group"  # the stack of a further node group; Heat deletes it
    LATE = "late"  # the same, of a group that is gone, where its conductor may yet ask for it
    STACK = "stack"  # the cluster's stack; Heat deletes it, after those of its groups
    CREDENTIAL = "credential"  # the managers'; Keystone deletes it, found by its name
    TRUST = "trust"  # the conductor's; Keystone deletes it, found by its date
    CERTIFICATE = "certificate"  # Magnum's certificate store deletes it


@dataclasses.dataclass(frozen=True)
class Owned:
    """Something that was made for a cluster outside of Magnum's database, or may have been.

    It is written down before it is made, and forgotten when it is known to be gone.

    :ivar key: tells things of a kind apart: the uuid of a group, the number of the rights that a
        user gave, the reference of a certificate; empty for the cluster's stack.
    :ivar name: by which a service finds it while its id is not known.
    :ivar id: what its service calls it; empty while that is not known.
    :ivar owner_id: Keystone's id of the user who gave a right.
    :ivar since: seconds since 1970 at which its service was asked for it; 0 before. Of a
        certificate that is to be deleted, 0.
    :ivar until: of a certificate, or a group's stack, that its conductor may yet make, until when
        its deletion is repeated, in seconds since 1970; 0 for what was made.
    :ivar used: whether a certificate is named by the cluster's row, or by a replacement.
    :ivar trust: the trust that Heat has of a stack's owner; empty where it is not known.
    :ivar prefix: of the host names of a further group's nodes.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    kind: str
    key: str = ""
    name: str = ""
    id: str = ""
    owner_id: str = ""
    since: int = 0
    until: int = 0
    used: bool = False
    trust: str = ""
    prefix: str = ""
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def handle(self) -> str:
        """What Heat finds a stack by; empty where nothing is known."""
        return self.id or self.name


@dataclasses.dataclass(frozen=True)
class State:
    """The contents of a record; times are seconds since 1970.

    :ivar owner_id: Keystone's id of the user with whose rights the conductor works: who created the
        cluster, or rotated its credential last.
    :ivar phase: text where it is one that only a newer release knows; such a record has no lease.
    :ivar phase_since: when ``phase`` was entered.
    :ivar owned: everything that was made outside of Magnum's database and may still be there.
    :ivar grant: the number of the owner's rights among those.
    :ivar handed_over: whether another user than its creator became the owner of the stack.
    :ivar complete_since: when Heat was first seen to be done; 0 before.
    :ivar plan: what is desired, what is under way, and what is owed.
    :ivar healing: what is remembered of nodes that are down.
    :ivar ca: how far a replacement of the authority has come; None when none is under way. While
        ``credential`` is one as well, it waits for that.
    :ivar credential: how far a rotation of the credential has come; None when none is under way.
    :ivar blind_since: since when Heat has not shown what it has of the cluster; 0 while it does.
    :ivar manager_keys: index of each manager to the public key that its certificates are signed
        for, DER in base64; see :mod:`magnum_swarm_mode.admission.manager_keys`.
    :ivar errors: how many looks in a row ended with an exception that nobody expected.
    :ivar unknown: what a newer release wrote and this one does not understand.
    """

    phase: Phase
    owner_id: str
    phase_since: int = 0
    owned: tuple[Owned, ...] = ()
    grant: int = 0
    handed_over: bool = False
    complete_since: int = 0
    plan: Plan = dataclasses.field(default_factory=Plan)
    healing: Memory = dataclasses.field(default_factory=Memory)
    ca: CaRotation | None = None
    credential: CredentialRotation | None = None
    blind_since: int = 0
    manager_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    errors: int = 0
    unknown: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def entering(self, phase: Phase, **changes: Any) -> "State":
        """Return this state moved to another phase now, with other changes.

        :raises Inconsistent: when that phase cannot follow this one.
        """
        if phase not in TRANSITIONS.get(self.phase, _FROM_UNKNOWN):
            raise exceptions.Inconsistent(
                "The cluster has another state than the operation expects; try again.",
                f"phase {phase} cannot follow {self.phase}",
            )
        return dataclasses.replace(self, phase=phase, phase_since=int(clocks.now()), **changes)

    def on_time(self, now: int) -> "State":
        """Return this state without a time in the future at which something began.

        Deadlines are bounded where it is known how long after their beginning they are.
        """
        plan, healing = self.plan, self.healing
        if isinstance(plan, Plan):
            plan = dataclasses.replace(
                clocks.part(plan, now, "blind", "troubled"),
                away=clocks.each(plan.away, now),
                waiting=plan.waiting and clocks.part(plan.waiting, now, "since"),
                leaving={k: clocks.part(one, now, "since") for k, one in plan.leaving.items()},
            )
        healing = dataclasses.replace(
            clocks.part(healing, now, "looked"),
            down=clocks.each(healing.down, now),
            acted=tuple(clocks.trusted(moment, now) for moment in healing.acted),
        )
        return dataclasses.replace(
            clocks.part(self, now, "phase_since", "complete_since", "blind_since"),
            owned=tuple(clocks.part(one, now, "since") for one in self.owned),
            plan=plan,
            healing=healing,
            ca=self.ca and clocks.part(self.ca, now, "began", "trusted"),
            credential=self.credential and clocks.part(self.credential, now, "began", "since"),
        )

    # What is owned

    def things(self, *kinds: Kind) -> list[Owned]:
        """Return what is owned of some kinds, in the order of the kinds."""
        return [one for kind in kinds for one in self.owned if one.kind == kind]

    @property
    def has_begun(self) -> bool:
        """Whether a creation has noted the rights that it asks its owner for.

        It notes them first of all that it makes, under the lease; certificates come before.
        """
        return self.thing(Kind.TRUST, "0") is not None

    def thing(self, kind: Kind, key: str = "") -> Owned | None:
        """Return one thing that is owned, or None."""
        return next((one for one in self.things(kind) if one.key == key), None)

    def owning(self, kind: Kind, key: str = "", **changes: Any) -> "State":
        """Return a state in which a thing is owned, or more is known of it."""
        known = self.thing(kind, key)
        if known is None:
            owned = (*self.owned, Owned(kind, key, **changes))
        else:
            new = dataclasses.replace(known, **changes)
            owned = tuple(new if one is known else one for one in self.owned)
        return dataclasses.replace(self, owned=owned)

    def without(self, kind: Kind, *keys: str) -> "State":
        """Return a state in which things are not owned any more."""
        kept = tuple(one for one in self.owned if one.kind != kind or one.key not in keys)
        return dataclasses.replace(self, owned=kept)

    @property
    def stack(self) -> Owned:
        """The cluster's stack, as far as anything is known of it."""
        return self.thing(Kind.STACK) or Owned(Kind.STACK)

    @property
    def groups(self) -> dict[str, Owned]:
        """Uuid of each further node group to its stack."""
        return {one.key: one for one in self.things(Kind.GROUP)}

    @property
    def trust_id(self) -> str:
        """The trust through which the conductor acts for the owner; empty where there is none."""
        found = self.thing(Kind.TRUST, str(self.grant))
        return found.id if found else ""

    @property
    def node_credential_id(self) -> str:
        """The application credential of the managers; empty where it is not known."""
        found = self.thing(Kind.CREDENTIAL, str(self.grant))
        return found.id if found else ""

    # What is under way

    @property
    def replaces_ca(self) -> bool:
        """Whether the authority is being replaced, or shall be once that goes on."""
        return self.ca is not None and self.credential is None

    @property
    def is_rotating(self) -> bool:
        """Whether certificates or credentials are being replaced, stopped or not."""
        return self.ca is not None or self.credential is not None

    @property
    def work_due(self) -> int:
        """When a look is due whatever Magnum's status is; 0 for never.

        What a request asked for is due a while after it, for its conductor sets the status itself.
        While a replacement of certificates has stopped, nothing goes on before the next request.
        What cannot be read is due now: a look ends it.
        """
        try:
            return int(self._next_look)
        except (AttributeError, TypeError, ValueError, OverflowError):
            return int(clocks.now())

    @property
    def _next_look(self) -> int:
        """When a look is due, where all can be read."""
        if self.phase in (Phase.DELETING, Phase.CLEANING):
            only = self.owned and all(one.kind == Kind.CERTIFICATE for one in self.owned)
            return self.phase_since + (_ORPHAN_SECONDS if only else _MARK_SECONDS)
        if self.phase is Phase.PREPARING:
            # Its conductor may have stood still until the cluster was gone, and died then.
            return self.phase_since + _ORPHAN_SECONDS
        if self.replaces_ca and self.ca is not None and self.ca.failed:
            return 0
        if not self._is_over or self.is_rotating:
            return int(clocks.now()) + _MARK_SECONDS
        return 0

    @property
    def _is_over(self) -> bool:
        """Whether nothing is to be done for the plan; a look ends one that cannot be read."""
        try:
            return self.plan.is_over
        except (AttributeError, TypeError):
            return False

    def to_json(self) -> str:
        """Return the text that the table holds."""
        return json.dumps({**stored.dump(self), "format": _FORMAT}, sort_keys=True)

    @classmethod
    def from_json(cls, said: str) -> "State":
        """Read what :meth:`to_json` wrote, also that of a newer release.

        :raises Inconsistent: when it is none.
        """
        try:
            values = text.parsed(said)
            values.pop("format", None)
            state: State = stored.load(cls, values)
        except (ValueError, AttributeError, TypeError) as error:
            raise exceptions.Inconsistent(
                "The cluster's record cannot be read.", f"the record is none: {error!r}"
            ) from error
        return state


def new(phase: Phase, owner_id: str, stack_name: str, stack_id: str = "") -> State:
    """Return the state of a cluster of which nothing is made yet, or nothing is known.

    :param owner_id: of whoever gives the rights that are made; empty where none are ours.
    """
    state = State(phase=phase, owner_id=owner_id, phase_since=int(clocks.now()))
    state = state.owning(Kind.STACK, name=stack_name, id=stack_id)
    if not owner_id:
        return state
    return state.owning(Kind.CREDENTIAL, "0", owner_id=owner_id).owning(
        Kind.TRUST, "0", owner_id=owner_id
    )
