# SPDX-License-Identifier: Apache-2.0
from tests import cases
from tests.endtoend import base
from tests.endtoend.failing import Outcome, World, world

LIMIT = 120.0  # seconds from the cause becoming final until the user can read it
# Heat's events hold 255 characters, of which it needs some itself.
EVENT = 180


class TestFailures(base.EndToEndTestCase):
    """Whatever keeps a cluster from being made is said in its status, in time."""

    world: World

    def setUp(self) -> None:
        super().setUp()
        self.world = world()

    def _shown(self, ident: str, outcome: Outcome) -> None:
        self.assertLess(outcome.seconds, LIMIT, outcome.reason)
        cases.shown(self, ident, outcome.reason, answer=outcome.status, seconds=outcome.seconds)

    def _by_node(self, ident: str, name: str) -> Outcome:
        """The node's sentence is the same for Magnum, in Heat's events and on the console."""
        outcome = self.world.outcome(name)
        self._shown(ident, outcome)
        sentence = outcome.sentence
        self.assertIn(f"FAILED: {sentence}", outcome.console)
        start = sentence[:EVENT]
        self.assertTrue(any(start in event for event in outcome.events), outcome.events)
        return outcome

    def _by_service(self, ident: str, name: str, words: str) -> None:
        """The service's words stand in Heat's events as well."""
        outcome = self.world.outcome(name)
        self._shown(ident, outcome)
        self.assertTrue(any(words in event for event in outcome.events), outcome.events)

    def test_certificate_refused(self) -> None:
        """The application credential of the nodes is deleted before a manager can use it."""
        self._by_node("failing-certificate", "certificate")

    def test_clock(self) -> None:
        """A manager's clock is a day ahead."""
        self._by_node("failing-clock", "clock")

    def test_disk_full(self) -> None:
        """Nothing can be written any more where the node program writes."""
        self._by_node("failing-disk", "disk")

    def test_engine(self) -> None:
        """The engine refuses what the image has in its daemon.json."""
        self._by_node("failing-engine", "engine")

    def test_heat_times_out(self) -> None:
        """A worker that cannot tell anybody anything is named when Heat's time is up."""
        outcome = self.world.outcome("timeout")
        self._shown("failing-timeout", outcome)

    def test_magnum_unreachable(self) -> None:
        """A manager reaches everything but Magnum."""
        self._by_node("failing-magnum", "magnum")

    def test_manager_unreachable(self) -> None:
        """A worker reaches no manager for as long as its label says."""
        self._by_node("failing-join", "join")

    def test_neutron_has_no_address(self) -> None:
        """The subnet's last address is taken while the cluster is made."""
        self._by_service("failing-address", "address", "IP addresses available")

    def test_nova_has_no_host(self) -> None:
        """No host has room for the flavor."""
        self._by_service("failing-host", "host", "No valid host was found")

    def test_packages(self) -> None:
        """The wanted version of the engine cannot be had, for no mirror can be reached."""
        self._by_node("failing-packages", "packages")

    def test_quota_exceeded(self) -> None:
        """The quota is lowered between the check and the making."""
        self._by_service("failing-quota", "quota", "Quota exceeded for instances")

    def test_volume(self) -> None:
        """No backend takes the Docker volume."""
        self._by_service("failing-volume", "volume", "Went to status error")
