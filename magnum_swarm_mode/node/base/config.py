# SPDX-License-Identifier: Apache-2.0
"""The node's configuration: one JSON file that user-data writes."""

import re
from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, get_origin
from urllib.parse import urlsplit

from . import system
from .errors import SECRETS, NodeError

VERSION = 1


@dataclass(frozen=True)
class Config:
    """Everything that user-data says. Times are in seconds, the MTU in bytes.

    A field's name is its path in the JSON: "join": {"port": …} is join_port. Fields without a
    default are required; so are those of Magnum on managers, and the CA on workers.
    """

    version: int
    role: str
    managers: Dict[str, Dict[str, str]]  # index: address, floating_address
    signal: Dict[str, str]  # Heat's attribute of that name, parsed
    cluster_uuid: str
    join_secret: str
    # PEM of the cluster's own CA; managers ask Magnum for it, and trust these if they are told any
    ca_certificate: str = ""
    join_port: int = 2378
    join_certificate_port: int = 2374  # where managers have the requests of others signed
    join_timeout: int = 1200
    engine_mtu: int = 1500
    engine_daemon: Dict[str, Any] = field(default_factory=dict)  # settings for daemon.json
    engine_http_proxy: str = ""
    engine_https_proxy: str = ""
    engine_no_proxy: str = ""
    engine_version: str = ""  # or the first of its numbers; empty for any
    engine_repository: str = ""  # URL; empty for the packages of the distribution
    engine_repository_key: str = ""  # URL; empty for that of Docker's own repositories
    swarm_address_pool: str = ""  # CIDR
    swarm_address_pool_mask: int = 24
    swarm_data_path_port: int = 4789
    swarm_manager_availability: str = "active"
    api_port: int = 2376
    api_addresses: List[str] = field(default_factory=list)
    api_issuer: str = ""  # SHA-256 of the CA that shall have signed a manager's certificate
    api_chain: str = ""  # PEM of what a manager presents after its certificate
    openstack_ca_certificate: str = ""
    openstack_auth_url: str = ""
    openstack_magnum_url: str = ""
    openstack_application_credential_id: str = ""
    openstack_application_credential_secret: str = ""

    @property
    def is_manager(self) -> bool:
        """Whether this node's role is manager."""
        return self.role == "manager"

    def address(self, index: int) -> str:
        """Return the fixed address of a manager."""
        return self.managers[str(index)]["address"]

    @property
    def indexes(self) -> List[int]:
        """The managers' indexes in ascending order."""
        return sorted(map(int, self.managers))


_SIGNAL = ("auth_url", "user_id", "password", "project_id", "alarm_url")
_OPENSTACK = (
    "openstack_auth_url",
    "openstack_magnum_url",
    "openstack_application_credential_id",
    "openstack_application_credential_secret",
)


_URLS = (
    "engine_http_proxy",
    "engine_https_proxy",
    "openstack_auth_url",
    "openstack_magnum_url",
)
_INDEX = re.compile("0|[1-9][0-9]{0,3}")


def _missing(config: Config) -> List[str]:
    """Return the names of values that must not be empty and are."""
    names = ["cluster_uuid", "join_secret", "managers"]
    names += _OPENSTACK if config.is_manager else ["ca_certificate"]
    found = [name for name in names if not getattr(config, name)]
    return found + [f"signal.{key}" for key in _SIGNAL if not config.signal.get(key)]


def _wrong(config: Config) -> List[str]:
    """Return the names of values that are not what they must be."""
    found = [
        item.name
        for item in fields(config)
        # Not isinstance(): JSON's truths are no numbers.
        if type(getattr(config, item.name)) is not (get_origin(item.type) or item.type)
    ]
    choices = {
        "version": (VERSION,),
        "role": ("manager", "worker"),
        "swarm_manager_availability": ("active", "drain"),
    }
    found = found or [name for name in choices if getattr(config, name) not in choices[name]]
    return found or _inside(config)


def _inside(config: Config) -> List[str]:
    """Return the names of values in which something is not what it must be."""
    found = [f"signal.{key}" for key in _SIGNAL if not isinstance(config.signal.get(key, ""), str)]
    found += [
        f"managers.{index}"
        for index, one in config.managers.items()
        if not (_INDEX.fullmatch(index) and isinstance(one, dict) and _is_text(one.get("address")))
    ]
    if not all(map(_is_text, config.api_addresses)):
        found.append("api_addresses")
    if found:
        return found
    urls = {name: getattr(config, name) for name in _URLS}
    urls.update((f"signal.{key}", config.signal.get(key, "")) for key in _SIGNAL if "url" in key)
    return [name for name, url in urls.items() if not _is_url(url)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_url(text: str) -> bool:
    """Return whether a URL, or nothing, can be taken apart and sent."""
    try:
        parts = urlsplit(text)
        text.encode()
        return parts.port != 0
    except ValueError:
        return False


def parse(text: str) -> Config:
    """Return the configuration in a JSON text, and teach redact() its secrets.

    :raises NodeError: naming the values that are missing or wrong
    """
    try:
        flat = {}
        for key, value in system.parsed(text).items():
            if key == "signal" and isinstance(value, str):
                value = system.parsed(value)
            if isinstance(value, dict) and key not in ("signal", "managers"):
                flat.update({f"{key}_{name}": item for name, item in value.items()})
            else:
                flat[key] = value
        names = [item.name for item in fields(Config) if item.name in flat]
        config = Config(**{name: flat[name] for name in names})
    except (ValueError, AttributeError, TypeError) as error:
        raise NodeError(f"configuration: {error}") from error
    bad = _wrong(config) or _missing(config)
    if bad:
        raise NodeError("configuration: missing or wrong: " + ", ".join(bad))
    SECRETS.update((config.join_secret, config.openstack_application_credential_secret))
    for url in (config.engine_http_proxy, config.engine_https_proxy):
        SECRETS.add(urlsplit(url).password or "")
    SECRETS.add(config.signal["password"])
    return config
