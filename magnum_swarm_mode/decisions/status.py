# SPDX-License-Identifier: Apache-2.0
"""What Magnum's status follows from what was seen; pure functions.

::

    Magnum's status       what was seen                        what follows
    --------------------  -----------------------------------  ------------------------------
    CREATE_IN_PROGRESS    no stack yet, creation under way     stays, says so
                          no stack, creation was interrupted   CREATE_FAILED
                          stack in progress                    stays, says who signalled
                          stack complete, swarm not whole      stays until a deadline, then
                          or its Docker API silent             CREATE_FAILED
                          stack complete, swarm whole          CREATE_COMPLETE
                          stack failed                         CREATE_FAILED, with the cause
                          stack deleted behind Magnum's back   CREATE_FAILED
    UPDATE_IN_PROGRESS    as above                             UPDATE_…
    ROLLBACK_IN_PROGRESS  as above                             ROLLBACK_…
    DELETE_IN_PROGRESS    no stack                             DELETE_COMPLETE
                          stack deleting                       stays
                          stack in any other state             asked to go again
                          stack's delete failed                DELETE_FAILED, with the cause

Whatever cannot be seen changes nothing but the reason, until a deadline; then the operation fails.
A record of which nothing was submitted yet needs no look: there is nothing to be seen.
"""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode import sentences
from magnum_swarm_mode.decisions import steps
from magnum_swarm_mode.decisions.record import Phase, State
from magnum_swarm_mode.decisions.rotation import AGAIN, RESUME

# How long the RPC handler may take from the certificates, which come first, to the lease of the
# record, while it reads what the creation needs. Longer means that its conductor died.
PREPARE_SECONDS = 300
# How long Heat may take to show a stack that it was asked for. A creation holds the lease until
# Heat has the stack, so that a look under the lease shows that its conductor died.
SUBMIT_SECONDS = 120
# How long the Docker API may take to show a whole swarm after all nodes reported.
DOCKER_SECONDS = 300
# How long Heat, or Keystone, may show nothing of a cluster in progress: it is away, or nobody is
# left who may look. Longer than services are away while they are upgraded.
BLIND_SECONDS = 3600
# After so many looks in a row that ended with an exception nobody expected the operation ends.
MOST_ERRORS = 10
_MOST_NAMES = 10
# What a node group's row says where another one is at fault, or nobody knows which.
NOT_AT_FAULT = (
    "No failure of this node group itself is known; the cluster's status_reason says what failed."
)
_REPEAT = "The cluster stays as it is; repeat the request when the operator has mended the cause."
# Statuses of Magnum's in which a cluster is changed.
BUSY = ("UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")
_REQUESTS = {"CREATE": sentences.CREATION, "DELETE": sentences.DELETION}
_STACK_DELETED = "The cluster's Heat stack was deleted from outside Magnum."


class Action(enum.Enum):
    """What is to be done about a decision besides writing it down."""

    NOTHING = "nothing"
    COMPLETE = "complete"  # fill in addresses and versions
    DELETE_STACK = "delete stack"
    CLEAN_UP = "clean up"  # revoke credentials, forget the cluster


@dataclasses.dataclass(frozen=True)
class Seen:
    """One look at a cluster.

    :ivar cluster_status: Magnum's status before the look.
    :ivar state: the cluster's record.
    :ivar now: seconds since 1970.
    :ivar stack_status: as ``CREATE_COMPLETE``; None where there is no stack.
    :ivar failure: what failed first in the stack, if anything.
    :ivar progress: who signalled so far, as a part of a sentence.
    :ivar docker_problem: what the swarm lacks, or why it cannot be asked; empty where it is whole.
    :ivar by_kind: kind of node (``manager``, ``worker``) to what of ``failure``, ``progress`` or
        ``docker_problem`` is about those nodes alone; empty where nothing is.
    :ivar blind: why Heat could not be asked; everything but ``now`` is meaningless then.
    """

    cluster_status: str
    state: State
    now: int
    stack_status: str | None = None
    failure: str | None = None
    progress: str = ""
    docker_problem: str = ""
    by_kind: Mapping[str, str] = dataclasses.field(default_factory=dict)
    blind: str = ""


@dataclasses.dataclass(frozen=True)
class Decision:
    """Magnum's new status, its reason for the user, and what is to be done.

    :ivar by_group: node group (its uuid, or the kind of its nodes for one of the first two) to
        what of the reason is about that group alone; empty where the reason is about all of them.
    """

    status: str
    reason: str | None
    action: Action = Action.NOTHING
    by_group: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def reason_of(self, *names: str) -> str | None:
        """Return the reason for a node group's row, which names nothing of other groups.

        :param names: by which ``by_group`` may have the group.
        """
        if not self.by_group:
            return self.reason
        own = next((self.by_group[name] for name in names if name in self.by_group), None)
        return NOT_AT_FAULT if own is None and self.status.endswith("_FAILED") else own


def decide(seen: Seen) -> Decision:
    """Return what follows from one look at a cluster in progress."""
    if seen.blind:
        return blind(seen.cluster_status, seen.state.blind_since or seen.now, seen.now, seen.blind)
    if seen.cluster_status == "DELETE_IN_PROGRESS":
        return _deleting(seen)
    return _making(seen)


def blind(cluster_status: str, since: int, now: int, why: str) -> Decision:
    """Return what follows from not being able to look.

    :param since: seconds since 1970 at which a look first failed.
    :param why: a sentence for the user.
    """
    if now - since < BLIND_SECONDS:
        return Decision(cluster_status, why)
    why = f"{why} That has been so for {BLIND_SECONDS // 60} minutes."
    return failed(cluster_status, request_of(cluster_status), why)


def unexpected(error: str, often: str = "") -> str:
    """Return a sentence about an exception that nobody expected.

    :param error: the name of its class.
    :param often: how many times it was met, as a part of the sentence.
    """
    return (
        f"magnum-conductor met an error {often}that it does not expect ({error}); the operator "
        "finds it in its log under the uuid of the cluster."
    )


def broken(
    cluster_status: str, error: str, state: State, names: Mapping[str, str] | None = None
) -> Decision:
    """Return what follows from looks that ended with exceptions again and again.

    :param error: the name of the last exception's class.
    :param state: the cluster's record, with what is under way; not all of it may be readable.
    :param names: uuid of each node group to its name.
    """
    what, advice = request_of(cluster_status), ""
    if cluster_status.removesuffix("_IN_PROGRESS") not in _REQUESTS:
        if state.credential is not None:
            what, advice = sentences.CREDENTIAL, AGAIN
        elif state.ca is not None:
            what, advice = sentences.CERTIFICATES, RESUME
        else:
            what, advice = _change(state, names or {}), _REPEAT
    why = unexpected(error, f"{MOST_ERRORS} times in a row ")
    return failed(cluster_status, what, why, advice)


def request_of(cluster_status: str) -> str:
    """Return words for what is under way in a status, as "The creation of the cluster"."""
    operation = cluster_status.removesuffix("_IN_PROGRESS")
    return _REQUESTS.get(operation) or sentences.change_of()


def _change(state: State, names: Mapping[str, str]) -> str:
    """Return words for a change of a cluster of whose record not all may be readable."""
    try:
        return steps.request_of(state.plan, names)
    except (AttributeError, TypeError):
        return sentences.change_of()


def failed(cluster_status: str, what: str, why: str, advice: str = "") -> Decision:
    """Return the end of an operation that cannot go on, with what the user can do then.

    :param what: words for the request.
    :param advice: what that is for an operation that is neither a creation nor a deletion.
    """
    operation = cluster_status.removesuffix("_IN_PROGRESS")
    why = sentences.failed(what, why)
    if operation == "DELETE":
        return Decision("DELETE_FAILED", f"{why} Delete the cluster again.")
    if operation == "CREATE":
        return Decision(
            "CREATE_FAILED", f"{why} Delete the cluster and create it again when that is mended."
        )
    # Of ROLLBACK_FAILED there is no way back in Magnum.
    advice = advice or "The cluster stays as it is; resize it to the wanted size again."
    return Decision("UPDATE_FAILED", f"{why} {advice}")


def is_made(seen: Seen) -> bool:
    """Return whether Heat is done with making, so that the Docker API is to be asked."""
    return (
        seen.cluster_status != "DELETE_IN_PROGRESS"
        and seen.state.phase not in (Phase.DELETING, Phase.CLEANING)
        and seen.stack_status is not None
        and seen.stack_status.endswith("_COMPLETE")
        and not seen.stack_status.startswith("DELETE")
    )


def _deleting(seen: Seen) -> Decision:
    if seen.state.phase == Phase.CLEANING:
        return Decision("DELETE_IN_PROGRESS", None, Action.CLEAN_UP)
    if seen.stack_status in (None, "DELETE_COMPLETE"):
        if _may_still_appear(seen):
            return Decision("DELETE_IN_PROGRESS", "Waiting whether Heat still makes the stack.")
        return Decision("DELETE_IN_PROGRESS", None, Action.CLEAN_UP)
    if seen.stack_status == "DELETE_IN_PROGRESS":
        return Decision("DELETE_IN_PROGRESS", "Heat deletes the cluster's resources.")
    if seen.stack_status == "DELETE_FAILED":
        reason = _failed(seen, "could not delete the cluster's resources")
        return Decision("DELETE_FAILED", reason, by_group=seen.by_kind)
    return Decision("DELETE_IN_PROGRESS", "Heat is asked again to delete.", Action.DELETE_STACK)


def _may_still_appear(seen: Seen) -> bool:
    """Return whether a stack may yet appear that another conductor asked Heat for."""
    return (
        seen.state.phase == Phase.DELETING
        and not seen.state.stack.id
        and seen.state.stack.since > 0
        and seen.now - seen.state.stack.since < SUBMIT_SECONDS
    )


def _making(seen: Seen) -> Decision:
    operation = seen.cluster_status.removesuffix("_IN_PROGRESS")
    if seen.state.phase in (Phase.DELETING, Phase.CLEANING):
        # A user's delete has begun and sets the status itself in a moment.
        return Decision(seen.cluster_status, None)
    if seen.stack_status is None:
        return _without_stack(seen, operation)
    action, _, outcome = seen.stack_status.partition("_")
    if action == "DELETE":
        return Decision(f"{operation}_FAILED", _named(seen, _STACK_DELETED))
    if outcome == "FAILED":
        reason = _failed(seen, "could not make the cluster")
        return Decision(f"{operation}_FAILED", reason, by_group=seen.by_kind)
    if outcome != "COMPLETE":
        return Decision(seen.cluster_status, seen.progress or None, by_group=seen.by_kind)
    if not seen.docker_problem:
        return Decision(f"{operation}_COMPLETE", None, Action.COMPLETE)
    since = seen.state.complete_since or seen.now
    end, said = seen.cluster_status, "All nodes have reported; waiting: "
    if seen.now - since >= DOCKER_SECONDS:
        end = f"{operation}_FAILED"
        said = (
            "All nodes have reported that they are ready, but the swarm was not whole within "
            f"{DOCKER_SECONDS} seconds: "
        )
        said = _named(seen, said)
    by_group = {kind: f"{said}{problem}" for kind, problem in seen.by_kind.items()}
    return Decision(end, f"{said}{seen.docker_problem}", by_group=by_group)


def _without_stack(seen: Seen, operation: str) -> Decision:
    if seen.state.phase == Phase.CREATED:
        return Decision(f"{operation}_FAILED", _named(seen, _STACK_DELETED))
    patience = SUBMIT_SECONDS if seen.state.has_begun else PREPARE_SECONDS
    age = seen.now - seen.state.phase_since
    if seen.state.phase == Phase.ABANDONED or age >= patience:
        return Decision(
            f"{operation}_FAILED",
            "The making of the cluster was interrupted before Heat was asked for it; delete the "
            "cluster and create it again.",
        )
    return Decision(seen.cluster_status, "Credentials are made and Heat is asked for the cluster.")


def _failed(seen: Seen, what: str) -> str:
    if not seen.failure:
        return f"Heat {what} and gives no reason; see the events of the stack."
    # What is about nodes of one kind names them.
    return seen.failure if seen.by_kind else _named(seen, seen.failure)


def _named(seen: Seen, why: str) -> str:
    return sentences.failed(request_of(seen.cluster_status), why)


def lacking(lacks: Mapping[str, Sequence[str]]) -> str:
    """Return a sentence about what a swarm lacks; empty if nothing.

    :param lacks: what :func:`lacks` returns, or a part of it.
    """
    parts = [one for kind in lacks.values() for one in kind]
    return f"In the swarm {', '.join(parts)}." if parts else ""


def lacks(
    prefix: str,
    nodes: Sequence[Mapping[str, Any]],
    managers: int,
    workers: int,
    names: Mapping[str, str],
) -> dict[str, list[str]]:
    """Return what a swarm lacks of the nodes that a new cluster should have.

    A node's own word is not enough: managers that found another swarm, after the first was lost,
    leave workers that had joined before in a swarm that is no more.

    :param prefix: what the host names of the cluster's nodes begin with.
    :param nodes: as ``GET /nodes`` describes them.
    :param names: node ids to the host names of the servers that these are for sure. Of others
        counts what they call themselves.
    :returns: each kind of node that lacks anything to parts of a sentence.
    """
    ready = [node for node in nodes if (node.get("Status") or {}).get("State") == "ready"]
    ruling = [
        node
        for node in ready
        if (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"
    ]
    working = [node for node in ready if not node.get("ManagerStatus")]
    parts: dict[str, list[str]] = {"manager": [], "worker": []}
    for kind, number, found in (("manager", managers, ruling), ("worker", workers, working)):
        sure = {name for node in found if (name := names.get(str(node.get("ID"))))}
        others = [node for node in found if str(node.get("ID")) not in names]
        expected = [f"{prefix}-{kind}-{index}" for index in range(number)]
        count = len(sure.intersection(expected)) + len(others)
        if count < number:
            said = {(node.get("Description") or {}).get("Hostname") for node in others}
            missing = [name for name in expected if name not in sure | said]
            parts[kind].append(f"{count} of {number} {kind}s are ready{_missing(missing)}")
    if not any((node.get("ManagerStatus") or {}).get("Leader") for node in ruling):
        parts["manager"].append("there is no leader")
    return {kind: found for kind, found in parts.items() if found}


def _missing(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f" (missing: {shown}{more})"


def progress(wanted: Mapping[str, int], signalled: Mapping[str, Sequence[str]]) -> str:
    """Say how many nodes have reported.

    :param wanted: kind of node to number, as ``{"managers": 3}``.
    :param signalled: name of a wait condition's handle to the ids of who signalled; a handle
        belongs to the kind whose singular its name contains.
    """
    parts = []
    for kind, number in wanted.items():
        if not number:
            continue
        ids = [ids for name, ids in signalled.items() if kind.removesuffix("s") in name]
        parts.append(f"{kind} {sum(len(set(i)) for i in ids)}/{number}")
    return f"Waiting for nodes to report: {', '.join(parts)}." if parts else ""
