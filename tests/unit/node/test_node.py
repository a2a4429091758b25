# SPDX-License-Identifier: Apache-2.0
import json
import pathlib
import time

import fixtures
from oslotest import base

from magnum_swarm_mode.node.base import node as node_module
from magnum_swarm_mode.node.base.codes import Code
from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from tests.unit.node import fakes


class IdentityTest(base.BaseTestCase):
    def test_instance_data(self):
        """cloud-init's instance data has OpenStack's meta-data below ds."""
        data = {
            "v1": {},
            "ds": {
                "meta_data": {
                    "uuid": "u",
                    "name": "n",
                    "hostname": "h",
                    "meta": {"docker_volume": "v"},
                }
            },
        }
        self.assertEqual(
            {"uuid": "u", "name": "n", "docker_volume": "v"}, node_module.identity(data)
        )

    def test_meta_data(self):
        """The config drive's own file has the same at its top."""
        self.assertEqual(
            {"uuid": "u", "name": "h", "docker_volume": ""},
            node_module.identity({"uuid": "u", "hostname": "h"}),
        )

    def test_nothing(self):
        """Data without an id are nobody's."""
        self.assertEqual({}, node_module.identity({"ds": {}}))


class IsOwnTest(base.BaseTestCase):
    def test_addresses(self):
        """Addresses of the own interfaces are told from others."""
        self.assertTrue(node_module.is_own("127.0.0.11"))
        self.assertFalse(node_module.is_own("192.0.2.1"))


class IsNewsTest(base.BaseTestCase):
    def test_every_pair(self):
        """A success after a failure is news; nothing is after a success."""
        news = {
            (before, status)
            for before in ("", "FAILURE", "SUCCESS")
            for status in ("FAILURE", "SUCCESS")
            if node_module.is_news(before, status)
        }
        self.assertEqual({("", "FAILURE"), ("", "SUCCESS"), ("FAILURE", "SUCCESS")}, news)


class NodeTest(fakes.NodeTest):
    def test_identity_outlives_cloud_init(self):
        """After a boot the node knows itself before cloud-init ran."""
        self.make_node(fakes.config_json())
        self.paths.seeds[0].unlink()
        node = node_module.Node(self.paths)
        node.load()
        self.assertEqual((fakes.SERVER, "m0"), (node.uuid, node.name))
        self.assertEqual(0o600, self.paths.identity.stat().st_mode & 0o777)

    def test_fresh_identity(self):
        """A server made of a snapshot asks cloud-init who it is now."""
        self.make_node(fakes.config_json())
        self.paths.seeds[0].write_text(json.dumps({"uuid": "other", "name": "x"}))
        node = node_module.Node(self.paths)
        node.load(fresh=True)
        self.assertEqual("other", node.uuid)

    def test_second_source(self):
        """Instance data that do not parse leave the config drive to be asked."""
        self.make_node(fakes.config_json())
        self.paths.identity.unlink()
        self.paths.seeds[0].write_text("{")
        self.paths.seeds[1].parent.mkdir(parents=True)
        self.paths.seeds[1].write_text(json.dumps({"uuid": "drive", "name": "x"}))
        node = node_module.Node(self.paths)
        node.load()
        self.assertEqual("drive", node.uuid)

    def test_nobody(self):
        """A server that cannot know its uuid says so."""
        node = self.make_node(fakes.config_json())
        self.paths.identity.unlink()
        self.paths.seeds[0].unlink()
        error = self.assertRaises(NodeError, node_module.Node(self.paths).load)
        self.assertIn("uuid", str(error))
        self.assertTrue(node.uuid)

    def test_own_index(self):
        """A manager finds out which one it is by its addresses."""
        managers = {"0": {"address": "192.0.2.1"}, "10": {"address": "127.0.0.5"}}
        self.assertEqual(10, self.make_node(fakes.config_json(managers=managers)).own_index())

    def test_say(self):
        """A line goes to log and console, once, redacted and on one line."""
        self.paths.console.touch()
        node = self.make_node(fakes.config_json())
        node.begin("step")
        node.say("a\nb bootstrap-secret")
        node.say("a\nb bootstrap-secret")
        self.assertIn("Z magnum-swarm-mode: m0: step: a b ***\n", self.log())
        self.assertEqual(1, self.log().count("step"))
        self.assertIn("m0: step: a b ***", self.paths.console.read_text())
        self.assertEqual(0o600, self.paths.log.stat().st_mode & 0o777)

    def test_say_without_disk_and_console(self):
        """Neither a full disk nor a missing console stops the node."""
        node = self.make_node(fakes.config_json())
        self.paths.log = pathlib.Path("/proc/none")
        self.paths.console = pathlib.Path("/proc/none")
        node.say("still here")


class SignalTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud())
        self.node = self.make_node(fakes.config_json(**self.cloud.sections()))

    def test_success_once(self):
        """Heat hears of success once, also after a reboot."""
        self.assertFalse(self.node.is_known)
        self.node.signal("SUCCESS", "good", "data")
        self.node.signal("SUCCESS", "good", "data")
        self.node.fail("later")
        expected = {"status": "SUCCESS", "id": fakes.SERVER, "reason": "good", "data": "data"}
        self.assertEqual([expected], self.cloud.signals)
        self.assertTrue(self.node.is_known)

    def test_failure_says_everything(self):
        """A failure names node, step, cause and log, without secrets, once."""
        self.node.begin("certificate")
        self.node.fail("bootstrap-secret refused")
        self.node.fail("again")
        self.assertEqual(
            [
                "m0: certificate: *** refused (log on that server: "
                f"{self.root}/var/log/magnum-swarm-mode.log)"
            ],
            [signal["reason"] for signal in self.cloud.signals],
        )
        self.assertEqual("FAILURE", self.cloud.signals[0]["status"])
        self.assertIn(f"FAILED: {self.cloud.signals[0]['reason']}\n", self.log())

    def test_failure_has_a_code(self):
        """Beside the sentence goes a code for programs, whatever the sentence is."""
        self.node.fail("x", code=Code.CLOCK_SKEW)
        self.assertEqual(["ClockSkew"], [signal["data"] for signal in self.cloud.signals])

    def test_failure_without_a_code_of_its_own(self):
        """What nobody foresaw has the code that says no more than that the node failed."""
        self.node.fail("x")
        self.assertEqual(["NodeFailed"], [signal["data"] for signal in self.cloud.signals])

    def test_long_cause(self):
        """However long the cause, Heat's reason says where the log is, which has all of it."""
        self.node.fail("x" * 2000)
        self.assertIn("x" * 2000, self.log())
        reason = self.cloud.signals[0]["reason"]
        self.assertLess(len(reason), 700)
        self.assertIn("magnum-swarm-mode.log)", reason)

    def test_cause_of_several_lines(self):
        """What a command printed is one line, the same for Heat and the log."""
        self.node.fail("first\n  second\tthird")
        reason = self.cloud.signals[0]["reason"]
        self.assertIn("first second third", reason)
        self.assertIn(f"FAILED: {reason}\n", self.log())

    def test_marker_on_a_full_disk(self):
        """Where nothing can be written Heat is told all the same."""
        self.paths.signalled.mkdir(parents=True)
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.node.base.system.read", lambda _: "")
        )
        self.node.fail("disk full")
        self.assertEqual(1, len(self.cloud.signals))
        self.assertNotIn("Heat was not told", self.log())

    def test_success_after_failure(self):
        """A later success takes the failure's place: the id is the same."""
        self.node.fail("x")
        self.node.signal("SUCCESS", "good")
        self.assertEqual(
            [("FAILURE", fakes.SERVER), ("SUCCESS", fakes.SERVER)],
            [(signal["status"], signal["id"]) for signal in self.cloud.signals],
        )

    def test_heat_not_well(self):
        """A Heat that is not well is tried again."""
        self.cloud.failures = 2
        pauses: list[float] = []
        self.useFixture(fakes.Waiting(time.monotonic, pauses.append))
        self.node.signal("SUCCESS", "good")
        self.assertEqual(2, len(pauses))
        self.assertEqual(1, len(self.cloud.signals))

    def test_heat_refuses(self):
        """A refusal by Heat is said, and the next run tries again."""
        self.cloud.refuse = 403
        self.node.fail("x")
        self.assertIn("Heat was not told: ", self.log())
        self.assertFalse(self.paths.signalled.exists())

    def test_failure_before_anything_is_known(self):
        """A node without configuration can only write its log."""
        node = node_module.Node(self.paths)
        node.begin("configuration")
        node.fail("nothing there")
        self.assertEqual([], self.cloud.signals)
        self.assertRegex(self.log(), "FAILED: [^ ]+: configuration: nothing there")

    def test_temporary_is_a_node_error(self):
        """Whoever catches NodeError catches what is temporary as well."""
        self.assertTrue(issubclass(Temporary, NodeError))
