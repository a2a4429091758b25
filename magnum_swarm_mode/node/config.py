# SPDX-License-Identifier: Apache-2.0
"""The node's configuration: one JSON file that user-data writes."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple
from urllib.parse import urlsplit

from .errors import NodeError, hide

VERSION = 1


@dataclass(frozen=True)
class Manager:
    """One manager of the cluster as it was when user-data was written."""

    address: str
    floating_address: str = ""


@dataclass(frozen=True)
class Config:
    """Everything that user-data says, checked; times are in seconds, sizes of MTU in bytes."""

    role: str
    node_group: str
    cluster_uuid: str
    cluster_name: str
    managers: Mapping[int, Manager]
    ca_certificate: str
    signal: Mapping[str, str]
    join_port: int
    join_secret: str
    join_timeout: int
    mtu: int
    storage_driver: str
    insecure_registries: Tuple[str, ...]
    http_proxy: str
    https_proxy: str
    no_proxy: str
    address_pool: str
    address_pool_mask: int
    data_path_port: int
    manager_availability: str
    api_port: int
    api_addresses: Tuple[str, ...]
    auth_url: str
    magnum_url: str
    openstack_ca: str
    credential_id: str
    credential_secret: str


REQUIRED = object()
MANAGER = object()  # required on managers, empty elsewhere

# field of Config: where it is in the JSON, its kind, its default
_TEXT, _NUMBER, _LIST = str, int, tuple
_FIELDS: Dict[str, Tuple[str, Any, Any]] = {
    "node_group": ("node_group", _TEXT, ""),
    "cluster_uuid": ("cluster.uuid", _TEXT, REQUIRED),
    "cluster_name": ("cluster.name", _TEXT, ""),
    "ca_certificate": ("ca_certificate", _TEXT, REQUIRED),
    "join_port": ("join.port", _NUMBER, 2378),
    "join_secret": ("join.secret", _TEXT, REQUIRED),
    "join_timeout": ("join.timeout", _NUMBER, 1200),
    "mtu": ("engine.mtu", _NUMBER, 1500),
    "storage_driver": ("engine.storage_driver", _TEXT, "overlay2"),
    "insecure_registries": ("engine.insecure_registries", _LIST, ()),
    "http_proxy": ("engine.http_proxy", _TEXT, ""),
    "https_proxy": ("engine.https_proxy", _TEXT, ""),
    "no_proxy": ("engine.no_proxy", _TEXT, ""),
    "address_pool": ("swarm.address_pool", _TEXT, ""),
    "address_pool_mask": ("swarm.address_pool_mask", _NUMBER, 24),
    "data_path_port": ("swarm.data_path_port", _NUMBER, 4789),
    "manager_availability": ("swarm.manager_availability", _TEXT, "active"),
    "api_port": ("api.port", _NUMBER, 2376),
    "api_addresses": ("api.addresses", _LIST, ()),
    "auth_url": ("openstack.auth_url", _TEXT, MANAGER),
    "magnum_url": ("openstack.magnum_url", _TEXT, MANAGER),
    "openstack_ca": ("openstack.ca_certificate", _TEXT, ""),
    "credential_id": ("openstack.application_credential_id", _TEXT, MANAGER),
    "credential_secret": ("openstack.application_credential_secret", _TEXT, MANAGER),
}


def _wrong(what: str) -> NodeError:
    return NodeError(f"the configuration is not usable: {what}")


def _convert(where: str, kind: Any, value: Any) -> Any:
    """Heat turns numbers into text and lists into comma-separated text on some of its ways."""
    if kind is _NUMBER:
        try:
            return int(str(value))
        except ValueError:
            raise _wrong(f"{where} must be a whole number") from None
    if kind is _LIST:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list):
            raise _wrong(f"{where} must be a list")
        return tuple(str(item).strip() for item in items if str(item).strip())
    if not isinstance(value, (str, int)):
        raise _wrong(f"{where} must be text")
    return str(value)


def _find(data: Any, where: str) -> Any:
    for key in where.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _managers(data: Any) -> Dict[int, Manager]:
    if not isinstance(data, dict) or not data:
        raise _wrong("managers must name every manager")
    managers = {}
    for index, entry in data.items():
        try:
            address = str(ipaddress.ip_address(entry["address"]))
            managers[int(index)] = Manager(address, entry.get("floating_address") or "")
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _wrong(f"managers.{index} has no address") from None
    return managers


def _signal(data: Any) -> Dict[str, str]:
    """Heat gives the attribute as JSON text; an intrinsic function may have parsed it already."""
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            data = None
    keys = ("auth_url", "user_id", "password", "project_id", "alarm_url")
    if not isinstance(data, dict) or not all(data.get(key) for key in keys):
        raise _wrong(f"signal must hold {', '.join(keys)}")
    return {str(key): str(value) for key, value in data.items()}


def parse(text: str) -> Config:
    """Return the configuration in a JSON text, and teach redact() its secrets.

    :raises NodeError: naming the first value that is missing or wrong
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _wrong(f"no JSON: {error}") from None
    version = _find(data, "version")
    if str(version) != str(VERSION):
        raise _wrong(f"version {version} instead of {VERSION}")
    role = _find(data, "role")
    if role not in ("manager", "worker"):
        raise _wrong("role must be manager or worker")
    signal = _signal(_find(data, "signal"))
    hide([signal["password"]])
    values: Dict[str, Any] = {}
    for field, (where, kind, default) in _FIELDS.items():
        value = _find(data, where)
        if value is None or (value == "" and default is not REQUIRED):
            if default is REQUIRED or (default is MANAGER and role == "manager"):
                raise _wrong(f"{where} is missing")
            values[field] = "" if default is MANAGER else default
        else:
            values[field] = _convert(where, kind, value)
    hide([values["join_secret"], values["credential_secret"]])
    hide(urlsplit(values[proxy]).password or "" for proxy in ("http_proxy", "https_proxy"))
    if not values["join_secret"]:
        raise _wrong("join.secret is missing")
    if values["manager_availability"] not in ("active", "drain"):
        raise _wrong("swarm.manager_availability must be active or drain")
    return Config(role=role, managers=_managers(_find(data, "managers")), signal=signal, **values)


def load(path: Path) -> Config:
    """Return the configuration in a file.

    :raises NodeError: when it is missing or wrong
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise _wrong(f"{path}: {error.strerror}") from error
    return parse(text)
