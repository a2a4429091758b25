# SPDX-License-Identifier: Apache-2.0
"""Neutron's API application, with what it lacks when many ask it at once and no agent reports.

* Policies are loaded at start. The first two requests otherwise load them at the same time, and
  the second may find them half loaded: an administrator is none then, and ``GET /ports`` answers
  with an empty list. From then on no check looks for a new policy file and compares all rules with
  it, which was a fifteenth of what this process did.
* Mappers are configured at start: ``GET /ports`` as the very first request fails otherwise,
  because a relation of the port model exists only once all mappers are configured.
* A thread takes the data plane's reports of what works (datagrams of JSON on a unix socket that
  root alone may write to) and stores them as an agent's report would be: the API cannot.
"""

import json
import logging
import socket
import threading

from neutron import policy
from neutron.wsgi.api import application
from neutron_lib import context
from neutron_lib.plugins import constants, directory
from sqlalchemy import orm

from devcloud.dataplane import fabric

__all__ = ["application"]

LOG = logging.getLogger(__name__)
LARGEST_REPORT = 65536  # bytes


def store(report: dict[str, dict[str, str]]) -> None:
    """Store a report: {"floatingip": {id: status}, "port": {id: status}}."""
    admin = context.get_admin_context()
    routing = directory.get_plugin(constants.L3)
    core = directory.get_plugin()
    for floating_ip, status in report.get("floatingip", {}).items():
        routing.update_floatingip_status(admin, floating_ip, status)
    for port, status in report.get("port", {}).items():
        core.update_port_status(admin, port, status)


def listen() -> None:
    """Take reports for ever; one that cannot be stored is logged and sent again by the daemon."""
    path = fabric.STATUS_SOCKET
    path.unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    path.chmod(0o600)
    while True:
        try:
            store(json.loads(receiver.recv(LARGEST_REPORT)))
        except Exception:
            LOG.exception("a report of the data plane could not be stored")


orm.configure_mappers()
policy.init()
policy._ENFORCER.use_conf = False
context.Context()  # its constructor loads the policies of neutron-lib
threading.Thread(target=listen, name="data-plane-reports", daemon=True).start()
