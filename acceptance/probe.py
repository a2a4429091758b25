# SPDX-License-Identifier: Apache-2.0
"""What tasks of the cluster try of each other, and what follows from their answers. Pure.

Three services are asked: one by the addresses of its tasks and by its name (``dnsrr``), one by its
virtual address and its published port, and one on an encrypted network, whose tasks ask each other.
The others are asked by a task of a fourth one on every node. They ask again and again, and write a
line for each answer::

    probe NODE CHECK TARGET ANSWER

The scripts need a shell and the applets of busybox, no more.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WEB_PORT = 8080
DATA_BYTES = 1 << 20
NOTHING = "-"
# What managers serve to nodes only: certificates of managers, and worker tokens.
NODE_PORTS = (2374, 2378)

# A page says which node it comes from.
_SERVE = f"""
mkdir -p /www
echo "$NODE" >/www/index.html
dd if=/dev/zero of=/www/data bs=1024 count={DATA_BYTES >> 10} 2>/dev/null
"""
WEB = f"{_SERVE}exec httpd -f -p {WEB_PORT} -h /www\n"

# No wget: the one in a static busybox fails in an image of nothing else.
_TOOLS = r"""
find() { nslookup "$1" 2>/dev/null | awk '/^Name:/ {n=1} n && /^Address/ {print $NF}' | sort -u; }
ask() { printf 'GET /%s HTTP/1.0\r\n\r\n' "$3" | nc -w 3 "$1" "$2" 2>/dev/null; }
page() { ask "$1" "$2" | tail -n 1; }
say() { echo "probe $NODE $1 $2 ${3:--}"; }
"""
ASK = rf"""{_TOOLS}
open() {{ nc -w 3 "$1" "$2" </dev/null >/dev/null 2>&1 && echo open || echo closed; }}
while true; do
    mtu=$(cat /sys/class/net/eth*/mtu | sort -n | head -n 1)
    for a in $(find "tasks.$WEB"); do
        say address "$a" "$(page "$a" {WEB_PORT})"
        say data "$a" "$(ask "$a" {WEB_PORT} data | wc -c)"
        size=
        ping -c 1 -W 3 -s $((mtu - 28)) "$a" >/dev/null 2>&1 && size=$mtu
        say ping "$a" "$size"
    done
    for a in $(find "$WEB"); do say name "$a" "$(page "$a" {WEB_PORT})"; done
    for a in $WORKERS; do say engine "$a" "$(open "$a" "$API_PORT")"; done
    for a in $MANAGERS; do
        for p in $API_PORT $NODE_PORTS; do say port "$a:$p" "$(open "$a" "$p")"; done
    done
    for a in $(find "$VIRTUAL"); do say virtual "$a" "$(page "$a" {WEB_PORT})"; done
    for a in $NODES; do say mesh "$a" "$(page "$a" "$PUBLISHED")"; done
    say round 0 done
    sleep 2
done
"""
# Where encryption does not work at all, nobody else's tasks shall suffer from it.
SEALED = rf"""{_SERVE}{_TOOLS}
httpd -p {WEB_PORT} -h /www
while true; do
    for a in $(find "tasks.$SEALED"); do say sealed "$a" "$(page "$a" {WEB_PORT})"; done
    sleep 2
done
"""

_LINE = re.compile(r"^probe (\S+) (\S+) (\S+) (.*)$", re.MULTILINE)
_SHOWN = 3  # complaints that a reason names


@dataclass(frozen=True)
class Layout:
    """The cluster as its managers tell it.

    :ivar nodes: address in the cluster's network by host name.
    :ivar tasks: host name by address of the first service's tasks.
    :ivar sealed: host name by address of the encrypted service's tasks.
    :ivar managers: addresses.
    """

    nodes: Mapping[str, str]
    tasks: Mapping[str, str]
    sealed: Mapping[str, str]
    workers: tuple[str, ...]  # addresses
    managers: tuple[str, ...] = ()
    api_port: int = 2376


class Answers:
    """The last answer of each question; an answer once given counts."""

    def __init__(self, text: str) -> None:
        self._answers: dict[tuple[str, str, str], str] = {}
        self.rounds: dict[str, int] = {}  # by node
        for node, check, target, answer in _LINE.findall(text):
            if check == "round":
                self.rounds[node] = self.rounds.get(node, 0) + 1
            if answer != NOTHING or (node, check, target) not in self._answers:
                self._answers[node, check, target] = answer.strip()

    def get(self, node: str, check: str, target: str) -> str:
        """Return an answer, empty without one."""
        answer = self._answers.get((node, check, target), "")
        return "" if answer == NOTHING else answer

    def all(self, node: str, check: str) -> dict[str, str]:
        """Return a node's answers by what was asked."""
        return {
            target: "" if answer == NOTHING else answer
            for (asker, kind, target), answer in self._answers.items()
            if (asker, kind) == (node, check)
        }


def because(complaints: Iterable[str]) -> str:
    """Return the first complaints as one reason; empty without any."""
    found = list(dict.fromkeys(complaints))
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def judge(answers: Answers, layout: Layout) -> dict[str, str]:
    """Return for each promise that the answers are about why it does not hold; empty if it does."""
    return {
        "task-addresses": because(_addresses(answers, layout)),
        "dns-round-robin": because(_names(answers, layout)),
        "packet-size": because(_sizes(answers, layout)),
        "virtual-address": because(_virtual(answers, layout)),
        "routing-mesh": because(_mesh(answers, layout)),
        "encrypted": because(_sealed(answers, layout)),
        "worker-power": because(_power(answers, layout)),
    }


def _addresses(answers: Answers, layout: Layout) -> Iterable[str]:
    for asker in layout.nodes:
        for address, node in layout.tasks.items():
            if answers.get(asker, "address", address) != node:
                yield f"{asker} reaches no task on {node} at {address}"


def _names(answers: Answers, layout: Layout) -> Iterable[str]:
    for asker in layout.nodes:
        missed = set(layout.tasks.values()) - set(answers.all(asker, "name").values())
        for node in sorted(missed):
            yield f"on {asker} the name leads to no task on {node}"


def _sizes(answers: Answers, layout: Layout) -> Iterable[str]:
    for asker in layout.nodes:
        for address, node in layout.tasks.items():
            if node == asker:
                continue
            got = answers.get(asker, "data", address)
            if int(got or 0) < DATA_BYTES:
                yield f"{asker} gets {got or 0} of {DATA_BYTES} bytes from {node}"
            if not answers.get(asker, "ping", address):
                yield f"the largest packet does not get from {asker} to {node}"


def _virtual(answers: Answers, layout: Layout) -> Iterable[str]:
    for asker in layout.nodes:
        found = answers.all(asker, "virtual")
        if not found:
            yield f"on {asker} the service's name leads nowhere"
        for address, page in found.items():
            if page not in layout.nodes:
                yield f"on {asker} nothing answers at {address}"


def _mesh(answers: Answers, layout: Layout) -> Iterable[str]:
    for node, address in layout.nodes.items():
        others = [asker for asker in layout.nodes if asker != node] or [node]
        if not any(answers.get(asker, "mesh", address) for asker in others):
            yield f"the published port of {node} ({address}) answers nobody"


def _sealed(answers: Answers, layout: Layout) -> Iterable[str]:
    if len(set(layout.sealed.values())) < len(layout.nodes):
        yield "no task runs on " + ", ".join(
            sorted(set(layout.nodes) - set(layout.sealed.values()))
        )
    for asker in layout.nodes:
        for address, node in layout.sealed.items():
            if node != asker and answers.get(asker, "sealed", address) != node:
                yield f"nothing gets from {asker} to {node} (are ESP packets allowed?)"


def _power(answers: Answers, layout: Layout) -> Iterable[str]:
    for asker in layout.nodes:
        for address in layout.workers:
            if answers.get(asker, "engine", address) != "closed":
                yield f"the worker {address} lets {asker} connect to an engine's API"
        for address in layout.managers:
            # What is closed counts only where the manager can be reached at all.
            if answers.get(asker, "port", f"{address}:{layout.api_port}") != "open":
                yield f"a task on {asker} does not reach the manager {address}"
            for port in NODE_PORTS:
                if answers.get(asker, "port", f"{address}:{port}") != "closed":
                    yield f"the manager {address} lets a task on {asker} connect to port {port}"
