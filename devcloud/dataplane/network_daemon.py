# SPDX-License-Identifier: Apache-2.0
"""Follows Neutron: keeps the filter of all ports and the namespaces of all routers as it says.

Woken by :mod:`.mechanism` after a change; reads everything anew every few seconds in case a
wake-up was lost. It keeps nothing that it could not find out again, so it can be killed and
started at any time. Each line on standard output is a change.

Run as ``python -m devcloud.dataplane.network_daemon`` with an administrator's ``OS_*`` variables.
"""

import json
import os
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Iterable
from typing import Any

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from devcloud import settings
from devcloud.dataplane import (
    commands,
    connections,
    fabric,
    filter_rules,
    network_model,
    router_namespaces,
    routers,
    tracking,
)

REREAD_SECONDS = 20.0  # when nothing woke us
SETTLE_SECONDS = 0.5  # changes come in bursts
CONFIRM_SECONDS = 0.3  # between two reads that must agree
RETRY_SECONDS = 1.0  # after an error


def log(text: str) -> None:
    """Say what changed, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Neutron:
    """The part of the Networking API that the daemon reads."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Prepare a session; nothing is sent yet.

        :raises KeyError: the environment lacks a variable.
        """
        password = v3.Password(
            auth_url=environment["OS_AUTH_URL"],
            username=environment["OS_USERNAME"],
            password=environment["OS_PASSWORD"],
            project_name=environment["OS_PROJECT_NAME"],
            user_domain_name=environment.get("OS_USER_DOMAIN_NAME", "Default"),
            project_domain_name=environment.get("OS_PROJECT_DOMAIN_NAME", "Default"),
        )
        self._api = adapter.Adapter(
            session.Session(auth=password, timeout=30),
            service_type="network",
            region_name=environment.get("OS_REGION_NAME"),
            interface="public",
        )
        self._lists: dict[str, list[dict[str, Any]]] = {}

    def read_twice(self) -> network_model.Network:
        """Read everything until two answers say the same.

        Machines lose their network by what this says, so one answer that lacks something (of a
        Neutron that has just started, or between two changes) must not be enough.

        :raises keystoneauth1.exceptions.ClientException: Neutron or Keystone did not answer.
        """
        last = self.read(network_model.LISTS)
        while True:
            time.sleep(CONFIRM_SECONDS)
            again = self.read(network_model.LISTS)
            if again == last:
                return again
            last = again

    def read(self, lists: Iterable[str]) -> network_model.Network:
        """Read what is wanted now.

        :param lists: those to read anew, see :data:`.network_model.LISTS`; the others are taken
            as they were, unless what is new speaks of things that they do not have.
        :raises keystoneauth1.exceptions.ClientException: Neutron or Keystone did not answer.
        """
        for path in network_model.LISTS:  # ports first: a router that is read later has them all
            if path in lists or path not in self._lists:
                self._lists[path] = self._list(path)
        if network_model.incomplete(self._lists):
            for path in ("networks", "subnets"):
                self._lists[path] = self._list(path)
        return network_model.read(self._lists)

    def _list(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._api.get(f"/v2.0/{path}").json()[path.replace("-", "_")]
        return items


class DataPlane:
    """What was applied last, and the application of what is wanted next."""

    def __init__(self) -> None:
        """Start without knowledge: the first application looks at everything."""
        self._filter = filter_rules.Filter()
        self._filter_text = ""
        self._routers: dict[str, network_model.Router] = {}
        self._bridges: set[str] = set()
        self._idle_bridges: set[str] = set()  # of no network that we know, when last looked at
        self._trusted = False  # whether routers and bridges are taken to be as we left them

    @property
    def unfinished(self) -> bool:
        """Whether something is to be removed once it was looked at again."""
        return bool(self._idle_bridges)

    def distrust(self) -> None:
        """Look at the namespaces themselves next time: somebody may have changed them."""
        self._trusted = False
        if not fabric.has_filter():
            self._filter_text = ""

    def would_lose(self, wanted: network_model.Network) -> bool:
        """Return whether something is to go that exists; at the first look, perhaps all."""
        if not self._filter_text:
            return True
        return not (
            {port.id for port in self._filter.ports} <= {port.id for port in wanted.ports}
            and _router_ports(self._routers.values()) <= _router_ports(wanted.routers)
            and self._routers.keys() <= {router.id for router in wanted.routers}
        )

    def apply(self, wanted: network_model.Network) -> None:
        """Bring filter and routers to what is wanted.

        :raises commands.CommandError: the kernel refused something; all the rest was done.
        """
        self._apply_filter(wanted)
        failure: commands.CommandError | None = None
        for router in wanted.routers:
            known = self._routers.get(router.id) == router
            if known and self._trusted:
                continue
            try:
                if router_namespaces.apply(router, log) or not known:
                    router_namespaces.apply_nat(router)
            except commands.CommandError as error:
                failure = error
                continue
            self._routers[router.id] = router
        self._remove_strangers(wanted)
        if failure:
            raise failure
        self._trusted = True

    def _apply_filter(self, wanted: network_model.Network) -> None:
        new = filter_rules.Filter(wanted.ports, wanted.rules, wanted.bridges)
        text = filter_rules.compile_filter(new)
        if text == self._filter_text:
            return
        fabric.apply_filter(text)
        old, first = self._filter, not self._filter_text
        self._filter, self._filter_text = new, text
        log(f"filter replaced: {_describe(old, new)}")
        if first or connections.narrower(old, new):
            gone = tracking.forget(connections.forbidden(tracking.read(), new))
            if gone:
                log(f"{gone} connections ended that are not allowed any more")

    def _remove_strangers(self, wanted: network_model.Network) -> None:
        """Remove routers, routers' ports and bridges that Neutron does not know any more."""
        names = {routers.namespace_name(router.id) for router in wanted.routers}
        for namespace in router_namespaces.existing() - names:
            router_namespaces.remove(namespace)
            log(f"router namespace {namespace} removed")
        self._routers = {
            router_id: router
            for router_id, router in self._routers.items()
            if routers.namespace_name(router_id) in names
        }
        bridges = set(wanted.bridges.values())
        if bridges == self._bridges and self._trusted and not self._idle_bridges:
            return
        # A network may be younger than what was read: its bridge must be unused, and twice so.
        idle = {
            link
            for link in fabric.links()
            if link.startswith(settings.NETWORK_BRIDGE_PREFIX)
            and link not in bridges
            and not fabric.ports_of(link)
        }
        for bridge in sorted(idle & self._idle_bridges):
            fabric.remove_link(bridge)
            log(f"bridge {bridge} removed")
        self._idle_bridges = idle - self._idle_bridges
        self._bridges = bridges


def _router_ports(items: Iterable[network_model.Router]) -> set[str]:
    return {port.id for router in items for port in router.ports}


def _describe(old: filter_rules.Filter, new: filter_rules.Filter) -> str:
    """Return what differs between two filters."""
    before, after = ({port.id: port for port in item.ports} for item in (old, new))
    changed = sum(before[port] != after[port] for port in before.keys() & after.keys())
    rules_before, rules_after = (
        {(group, rule) for group, rules in item.rules.items() for rule in rules}
        for item in (old, new)
    )
    return (
        f"{len(after)} ports (+{len(after.keys() - before.keys())}"
        f" -{len(before.keys() - after.keys())}, {changed} changed), "
        f"{len(rules_after)} rules (+{len(rules_after - rules_before)}"
        f" -{len(rules_before - rules_after)})"
    )


def report(wanted: network_model.Network) -> frozenset[str]:
    """Tell Neutron the status of what it does not know to be so.

    :return: the lists that show another status from now on.
    """
    changes: dict[str, dict[str, str]] = {}
    for (kind, item), status in wanted.wanted_statuses.items():
        if wanted.statuses.get((kind, item)) != status:
            changes.setdefault(kind, {})[item] = status
    if not changes:
        return frozenset()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(json.dumps(changes).encode(), str(fabric.STATUS_SOCKET))
        except OSError as error:
            log(f"Neutron takes no report: {error}")
            return frozenset()
    for kind, items in changes.items():
        log(f"{kind}: " + ", ".join(f"{item} {status}" for item, status in items.items()))
    return network_model.lists_of(changes)


def listen() -> int:
    """Open the FIFO that changes are told through, and return its file descriptor."""
    fabric.CHANGES.parent.mkdir(parents=True, exist_ok=True)
    fabric.CHANGES.unlink(missing_ok=True)
    os.mkfifo(fabric.CHANGES, 0o600)
    # For writing as well: otherwise it is at its end whenever no writer has it open.
    return os.open(fabric.CHANGES, os.O_RDWR | os.O_NONBLOCK)


def wait(changes: int, seconds: float) -> set[str]:
    """Wait for changes, and for the burst that they belong to; return their kinds.

    :param seconds: how long at most; nothing is returned when nothing changed.
    """
    if not select.select([changes], [], [], seconds)[0]:
        return set()
    time.sleep(SETTLE_SECONDS)
    return set(os.read(changes, 65536).decode().split())


def main() -> int:
    """Follow Neutron until SIGTERM."""

    def leave(_number: int, _frame: types.FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    changes = listen()
    fabric.up()
    neutron = Neutron(dict(os.environ))
    data_plane = DataPlane()
    last_error = ""
    lists: Iterable[str] = network_model.LISTS
    reported: frozenset[str] = frozenset()
    while True:
        pause = REREAD_SECONDS
        try:
            wanted = neutron.read(lists)
            if data_plane.would_lose(wanted):
                wanted = neutron.read_twice()
            data_plane.apply(wanted)
            reported = report(wanted)
            last_error = ""
        except (exceptions.ClientException, commands.CommandError, OSError) as error:
            if str(error) != last_error:
                log(f"error, trying again: {error}")
            last_error, pause = str(error), RETRY_SECONDS
        if data_plane.unfinished:
            pause = RETRY_SECONDS
        kinds = wait(changes, pause)
        lists = network_model.lists_of(kinds) | reported
        if last_error or not kinds:
            lists = network_model.LISTS
            data_plane.distrust()


if __name__ == "__main__":
    sys.exit(main())
