# SPDX-License-Identifier: Apache-2.0
"""The sentences made of what Heat calls failed."""

import json
import time
from typing import Any

from oslotest import base

from magnum_swarm_mode.heat import failures
from magnum_swarm_mode.node.base.codes import Code
from tests import cases

GROUP = "swarm-mode-u-workers-abcdefghijkl-workers-mnopqrstuvwx"
MANAGER = "swarm-mode-u-managers-abcdefghijkl-1-mnopqrstuvwx"
LOG = "(log on that server: /var/log/magnum-swarm-mode.log)"
OPERATOR = "Delete something or ask the operator for a larger quota."


def resource(
    name: str, type_: str, reason: str = "", stack: str = "swarm-mode-u", **changes: Any
) -> failures.Resource:
    """Return a failed resource."""
    values = {
        "status": "CREATE_FAILED",
        "updated": "2026-11-23T08:00:00Z",
        "physical_id": "",
        "stack_id": stack,
        **changes,
    }
    return failures.Resource(name=name, type=type_, reason=reason, stack_name=stack, **values)


def worker(index: int, **changes: Any) -> failures.Resource:
    """Return a worker that is a bare server."""
    return resource(str(index), "Magnum::SwarmMode::Worker", "", GROUP, **changes)


class TestExplain(base.BaseTestCase):
    def _node(self, words: str, code: Code | None = None) -> str:
        reason = f"WaitConditionFailure: resources.worker_ready: {words}"
        failed = resource("worker_ready", "OS::Heat::WaitCondition", reason)
        return failures.explain(failed, "c", code=code)

    def _server(self, message: str, code: str = "500") -> str:
        reason = (
            "ResourceInError: resources[0]: Went to status ERROR due to "
            f'"Message: {message}, Code: {code}"'
        )
        return failures.explain(resource("0", "Magnum::SwarmMode::Worker", reason, GROUP), "c")

    def test_a_nodes_own_words(self) -> None:
        """What a node reported stands as it is."""
        self.assertEqual(
            f"c-worker-0: signal: something new {LOG}.",
            self._node(f"c-worker-0: signal: something new {LOG}"),
        )

    def test_several_nodes(self) -> None:
        """Of several nodes that failed the first one speaks; the others are named."""
        words = ";".join(f"c-worker-{index}: engine: a;b {LOG}" for index in range(8))
        self.assertEqual(
            f"c-worker-0: engine: a;b {LOG}; also failed: c-worker-1, c-worker-2, c-worker-3, "
            "c-worker-4, c-worker-5 and 2 more.",
            self._node(words),
        )

    def test_advice_on_a_nodes_code(self) -> None:
        """Each code of a node's failure has its remedy, whatever the words are."""
        for code, remedy in (
            (Code.CLOCK_SKEW, "synchronizes its clock"),
            (Code.DISK_FULL, "larger disk"),
            (Code.VERSION_UNAVAILABLE, "Choose a docker_version"),
            (Code.PACKAGES_UNAVAILABLE, "or use an image that lacks nothing"),
            (Code.ENGINE_FAILED, "daemon.json"),
            (Code.CERTIFICATE_REFUSED, "Delete the cluster and create"),
            (Code.CERTIFICATE_NOT_SIGNED, "router, firewall and proxy"),
            (Code.MANAGERS_UNREACHABLE, "ports 2377 and 2378"),
        ):
            words = self._node(f"c-worker-0: some step: x {LOG}", code)
            self.assertIn(remedy, words.partition(LOG)[2], code.value)

    def test_a_nodes_words_have_no_advice_without_a_code(self) -> None:
        """What a node writes is not searched for signs, not even for those of services."""
        for words in ("packages: no version 9", "clock: x", "No valid host was found"):
            self.assertTrue(self._node(f"c-worker-0: {words} {LOG}").endswith(f"{LOG}."), words)

    def _signals(self, **said: Any) -> dict[str, Any]:
        return {
            "s0": {"status": "SUCCESS", "reason": "c-worker-0: x", "data": "DiskFull"},
            "s1": {"status": "FAILURE", "reason": "c-worker-1: y", "data": "DiskFull"},
            "s2": {"status": "FAILURE", "reason": "c-worker-0: x", "data": "ClockSkew", **said},
        }

    def test_code_of_the_node_that_speaks(self) -> None:
        """Of all signals, the failure whose words are in the sentence tells the code."""
        for words in ("c-worker-0: x", "c-worker-0:  x;c-worker-1: y"):
            reason = f"WaitConditionFailure: resources.worker_ready: {words}"
            failed = resource("worker_ready", "OS::Heat::WaitCondition", reason)
            self.assertEqual(Code.CLOCK_SKEW, failures.code_of(failed, self._signals()))
        self.assertIsNone(failures.code_of(failed, {}))

    def test_code_that_is_not_known(self) -> None:
        """A node can signal anything; what is none of the codes is ignored."""
        reason = "WaitConditionFailure: resources.worker_ready: c-worker-0: x"
        failed = resource("worker_ready", "OS::Heat::WaitCondition", reason)
        for data in ("", "CLOCK_SKEW", "ClockSkew ", "x" * 9999, None, 7, ["ClockSkew"], {"a": 1}):
            self.assertIsNone(failures.code_of(failed, self._signals(data=data)), str(data))
        self.assertIsNone(failures.code_of(failed, {"s": "ClockSkew", "t": None}))

    def test_words_of_a_node_that_means_harm(self) -> None:
        """However long a node's words are, reading them takes no time, and they stay one line."""
        for harm in (
            " " * 10**6,
            "(Request-ID: " * 10**5,
            "Neutron server returns request_ids: [" * 10**5,
            "exceeds allowed " * 10**5,
            "Docker volume " * 10**5,
            ";a-" * 10**5,
            ";a-manager-1" * 10**5,
            "-worker-" * 10**5,
            "(HTTP 1" * 10**5,
            "resources.a: " * 10**5,
            ", Code: 1" * 10**5,
            "\x1b[2J\n" * 10**5,
        ):
            begin = time.process_time()
            sentence = self._node(f"c-worker-0: {harm}x")
            self.assertLess(time.process_time() - begin, 0.3, harm[:9])
            self.assertLess(len(sentence), 1100)
            self.assertTrue(sentence.isprintable())
            self.assertLess(len(failures.node_words(harm)), 1100)
            self.assertTrue(failures.node_words(harm).isprintable())

    def test_no_advice(self) -> None:
        """Where nothing is known to help nothing is advised."""
        self.assertTrue(self._node(f"c-worker-0: swarm: refused {LOG}").endswith(f"{LOG}."))

    def test_nova(self) -> None:
        """Of Nova's words its own sentence remains."""
        self.assertEqual(
            "The server c-worker-0 failed: No valid host was found. There are not enough hosts "
            "available. No host has room for the flavor; choose a smaller one or ask the operator.",
            self._server("No valid host was found. There are not enough hosts available."),
        )

    def test_no_address(self) -> None:
        """A network without a free address is named, whether Nova or Heat asked Neutron."""
        self.assertEqual(
            "The server c-worker-0 failed: Failed to allocate the network(s) with error No fixed "
            "IP addresses available for network: n1. Release addresses of the subnet, or use a "
            "larger one.",
            self._server(
                "Build of instance 6ba7b810 aborted: Failed to allocate the network(s) with error "
                "No fixed IP addresses available for network: n1, not rescheduling."
            ),
        )
        reason = (
            "IpAddressGenerationFailureClient: resources.port: No more IP addresses available on "
            "network n1.\nNeutron server returns request_ids: ['req-1']"
        )
        port = resource(
            "port",
            "OS::Neutron::Port",
            reason,
            "swarm-mode-u-manager_ports-abcdefghijkl-1-mnopqrstuvwx",
        )
        self.assertEqual(
            "The port of c-manager-1 failed: No more IP addresses available on network n1. Release "
            "addresses of the subnet, or use a larger one.",
            failures.explain(port, "c"),
        )

    def test_quotas(self) -> None:
        """Whichever service's quota it is, what to do is said."""
        for type_, reason, sentence in (
            (
                "OS::Nova::Server",
                "Forbidden: resources.server: Quota exceeded for instances: Requested 1, but "
                "already used 1 of 1 instances (HTTP 403) (Request-ID: req-1)",
                "The server c-manager-1 failed: Quota exceeded for instances: Requested 1, but "
                f"already used 1 of 1 instances. {OPERATOR}",
            ),
            (
                "OS::Nova::Server",
                "Forbidden: resources.server: Quota exceeded, too many servers in group (HTTP 403)",
                "The server c-manager-1 failed: Quota exceeded, too many servers in group. Ask the "
                "operator for a larger quota of server_group_members.",
            ),
            (
                "OS::Cinder::Volume",
                "OverLimit: resources.docker_volume: VolumeSizeExceedsAvailableQuota: Requested "
                "volume or snapshot exceeds allowed gigabytes quota. (HTTP 413)",
                "The Docker volume of c-manager-1 failed: VolumeSizeExceedsAvailableQuota: "
                f"Requested volume or snapshot exceeds allowed gigabytes quota. {OPERATOR}",
            ),
        ):
            self.assertEqual(sentence, failures.explain(resource("x", type_, reason, MANAGER), "c"))

    def test_cinder(self) -> None:
        """What Cinder said elsewhere takes the place of no reason, and of nothing else."""
        for reason, words in (("Unknown", "No backend."), ("", "No backend."), ("own", "own.")):
            failed = resource("docker_volume", "OS::Cinder::Volume", reason, MANAGER)
            self.assertIn(
                f"The Docker volume of c-manager-1 failed: {words}",
                failures.explain(failed, "c", "No backend"),
            )

    def test_another_resource(self) -> None:
        """Whatever else fails bears the names that Heat knows it by."""
        for reason, words in (("Conflict: reason", "reason"), ("", "Heat gives no reason")):
            self.assertEqual(
                f"Resource router (OS::Neutron::Router) failed: {words}.",
                failures.explain(resource("router", "OS::Neutron::Router", reason), "c"),
            )

    def test_a_long_reason_is_cut(self) -> None:
        """No database column overflows, and the advice stays."""
        sentence = self._server("No valid host was found " + "z" * 9999)
        self.assertLess(len(sentence), 1100)
        self.assertTrue(sentence.endswith("ask the operator."))


class TestCases(base.BaseTestCase):
    """What users read of the cases that the documentation lists, from Heat's own words."""

    def _reads(self, ident: str, failed: failures.Resource, service_words: str = "") -> None:
        sentence = failures.explain(failed, "c", service_words)
        cases.shown(self, ident, sentence, answer="CREATE_FAILED")

    def test_host(self) -> None:
        """Nova finds no host."""
        reason = (
            "ResourceInError: resources[0]: Went to status ERROR due to "
            '"Message: No valid host was found. , Code: 500"'
        )
        failed = resource("0", "Magnum::SwarmMode::Worker", reason, GROUP)
        self._reads("failing-host", failed)

    def test_quota(self) -> None:
        """Nova's quota is used up."""
        reason = (
            "Forbidden: resources.server: Quota exceeded for instances: Requested 1, but already "
            "used 0 of 0 instances (HTTP 403) (Request-ID: req-1)"
        )
        self._reads("failing-quota", resource("server", "OS::Nova::Server", reason, MANAGER))

    def test_address(self) -> None:
        """Neutron has no address."""
        reason = (
            "IpAddressGenerationFailureClient: resources[0]: No more IP addresses available on "
            "network n1.\nNeutron server returns request_ids: ['req-1']"
        )
        failed = resource("0", "Magnum::SwarmMode::Worker", reason, GROUP)
        self._reads("failing-address", failed)

    def test_volume(self) -> None:
        """Cinder's backends do not take the volume."""
        reason = 'ResourceInError: resources.docker_volume: Went to status error due to "Unknown"'
        words = "schedule allocate volume:Could not find any available weighted backend."
        failed = resource("docker_volume", "OS::Cinder::Volume", reason, MANAGER)
        self._reads("failing-volume", failed, words)

    def test_timeout(self) -> None:
        """A worker never reports."""
        sentence = failures.late([worker(0, physical_id="w0")], (), "c")
        cases.shown(self, "failing-timeout", sentence, answer="CREATE_FAILED")


class TestFirst(base.BaseTestCase):
    def test_the_cause(self) -> None:
        """What failed first counts; neither the groups around it nor what Heat gave up does."""
        cause = resource("x", "y", "Build of instance u aborted: no address", updated="2")
        group = resource("g", "OS::Heat::ResourceGroup", "…", updated="1", physical_id="inner")
        cause = resource("x", "y", cause.reason, "inner", updated="2")
        given_up = resource("z", "y", "CREATE aborted (user triggered cancel)", updated="1")
        later = resource("w", "y", "later", updated="3")
        self.assertEqual(cause, failures.first([group, given_up, later, cause]))

    def test_nothing_failed(self) -> None:
        """Where nothing failed there is no first failure."""
        self.assertIsNone(failures.first([]))

    def test_rows_are_read_without_optional_keys(self) -> None:
        """An item of Heat's list needs no key of its own."""
        self.assertEqual(
            failures.Resource("", "", "", "", "", "", "", ""),
            failures.Resource.from_api(json.loads("{}")),
        )


class TestLate(base.BaseTestCase):
    def test_who_waited(self) -> None:
        """A wait condition that ended and a stack that timed out are late; no failure is."""
        waited = resource("worker_ready", "w", "WaitConditionTimeout: resources.x: 0 of 1 received")
        said = resource("worker_ready", "w", "WaitConditionFailure: resources.x: 0 of 1 disks")
        aborted = resource("x", "y", "CREATE aborted (Task create)")
        other = resource("x", "y", "no")
        for cause, reason, expected in (
            (waited, "", True),
            (said, "", False),
            (None, "Timed out", True),
            (None, "", False),
            (aborted, "Create timed out", True),
            (aborted, "User cancelled create", False),
            (other, "Timed out", False),
        ):
            self.assertEqual(expected, failures.is_late(cause, reason), f"{cause} {reason}")

    def test_nodes_that_said_nothing(self) -> None:
        """Who did not report is named, with where to look and what has no server yet."""
        everything = [
            resource("server", "OS::Nova::Server", stack=MANAGER, physical_id="m1"),
            worker(0, physical_id="w0"),
            worker(1, physical_id="w1"),
            worker(2),
            resource("node_security_group", "OS::Neutron::SecurityGroup"),
        ]
        self.assertEqual(
            "2 of 4 nodes did not report in time that they joined the swarm: c-worker-1, "
            "c-worker-2 (no server). What a node waits for is at the end of its console (openstack "
            "console log show c-worker-1). A cluster that needs longer is created with a larger "
            "--timeout.",
            failures.late(everything, {"m1", "w0"}, "c"),
        )

    def test_kinds(self) -> None:
        """Which nodes did not report is said of each kind alone, and only where any did not."""
        manager = resource("server", "OS::Nova::Server", stack=MANAGER, physical_id="m1")
        workers = [worker(0, physical_id="w0"), worker(1, physical_id="w1")]
        found = failures.late_failure([manager, *workers], {"w0"}, "c")
        self.assertEqual(failures.late([manager, *workers], {"w0"}, "c"), found.reason)
        self.assertEqual(
            {
                "manager": failures.late([manager], (), "c"),
                "worker": failures.late(workers, {"w0"}, "c"),
            },
            found.by_kind,
        )
        self.assertNotIn("worker", found.by_kind["manager"])
        self.assertEqual(
            {"worker"}, set(failures.late_failure([manager, *workers], {"m1"}, "c").by_kind)
        )

    def test_workers_that_are_stacks(self) -> None:
        """A worker with a volume, which is a stack around a server, counts once."""
        inner = f"{GROUP}-0-abcdefghijkl"
        everything = [
            worker(0, physical_id="inner"),
            resource("server", "OS::Nova::Server", stack=inner, stack_id="inner", physical_id="w0"),
        ]
        self.assertIn("1 of 1 nodes", failures.late(everything, (), "c"))
        self.assertIn("c-worker-0. ", failures.late(everything, (), "c"))
        self.assertIn("time for the cluster was up", failures.late(everything, {"w0"}, "c"))

    def test_something_else_was_missing(self) -> None:
        """Where every node reported, what Heat still made is named."""
        everything = [
            worker(0, physical_id="w0", status="CREATE_COMPLETE"),
            resource("floating_ip", "OS::Neutron::FloatingIP", stack=MANAGER),
            resource("workers", "OS::Heat::ResourceGroup"),
        ]
        self.assertEqual(
            "Heat's time for the cluster was up; not finished: The floating IP of c-manager-1.",
            failures.late(everything, {"w0"}, "c"),
        )
