# SPDX-License-Identifier: Apache-2.0
"""Which server this is: what cloud-init learnt of it, kept for boots without cloud-init."""

import contextlib
import json
import socket
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional

from . import system
from .config import Config, Manager
from .errors import NodeError, Temporary
from .paths import Paths


@dataclass(frozen=True)
class Identity:
    """One server: Nova's uuid, its name, Cinder's id of the Docker volume ("" without one)."""

    server_uuid: str
    name: str
    docker_volume: str = ""


def from_instance_data(data: Mapping[str, Any]) -> Optional[Identity]:
    """Return who we are, from cloud-init's instance data or OpenStack's meta_data.json."""
    known = data.get("ds", {}).get("meta_data") or data
    uuid = known.get("uuid") or known.get("instance-id") or known.get("instance_id")
    if not uuid:
        return None
    meta = known.get("meta") or {}
    name = known.get("name") or known.get("hostname") or known.get("local-hostname") or uuid
    return Identity(str(uuid), str(name), str(meta.get("docker_volume") or ""))


def learn(paths: Paths) -> Identity:
    """Read cloud-init's data, or else the config drive's, and keep the result.

    :raises NodeError: when neither is there
    """
    for source in (paths.instance_data, paths.seed):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found = from_instance_data(json.loads(source.read_text()))
            if found:
                system.write(paths.identity, json.dumps(asdict(found)), 0o600)
                return found
    raise NodeError("cloud-init left no instance data: this server does not know its uuid")


def recall(paths: Paths) -> Identity:
    """Return what learn() kept; after a boot there may be no cloud-init yet.

    :raises NodeError: when nothing was kept and nothing can be learnt
    """
    try:
        values: Dict[str, str] = json.loads(paths.identity.read_text())
        return Identity(**values)
    except (OSError, ValueError, TypeError):
        return learn(paths)


def is_own(address: str) -> bool:
    """Return whether an address is one of this server's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def own_index(managers: Mapping[int, Manager]) -> int:
    """Return which manager this server is.

    :raises Temporary: when it has none of their addresses (yet)
    """
    for index, manager in sorted(managers.items()):
        if is_own(manager.address):
            return index
    raise Temporary("no interface has the address of a manager")


def own_address(config: Config) -> str:
    """Return the address by which this server reaches the managers.

    :raises Temporary: when there is no route to them (yet)
    """
    if config.role == "manager":
        return config.managers[own_index(config.managers)].address
    target = config.managers[min(config.managers)].address
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError as error:
            raise Temporary(f"no route to {target}: {error.strerror}") from error
        return str(probe.getsockname()[0])
