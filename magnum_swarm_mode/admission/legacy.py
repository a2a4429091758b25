# SPDX-License-Identifier: Apache-2.0
"""What the Swarm drivers of Magnum up to release 17 left in the database.

They offered ``swarm`` and ``swarm-mode`` on Fedora Atomic. Their rows stay when Magnum is upgraded,
and without a driver nobody could delete them. So their templates and clusters can be listed, shown
and deleted, and clients can have certificates for what still runs; everything else is refused.
"""

from __future__ import annotations

from magnum_swarm_mode import constants, exceptions

COE = "swarm"
# After the names of other drivers, as Magnum takes the first one where it does not know better.
ENTRY_POINT = "swarm_mode_legacy"
SERVER_TYPES = ("vm", "bm")
# All that Magnum 17 had drivers for and that is not offered today; its Swarm drivers had
# fedora-atomic.
DISTROS = tuple(
    distro
    for distro in ("fedora-atomic", "fedora", "fedora-coreos", "coreos")
    if distro not in constants.OS_DISTROS
)

_ONLY = "only listed, shown and deleted"
_INSTEAD = (
    f"use coe={constants.COE} and an image whose os_distro is {' or '.join(constants.OS_DISTROS)}."
)


def provides() -> list[dict[str, str]]:
    """Return the kinds of cluster that can be deleted."""
    return [
        {"server_type": server_type, "os": distro, "coe": coe}
        for server_type in SERVER_TYPES
        for distro in (*DISTROS, *(constants.OS_DISTROS if server_type == "bm" else ()))
        for coe in (COE, constants.COE)
    ] + [{"server_type": "vm", "os": distro, "coe": COE} for distro in constants.OS_DISTROS]


def concerns(coe: str | None, distro: str | None, server_type: str | None = None) -> bool:
    """Return whether a template is one of those drivers'."""
    if coe == COE:
        return True
    if coe != constants.COE:
        return False
    return distro in DISTROS or server_type == "bm"


def refuse_engine() -> None:
    """Refuse ``coe=swarm``.

    :raises Refused: always.
    """
    raise exceptions.Refused(
        f"coe={COE} was offered by Magnum up to release 17; its cluster templates and clusters can "
        f"be {_ONLY}. For a new one {_INSTEAD}"
    )


def refuse_template() -> None:
    """Refuse to change a template or to make a cluster of it.

    :raises Refused: always.
    """
    raise exceptions.Refused(
        "This cluster template was made for the Swarm driver that Magnum had up to release 17; it "
        f"can be {_ONLY}. Make another template: {_INSTEAD}"
    )


def refuse_operation() -> None:
    """Refuse to change a cluster.

    :raises Refused: always.
    """
    raise exceptions.Refused(
        "This cluster was made by the Swarm driver that Magnum had up to release 17; it can be "
        f"{_ONLY}. Create a cluster from another template instead: {_INSTEAD}"
    )


def refuse_driver() -> None:
    """Refuse to name the driver that deletes.

    :raises Refused: always.
    """
    raise exceptions.Refused(
        f"driver={ENTRY_POINT} only deletes what Magnum up to release 17 has made; leave driver "
        "out."
    )
