# SPDX-License-Identifier: Apache-2.0
"""A machine is booted with exactly the files that its specification says."""

import dataclasses
import json
import subprocess
from pathlib import Path

from oslotest import base

from devcloud.dataplane import machine_files
from devcloud.dataplane.loop_devices import BlockDevice
from devcloud.dataplane.machine_files import Interface, MachineSpec, Volume

UUID = "829e5cb4-0d36-4f67-ae35-46dbb00acb15"
FIRST = Interface(
    id="43c0550e-ee12",
    mac="fa:16:3e:00:00:01",
    bridge="dcb55ea95fd-0b",
    addresses=("10.0.0.5/24",),
    gateway="10.0.0.1",
    mtu=1450,
)
SECOND = Interface(
    id="54766372-0412",
    mac="fa:16:3e:00:00:02",
    bridge="dcb99999999-00",
    addresses=("10.1.0.5/24",),
    gateway="10.1.0.1",
    routes=(("10.2.0.0/24", "10.1.0.9"),),
)
VOLUME = Volume("0b5cf5ae-5a0e-44c5-9d5a-2a6e2b7c1d10", "/volumes/one", "vdb")
SPEC = MachineSpec(
    uuid=UUID,
    hostname="node-0.example",
    root_filesystem="/images/a b",
    memory_mb=1024,
    interfaces=(FIRST, SECOND),
    volumes=(VOLUME,),
    nameservers=("8.8.8.8",),
)


class FirstFilesTest(base.BaseTestCase):
    """Files over the image."""

    def test_seed_is_the_config_drive(self) -> None:
        """What Nova gave is where cloud-init's ConfigDrive source looks first."""
        files = machine_files.first_files(SPEC, {"openstack/latest/user_data": b"#cloud-config"})
        self.assertEqual(
            b"#cloud-config",
            files["var/lib/cloud/seed/config_drive/openstack/latest/user_data"],
        )

    def test_seed_cannot_leave_its_place(self) -> None:
        """A path that leads elsewhere is an error that names it."""
        for path in ("../../etc/shadow", "/etc/shadow"):
            error = self.assertRaises(ValueError, machine_files.first_files, SPEC, {path: b""})
            self.assertIn(path, str(error))

    def test_own_name_needs_no_name_server(self) -> None:
        """Full and short host name are in /etc/hosts."""
        self.assertIn(
            b"127.0.1.1 node-0.example node-0\n",
            machine_files.first_files(SPEC, {})["etc/hosts"],
        )

    def test_machine_id_is_the_uuid(self) -> None:
        """The machine is known by the server's uuid, and its first boot is no first boot."""
        self.assertEqual(
            b"829e5cb40d364f67ae3546dbb00acb15\n",
            machine_files.first_files(SPEC, {})["etc/machine-id"],
        )

    def test_name_servers(self) -> None:
        """The subnet's name servers are used."""
        self.assertEqual(
            b"nameserver 8.8.8.8\n", machine_files.first_files(SPEC, {})["etc/resolv.conf"]
        )

    def test_udev_is_masked(self) -> None:
        """A machine's udev would act on the host's devices."""
        self.assertEqual(
            "/dev/null",
            machine_files.first_links()["etc/systemd/system/systemd-udevd.service"],
        )


class VolumesTest(base.BaseTestCase):
    """Block devices."""

    def test_devices_are_made_early_in_each_boot(self) -> None:
        """Device and name by id (20 characters, as virtio has it) are made by tmpfiles.d."""
        text = machine_files.volume_file([(VOLUME, BlockDevice("/dev/loop7", 7, 7))]).decode()
        self.assertIn("b+ /dev/vdb 0660 root disk - 7:7\n", text)
        self.assertIn("L+ /dev/disk/by-id/virtio-0b5cf5ae-5a0e-44c5-9 - - - - ../../vdb\n", text)


class ScriptsTest(base.BaseTestCase):
    """Network and launcher."""

    def test_state_can_be_written_and_read(self) -> None:
        """A specification survives JSON."""
        text = json.dumps(SPEC.to_json())
        self.assertEqual(SPEC, MachineSpec.from_json(json.loads(text)))

    def test_first_interface_has_the_default_route(self) -> None:
        """Only one interface gives the default route; further routes are kept."""
        script = machine_files.network_script(SPEC).splitlines()
        namespace = "dc-n-829e5cb4-0d36"
        self.assertIn(f"ip -n {namespace} route replace default via 10.0.0.1", script)
        self.assertNotIn(f"ip -n {namespace} route replace default via 10.1.0.1", script)
        self.assertIn(
            f"ip -n {namespace} route replace 10.2.0.0/24 via 10.1.0.9 2>/dev/null || :", script
        )

    def test_both_ends_have_the_mtu(self) -> None:
        """The network's MTU holds on the bridge's side as well."""
        self.assertIn(
            "ip -n dc-net link add dct43c0550e-ee mtu 1450 type veth peer name eth0 "
            "netns dc-n-829e5cb4-0d36 address fa:16:3e:00:00:01 mtu 1450",
            machine_files.network_script(SPEC).splitlines(),
        )

    def test_scripts_are_shell(self) -> None:
        """The shell finds no fault with the scripts, whatever names have blanks in them."""
        booted = dataclasses.replace(SPEC, boot_volume=VOLUME.id)
        scripts = (
            machine_files.network_script(SPEC),
            machine_files.launch_script(booted, Path("/nodes") / UUID, [], []),
            machine_files.launch_script(
                SPEC, Path("/nodes") / UUID, [Path("/cg/launchers")], [Path("/cg/my group")]
            ),
        )
        for script in scripts:
            done = subprocess.run(
                ["sh", "-n"], input=script, capture_output=True, text=True, timeout=10, check=False
            )
            self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_machine_joins_its_cgroup_before_it_starts(self) -> None:
        """Nothing of a machine runs outside its memory limit."""
        script = machine_files.launch_script(
            SPEC, Path("/nodes") / UUID, [Path("/cg/launchers")], [Path("/cg/own")]
        )
        self.assertLess(script.index("/cg/own/cgroup.procs"), script.index("systemd-nspawn"))

    def test_machine_that_reboots_itself_is_started_again(self) -> None:
        """nspawn's status 133 means reboot; any other ends the launcher."""
        script = machine_files.launch_script(SPEC, Path("/nodes") / UUID, [], [])
        self.assertIn("[ $status -eq 133 ] || exit $status", script.splitlines())

    def test_machine_on_a_boot_volume_writes_nowhere_else(self) -> None:
        """Its upper layer and its engine's data are on the volume, which is mounted first."""
        directory = Path("/nodes") / UUID
        booted = dataclasses.replace(SPEC, boot_volume=VOLUME.id)
        script = machine_files.launch_script(booted, directory, [], [])
        self.assertLess(script.index("--associated /volumes/one"), script.index("mount -t overlay"))
        self.assertIn(f"upperdir={directory}/disk/upper,workdir={directory}/disk/work", script)
        self.assertIn(f"--bind={directory}/disk/docker:/var/lib/docker", script)
        self.assertEqual(booted, MachineSpec.from_json(json.loads(json.dumps(booted.to_json()))))
