# SPDX-License-Identifier: Apache-2.0
"""Which test shows what a label does; a label without such a test is a defect."""

import ast
import pathlib

from oslotest import base

from magnum_swarm_mode.labels import table as label_table

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
_LIVING = "tests.endtoend.test_09_labels.TestLabels."
_HEAT = "tests.functional.heat.test_templates.TestServers."
_PACKAGES = "tests.functional.node.test_packages.InstallationTest."

EFFECTS: dict[str, tuple[str, ...]] = {
    "swarm_address_pool": (_LIVING + "test_swarm",),
    "swarm_address_pool_mask": (_LIVING + "test_swarm",),
    "data_path_port": (_LIVING + "test_swarm",),
    "manager_availability": (_LIVING + "test_swarm",),
    "api_allowed_cidrs": (_LIVING + "test_api_and_ssh_are_open_where_the_labels_say",),
    "ssh_allowed_cidrs": (_LIVING + "test_api_and_ssh_are_open_where_the_labels_say",),
    "join_timeout": (
        "tests.endtoend.test_05_recovery.TestManagersLost.test_all",
        "tests.unit.stack.test_request.TestBuild.test_nodes_give_up_before_heat_does",
    ),
    "auto_healing_enabled": (
        "tests.functional.conductor.test_healing.HealingTest.test_worker",
        "tests.functional.conductor.test_healing.OffTest.test_nothing",
    ),
    "auto_healing_delay": ("tests.functional.conductor.test_healing.HealingTest.test_worker",),
    "drain_timeout": ("tests.unit.decisions.test_change.WorkersTest.test_slow_drain",),
    "worker_floating_ip_enabled": (_LIVING + "test_worker_has_a_floating_ip",),
    "availability_zone": (
        _LIVING + "test_availability_zone",
        _HEAT + "test_the_availability_zone_and_no_zone",
    ),
    "server_group_policy": (
        _LIVING + "test_server_groups",
        _HEAT + "test_server_groups_are_made_as_asked",
    ),
    "worker_server_group_policy": (
        _LIVING + "test_server_groups",
        _HEAT + "test_server_groups_are_made_as_asked",
    ),
    "boot_volume_size": (
        _LIVING + "test_volumes",
        _HEAT + "test_a_node_boots_from_a_volume_of_its_image",
    ),
    "boot_volume_type": (
        _LIVING + "test_volumes",
        _HEAT + "test_a_node_boots_from_a_volume_of_its_image",
    ),
    "docker_volume_type": (
        _LIVING + "test_volumes",
        _HEAT + "test_the_volume_type_of_docker_volumes",
    ),
    "published_ports": (_LIVING + "test_published_ports",),
    "published_ports_allowed_cidrs": (_LIVING + "test_published_ports",),
    "network_mtu": (_LIVING + "test_containers",),
    "docker_version": (
        _PACKAGES + "test_version_of_docker",
        _LIVING + "test_engine",
    ),
    "docker_repository": (_PACKAGES + "test_version_of_docker",),
    "docker_repository_key": (
        _PACKAGES + "test_version_of_docker",
        _PACKAGES + "test_key_that_signed_nothing",
    ),
    "log_driver": (_LIVING + "test_engine", _LIVING + "test_containers"),
    "log_max_size": (_LIVING + "test_containers",),
    "log_max_file": (_LIVING + "test_containers",),
    "log_address": (
        "tests.endtoend.test_12_engine.TestEngineInstallation.test_logs",
        "tests.unit.stack.test_request.TestBuild.test_where_logs_are_sent",
    ),
    "registry_mirrors": (_LIVING + "test_engine", _LIVING + "test_mirror_is_asked"),
}


def exists(test: str) -> bool:
    """Whether there is a method of that name, without importing its module."""
    module, class_, method = test.rsplit(".", 2)
    tree = ast.parse((CHECKOUT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    return any(
        isinstance(inner, ast.FunctionDef) and inner.name == method
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == class_
        for inner in node.body
    )


class EffectsTest(base.BaseTestCase):
    def test_every_label_has_a_test_of_its_effect(self):
        """Whoever declares a label names the test that shows what it does, and removes none."""
        self.assertEqual(set(label_table.DECLARATIONS), set(EFFECTS))

    def test_every_named_test_exists(self):
        """A test that was renamed or removed shows nothing any more."""
        named = {test for tests in EFFECTS.values() for test in tests}
        self.assertEqual(set(), {test for test in named if not exists(test)})
