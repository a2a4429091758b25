# SPDX-License-Identifier: Apache-2.0
import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import quota
from magnum_swarm_mode.admission import room as rules
from tests.unit.admission.properties import PROPERTY

SMALL = rules.Flavor("1", "m1.small", vcpus=1, ram=1024, disk=10)
LARGE = rules.Flavor("2", "m1.large", vcpus=4, ram=8192, disk=80)
IMAGE = rules.Image("i", "ubuntu", "active", min_disk=0, min_ram=0, size=0)
WANTED = rules.Wanted(image="ubuntu", manager_flavor="1", worker_flavor="2", managers=3, workers=8)
SUBNET = {
    "id": "s",
    "name": "subnet",
    "gateway_ip": "10.0.0.1",
    "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.11"}],
}
counts = st.integers(0, 2000)


class RulesCase(base.BaseTestCase):
    def refused(self, check, *arguments):
        return str(self.assertRaises(exceptions.Refused, check, *arguments))


class NeedsTest(RulesCase):
    """What a cluster takes of what is limited."""

    def test_own_network(self):
        """A cluster with a network of its own, a group of managers, and no volumes."""
        self.assertEqual(
            {
                "servers": 11,
                "cores": 3 + 32,
                "MiB of memory": 3 * 1024 + 8 * 8192,
                "server groups": 1,
                "servers in one server group": 3,
                "volumes": 0,
                "GiB of volumes": 0,
                "GiB in one volume": 0,
                "floating IPs": 3,
                "ports": 12,
                "networks": 1,
                "subnets": 1,
                "routers": 1,
                "security groups": 2,
                "security group rules": 4,
            },
            quota.needs(WANTED, SMALL, LARGE),
        )

    def test_existing_network_and_volumes(self):
        """One on an existing network whose nodes have two volumes and a floating IP each."""
        wanted = dataclasses.replace(
            WANTED,
            fixed_network="private",
            docker_volume_size=5,
            boot_volume_size=20,
            worker_floating_ip_enabled=True,
            worker_server_group=True,
            rules=9,
        )
        needed = quota.needs(wanted, SMALL, LARGE)
        self.assertEqual(
            (22, 275, 11, 11, 0, 2, 8, 13),
            tuple(
                needed[name]
                for name in (
                    *(quota.VOLUMES, quota.VOLUME_SPACE, quota.FLOATING_IPS, quota.PORTS),
                    *(quota.NETWORKS, quota.SERVER_GROUPS, quota.GROUP_MEMBERS, quota.RULES),
                )
            ),
        )

    def test_types_of_volumes(self):
        """Volumes count for their type by its name, those of no type for Cinder's default one."""
        wanted = dataclasses.replace(
            WANTED,
            docker_volume_size=5,
            boot_volume_size=20,
            volume_types={"label boot_volume_type": "id-of-fast"},
        )
        needed = quota.needs(wanted, SMALL, LARGE, {"id-of-fast": "fast"}, "__DEFAULT__")
        self.assertEqual(
            {
                "GiB in one volume": 20,
                "volumes of type __DEFAULT__": 11,
                "GiB of volumes of type __DEFAULT__": 55,
                "volumes of type fast": 11,
                "GiB of volumes of type fast": 220,
            },
            {name: count for name, count in needed.items() if "type" in name or "one v" in name},
        )
        # What a node boots from may have a type that the image names.
        untyped = dataclasses.replace(wanted, volume_types={})
        needed = quota.needs(untyped, SMALL, LARGE, {}, "__DEFAULT__")
        self.assertEqual(11, needed["volumes of type __DEFAULT__"])

    def test_growth(self):
        """A change takes what it adds; what is limited for each of something holds as a whole."""
        before = quota.needs(WANTED, SMALL, LARGE)
        larger = dataclasses.replace(WANTED, managers=5, worker_floating_ip_enabled=True)
        self.assertEqual(
            {
                "servers": 2,
                "cores": 2,
                "MiB of memory": 2048,
                "servers in one server group": 5,
                "floating IPs": 10,
                "ports": 2,
            },
            quota.growth(before, quota.needs(larger, SMALL, LARGE)),
        )
        self.assertEqual({}, quota.growth(before, before))

    @PROPERTY
    @given(counts, counts, counts, counts)
    def test_monotonous(self, managers, workers, more_managers, more_workers):
        """A larger cluster never needs less."""
        small = dataclasses.replace(WANTED, managers=managers, workers=workers)
        large = dataclasses.replace(
            WANTED, managers=managers + more_managers, workers=workers + more_workers
        )
        before, after = (quota.needs(wanted, SMALL, LARGE) for wanted in (small, large))
        self.assertTrue(all(before[name] <= after[name] for name in before))


class QuotaTest(RulesCase):
    """What quotas leave, and what is compared with it."""

    def test_arithmetic(self):
        """A quota that is too small is named with both numbers, and only such a quota."""
        self.assertEqual(
            "The cluster needs 11 servers, quota leaves 4; needs 3 floating IPs, quota leaves 0. "
            "Make it smaller, delete what is not needed any more, or ask the operator for a larger "
            "quota.",
            self.refused(
                quota.check_quota,
                {quota.SERVERS: 11, quota.CORES: 11, quota.FLOATING_IPS: 3, quota.VOLUMES: 0},
                {quota.SERVERS: 4, quota.CORES: 11, quota.FLOATING_IPS: -2, quota.VOLUMES: -1},
            ),
        )

    @PROPERTY
    @given(st.dictionaries(st.sampled_from([quota.SERVERS, quota.PORTS]), counts), st.data())
    def test_refused_where_too_little(self, needed, data):
        """A cluster is refused exactly where something that it needs is not left."""
        left = data.draw(st.dictionaries(st.sampled_from([quota.SERVERS, quota.PORTS]), counts))
        lacking = any(left.get(name, count) < count for name, count in needed.items())
        refused = False
        try:
            quota.check_quota(needed, left)
        except exceptions.Refused:
            refused = True
        self.assertEqual(lacking, refused)

    def test_nova(self):
        """Nova counts what is used beside the limit; -1 and what is not shown are no limit."""
        limits = {
            "maxTotalInstances": 10,
            "totalInstancesUsed": 6,
            "maxTotalCores": -1,
            "totalCoresUsed": 6,
            "maxServerGroupMembers": 10,
        }
        self.assertEqual({quota.SERVERS: 4, quota.GROUP_MEMBERS: 10}, quota.left_by_nova(limits))

    def test_cinder(self):
        """So does Cinder."""
        limits = {"maxTotalVolumeGigabytes": 100, "totalGigabytesUsed": 120}
        self.assertEqual({quota.VOLUME_SPACE: -20}, quota.left_by_cinder(limits))

    def test_types(self):
        """And for each type, whose name may have any prefix; the largest volume counts as it is."""
        answer = {
            "id": "p",
            "volumes": {"limit": 1, "in_use": 0, "reserved": 0},
            "volumes_gigabytes_x": {"limit": 10, "in_use": 6, "reserved": 1},
            "gigabytes_fast": {"limit": 0, "in_use": 0, "reserved": 0},
            "volumes_fast": {"limit": -1, "in_use": 0, "reserved": 0},
            "per_volume_gigabytes": {"limit": 50, "in_use": 0, "reserved": 0},
        }
        self.assertEqual(
            {
                "volumes of type gigabytes_x": 3,
                "GiB of volumes of type fast": 0,
                "GiB in one volume": 50,
            },
            quota.left_by_type(answer),
        )

    def test_neutron(self):
        """Neutron shows reservations besides."""
        answer = {
            "floatingip": {"limit": 10, "used": 6, "reserved": 1},
            "port": {"limit": -1, "used": 6, "reserved": 0},
        }
        self.assertEqual({quota.FLOATING_IPS: 3}, quota.left_by_neutron(answer))


class ImageTest(RulesCase):
    def test_colon(self):
        """Glance finds no name with a colon in it, so that the id is asked for."""
        self.assertIn("give its id", self.refused(rules.choose_image, "debian: 12", []))
        self.assertNotIn("give its id", self.refused(rules.choose_image, "debian", []))


class FlavorTest(RulesCase):
    """Whether images fit on flavors."""

    def test_by_id_before_name(self):
        """An id is looked for before a name."""
        named = rules.Flavor("3", "1", 1, 1, 1)
        self.assertEqual(SMALL, rules.choose_flavor("flavor_id", "1", [named, SMALL]))
        self.assertEqual(named, rules.choose_flavor("flavor_id", "1", [named]))

    def test_nearest(self):
        """A name with a slip gets the nearest one."""
        sentence = self.refused(rules.choose_flavor, "flavor_id", "m1.smal", [SMALL, LARGE])
        self.assertIn("did you mean m1.small?", sentence)

    def test_sizes(self):
        """Disk and memory of a flavor, or of the volume that nodes boot from, must do."""
        large = dataclasses.replace(IMAGE, min_disk=11)
        rules.check_flavor("flavor_id", SMALL, IMAGE, 0)
        rules.check_flavor("flavor_id", LARGE, large, 0)
        rules.check_flavor("flavor_id", SMALL, large, 11)
        self.assertIn("11 GiB", self.refused(rules.check_flavor, "f", SMALL, large, 0))
        self.assertIn("volume of 5", self.refused(rules.check_flavor, "f", LARGE, large, 5))
        by_size = dataclasses.replace(IMAGE, size=10 * 2**30 + 1)
        self.assertIn("11 GiB", self.refused(rules.check_flavor, "f", SMALL, by_size, 0))
        hungry = dataclasses.replace(IMAGE, min_ram=2000)
        self.assertIn("2000 MiB", self.refused(rules.check_flavor, "f", SMALL, hungry, 0))
        diskless = dataclasses.replace(SMALL, disk=0)
        self.assertIn("no disk", self.refused(rules.check_flavor, "f", diskless, IMAGE, 0))
        rules.check_flavor("flavor_id", diskless, IMAGE, 10)


class SubnetTest(RulesCase):
    """Whether nodes can live on a subnet."""

    @PROPERTY
    @given(st.sets(st.integers(1, 20)), st.integers(0, 15))
    def test_free_addresses(self, used, nodes):
        """As many nodes are accepted as the pool of ten addresses has left."""
        addresses = {f"10.0.0.{number}" for number in used}
        left = 10 - len([number for number in used if 2 <= number <= 11])
        refused = False
        try:
            rules.check_free_addresses(SUBNET, addresses, nodes)
        except exceptions.Refused:
            refused = True
        self.assertEqual(nodes > left, refused)

    def test_routes_instead_of_a_gateway(self):
        """Routes of the subnet may lead out instead of a gateway."""
        rules.check_gateway(SUBNET)
        rules.check_gateway(SUBNET | {"gateway_ip": None, "host_routes": [{"nexthop": "x"}]})
        self.refused(rules.check_gateway, SUBNET | {"gateway_ip": None, "host_routes": []})

    def test_one_router_suffices(self):
        """One router to the external network suffices, as does one that the user may not see."""
        external = {"id": "e", "name": "public"}
        there = {"external_gateway_info": {"network_id": "e"}}
        elsewhere = {"external_gateway_info": {"network_id": "f"}}
        rules.check_router(SUBNET, external, [elsewhere, there])
        rules.check_router(SUBNET, external, [elsewhere, None])
        self.refused(rules.check_router, SUBNET, external, [elsewhere])
        self.refused(rules.check_router, SUBNET, external, [{"external_gateway_info": None}])
        self.refused(rules.check_router, SUBNET, external, [])
