# SPDX-License-Identifier: Apache-2.0
"""Keeps containers from the metadata address, which would give them this node's user-data."""

from ..base import system
from ..base.errors import NodeError


def close_metadata() -> None:
    """Drop what is forwarded to the metadata address; the node itself still reaches it.

    The rule is in the mangle table, which the engine leaves alone, so that it holds before the
    engine starts and whatever the engine puts at the top of its own chains.

    :raises NodeError: when iptables fails
    """
    rule = ("FORWARD", "-d", "169.254.169.254/32", "-j", "DROP")
    table = ("iptables", "-w", "10", "-t", "mangle")
    try:
        system.run(*table, "-C", *rule)
    except NodeError:
        system.run(*table, "-I", *rule)
