# SPDX-License-Identifier: Apache-2.0
"""What nodes are told of their engine; pure."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from magnum_swarm_mode.labels.table import Labels


def split(text: str | None) -> tuple[str, ...]:
    """Return the parts of a list that is written with commas or spaces."""
    return tuple(part for part in re.split(r"[\s,]+", text or "") if part)


@dataclasses.dataclass(frozen=True)
class EngineSettings:
    """Settings of a node's engine that a template's fields give; labels give the others.

    :ivar dns_nameservers: name servers of containers, empty for the node's own.
    """

    docker_storage_driver: str = "overlay2"
    insecure_registries: tuple[str, ...] = ()
    dns_nameservers: tuple[str, ...] = ()
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""

    @classmethod
    def of(cls, cluster_template: Any, *, has_fixed_network: bool = False) -> EngineSettings:
        """Return those of a template of Magnum's.

        :param has_fixed_network: whether containers are told of the template's name servers, as
            those of a network that is made are known by its subnet.
        """
        return cls(
            docker_storage_driver=cluster_template.docker_storage_driver or "overlay2",
            insecure_registries=split(cluster_template.insecure_registry),
            dns_nameservers=split(cluster_template.dns_nameserver) if has_fixed_network else (),
            http_proxy=cluster_template.http_proxy or "",
            https_proxy=cluster_template.https_proxy or "",
            no_proxy=cluster_template.no_proxy or "",
        )

    def told(self, labels: Labels) -> dict[str, Any]:
        """Return what nodes are told of their engine; what is empty is not said.

        ``daemon`` is what they put into the engine's ``daemon.json``.
        """
        daemon = {
            "storage-driver": self.docker_storage_driver,
            "log-driver": labels.log_driver,
            "log-opts": _log_options(labels),
            "insecure-registries": list(self.insecure_registries),
            "registry-mirrors": list(labels.registry_mirrors),
            "dns": list(self.dns_nameservers),
        }
        told = {
            "daemon": {name: value for name, value in daemon.items() if value},
            "http_proxy": self.http_proxy,
            "https_proxy": self.https_proxy,
            "no_proxy": self.no_proxy,
            "version": labels.docker_version,
            "repository": labels.docker_repository,
            "repository_key": labels.docker_repository_key,
        }
        return {name: value for name, value in told.items() if value}


def _log_options(labels: Labels) -> dict[str, str]:
    if labels.log_driver in ("json-file", "local"):
        return {"max-size": labels.log_max_size, "max-file": str(labels.log_max_file)}
    if labels.log_address:
        return {f"{labels.log_driver}-address": labels.log_address}
    return {}
