# SPDX-License-Identifier: Apache-2.0
"""A small network of the data plane's own making, on the real kernel, without a cloud.

Run as a program inside network and mount namespaces of its own, it makes a fabric, a network,
a router with a floating IP and four machines that are network namespaces only, applies a filter,
tries who reaches whom, and prints what it saw as JSON. Nothing of it is seen outside.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

from devcloud import settings
from devcloud.dataplane import (
    commands,
    connections,
    fabric,
    filter_rules,
    host_limits,
    machine_files,
    network_model,
    router_namespaces,
    routers,
)
from devcloud.dataplane.filter_rules import Filter
from devcloud.dataplane.machine_files import Interface, MachineSpec
from devcloud.dataplane.network_model import Port, Router, RouterPort, Rule

NETWORK = "aaaaaaaa-0000-1"
BRIDGES = {
    NETWORK: network_model.bridge_name(NETWORK),
    "cccccccc-0000-3": settings.EXTERNAL_BRIDGE,
}
FLOATING, ROUTER_OUTSIDE = "172.24.4.30", "172.24.4.20"
MTU = 1400

SERVE = """
import socket, threading
def serve(family, port):
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen()
    while True:
        client, address = server.accept()
        client.sendall(address[0].encode() + b"\\n")
        threading.Thread(target=echo, args=(client,), daemon=True).start()
def echo(client):
    while data := client.recv(100):
        client.sendall(data)
for port in (80, 81, 82):
    threading.Thread(target=serve, args=(socket.AF_INET, port)).start()
print("ready", flush=True)
"""
ASK = """
import socket, sys
host, port, source = sys.argv[1:]
try:
    connection = socket.create_connection((host, int(port)), 0.7, (source, 0) if source else None)
    print(connection.makefile().readline().strip())
except TimeoutError:
    print("silence")
except OSError as error:
    print(error.strerror)
"""
TALK = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
connection.recv(100)
for line in sys.stdin:
    connection.sendall(b"x")
    connection.settimeout(0.7)
    try:
        print("answer" if connection.recv(1) else "closed", flush=True)
    except TimeoutError:
        print("silence", flush=True)
"""


def rule(direction: str = "ingress", **values: object) -> Rule:
    """Return a rule for IPv4."""
    return Rule(direction=direction, ethertype="IPv4", **values)  # type: ignore[arg-type]


RULES = {
    "out": (rule("egress"),),
    "web": (
        rule(protocol="tcp", port_min=80, port_max=80, remote_group="clients"),
        rule(protocol="tcp", port_min=82, port_max=82, remote_cidr="172.24.4.0/24"),
    ),
    "clients": (),
}


class Node:
    """A machine of which only the network exists."""

    def __init__(self, number: int, network: str, *groups: str) -> None:
        self.port = Port(
            id=f"{number:08x}-0000-4000",
            network=network,
            mac=f"fa:16:3e:00:00:{number:02x}",
            addresses=(f"10.0.0.{number}",),
            groups=tuple(sorted(groups)),
        )
        self.address = self.port.addresses[0]
        uuid = f"{number:08x}-0000-4000-8000-000000000000"
        self.namespace = machine_files.namespace_name(uuid)
        interface = Interface(
            id=self.port.id,
            mac=self.port.mac,
            bridge=BRIDGES[network],
            addresses=(f"{self.address}/24",),
            gateway="10.0.0.1",
            mtu=MTU,
        )
        spec = MachineSpec(uuid, f"node-{number}", "/", interfaces=(interface,))
        commands.run("sh", "-c", machine_files.network_script(spec))

    def command(self, *command: str) -> tuple[str, ...]:
        return ("nsenter", f"--net={fabric.NETNS_DIRECTORY / self.namespace}", *command)

    def ask(self, host: str, port: int, source: str = "") -> str:
        """Return as whom the other side sees us, or why it does not."""
        ask = (sys.executable, "-c", ASK, host, str(port), source)
        return commands.run(*self.command(*ask)).strip()


@contextlib.contextmanager
def server(*prefix: str) -> Iterator[None]:
    """Serve ports 80 to 82 wherever the prefix leads."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def ask_from_host(host: str, port: int) -> str:
    """Return as whom a server sees the host, or why it does not."""
    return commands.run(sys.executable, "-c", ASK, host, str(port), "").strip()


def make_router(web: Node) -> Router:
    """Return a router between the network and the outside, with the web server's floating IP."""
    return Router(
        id="dddddddd-0000",
        ports=(
            RouterPort(
                id="d0000001-0000",
                bridge=settings.EXTERNAL_BRIDGE,
                mac="fa:16:3e:01:00:01",
                addresses=(f"{ROUTER_OUTSIDE}/24",),
                mtu=1500,
                external=True,
            ),
            RouterPort(
                id="d0000002-0000",
                bridge=BRIDGES[NETWORK],
                mac="fa:16:3e:01:00:02",
                addresses=("10.0.0.1/24",),
                mtu=MTU,
                external=False,
            ),
        ),
        floating=((FLOATING, web.address),),
        routes=(("default", settings.HOST_ADDRESS),),
    )


def explore() -> dict[str, object]:
    """Make everything, try everything."""
    seen: dict[str, object] = {}
    fabric.up()
    web = Node(5, NETWORK, "out", "web")
    client = Node(6, NETWORK, "out", "clients")
    stranger = Node(7, NETWORK, "out")
    mute = Node(8, NETWORK, "clients")
    nodes = [web, client, stranger, mute]
    with server(*web.command()):
        seen["before the filter"] = client.ask(web.address, 80)
        wanted = Filter(tuple(node.port for node in nodes), RULES, BRIDGES)
        fabric.apply_filter(filter_rules.compile_filter(wanted))
        seen["member of the group"] = client.ask(web.address, 80)
        seen["another port"] = client.ask(web.address, 81)
        seen["no member of the group"] = stranger.ask(web.address, 80)
        seen["no egress rule"] = mute.ask(web.address, 80)
        commands.run(*client.command("ip", "address", "add", "10.0.0.99/24", "dev", "eth0"))
        seen["foreign source address"] = client.ask(web.address, 80, "10.0.0.99")
        seen["mtu"] = commands.run(*client.command("cat", "/sys/class/net/eth0/mtu")).strip()
        seen.update(explore_router(web, client))
        seen.update(explore_change(web, client, wanted))
    return seen


def explore_router(web: Node, client: Node) -> dict[str, object]:
    """Try the router, the floating IP and the host."""
    seen: dict[str, object] = {}
    router = make_router(web)
    router_namespaces.apply(router, lambda _text: None)
    router_namespaces.apply_nat(router)
    namespace = routers.namespace_name(router.id)
    seen["router is as wanted"] = routers.plan(router_namespaces.observe(namespace), router).empty
    seen["host to floating IP"] = ask_from_host(FLOATING, 82)
    seen["host to closed port of floating IP"] = ask_from_host(FLOATING, 80)
    seen["neighbour to floating IP"] = client.ask(FLOATING, 82)
    seen["public name server"] = client.ask("8.8.8.8", 53)
    with server():
        seen["machine to host"] = client.ask(settings.HOST_ADDRESS, 81)
        seen["machine with floating IP to host"] = web.ask(settings.HOST_ADDRESS, 81)
    without = replace(router, floating=())
    router_namespaces.apply(without, lambda _text: None)
    router_namespaces.apply_nat(without)
    seen["floating IP that was taken away"] = ask_from_host(FLOATING, 82)
    return seen


def explore_change(web: Node, client: Node, wanted: Filter) -> dict[str, object]:
    """Try what becomes of a connection whose rule goes."""
    from devcloud.dataplane import tracking  # needs the cloud's environment, as the daemon does

    seen: dict[str, object] = {}
    talk = client.command(sys.executable, "-c", TALK, web.address, "80")
    with subprocess.Popen(
        talk, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as conversation:
        assert conversation.stdin is not None and conversation.stdout is not None

        def exchange() -> str:
            assert conversation.stdin is not None and conversation.stdout is not None
            conversation.stdin.write("go\n")
            conversation.stdin.flush()
            return conversation.stdout.readline().strip()

        seen["established"] = exchange()
        less = replace(wanted, rules={**RULES, "web": ()})
        fabric.apply_filter(filter_rules.compile_filter(less))
        seen["established, rule gone, not looked at"] = exchange()
        seen["worth a look"] = connections.narrower(wanted, less)
        seen["ended"] = tracking.forget(connections.forbidden(tracking.read(), less))
        seen["established, rule gone"] = exchange()
        conversation.stdin.close()
    return seen


if __name__ == "__main__":
    host_limits.NEEDED.clear()  # a few namespaces need none raised
    commands.run("ip", "link", "set", "lo", "up")
    commands.run("mkdir", "-p", str(fabric.NETNS_DIRECTORY))
    commands.run("mount", "-t", "tmpfs", "tmpfs", str(fabric.NETNS_DIRECTORY))
    print(json.dumps(explore()))
