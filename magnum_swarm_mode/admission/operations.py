# SPDX-License-Identifier: Apache-2.0
"""Which changes of a cluster may be asked for now; decided before Magnum passes a request on.

Whatever the conductor refuses stops what it is doing, as Magnum then calls the cluster failed. So
what can be known beforehand is refused here, where the user reads the sentence at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import cluster_request
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.decisions import model, steps
from magnum_swarm_mode.sentences import shown

_DONE = tuple(
    f"{action}_COMPLETE"
    for action in (
        "CREATE",
        "UPDATE",
        "RESUME",
        "RESTORE",
        "ROLLBACK",
        "SNAPSHOT",
        "CHECK",
        "ADOPT",
    )
)
# What Magnum's conductor itself serves; what it does not it drops without a word to the user.
_UPDATABLE = _DONE
RESIZABLE = (*_DONE, "UPDATE_FAILED", "UPDATE_IN_PROGRESS")


def is_settled(status: str) -> bool:
    """Return whether a cluster has the nodes that it shall have, and nothing is under way."""
    return status in _DONE


def check_update(status: str, reason: str | None) -> None:
    """Refuse ``cluster update`` of a cluster in the wrong status.

    :raises Refused: with what to do instead.
    """
    if status in _UPDATABLE:
        return
    if status in RESIZABLE:
        what = "An operation is under way" if status.endswith("PROGRESS") else "The last one failed"
        raise exceptions.Refused(
            f"The cluster is {status}, so that node_count cannot be updated. {what}"
            f"{_because(reason)} Use cluster resize, which waits its turn and repairs, or try "
            "again when the cluster is UPDATE_COMPLETE."
        )
    _refuse_status(status, reason)


def check_resize(status: str, reason: str | None) -> None:
    """Refuse ``cluster resize`` of a cluster in the wrong status.

    :raises Refused: with what to do instead.
    """
    if status not in RESIZABLE:
        _refuse_status(status, reason)


def check_upgrade(status: str, reason: str | None) -> None:
    """Refuse ``cluster upgrade`` of a cluster in the wrong status.

    :raises Refused: with what to do instead.
    """
    if status == "UPDATE_IN_PROGRESS":
        raise exceptions.Refused(
            f"The cluster is {status}{_because(reason)} Upgrade it when that has ended."
        )
    check_resize(status, reason)


def check_rotation(status: str, reason: str | None) -> None:
    """Refuse to replace certificates of a cluster in which something else is under way.

    :raises Refused: with what to do instead.
    """
    if status in _DONE:
        return
    if status in RESIZABLE:
        advice = (
            "Try again when that has ended."
            if status.endswith("PROGRESS")
            else "Resize a node group to its present count, which repairs, and try again then."
        )
        raise exceptions.Refused(
            f"The cluster is {status}, so that its certificates cannot be replaced now"
            f"{_because(reason)} {advice}"
        )
    _refuse_status(status, reason)


def check_group_change(status: str, reason: str | None, *, creates: bool) -> None:
    """Refuse to create, change or delete a node group of a cluster in the wrong status.

    :param creates: whether a group is to be created, for which nothing may be under way: its nodes
        are told of the managers that there are then.
    :raises Refused: with what to do instead.
    """
    if creates and status == "UPDATE_IN_PROGRESS":
        raise exceptions.Refused(
            f"The cluster is {status}{_because(reason)} Create the node group when that has ended."
        )
    check_resize(status, reason)


def check_group_stays(name: str, status: str | None) -> None:
    """Refuse to change a node group whose deletion was requested: the deletion wins.

    :raises Refused: with what to do instead.
    """
    if (status or "").startswith("DELETE"):
        raise exceptions.Refused(
            f"Node group {shown(name)} is {status} and cannot be changed any more. Delete it again "
            "if its deletion failed, and create another node group if you need one."
        )


def check_group_owner(owner_id: str, user_id: str) -> None:
    """Refuse to let somebody else than the cluster's owner create a node group.

    Its stack would be his, and Heat would not let it be changed, nor deleted, with the owner's
    trust.

    :raises Refused: with what to do instead.
    """
    if user_id != owner_id:
        raise exceptions.Refused(
            "Node groups can be created only by the cluster's owner, with whose rights Magnum "
            f"works on it (user {owner_id}); to be the owner, rotate the cluster's credential: "
            "openstack coe credential rotate."
        )


def check_credential_rotation(status: str, reason: str | None) -> None:
    """Refuse to rotate the credential of a cluster in the wrong status.

    :raises Refused: with what to do instead.
    """
    if status == "UPDATE_IN_PROGRESS":
        raise exceptions.Refused(
            f"The cluster is {status}{_because(reason)} Rotate the credential when that has ended."
        )
    # Also after a failure, which may be due to the rights of a user who is gone.
    if status not in RESIZABLE:
        _refuse_status(status, reason)


def _refuse_status(status: str, reason: str | None) -> None:
    if status.endswith("_IN_PROGRESS"):
        advice = "try again when that has ended"
    elif status == "ROLLBACK_FAILED":
        advice = "Magnum lets such a cluster only be deleted"
    else:
        advice = "delete the cluster and create it again"
    raise exceptions.Refused(
        f"The cluster is {status} and cannot be changed{_because(reason)} {advice[0].upper()}"
        f"{advice[1:]}."
    )


def _because(reason: str | None) -> str:
    return f": {reason.rstrip('.')}." if reason else "."


def check_count(group: Mapping[str, Any], count: int) -> None:
    """Refuse a number of nodes that a group cannot have.

    :param group: ``role``, ``name``, ``min_node_count`` and ``max_node_count`` of its row.
    :raises Refused: with the bounds.
    """
    if group["role"] == "master":
        cluster_request.check_manager_count(count)
        return
    request_fields.check_fields(request_fields.CLUSTER_FIELDS, {"node_count": count})
    least, most = group["min_node_count"] or 0, group["max_node_count"]
    if count < least or (most and count > most):
        bounds = f"at least {least}" + (f" and at most {most}" if most else "")
        raise exceptions.Refused(
            f"node_count={count} is refused: node group {group['name']} is to have {bounds} nodes."
        )


def check_named(names: Sequence[str], members: Sequence[model.Member], group: str) -> None:
    """Refuse nodes to remove that are not in the group.

    :raises Refused: naming the first of them, and what there is.
    """
    for name in names:
        if steps.resolve(members, name) is None:
            known = ", ".join(member.hostname for member in members[:10]) or "no node"
            more = f" and {len(members) - 10} more" if len(members) > 10 else ""
            raise exceptions.Refused(
                f"Node {shown(name)} is not in node group {group}; give ids of servers, "
                f"host names or indices of {known}{more}."
            )
