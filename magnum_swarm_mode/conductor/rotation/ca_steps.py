# SPDX-License-Identifier: Apache-2.0
"""One look at a cluster whose authority is being replaced: the steps, and how they end.

Each step returns what it waits for, or nothing when it is done. What it waits for, and whatever
goes wrong with it, ends at the step's deadline, which the record holds.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from magnum_swarm_mode import clocks, exceptions, log, reach
from magnum_swarm_mode.certificates import authority as certificates_authority
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.db.store import Conflict, Record, Store
from magnum_swarm_mode.decisions import status as decisions_status
from magnum_swarm_mode.decisions import steps
from magnum_swarm_mode.decisions.model import Outcome
from magnum_swarm_mode.decisions.record import Kind
from magnum_swarm_mode.decisions.rotation import CA_STEPS, RESUME, CaRotation
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings

CONF = cloud_sessions.CONF
LOG = log.of(__name__)

_DONE = (
    "The cluster's certificates, Swarm's own root CA and the join tokens were replaced; fetch the "
    "client's files again (openstack coe cluster config)."
)
_TELLS_HEAT = "Heat gets what later workers shall trust."
# How long a step may wait for something before the rotation stops.
_STEP_SECONDS = 1200
_GOES_ON = "After that the certificates are replaced to the end."


def put(cluster: Any, references: Mapping[str, str]) -> None:
    """Let a cluster name certificates; it is not saved."""
    for name, reference in references.items():
        setattr(cluster, name, reference or None)


class Look:
    """One look at a cluster whose authority is being replaced.

    :ivar record: as it is by now.
    """

    def __init__(self, store: Store, context: Any, cluster: Any, record: Record) -> None:
        self._store = store
        self._context = context
        self._cluster = cluster
        self.record = record
        self._heat_api: heat_client.Heat | None = None
        self._stack: heat_client.Stack | None = None

    @property
    def _rotation(self) -> CaRotation:
        return self.record.state.ca or CaRotation()

    def go_on(self, *, more_to_do: bool) -> None:
        """Do what can be done now, and tell how far it is.

        :param more_to_do: whether something else waits for the end of the rotation.
        :raises Conflict: when somebody else changed the record meanwhile.
        """
        if self._rotation.failed and self._rotation.reason:
            # The conductor that stopped it died before the row said so.
            rows.tell(self._cluster, "UPDATE_FAILED", self._rotation.reason)
            return
        if self._rotation.failed:
            # A release that stopped it said no reason.
            self._write(failed=False, deadline=0)
        self._adopt()
        try:
            waits = self._waits()
            if not waits:
                self._finish(more_to_do=more_to_do)
                return
        except Conflict:
            raise
        except exceptions.Unavailable as error:
            waits = error.user_message
        except grants.Lost as error:
            LOG.error("Cluster %s: %s", self._cluster.uuid, error.operator_message)
            goes_on = f" {_GOES_ON}" if grants.may_change() else ""
            self._stop(f"{self._progress()}: {error.user_message}{goes_on}")
            return
        except exceptions.SwarmModeError as error:
            LOG.error("Cluster %s: %s", self._cluster.uuid, error.operator_message)
            self._fail(error.user_message)
            return
        except Exception as error:
            LOG.exception("Cluster %s", self._cluster.uuid)
            waits = decisions_status.unexpected(type(error).__name__)
        rotation = self._rotation
        if clocks.is_ahead(rotation.deadline, clocks.now(), self._patience()):
            self._write(deadline=0)
            rotation = self._rotation
        said = f"{self._progress()}: {waits}"
        if rotation.deadline and clocks.now() > rotation.deadline:
            self._fail(said)
            return
        if not rotation.deadline:
            self._write(deadline=int(clocks.now()) + self._patience())
        rows.tell(self._cluster, "UPDATE_IN_PROGRESS", said)

    def _patience(self) -> int:
        """Return how many seconds the present step may wait."""
        overlap = CONF.swarm_mode.rotation_overlap if self._rotation.step == "swarm" else 0
        return _STEP_SECONDS + int(overlap)

    def advance(self, only: str) -> bool:
        """Do one step; whether it is done, now or before."""
        rotation = self._rotation
        if rotation.step != only:
            return True
        if self._actions()[only]():
            return False
        self._next()
        return True

    def _waits(self) -> str:
        """Do step after step; return what is waited for, or nothing when all is done."""
        while True:
            step = self._rotation.step
            if step not in CA_STEPS:
                return "a conductor of a newer release goes on."
            waits = self._actions()[step]()
            if waits or step == CA_STEPS[-1]:
                return waits
            self._next()

    def _actions(self) -> Mapping[str, Callable[[], str]]:
        return {
            "trust": self._trust,
            "swarm": self._renew_swarm,
            "sign": self._sign,
            "only": self._only,
            "clean": self._clean,
        }

    def _next(self) -> None:
        rotation = self._rotation
        following = rotation.following
        trusted = rotation.trusted or int(clocks.now())
        self._write(step=following, deadline=0, trusted=trusted)
        LOG.info("Cluster %s: certificates, step %s", self._cluster.uuid, following)

    def _write(self, **changes: Any) -> None:
        rotation = dataclasses.replace(self._rotation, **changes)
        state = dataclasses.replace(self.record.state, ca=rotation)
        self.record = self._store.write(self.record, state)

    def _adopt(self) -> None:
        """Let Magnum's row have the new references, should its handler have died before."""
        new = dict(self._rotation.new)
        if certificate_store.references(self._cluster) == new:
            return
        rows.write(self._cluster, {name: reference or None for name, reference in new.items()})

    def _progress(self) -> str:
        return self._rotation.progress

    def _fail(self, reason: str) -> None:
        self._stop(f"{reason.rstrip('.')}. {RESUME}")

    def _stop(self, said: str) -> None:
        self._write(failed=True, deadline=0, reason=said)
        rows.tell(self._cluster, "UPDATE_FAILED", said)

    def _finish(self, *, more_to_do: bool) -> None:
        away = manager_settings.away(self._swarm().nodes())
        said = _DONE
        if away:
            said += f" Down meanwhile, and to follow when they are back: {', '.join(away)}."
        if self._rotation.note:
            said += f" {self._rotation.note}"
        plan = copy.deepcopy(self.record.state.plan)
        if more_to_do:
            steps.note(plan, said, lasting=True)
        else:
            steps.finish(plan, Outcome.COMPLETE, said)
        state = dataclasses.replace(self.record.state, ca=None, plan=plan)
        self.record = self._store.write(self.record, state)
        reach.SWARMS.forget(self._cluster.uuid)
        rows.tell(self._cluster, "UPDATE_IN_PROGRESS" if more_to_do else "UPDATE_COMPLETE", said)

    # What the steps look at

    def _heat(self) -> tuple[heat_client.Heat, heat_client.Stack]:
        if self._heat_api is None or self._stack is None:
            self._heat_api, self._stack = reach.find_stack(
                self._context, self._cluster, self.record.state
            )
        return self._heat_api, self._stack

    def _addresses(self) -> list[str]:
        return reach.output(self._heat()[1], "manager_addresses")

    def _swarm(self) -> swarm_client.Swarm:
        return reach.swarm_of(self._cluster, self._addresses())

    def _pair(self, which: str, column: str) -> certificate_store.Pair:
        references = getattr(self._rotation, which)
        return certificate_store.read(self._cluster.uuid, references[column])

    def _authority(self, which: str) -> str:
        references = getattr(self._rotation, which)
        return certificate_store.certificate(self._cluster.uuid, references["ca_cert_ref"])

    def _told(self, changes: Mapping[str, Any], what: str) -> str:
        """Tell managers something; return which of them have not taken it over."""
        swarm = self._swarm()
        generation = manager_settings.tell(swarm, changes)
        missing = manager_settings.waiting(swarm.nodes(), generation)
        return f"{what}; waiting for {', '.join(missing)}." if missing else ""

    # The steps: each returns what it waits for, or nothing when it is done

    def _trust(self) -> str:
        old, new = self._authority("old"), self._pair("new", "ca_cert_ref")
        chain = certificates_authority.under(old, new.certificate, new.key)
        return self._told(
            {
                "ca_certificate": certificates_authority.bundle(old, new.certificate),
                "api": {"chain": chain, "issuer": ""},
            },
            "managers let in clients of the old and of the new authority",
        )

    def _renew_swarm(self) -> str:
        """Do all that belongs to the second step, none of which has to wait for another."""
        waits = [self._swarm_root(), self._parameters(), self._overlap()]
        return " ".join(filter(None, waits))

    def _swarm_root(self) -> str:
        """Have Swarm's own root and the tokens replaced, both at once so that neither is twice."""
        swarm = self._swarm()
        described = swarm.inspect()
        authority = dict(described["Spec"].get("CAConfig") or {})
        number = int(authority.get("ForceRotate") or 0)
        if not self._rotation.root:
            self._write(root=number + 1)
        if number < self._rotation.root:
            # What a user once gave would be kept instead of replaced.
            for name in ("SigningCACert", "SigningCAKey"):
                authority.pop(name, None)
            authority["ForceRotate"] = self._rotation.root
            spec = {**described["Spec"], "CAConfig": authority}
            swarm.update_swarm(described["Version"]["Index"], spec, rotate_tokens=True)
            described = swarm.inspect()
        return _root_waits(described, swarm.nodes())

    def _parameters(self) -> str:
        """Have later workers believe in the new authority."""
        heat_api, stack = self._heat()
        stacks = [stack]
        for made in self.record.state.things(Kind.GROUP):
            group = heat_api.get(made.handle) if made.handle else None
            if group is not None and not group.status.startswith("DELETE"):
                stacks.append(group)
        wanted = self._authority("new")
        waits = ""
        for one in stacks:
            same = _same_text(str(one.parameters.get("ca_certificate")), wanted)
            if same and one.status.endswith("_COMPLETE"):
                continue
            if same and one is not stack and one.status.endswith("_FAILED"):
                # Heat has kept what it was told; what it cannot make stops nothing else.
                reason = heat_api.failure_reason(one).rstrip(".")
                note = f"Heat fails at the stack {one.name} of a node group: {reason}."
                self._write(note=self._rotation.noting(note))
                continue
            waits = _TELLS_HEAT
            if one.status.endswith("_IN_PROGRESS"):
                continue
            if same:
                reason = heat_api.failure_reason(one).rstrip(".")
                waits = f"{_TELLS_HEAT} Heat failed at first: {reason}."
            minutes = int(self._cluster.create_timeout or 0)
            heat_api.update(one.id, {"ca_certificate": wanted}, minutes)
        return waits

    def _overlap(self) -> str:
        left = self._rotation.trusted + CONF.swarm_mode.rotation_overlap - clocks.now()
        if left <= 0:
            return ""
        return f"Files fetched now serve, and for {left:.0f} more seconds those from before."

    def _only(self) -> str:
        new = self._authority("new")
        waits = self._told(
            {"ca_certificate": certificates_authority.bundle(new)},
            "managers let in clients of the new authority alone",
        )
        return waits or self._refused(new)

    def _refused(self, ca: str) -> str:
        """Try with the conductor's old certificate whether managers let it in; they must not."""
        old, new = self._pair("old", "magnum_cert_ref"), self._pair("new", "magnum_cert_ref")
        for address in self._addresses():
            with contextlib.suppress(exceptions.Unavailable):
                for own in (new, old):
                    self._ask(ca, own, address)
                return f"the manager at {address} still lets in the old certificate."
        return ""

    def _ask(self, ca: str, own: certificate_store.Pair, address: str) -> None:
        """Ask one manager something.

        :raises Unavailable: when it does not answer.
        """
        swarm = reach.swarm_with(ca, own, [address], self._cluster.uuid)
        try:
            swarm.engine()
        finally:
            swarm.close()

    def _sign(self) -> str:
        issuer = certificates_authority.fingerprint(self._authority("new"))
        return self._told(
            {"api": {"chain": "", "issuer": issuer}},
            "managers get certificates of the new authority",
        )

    def _clean(self) -> str:
        manager_settings.clean_up(self._swarm())
        kept = set(self._rotation.new.values())
        unwanted = [one for one in self._rotation.old.values() if one not in kept]
        # What the store does not delete now is tried again by later looks at the cluster's health.
        left = certificate_store.delete(self._cluster.uuid, unwanted)
        state = orphans.deleted(self.record.state, unwanted, left)
        if state != self.record.state:
            self.record = self._store.write(self.record, state)
        return ""


def _root_waits(described: Mapping[str, Any], nodes: list[dict[str, Any]]) -> str:
    """Return which nodes still lack a certificate of Swarm's present root."""
    wanted = described.get("TLSInfo") or {}
    ready = [node for node in nodes if (node.get("Status") or {}).get("State") == "ready"]
    lacking = [node for node in ready if _issuer(node) != wanted.get("CertIssuerPublicKey")]
    if lacking:
        return f"{len(ready) - len(lacking)} of {len(ready)} nodes have Swarm's new root."
    # Swarm itself goes on waiting for nodes that are down, for as long as they are listed.
    if described.get("RootRotationInProgress") and len(ready) == len(nodes):
        return "Swarm replaces its root."
    return ""


def _issuer(node: Mapping[str, Any]) -> Any:
    told = (node.get("Description") or {}).get("TLSInfo") or {}
    return told.get("CertIssuerPublicKey")


def _same_text(one: str, other: str) -> bool:
    return one.split() == other.split()
