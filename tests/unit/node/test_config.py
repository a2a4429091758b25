# SPDX-License-Identifier: Apache-2.0
import json

from oslotest import base

from magnum_swarm_mode.node.base import config, errors
from magnum_swarm_mode.node.base.errors import NodeError
from tests.unit.node import fakes


class ParseTest(base.BaseTestCase):
    def _refused(self, changes, role="manager"):
        data = fakes.config_json(role)
        data.update(changes)
        return str(self.assertRaises(NodeError, config.parse, json.dumps(data)))

    def test_manager(self):
        """Nested values become fields; what is missing has its default."""
        parsed = fakes.parse_config()
        self.assertTrue(parsed.is_manager)
        self.assertEqual([0, 1, 2], parsed.indexes)
        self.assertEqual("127.0.0.12", parsed.address(1))
        self.assertEqual(1450, parsed.engine_mtu)
        self.assertEqual({"storage-driver": "overlay2"}, parsed.engine_daemon)
        self.assertEqual(4789, parsed.swarm_data_path_port)
        self.assertEqual("http://127.0.0.1:1/signal", parsed.signal["alarm_url"])

    def test_worker_needs_no_credential(self):
        """A worker has nothing of Magnum's."""
        parsed = fakes.parse_config("worker")
        self.assertFalse(parsed.is_manager)
        self.assertEqual("", parsed.openstack_application_credential_secret)

    def test_unknown_values_are_left_alone(self):
        """A newer control side may say more than this program knows."""
        self.assertEqual(9, fakes.parse_config(novelty={"x": 1}, api={"port": 9, "y": 1}).api_port)

    def test_signal_may_be_a_map(self):
        """Heat's attribute is JSON text, or parsed already."""
        signal = json.loads(fakes.config_json()["signal"])
        self.assertEqual(signal, fakes.parse_config(signal=signal).signal)

    def test_secrets_are_hidden(self):
        """Every secret of the configuration is redacted from then on."""
        fakes.parse_config(engine={"http_proxy": "http://user:proxy-password@proxy:3128"})
        text = "bootstrap-secret credential-secret signal-password proxy-password"
        self.assertEqual("*** *** *** ***", errors.redact(text))

    def test_no_json(self):
        """Text that is no JSON object is refused without quoting it."""
        for text in ("", "{", "[]", "3", '"x"'):
            error = self.assertRaises(NodeError, config.parse, text)
            self.assertIn("configuration: ", str(error))

    def test_missing_values_are_named(self):
        """What is required is named when it is missing or empty."""
        self.assertIn("cluster_uuid", self._refused({"cluster": {}}))
        self.assertIn("cluster_uuid", self._refused({"cluster": {"uuid": ""}}))
        self.assertIn("join_secret", self._refused({"join": {"secret": ""}}))
        self.assertIn("managers", self._refused({"managers": {}}))
        self.assertIn("openstack_magnum_url", self._refused({"openstack": {}}))
        self.assertIn("ca_certificate", self._refused({"ca_certificate": ""}, "worker"))
        self.assertIn("signal.password", self._refused({"signal": "{}"}))

    def test_wrong_values_are_named(self):
        """A value of the wrong type or outside its choices is named."""
        self.assertIn("role", self._refused({"role": "boss"}))
        self.assertIn("version", self._refused({"version": 2}))
        self.assertIn("engine_mtu", self._refused({"engine": {"mtu": "large"}}))
        self.assertIn("engine_daemon", self._refused({"engine": {"daemon": "8.8.8.8"}}))
        wrong = {"manager_availability": "pause"}
        self.assertIn("swarm_manager_availability", self._refused({"swarm": wrong}))

    def test_version_is_required(self):
        """A configuration of unknown version is refused."""
        data = fakes.config_json()
        del data["version"]
        self.assertIn("version", str(self.assertRaises(NodeError, config.parse, json.dumps(data))))
