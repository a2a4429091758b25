# SPDX-License-Identifier: Apache-2.0
"""ML2 mechanism driver: binds every port to this host and tells the daemon that something changed.

No agent reports to this Neutron; :mod:`.network_daemon` reads what is wanted from the API. So that
it need not ask all the time, it is woken by a line in a FIFO after each change.
"""

import os
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api

from devcloud import settings
from devcloud.dataplane import fabric
from devcloud.dataplane.network_model import bridge_name

WATCHED = (
    resources.FLOATING_IP,
    resources.NETWORK,
    resources.PORT,
    resources.ROUTER,
    resources.ROUTER_GATEWAY,
    resources.ROUTER_INTERFACE,
    resources.SECURITY_GROUP,
    resources.SECURITY_GROUP_RULE,
    resources.SUBNET,
)
WAKING_EVENTS = (events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE)


def wake(resource: str, *_event: object, **_arguments: object) -> None:
    """Tell the daemon which kind of resource changed.

    A FIFO holds thousands of lines without waiting. Without a daemon there is nobody to tell, and
    it reads everything when it starts.
    """
    try:
        changes = os.open(fabric.CHANGES, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(changes, f"{resource}\n".encode())
    except BlockingIOError:
        return  # it is full: the daemon has enough to do, and reads everything now and then
    finally:
        os.close(changes)


class NspawnMechanismDriver(api.MechanismDriver):
    """Binds ports as taps on the network's bridge; the rules are enforced outside the machine."""

    def initialize(self) -> None:
        """Subscribe to everything that the data plane follows."""
        for resource in WATCHED:
            for event in WAKING_EVENTS:
                registry.subscribe(wake, resource, event)

    @property
    def connectivity(self) -> str:
        """Return that ports are connected on layer 2."""
        return str(portbindings.CONNECTIVITY_L2)

    def bind_port(self, context: Any) -> None:
        """Bind to the first segment offered. Nova takes no ``vif_type`` bridge, so it is a tap."""
        for segment in context.segments_to_bind:
            external = segment[api.PHYSICAL_NETWORK] == settings.PHYSICAL_NETWORK
            bridge = (
                settings.EXTERNAL_BRIDGE if external else bridge_name(context.network.current["id"])
            )
            context.set_binding(
                segment[api.ID],
                portbindings.VIF_TYPE_TAP,
                {portbindings.CAP_PORT_FILTER: True, portbindings.VIF_DETAILS_BRIDGE_NAME: bridge},
                status=constants.PORT_STATUS_ACTIVE,
            )
            return
