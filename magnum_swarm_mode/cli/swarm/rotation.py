# SPDX-License-Identifier: Apache-2.0
"""``magnum swarm-ca-rotate`` and ``swarm-token-rotate``: the swarm's root CA and join tokens."""

from __future__ import annotations

import argparse
from typing import Any

from magnum_swarm_mode.cli.declare import Command
from magnum_swarm_mode.cli.output import say
from magnum_swarm_mode.cli.swarm import access as swarm_access
from magnum_swarm_mode.cli.swarm.backup import refuse_busy

_SECONDS = 900.0
ROLES = ("worker", "manager")


def swarm_ca_rotate(client: Any, given: argparse.Namespace, command: Command) -> None:
    """Give the swarm another root CA, and wait until every ready node trusts it."""
    del command
    access = swarm_access.open_cluster(client, given.cluster)
    refuse_busy(access.cluster)
    docker = access.client(access.serving().address)
    swarm = docker.inspect_swarm()
    if swarm["RootRotationInProgress"]:
        say("A rotation that was begun before goes on.")
    else:
        spec = dict(swarm["Spec"])
        authority = dict(spec.get("CAConfig") or {})
        authority["ForceRotate"] = int(authority.get("ForceRotate") or 0) + 1
        spec["CAConfig"] = authority
        docker.update_swarm(swarm["Version"]["Index"], spec)
    shown = ""

    def look() -> tuple[bool, list[str]]:
        nonlocal shown
        ask = access.client(access.serving().address)
        now = ask.inspect_swarm()
        nodes = [node for node in ask.nodes() if node["Status"]["State"] == "ready"]
        waiting = [
            str(node["Description"]["Hostname"])
            for node in nodes
            if (node["Description"].get("TLSInfo") or {}).get("TrustRoot")
            != now["TLSInfo"]["TrustRoot"]
        ]
        said = f"{len(nodes) - len(waiting)} of {len(nodes)} ready nodes trust the new root."
        if not now["RootRotationInProgress"] and said != shown:
            shown = said
            say(said)
        return bool(now["RootRotationInProgress"]), waiting

    swarm_access.wait_for(
        "the nodes to trust the new root",
        look,
        lambda seen: not seen[0] and not seen[1],
        _SECONDS,
        describe=lambda seen: (
            "the nodes get their new certificates" if seen[0] else f"not yet: {', '.join(seen[1])}"
        ),
    )
    say("The swarm has a new root CA; join tokens changed with it.")


def swarm_token_rotate(client: Any, given: argparse.Namespace, command: Command) -> None:
    """Replace the swarm's join tokens."""
    del command
    access = swarm_access.open_cluster(client, given.cluster)
    docker = access.client(access.serving().address)
    roles = [given.role] if given.role else list(ROLES)
    rotate_tokens(docker, roles)
    for role in roles:
        say(f"The token with which a {role} joins was replaced; nodes get the new one themselves.")


def rotate_tokens(docker: Any, roles: list[str]) -> None:
    """Replace join tokens, and see that they are other ones."""
    before = docker.inspect_swarm()

    def attempt() -> bool:
        swarm = docker.inspect_swarm()
        if any(_token(swarm, role) == _token(before, role) for role in roles):
            docker.update_swarm(
                swarm["Version"]["Index"],
                swarm["Spec"],
                rotate_worker_token="worker" in roles,
                rotate_manager_token="manager" in roles,
            )
            swarm = docker.inspect_swarm()
        return all(_token(swarm, role) != _token(before, role) for role in roles)

    swarm_access.wait_for("new join tokens", attempt, bool, 60)


def _token(swarm: Any, role: str) -> str:
    return str(swarm["JoinTokens"][role.capitalize()])
