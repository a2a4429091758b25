# SPDX-License-Identifier: Apache-2.0
import dataclasses
import socket

from devcloud import preflight, settings
from devcloud.preflight import GIB, Host
from tests.unit.devcloud import base

GOOD = Host(
    uid=0,
    system="Linux",
    machine="x86_64",
    python=(3, 11),
    has_apt=True,
    free_disk=50 * GIB,
    memory=16 * GIB,
    warm=False,
)


class HostTest(base.TestCase):
    def _complaint(self, **changes: object) -> str:
        sentence = preflight.complaint(dataclasses.replace(GOOD, **changes))  # type: ignore[arg-type]
        assert sentence is not None
        return sentence

    def test_good(self) -> None:
        """Nothing is said of a machine that has everything."""
        self.assertIsNone(preflight.complaint(GOOD))

    def test_not_root(self) -> None:
        """An ordinary user is told to be root."""
        self.assertIn("must run as root", self._complaint(uid=1000))

    def test_no_space(self) -> None:
        """A full disk is named with what there is and what is needed."""
        self.assertEqual(
            f"{settings.HOME} has 2.0 GiB free, devcloud needs 12 GiB",
            self._complaint(free_disk=2 * GIB),
        )

    def test_less_space_when_warm(self) -> None:
        """With environment and images there, less will do."""
        self.assertIsNone(
            preflight.complaint(dataclasses.replace(GOOD, free_disk=5 * GIB, warm=True))
        )

    def test_no_memory(self) -> None:
        """Too little memory is named."""
        self.assertIn("has 2.0 GiB of memory", self._complaint(memory=2 * GIB))

    def test_old_python(self) -> None:
        """A Python that the release does not support is named."""
        self.assertIn("python3 is 3.9", self._complaint(python=(3, 9)))

    def test_no_debian(self) -> None:
        """Without apt-get nothing could be installed."""
        self.assertIn("apt-get was not found", self._complaint(has_apt=False))

    def test_strange_processor(self) -> None:
        """A machine that was never tried is named."""
        self.assertIn("this one is s390x", self._complaint(machine="s390x"))

    def test_one_sentence(self) -> None:
        """Of several problems the first is told, in one line."""
        self.assertNotIn("\n", self._complaint(uid=1, free_disk=0, memory=0))


class CgroupTest(base.TestCase):
    def test_versions(self) -> None:
        """Either version of control groups will do."""
        for kind in ("cgroup", "cgroup2"):
            self.assertIsNone(preflight.cgroup_complaint(f"x /sys/fs/cgroup {kind} rw 0 0\n"))

    def test_none(self) -> None:
        """A machine without control groups cannot start servers."""
        self.assertIn(
            "no control groups", preflight.cgroup_complaint("proc /proc proc rw 0 0\n") or ""
        )


class PortsTest(base.TestCase):
    def test_taken(self) -> None:
        """A port that something listens on is named with its address."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.assertEqual(
                f"another process listens on the address devcloud needs: 127.0.0.1:{port}",
                preflight.ports_complaint([("127.0.0.1", port)]),
            )

    def test_free(self) -> None:
        """A free port on an address that does not exist yet is free."""
        self.assertIsNone(preflight.ports_complaint([("172.24.4.1", 5999)]))

    def test_several(self) -> None:
        """All that are taken are named at once."""
        self.assertEqual(
            "another process listens on the addresses devcloud needs: a:1, b:2",
            preflight.ports_complaint([("a", 1), ("b", 2)], lambda _address, _port: False),
        )


class AddressTest(base.TestCase):
    LINE = "3: {} inet {} brd 172.24.4.255 scope global x"

    def test_ours(self) -> None:
        """The address on our own bridge is where it belongs."""
        self.assertIsNone(preflight.address_complaint(self.LINE.format("dc-ext", "172.24.4.1/24")))

    def test_another_interface(self) -> None:
        """Another interface in our network would swallow the servers' packets."""
        self.assertIn(
            "interface br-ex has 172.24.4.9/24",
            preflight.address_complaint(self.LINE.format("br-ex", "172.24.4.9/24")) or "",
        )

    def test_other_network(self) -> None:
        """Other networks do not matter."""
        self.assertIsNone(preflight.address_complaint(self.LINE.format("eth0", "192.0.2.1/24")))
