# SPDX-License-Identifier: Apache-2.0
"""Nova's descriptions become a machine's interfaces and volumes."""

from typing import Any

from oslotest import base

from devcloud.dataplane import nova_values
from devcloud.dataplane.machine_files import Interface, Volume


def vif(**network: Any) -> dict[str, Any]:
    subnet = {
        "cidr": "10.0.0.0/24",
        "gateway": {"address": "10.0.0.1"},
        "ips": [{"address": "10.0.0.5"}],
        "dns": [{"address": "8.8.8.8"}, {"address": "8.8.8.8"}],
        "routes": [{"cidr": "10.8.0.0/24", "gateway": {"address": "10.0.0.9"}}],
    }
    return {
        "id": "43c0550e-ee12",
        "address": "fa:16:3e:00:00:01",
        "details": {"bridge_name": "dcb55ea95fd-0b"},
        "network": {"subnets": [subnet], "meta": {"mtu": 1450}, **network},
    }


class InterfaceTest(base.BaseTestCase):
    """A port of Neutron as Nova describes it."""

    def test_interface(self) -> None:
        """Addresses have the subnet's prefix length; gateway, routes and MTU are kept."""
        self.assertEqual(
            Interface(
                id="43c0550e-ee12",
                mac="fa:16:3e:00:00:01",
                bridge="dcb55ea95fd-0b",
                addresses=("10.0.0.5/24",),
                gateway="10.0.0.1",
                routes=(("10.8.0.0/24", "10.0.0.9"),),
                mtu=1450,
            ),
            nova_values.interface(vif()),
        )

    def test_network_without_mtu(self) -> None:
        """A network that names no MTU has the usual one."""
        self.assertEqual(1500, nova_values.interface(vif(meta={})).mtu)

    def test_subnet_without_gateway(self) -> None:
        """No gateway, no default route."""
        subnet = {"cidr": "10.0.0.0/24", "gateway": {"address": None}, "ips": []}
        self.assertEqual("", nova_values.interface(vif(subnets=[subnet])).gateway)

    def test_nameservers_once(self) -> None:
        """A name server that several subnets have is used once."""
        self.assertEqual(("8.8.8.8",), nova_values.nameservers([vif(), vif()]))


class VolumeTest(base.BaseTestCase):
    """A connection of Cinder as Nova describes it."""

    def test_volume(self) -> None:
        """The device has the name of the mount point, without its directory."""
        information = {"data": {"device_path": "/volumes/one", "volume_id": "one"}}
        self.assertEqual(
            Volume("one", "/volumes/one", "vdb"), nova_values.volume(information, "/dev/vdb")
        )

    def test_id_from_the_serial(self) -> None:
        """Old attachments name the volume as serial only."""
        information = {"serial": "one", "data": {"device_path": "/volumes/one"}}
        self.assertEqual("one", nova_values.volume(information, "vdb").id)

    def test_a_server_with_an_image_boots_from_it(self) -> None:
        """Volumes beside the root disk do not change what a server boots from."""
        beside = {"boot_index": None, "connection_info": {"data": {"volume_id": "one"}}}
        self.assertEqual(("image", ""), nova_values.boot_source("image", [beside]))

    def test_a_server_without_image_boots_from_its_first_volume(self) -> None:
        """The volume names the image that it was made of."""
        data = {"device_path": "/volumes/one", "volume_id": "one", "image_id": "image"}
        root = {"boot_index": 0, "connection_info": {"data": data}}
        self.assertEqual(("image", "one"), nova_values.boot_source("", [root]))
