# SPDX-License-Identifier: Apache-2.0
import dataclasses
from typing import Any

from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import template_change
from magnum_swarm_mode.labels import table as label_table
from tests import cases

TEMPLATE: dict[str, Any] = {
    "name": "old",
    "coe": "swarm-mode",
    "labels": {"log_max_file": "3"},
    "server_type": "vm",
    "network_driver": "overlay",
    "external_network_id": "public",
    "floating_ip_enabled": True,
    "docker_volume_size": 5,
}
CLUSTER: dict[str, Any] = {
    "labels": {"log_max_file": "3"},
    "floating_ip_enabled": True,
    "docker_volume_size": 5,
}


def check(cluster=None, **changes):
    """Decide on a template that differs so."""
    after = {**TEMPLATE, "name": "new", **changes}
    return template_change.check({**CLUSTER, **(cluster or {})}, TEMPLATE, after, None)


class CheckTest(base.BaseTestCase):
    def refused(self, ident, *args, **changes):
        error = self.assertRaises(exceptions.Refused, check, *args, **changes)
        cases.shown(self, ident, str(error), answer="400")

    def test_another_engine(self):
        """A template of another engine is refused."""
        self.refused("upgrade-coe", coe="kubernetes")

    def test_what_is_fixed(self):
        """Whatever is fixed when a cluster is created is refused by its name."""
        for changes in (
            {"server_type": "bm"},
            {"network_driver": "other"},
            {"external_network_id": "elsewhere"},
            {"fixed_network": "mine"},
            {"floating_ip_enabled": False},
            {"docker_volume_size": None},
        ):
            self.refused("upgrade-fixed-field", **changes)

    def test_fixed_labels(self):
        """So are labels of the network, of addresses, and of where servers are."""
        for name, value in (("swarm_address_pool", "10.99.0.0/16"), ("data_path_port", "4790"),
                            ("published_ports", "80/tcp"), ("join_timeout", "300")):  # fmt: skip
            self.refused("upgrade-fixed-label", labels={**TEMPLATE["labels"], name: value})

    def test_labels_for_nodes(self):
        """Labels for nodes and for the control side follow the template."""
        self.assertEqual(9, check(labels={"log_max_file": "9"}).log_max_file)
        self.assertEqual("26.1", check(labels={"docker_version": "26.1"}).docker_version)

    def test_what_the_cluster_chose(self):
        """What a cluster's user chose otherwise when it was created stays, and is no difference."""
        self.assertEqual(7, check({"labels": {"log_max_file": "7"}},
                                  labels={"log_max_file": "9"}).log_max_file)  # fmt: skip
        check({"docker_volume_size": 20}, docker_volume_size=10)

    def test_every_label_is_one_or_the_other(self):
        """Each label that is fixed exists."""
        names = {field.name for field in dataclasses.fields(label_table.Labels)}
        self.assertEqual(set(), label_table.FIXED - names)

    def test_labels_after(self):
        """Labels follow the template where the cluster had the template's."""
        for own, before, after, expected in (
            ({}, {}, {"a": "1"}, {"a": "1"}),
            ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}),
            ({"a": "1"}, {"a": "1"}, {}, {}),
            ({"a": "9"}, {"a": "1"}, {"a": "2"}, {"a": "9"}),
            ({"a": "9"}, {}, {"a": "2"}, {"a": "9"}),
            ({"b": "1"}, {}, {}, {"b": "1"}),
        ):
            self.assertEqual(expected, template_change.labels_after(own, before, after))
