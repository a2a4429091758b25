# SPDX-License-Identifier: Apache-2.0
"""Replaces a cluster's authority, and with it whatever lets anybody into the cluster.

Magnum's conductor makes a new authority and a new certificate of its own, calls the driver, and
then saves where they are, so that from then on users fetch, and Magnum signs with, what is new. So
managers must believe in the new authority before the driver returns, and present something that
those believe who know only it. The steps:

``trust``    managers let in clients of either authority, and present the old authority signed by
             the new one: files that users have, and files that they fetch, both serve;
``swarm``    meanwhile Swarm's own root and both join tokens are replaced, and Heat is told what
             later workers are to believe in; then for a while nothing, so that users can fetch;
``sign``     managers get certificates of the new authority: old files stop to serve here, for they
             do not know who signed these;
``only``     managers let in clients of the new authority alone, which the conductor tries with its
             own old certificate;
``clean``    the old certificates are removed from Magnum's store.

Each step looks whether it is done and does what is missing; it may be done any number of times.
The record says which one it is. Managers that are down are not waited for: they take everything
over when they are back. Neither the swarm's managers nor its quorum are touched.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from magnum import objects
from oslo_log import log as logging

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.certificates import authority as certificates_authority
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import reach
from magnum_swarm_mode.db.store import Conflict, Phase, Record, State, Store
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings

CONF = cloud_sessions.CONF
LOG = logging.getLogger(__name__)

KIND = "ca"
STEPS = ("trust", "swarm", "sign", "only", "clean")
_ATTEMPTS = 10
# How long the handler waits for managers, of the 60 seconds that Magnum's API waits for it.
_HANDLER_SECONDS = 20.0
# After which a conductor that was asked and has not come to an end is taken for dead.
INTERRUPTED_SECONDS = 120
# How long a step may wait for something before the rotation stops.
_STEP_SECONDS = 1200
_DONE = (
    "The cluster's certificates, Swarm's own root CA and the join tokens were replaced; fetch the "
    "client's files again (openstack coe cluster config)."
)
_TELLS_HEAT = "Heat is told what later workers are to believe in."
_RESUME = "Resize a node group to its present count to go on."
_UNCHANGED = "Nothing was changed; before you try again, resize a node group to its present count."
_GOES_ON = "After that the certificates are replaced to the end."

FindStack = Callable[[], tuple[heat_client.Heat, heat_client.Stack]]
Tell = Callable[[str, str], None]


@dataclasses.dataclass(frozen=True)
class Rotation:
    """How far a rotation has come, as the record holds it.

    :ivar old, new: references in Magnum's certificate store, by column.
    :ivar trusted: seconds since 1970 at which all managers let in clients of both; 0 before.
    :ivar began: seconds since 1970.
    :ivar since: seconds since 1970 from which the present step waits; 0 for the next look.
    :ivar failed: whether it stopped, until somebody has it go on.
    :ivar root: the number that Swarm's root has when it is replaced; 0 while that is not known.
    :ivar note: what is to be said at the end beside what was done.
    """

    old: Mapping[str, str]
    new: Mapping[str, str]
    began: int
    step: str = STEPS[0]
    trusted: int = 0
    since: int = 0
    failed: bool = False
    root: int = 0
    note: str = ""
    kind: str = KIND

    def to_json(self) -> dict[str, Any]:
        """Return what the record holds."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Rotation":
        """Read what :meth:`to_json` wrote, also that of a newer release."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


def is_under_way(state: State) -> bool:
    """Tell whether a cluster's authority is being replaced, or shall be once that goes on."""
    return state.rotation.get("kind") == KIND


def has_stopped(state: State) -> bool:
    """Tell whether a replacement of the authority waits for somebody to have it go on."""
    return is_under_way(state) and Rotation.from_json(state.rotation).failed


def begin(store: Store, cluster: Any, find_stack: Callable[[State], FindStack]) -> None:
    """Take up what Magnum's handler has made, as far as goes while its caller waits.

    :param cluster: with new references, which Magnum saves when this returns, and also when it
        raises: unless they are taken up they are put back here.
    :raises SwarmModeError: with a sentence for the user; nothing was changed.
    """
    row = objects.Cluster.get_by_uuid(cloud_sessions.admin_context(), cluster.uuid)
    old, new = certificate_store.references(row), certificate_store.references(cluster)
    try:
        record = _recorded(store, cluster, row, old, new, find_stack)
    except Exception:
        _put(cluster, old)
        orphans.discard(store, cluster.uuid, list(new.values()))
        raise
    rotation = Rotation.from_json(record.state.rotation) if is_under_way(record.state) else None
    if rotation is None or rotation.new != new:
        # Somebody else was quicker; what they do goes on, and nothing is failed for it.
        _put(cluster, rotation.new if rotation else old)
        orphans.discard(store, cluster.uuid, list(new.values()))
        return
    end = time.monotonic() + _HANDLER_SECONDS
    while time.monotonic() < end:
        # Whatever goes wrong from here on is tried again by the next poll.
        with contextlib.suppress(exceptions.SwarmModeError):
            looking = Look(store, cluster, record, find_stack(record.state), _silent)
            if looking.advance(only=STEPS[0]):
                return
        time.sleep(1)
        # A look at the cluster's health may have written something else into it.
        record = store.get(cluster.uuid) or record
        if not is_under_way(record.state):
            return


def _recorded(
    store: Store,
    cluster: Any,
    row: Any,
    old: Mapping[str, str],
    new: Mapping[str, str],
    find_stack: Callable[[State], FindStack],
) -> Record:
    """Write down that a rotation has begun, unless something is written down already."""
    checked = False
    for _ in range(_ATTEMPTS):
        record = store.get(cluster.uuid)
        if record is None or record.state.phase is not Phase.CREATED:
            raise exceptions.Refused("The cluster is being deleted.")
        if record.state.rotation:
            return record
        if not checked:
            try:
                _check(record, row, old, new, find_stack)
            except exceptions.SwarmModeError as error:
                # Magnum calls the cluster failed, and then refuses to be asked again.
                error.user_message = f"{error.user_message} {_UNCHANGED}"
                raise
            checked = True
        elif not orphans.are_kept(record.state, new.values()):
            raise _too_slow()
        rotation = Rotation(old=old, new=new, began=int(time.time()))
        with contextlib.suppress(Conflict):
            state = dataclasses.replace(
                record.state,
                rotation=rotation.to_json(),
                loose=orphans.without(record.state, new.values()),
            )
            return store.write(record, state)
    raise Conflict(cluster.uuid)


def _too_slow() -> exceptions.SwarmModeError:
    return exceptions.Unavailable(
        "It took too long to make new certificates.",
        f"New certificates are not used {orphans.OLD_SECONDS} seconds after they were "
        "made, or were not noted: magnum_swarm_mode.registration.register was not in effect.",
    )


def _check(
    record: Record,
    row: Any,
    old: Mapping[str, str],
    new: Mapping[str, str],
    find_stack: Callable[[State], FindStack],
) -> None:
    """Refuse what could not be carried through.

    :raises SwarmModeError: with a sentence for the user.
    """
    uuid = record.cluster_uuid
    if not orphans.are_kept(record.state, new.values()):
        raise _too_slow()
    before, after = (certificate_store.certificate(uuid, one["ca_cert_ref"]) for one in (old, new))
    if not certificates_authority.may_follow(before, after):
        raise exceptions.Inconsistent(
            "The new certificate authority cannot be in use together with the old one; ask the "
            "operator.",
            "Magnum made an authority with the old one's name, or one that may not stand above "
            "another: magnum_swarm_mode.registration.register was not in effect.",
        )
    _, stack = find_stack(record.state)()
    try:
        nodes = reach.swarm_of(row, reach.output(stack, "manager_addresses")).nodes()
    except exceptions.Unavailable as error:
        raise exceptions.Unavailable(
            f"{error.user_message} Certificates can be replaced while more than half of the "
            "managers work: start those that are switched off.",
            error.operator_message,
        ) from error
    if deaf := manager_settings.deaf(nodes):
        raise exceptions.Refused(
            f"The certificates of {', '.join(deaf)} cannot be replaced: an earlier release made "
            "those managers, or they have just joined. Replace them (cluster upgrade), or try "
            "again in a minute."
        )


def _put(cluster: Any, references: Mapping[str, str]) -> None:
    for name, reference in references.items():
        setattr(cluster, name, reference or None)


def _silent(*_: str) -> None:
    """Tell nobody: the handler's caller writes the row."""


def forget(cluster_uuid: str, state: State) -> None:
    """Remove from Magnum's store what a rotation would have removed, as the cluster is deleted."""
    unwanted = list(state.loose)
    if found := state.replacement(KIND):
        rotation = Rotation.from_json(found)
        unwanted += [*rotation.old.values(), *rotation.new.values()]
    certificate_store.delete(cluster_uuid, unwanted)


def recall(store: Store, cluster: Any, state: State) -> None:
    """Take up a rotation whose conductor died before Magnum knew of it."""
    rotation = Rotation.from_json(state.rotation)
    if not rotation.failed and time.time() - rotation.began > INTERRUPTED_SECONDS:
        store.change_cluster(cluster.uuid, cluster.status, {"status": "UPDATE_IN_PROGRESS"})


class Look:
    """One look at a cluster whose authority is being replaced.

    :ivar record: as it is by now.
    :param find_stack: returns Heat and the cluster's stack as they can be reached.
    :param tell: writes a status and a reason into the cluster's row.
    """

    def __init__(
        self, store: Store, cluster: Any, record: Record, find_stack: FindStack, tell: Tell
    ) -> None:
        self._store = store
        self._cluster = cluster
        self.record = record
        self._find_stack = find_stack
        self._tell = tell
        self._heat_api: heat_client.Heat | None = None
        self._stack: heat_client.Stack | None = None

    @property
    def _rotation(self) -> Rotation:
        return Rotation.from_json(self.record.state.rotation)

    def go_on(self, *, more_to_do: bool) -> None:
        """Do what can be done now, and tell how far it is.

        :param more_to_do: whether something else waits for the end of the rotation.
        :raises Conflict: when somebody else changed the record meanwhile.
        """
        if self._rotation.failed:
            self._write(failed=False, since=0)
        self._adopt()
        try:
            waits = self._waits()
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
        if not waits:
            self._finish(more_to_do=more_to_do)
            return
        rotation = self._rotation
        said = f"{self._progress()}: {waits}"
        if rotation.since and time.time() - rotation.since > _STEP_SECONDS:
            self._fail(said)
            return
        if not rotation.since:
            self._write(since=int(time.time()))
        self._tell("UPDATE_IN_PROGRESS", said)

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
            waits = self._actions()[step]()
            if waits or step == STEPS[-1]:
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
        following = STEPS[STEPS.index(rotation.step) + 1]
        trusted = rotation.trusted or int(time.time())
        self._write(step=following, since=0, trusted=trusted)
        LOG.info("Cluster %s: certificates, step %s", self._cluster.uuid, following)

    def _write(self, **changes: Any) -> None:
        rotation = dataclasses.replace(self._rotation, **changes)
        state = dataclasses.replace(self.record.state, rotation=rotation.to_json())
        self.record = self._store.write(self.record, state)

    def _adopt(self) -> None:
        """Let Magnum's row have the new references, should its handler have died before."""
        new = dict(self._rotation.new)
        if certificate_store.references(self._cluster) == new:
            return
        changes = {name: reference or None for name, reference in new.items()}
        if self._store.change_cluster(self._cluster.uuid, self._cluster.status, changes):
            _put(self._cluster, new)
            self._cluster.obj_reset_changes(list(changes))

    def _progress(self) -> str:
        number = STEPS.index(self._rotation.step) + 1
        return f"Replacing certificates, step {number} of {len(STEPS)}"

    def _fail(self, reason: str) -> None:
        self._stop(f"{reason.rstrip('.')}. {_RESUME}")

    def _stop(self, said: str) -> None:
        self._write(failed=True, since=0)
        self._tell("UPDATE_FAILED", said)

    def _finish(self, *, more_to_do: bool) -> None:
        away = manager_settings.away(self._swarm().nodes())
        said = _DONE
        if away:
            said += f" Down meanwhile, and to follow when they are back: {', '.join(away)}."
        if self._rotation.note:
            said += f" {self._rotation.note}"
        state = dataclasses.replace(self.record.state, rotation={})
        self.record = self._store.write(self.record, state)
        reach.SWARMS.forget(self._cluster.uuid)
        self._tell("UPDATE_IN_PROGRESS" if more_to_do else "UPDATE_COMPLETE", said)

    # What the steps look at

    def _heat(self) -> tuple[heat_client.Heat, heat_client.Stack]:
        if self._heat_api is None or self._stack is None:
            self._heat_api, self._stack = self._find_stack()
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
        for made in self.record.state.groups.values():
            group = heat_api.get(made.get("stack_id") or made["stack_name"])
            if group is not None and group.status != "DELETE_COMPLETE":
                stacks.append(group)
        wanted = self._authority("new")
        waits = ""
        for one in stacks:
            same = _same_text(str(one.parameters.get("ca_certificate")), wanted)
            if same and one.status.endswith("_COMPLETE"):
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
        left = self._rotation.trusted + CONF.swarm_mode.rotation_overlap - time.time()
        if left <= 0:
            return ""
        return f"files fetched now serve, and for {left:.0f} more seconds those from before."

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
        if left := certificate_store.delete(self._cluster.uuid, unwanted):
            # Tried again by later looks at the cluster's health.
            loose = {**self.record.state.loose, **dict.fromkeys(left, 0)}
            state = dataclasses.replace(self.record.state, loose=loose)
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
