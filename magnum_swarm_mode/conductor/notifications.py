# SPDX-License-Identifier: Apache-2.0
"""Tells whoever listens of a cluster's health, in the CADF form of Magnum's own events.

Magnum itself sends ``magnum.cluster.create``, ``.update`` and ``.delete``, also on completion, so
that what is left to say is the change of health, ``magnum.cluster.health``, and that a healing
begins, or is called for and not allowed: ``magnum.cluster.healing``. How a healing ended is said by
Magnum's ``magnum.cluster.update``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from magnum.common import rpc
from magnum.conductor import utils as conductor_utils
from pycadf import attachment, cadftaxonomy, cadftype, eventfactory, resource

from magnum_swarm_mode import log

LOG = log.of(__name__)

EVENT_TYPE = "magnum.cluster.health"
HEALING_TYPE = "magnum.cluster.healing"
_TYPE_URI = "service/magnum/cluster"
_ACTIVITY, _EVALUATE = cadftype.EVENTTYPE_ACTIVITY, cadftaxonomy.ACTION_EVALUATE
_UPDATE = cadftaxonomy.ACTION_UPDATE
_OUTCOMES = {
    "HEALTHY": cadftaxonomy.OUTCOME_SUCCESS,
    "UNHEALTHY": cadftaxonomy.OUTCOME_FAILURE,
    "UNKNOWN": cadftaxonomy.UNKNOWN,
}


def health_changed(
    context: Any, cluster: Any, before: str | None, now: str, reason: Mapping[str, str]
) -> None:
    """Send the event; a bus that is out of order is logged and harms nothing else.

    :param before: Magnum's health status until now; None when it was never polled.
    :param reason: what ``health_status_reason`` says of each node.
    """
    content = {
        "health_status_before": before,
        "health_status": now,
        "health_status_reason": dict(reason),
    }
    outcome = _OUTCOMES.get(now, cadftaxonomy.UNKNOWN)
    _send(
        context, cluster, EVENT_TYPE, cadftype.EVENTTYPE_MONITOR, _EVALUATE, outcome, health=content
    )


def healing_begun(context: Any, cluster: Any, nodes: Sequence[str], cause: str) -> None:
    """Send that nodes are replaced because they are down; as :func:`health_changed`.

    :param nodes: host names.
    :param cause: the sentence of ``status_reason``.
    """
    content = {"nodes": list(nodes), "reason": cause}
    outcome = cadftaxonomy.OUTCOME_PENDING
    _send(context, cluster, HEALING_TYPE, _ACTIVITY, _UPDATE, outcome, healing=content)


def healing_stopped(context: Any, cluster: Any, reason: str) -> None:
    """Send that nodes are down and are not replaced; as :func:`health_changed`."""
    outcome = cadftaxonomy.OUTCOME_FAILURE
    _send(context, cluster, HEALING_TYPE, _ACTIVITY, _UPDATE, outcome, healing={"reason": reason})


def _send(
    context: Any,
    cluster: Any,
    event_type: str,
    kind: str,
    action: str,
    outcome: str,
    **attached: Any,
) -> None:
    # The cluster's own data is what Magnum sends with each of its events, still with old health.
    target = conductor_utils._get_event_target(cluster_obj=cluster)
    for name, content in attached.items():
        target.add_attachment(attachment.Attachment(typeURI=_TYPE_URI, content=content, name=name))
    event = eventfactory.EventFactory().new_event(
        eventType=kind,
        outcome=outcome,
        action=action,
        initiator=resource.Resource(typeURI=cadftaxonomy.SERVICE_SECURITY, id="magnum-conductor"),
        target=target,
        observer=resource.Resource(typeURI=_TYPE_URI),
    )
    try:
        notifier = rpc.get_notifier()
        send = notifier.error if outcome == cadftaxonomy.OUTCOME_FAILURE else notifier.info
        send(context, event_type, event.as_dict())
    except Exception as error:
        LOG.warning("No notification of cluster %s: %s", cluster.uuid, error)
