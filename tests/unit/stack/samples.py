# SPDX-License-Identifier: Apache-2.0
"""Inputs and outputs as a usual cluster has them."""

import dataclasses
import json
from typing import Any

from magnum_swarm_mode.fixed_network import FixedNetwork
from magnum_swarm_mode.labels.table import DECLARATIONS, Labels
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack.engine import EngineSettings

UUID = "1d774e36-be41-43ee-8b88-64e6006bd788"
EXISTING = FixedNetwork("7a5b2a6e", "0b2f1c3d", "10.0.0.0/24", 1450)
# As long as one of 2048 bits, which is what Magnum makes.
CERTIFICATE = (
    "-----BEGIN CERTIFICATE-----\n" + ("A1b2" * 16 + "\n") * 17 + "-----END CERTIFICATE-----\n"
)


def inputs(**changes: Any) -> stack_request.StackInputs:
    """Return the inputs of three managers and eight workers in a network of their own.

    :param changes: fields, or labels, that are otherwise.
    """
    engine = {
        field.name: changes.pop(field.name)
        for field in dataclasses.fields(EngineSettings)
        if field.name in changes and field.name != "dns_nameservers"
    }
    labelled = {name: changes.pop(name) for name in DECLARATIONS if name in changes}
    usual = stack_request.StackInputs(
        cluster_uuid=UUID,
        cluster_name="swarm-mode-cluster",
        manager_count=3,
        manager_flavor="m1.medium",
        manager_image="ubuntu_xenial",
        worker_count=8,
        worker_flavor="m1.medium",
        worker_image="ubuntu_xenial",
        external_network="public",
        fixed_network=None,
        address_pool="10.200.0.0/16",
        ca_certificate=CERTIFICATE,
        auth_url="https://keystone.example.com:5000/v3",
        magnum_url="https://magnum.example.com:9511/v1",
        region_name="RegionOne",
        node_credential=stack_request.NodeCredential("c" * 32, "s" * 86),
        keypair="fuel",
        dns_nameservers=("8.8.8.8",),
        engine=EngineSettings(**engine),
        labels=Labels(**labelled),
    )
    return dataclasses.replace(usual, **changes)


def configuration(role: str, name: str = "swarm-mode-cluster", managers: int = 3) -> dict[str, Any]:
    """Return what Heat tells a node of a role."""
    signal = {
        "auth_url": "https://keystone.example.com:5000/v3/",
        "username": f"swarm-mode-{UUID}-workers-gohboqyinsuu-{role}_signal-xsxaw4yo4mrh",
        "user_id": "u" * 32,
        "password": "VZkXLEBq^j1eveIGNZxq&@hF4*Qg&b4z",
        "project_id": "p" * 32,
        "domain_id": "d" * 32,
        "region_name": "RegionOne",
        "alarm_url": "https://heat.example.com:8004/v1/" + "p" * 32 + f"/stacks/swarm-mode-{UUID}-"
        f"workers-gohboqyinsuu/{UUID}/resources/{role}_signal/signal",
    }
    told: dict[str, Any] = {
        "version": 1,
        "role": role,
        "node_group": "default-master" if role == "manager" else "default-worker",
        "cluster": {"uuid": UUID, "name": name},
        "managers": {
            str(index): {
                "address": f"10.100.100.{100 + index}",
                "floating_address": f"172.124.124.{100 + index}",
            }
            for index in range(managers)
        },
        "signal": json.dumps(signal),
        "join": {"port": 2378, "secret": "x" * 64, "timeout": 1200},
        "engine": {
            "mtu": 1450,
            "daemon": {
                "storage-driver": "overlay2",
                "log-driver": "json-file",
                "log-opts": {"max-size": "10m", "max-file": "3"},
            },
        },
        "swarm": {
            "address_pool": "10.200.0.0/16",
            "address_pool_mask": 24,
            "data_path_port": 4789,
            "manager_availability": "active",
        },
        "openstack": {"ca_certificate": ""},
    }
    if role == "worker":
        return told | {"ca_certificate": CERTIFICATE}
    told["api"] = {"port": 2376, "addresses": []}
    told["openstack"] |= {
        "auth_url": "https://keystone.example.com:5000/v3",
        "magnum_url": "https://magnum.example.com:9511/v1",
        "region_name": "RegionOne",
        "application_credential_id": "c" * 32,
        "application_credential_secret": "s" * 86,
    }
    return told
