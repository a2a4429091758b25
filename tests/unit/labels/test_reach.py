# SPDX-License-Identifier: Apache-2.0
"""Whether a label reaches whom its declaration says."""

import dataclasses
import pathlib
import re
import subprocess
import sys
from typing import Any

from oslotest import base

from magnum_swarm_mode.labels import parsing, table
from magnum_swarm_mode.labels.table import Reach
from magnum_swarm_mode.stack import request as stack_request
from tests.unit.stack import samples

PACKAGE = pathlib.Path(parsing.__file__).resolve().parents[1]
# For each label another value than the default, and what it needs beside it.
OTHER: dict[str, tuple[str, dict[str, str]]] = {
    "swarm_address_pool": ("10.99.0.0/16", {}),
    "swarm_address_pool_mask": ("25", {}),
    "data_path_port": ("4790", {}),
    "api_allowed_cidrs": ("192.0.2.0/24", {}),
    "ssh_allowed_cidrs": ("192.0.2.0/24", {}),
    "worker_floating_ip_enabled": ("true", {}),
    "manager_availability": ("drain", {}),
    "join_timeout": ("300", {}),
    "drain_timeout": ("1", {}),
    "auto_healing_enabled": ("true", {}),
    "auto_healing_delay": ("11", {}),
    "availability_zone": ("nova", {}),
    "server_group_policy": ("affinity", {}),
    "worker_server_group_policy": ("affinity", {}),
    "boot_volume_size": ("9", {}),
    "boot_volume_type": ("fast", {"boot_volume_size": "9"}),
    "docker_volume_type": ("fast", {}),
    "published_ports": ("80", {}),
    "published_ports_allowed_cidrs": ("192.0.2.0/24", {"published_ports": "80"}),
    "network_mtu": ("1300", {}),
    "docker_version": ("26.1", {}),
    "docker_repository": ("https://example.com/docker", {}),
    "docker_repository_key": (
        "https://example.com/key",
        {"docker_repository": "https://example.com/docker"},
    ),
    "log_driver": ("local", {}),
    "log_address": ("udp://192.0.2.1:514", {"log_driver": "syslog"}),
    "log_max_size": ("11m", {}),
    "log_max_file": ("4", {}),
    "registry_mirrors": ("https://mirror.example.com", {}),
}


def request(given: dict[str, str]) -> Any:
    """What Heat is asked for a cluster with these labels."""
    values = parsing.parse(given)
    # The label says which pool, and the driver chooses where it does not.
    pool = values.swarm_address_pool or "10.200.0.0/16"
    return stack_request.build(
        dataclasses.replace(samples.inputs(), labels=values, address_pool=pool)
    )


class ReachTest(base.BaseTestCase):
    def reached(self, name: str) -> set[Reach]:
        value, more = OTHER[name]
        before, after = request(more), request({**more, name: value})
        found = set()
        if before.parameters["engine"] != after.parameters["engine"]:
            found.add(Reach.ENGINE)
        changed = {
            key for key, one in after.parameters.items() if before.parameters[key] != one
        } - {"engine"}
        if changed == {"manager_availability"}:
            found.add(Reach.MANAGERS)
        elif changed or before.environment != after.environment:
            found.add(Reach.STACK)
        sources = [*(PACKAGE / "conductor").rglob("*.py"), *(PACKAGE / "decisions").rglob("*.py")]
        if any(
            re.search(rf"\b(values|labels|parsed)\.{name}\b", one.read_text()) for one in sources
        ):
            found.add(Reach.CONDUCTOR)
        return found

    def test_every_label_reaches_somebody(self):
        """A label that reaches nobody, or others than it says, is a defect."""
        self.assertEqual(set(table.DECLARATIONS), set(OTHER))
        for name, declaration in table.DECLARATIONS.items():
            with self.subTest(name=name):
                self.assertIn(declaration.reaches, self.reached(name))

    def test_fixed(self):
        """What only the stack is told is fixed, and nothing else is."""
        told_once = {name for name, one in table.DECLARATIONS.items() if one.reaches is Reach.STACK}
        self.assertEqual(told_once, table.FIXED)
        self.assertIn("join_timeout", table.FIXED)

    def test_per_group(self):
        """What a node group may have of its own is told to its stack."""
        for name in table.PER_GROUP:
            self.assertEqual(Reach.STACK, table.DECLARATIONS[name].reaches)

    def test_pure(self):
        """Labels are read where neither Magnum nor a client of OpenStack is installed."""
        code = (
            "import sys\n"
            "sys.modules.update(dict.fromkeys(['keystoneauth1', 'magnum', 'heatclient']))\n"
            "import magnum_swarm_mode.labels.parsing, magnum_swarm_mode.conf\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr[-1000:]))
