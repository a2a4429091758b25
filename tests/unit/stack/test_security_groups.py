# SPDX-License-Identifier: Apache-2.0
"""Which ports of nodes are open, and to whom: the rules of the first template."""

from typing import Any

import yaml
from oslotest import base

from magnum_swarm_mode.stack.files import templates as files_templates

TEMPLATE = files_templates.template_directory() / "cluster.yaml"


class SecurityGroupsTest(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.resources = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["resources"]

    def _rules(self, group: str) -> list[dict[str, Any]]:
        """Return the rules of a group, those of a label once."""
        found: list[dict[str, Any]] = []
        for part in self.resources[group]["properties"]["rules"]["list_concat"]:
            if isinstance(part, list):
                found += part
            elif "repeat" in part:
                found.append(part["repeat"]["template"])
            else:
                self.assertEqual({"get_param": "published_rules"}, part)
        return found

    def test_outside(self) -> None:
        """Beside published ports only ssh and the Docker API are open to others than nodes."""
        for group, port in (("node_security_group", 22), ("manager_security_group", 2376)):
            outside = [rule for rule in self._rules(group) if "remote_ip_prefix" in rule]
            self.assertEqual([port], [rule["port_range_max"] for rule in outside], group)
            self.assertEqual([port], [rule["port_range_min"] for rule in outside], group)

    def test_inside(self) -> None:
        """Every other rule is for a group of the cluster's own, in both IP versions."""
        for group in ("node_security_group", "manager_security_group"):
            for rule in self._rules(group):
                if "remote_ip_prefix" not in rule:
                    self.assertEqual("remote_group_id", rule["remote_mode"], str(rule))

    def test_certificates(self) -> None:
        """Only managers reach the port at which managers have certificates signed."""
        rules = [
            rule
            for group in ("node_security_group", "manager_security_group")
            for rule in self._rules(group)
            if rule.get("port_range_min") == 2374
        ]
        # Without another group's id a rule is for members of its own group.
        expected = {"protocol": "tcp", "port_range_min": 2374, "port_range_max": 2374}
        self.assertEqual([{**expected, "remote_mode": "remote_group_id"}], rules)
