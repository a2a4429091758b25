# SPDX-License-Identifier: Apache-2.0
"""Removes ports that Heat leaves behind, so that a cluster can be deleted.

Heat makes a port for each worker's server, and deletes it once it has seen the server go. Of a
server that was gone before, because somebody deleted it behind Heat's back, the port stays (seen
with Heat 27), and with it the security group that is to be deleted.
"""

import re
from typing import Any

from keystoneauth1 import exceptions as keystone_exceptions

from magnum_swarm_mode import log
from magnum_swarm_mode.cloud import sessions as cloud_sessions

LOG = log.of(__name__)

# What Heat calls a port that it makes for a server, by the server's name in the template.
_HEATS_NAME = re.compile(r"(\d+|server)-port-\d+")


def sweep(session: Any, security_group: str) -> None:
    """Delete the ports of servers that are gone; what hinders that is logged and harms nothing.

    Nothing may be in the making meanwhile, as a port is made before its server.

    :param session: of whoever may delete the cluster.
    :param security_group: of the cluster's nodes.
    """
    try:
        endpoint = session.get_endpoint(
            service_type="network",
            interface=cloud_sessions.interface(),
            region_name=cloud_sessions.region_name(),
        )
        # Catalogues of old clouds have the version in it.
        url = f"{(endpoint or '').rstrip('/').removesuffix('/v2.0')}/v2.0/ports"
        query = {"security_groups": security_group}
        for port in session.get(url, params=query).json()["ports"]:
            # Whatever Neutron answers, nothing but what was asked for is deleted.
            if security_group in port["security_groups"] and _is_left_behind(port):
                LOG.info("Port %s of a server that is gone is deleted", port["id"])
                session.delete(f"{url}/{port['id']}")
    except (keystone_exceptions.ClientException, ValueError, KeyError) as error:
        LOG.info("Ports of security group %s: %s", security_group, error)


def _is_left_behind(port: Any) -> bool:
    return (
        not port.get("device_id")
        and not port.get("device_owner")
        and _HEATS_NAME.fullmatch(port.get("name") or "") is not None
    )
