# SPDX-License-Identifier: Apache-2.0
"""Tells whoever listens that a cluster's health changed, in the CADF form of Magnum's own events.

Magnum itself sends ``magnum.cluster.create``, ``.update`` and ``.delete``, also on completion, so
that only the change of health is left to say: ``magnum.cluster.health``.
"""

from collections.abc import Mapping
from typing import Any

from magnum.common import rpc
from magnum.conductor import utils as conductor_utils
from oslo_log import log as logging
from pycadf import attachment, cadftaxonomy, cadftype, eventfactory, resource

LOG = logging.getLogger(__name__)

EVENT_TYPE = "magnum.cluster.health"
_TYPE_URI = "service/magnum/cluster"
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
    # The cluster's own data is what Magnum sends with each of its events, still with old health.
    target = conductor_utils._get_event_target(cluster_obj=cluster)
    target.add_attachment(
        attachment.Attachment(
            typeURI=_TYPE_URI,
            content={
                "health_status_before": before,
                "health_status": now,
                "health_status_reason": dict(reason),
            },
            name="health",
        )
    )
    event = eventfactory.EventFactory().new_event(
        eventType=cadftype.EVENTTYPE_MONITOR,
        outcome=_OUTCOMES.get(now, cadftaxonomy.UNKNOWN),
        action=cadftaxonomy.ACTION_EVALUATE,
        initiator=resource.Resource(typeURI=cadftaxonomy.SERVICE_SECURITY, id="magnum-conductor"),
        target=target,
        observer=resource.Resource(typeURI=_TYPE_URI),
    )
    try:
        notifier = rpc.get_notifier()
        send = notifier.error if now == "UNHEALTHY" else notifier.info
        send(context, EVENT_TYPE, event.as_dict())
    except Exception as error:
        LOG.warning("No notification of cluster %s: %s", cluster.uuid, error)
