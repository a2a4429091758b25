# SPDX-License-Identifier: Apache-2.0
"""What is outside of the conductors: a clock, Keystone, Magnum's certificate store, Heat, a swarm.

Each service refuses, lags, lies, and loses what it has, as the test says.
"""

import functools
import re
import types
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from keystoneauth1 import exceptions as keystone_exceptions
from magnum.common import exception as magnum_exception

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.certificates import names
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.stack.request import NodeCredential
from tests.model.conductors import Conductors
from tests.model.stacks import Stacks
from tests.model.swarm import Swarm

OWNER, MEMBER, PROJECT = "owner", "member", "p" * 32
SERVICES = ("heat", "swarm", "keystone")
Result = TypeVar("Result")


class World:
    """The services of one simulation.

    :ivar now: seconds since 1970.
    :ivar down: services that do not answer.
    :ivar stale: services that answer with what they had at the last tick.
    :ivar broken: what was done that must never be.
    :ivar trusts: id to whose it is, and the number of the rights that it belongs to.
    :ivar credentials: likewise for application credentials.
    :ivar certificates: reference to the set that it was made with.
    :ivar is_gone: returns whether there is no cluster (any more).
    """

    def __init__(self, conductors: Conductors, cluster_uuid: str) -> None:
        self.conductors = conductors
        self.cluster_uuid = cluster_uuid
        self.now = 1_800_000_000.0
        self.down: set[str] = set()
        self.stale: set[str] = set()
        self.broken: list[str] = []
        self.trusts: dict[str, tuple[str, int]] = {}
        self.credentials: dict[str, tuple[str, int]] = {}
        self.certificates: dict[str, int] = {}
        self.certificate_sets = 0
        self.is_gone: Callable[[], bool] = lambda: False
        self._late: dict[str, int] = {}
        self.swarm = Swarm(self)
        self.stacks = Stacks(self)

    def request(self, service: str, act: Callable[[], Result]) -> Result:
        """Let a request reach a service, or die before or after it."""
        self.conductors.live()
        self.conductors.boundary()
        if service in self.down:
            raise exceptions.Unavailable(f"{service} does not answer.")
        result = act()
        self.conductors.live()
        return result

    def tick(self, seconds: float) -> None:
        """Let Heat, the swarm and the clock go on."""
        self.now += seconds
        self.swarm.remember()
        self.stacks.remember()
        self.swarm.tick()
        self.stacks.tick()
        self.swarm.elect()

    def sleep(self, seconds: float) -> None:
        """Let a conductor wait."""
        self.conductors.live()
        self.tick(seconds)

    def note_late(self, made: str) -> None:
        """Note what is made for a cluster that is gone: its conductor has stood still."""
        if self.is_gone():
            self._late[made] = self.conductors.deaths

    def is_lost(self, made: str) -> bool:
        """Return whether something was made late, and a conductor died before it could delete it.

        That is excused: only the owner's token made it, and the trust through which Magnum could
        find it was revoked with the cluster. See :mod:`magnum_swarm_mode.conductor.create`.
        """
        return self._late.get(made, self.conductors.deaths) < self.conductors.deaths

    # Keystone

    def create_trust(self, session: "Session", _: str, __: str, number: int = 0) -> str:
        """Make a trust, or find it."""
        return self._right(self.trusts, session, number, again=False)

    def create_credential(
        self, session: "Session", _: str, __: str, number: int = 0
    ) -> NodeCredential:
        """Make an application credential in the place of one of the same name."""
        return NodeCredential(self._right(self.credentials, session, number, again=True), "secret")

    def _right(
        self, rights: dict[str, tuple[str, int]], session: "Session", number: int, *, again: bool
    ) -> str:
        def act() -> str:
            whose = (session.get_user_id(), number)
            for known in [one for one, value in rights.items() if value == whose]:
                if not again:
                    return known
                del rights[known]
            made = uuid.uuid4().hex
            rights[made] = whose
            self.note_late(made)
            return made

        return self.request("keystone", act)

    def revoke_trust(self, _: Any, owner: str, __: str, ___: str, number: int = 0) -> None:
        """Delete a trust."""
        self._revoke(self.trusts, owner, number)

    def revoke_credential(self, _: Any, owner: str, __: str, number: int = 0) -> None:
        """Delete an application credential."""
        self._revoke(self.credentials, owner, number)

    def _revoke(self, rights: dict[str, tuple[str, int]], owner: str, number: int) -> None:
        def act() -> None:
            for known in [one for one, value in rights.items() if value == (owner, number)]:
                del rights[known]

        self.request("keystone", act)

    # Certificates; what they say is the name of their reference

    def certify(self, cluster: Any, context: Any = None) -> None:
        """Make a set of certificates, and let the cluster name them when all are made."""
        self.certificate_sets += 1
        made = {}
        try:
            for name in certificate_store.COLUMNS:
                pair = types.SimpleNamespace(uuid="")
                # As Magnum's own store does it, with what this driver puts around it.
                keep = functools.partial(self._keep, self.certificate_sets)
                store = functools.partial(names.pair, keep, pair)
                made[name] = names.client(lambda store=store: store())
        except Exception as error:
            failed = magnum_exception.CertificatesToClusterFailed
            raise failed(cluster_uuid=cluster.uuid) from error
        for name, reference in made.items():
            setattr(cluster, name, reference)

    def _keep(self, number: int, pair: Any) -> str:
        def act() -> str:
            self.certificates[pair.uuid] = number
            return str(pair.uuid)

        return self.request("keystone", act)

    def certificate(self, _: str, reference: str) -> str:
        """Return a certificate."""
        self.conductors.live()
        if reference not in self.certificates or "keystone" in self.down:
            raise exceptions.Unavailable("Magnum cannot read the cluster's certificates now.")
        return f"PEM {reference}"

    def pair(self, cluster_uuid: str, reference: str) -> certificate_store.Pair:
        """Return a certificate and its key."""
        return certificate_store.Pair(self.certificate(cluster_uuid, reference), "KEY")

    def delete_certificates(self, _: str, unwanted: Any) -> list[str]:
        """Delete certificates; return those that are left."""
        unwanted = [one for one in unwanted if one]

        def act() -> list[str]:
            for one in unwanted:
                self.certificates.pop(one, None)
            return []

        try:
            return self.request("keystone", act) if unwanted else []
        except exceptions.Unavailable:
            return unwanted

    def sets_in(self, text: str) -> set[int]:
        """Return of which sets the certificates in a text are."""
        found = re.findall(r"PEM (\S+)", text)
        return {self.certificates[one] for one in found if one in self.certificates}


class Session:
    """A session of keystoneauth's: a user's, a trust's, or Magnum's own."""

    def __init__(self, world: World, user: str = "", trust: str = "") -> None:
        self._world, self.user, self.trust = world, user, trust

    @property
    def is_valid(self) -> bool:
        """Whether Keystone gives a token for it."""
        return not self.trust or self.trust in self._world.trusts

    def get_user_id(self) -> str:
        """Return the user."""
        return self.user or "magnum"

    def get_project_id(self) -> str:
        """Return the project."""
        return PROJECT

    def get_token(self) -> str:
        """Return a token, if the trust is there."""

        def ask() -> str:
            if not self.is_valid:
                raise keystone_exceptions.NotFound("no trust")
            return "token"

        return self._world.request("keystone", ask)
