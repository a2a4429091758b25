# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import ssl
import threading

import fixtures

from magnum_swarm_mode.node import main as program
from magnum_swarm_mode.node.base.errors import NodeError
from magnum_swarm_mode.node.swarm import certificates, manager, settings
from tests.unit.node import fakes
from tests.unit.node.test_manager import SignedTest

RELOAD, RESTART = (
    f"systemctl {verb} magnum-swarm-proxy.service" for verb in ("reload-or-restart", "restart")
)


def digest(authority):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(authority.pem)).hexdigest()


class SettingsCase(SignedTest):
    """A manager in a swarm, with a certificate, that is told something."""

    def setUp(self):
        super().setUp()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.engine.enter("m0", "127.0.0.11")
        self.node = self.make_node(fakes.config_json(**self.cloud.sections()))
        manager.ensure_certificate(self.node, 0, 0)

    def tell(self, generation, contents):
        self.engine.configs[str(generation)] = fakes.told(generation, contents)

    def label(self):
        return self.engine.nodes[0]["Spec"].get("Labels", {}).get(settings.LABEL)

    def verbs(self):
        """Return what was done with the proxy since the last look."""
        found = [call for call in self.programs.calls() if "proxy" in call]
        self.programs.log.write_text("")
        return found


class ApplyTest(SettingsCase):
    def test_nothing_is_told(self):
        """A manager says that it knows of settings before there are any, and changes nothing."""
        before = self.paths.config.read_text()
        self.assertEqual(0, settings.apply(self.node))
        self.assertEqual("0", self.label())
        self.assertEqual(before, self.paths.config.read_text())
        self.assertEqual([], self.verbs())

    def test_other_labels_stay(self):
        """What users wrote on the node stays there."""
        self.engine.nodes[0]["Spec"]["Labels"] = {"disk": "ssd"}
        settings.apply(self.node)
        self.assertEqual(
            {"disk": "ssd", settings.LABEL: "0"}, self.engine.nodes[0]["Spec"]["Labels"]
        )

    def test_the_newest_counts(self):
        """Generations are numbers: 10 comes after 9. Configs of users are no settings."""
        self.tell(9, {"api": {"chain": "nine"}})
        self.tell(10, {"api": {"chain": "ten"}})
        mine = fakes.told(0, {})
        mine["Spec"]["Name"] = settings.LABEL + ".mine"
        self.engine.configs["x"] = mine
        self.assertEqual(10, settings.apply(self.node))
        self.assertEqual("10", self.label())
        self.assertEqual("ten", self.node.config.api_chain)
        self.assertEqual(2376, self.node.config.api_port)

    def test_of_another_cluster(self):
        """What a swarm brings along from another cluster, by a backup, is not for this one."""
        other = fakes.told(7, {"api": {"chain": "theirs"}}, "another-cluster")
        self.engine.configs["7"] = other
        self.assertEqual(0, settings.apply(self.node))
        self.assertEqual("0", self.label())
        self.assertEqual("", self.node.config.api_chain)

    def test_a_second_time(self):
        """Taking the same over again does nothing, not even a word with Magnum."""
        self.tell(1, {"api": {"chain": "more"}})
        settings.apply(self.node)
        self.verbs()
        asked, calls = len(self.cloud.requests), len(self.engine.requests)
        self.assertEqual(1, settings.apply(self.node))
        self.assertEqual([], self.verbs())
        self.assertEqual(asked, len(self.cloud.requests))
        posts = [call for call in self.engine.calls()[calls:] if call.startswith("POST")]
        self.assertEqual([], posts)

    def test_credential(self):
        """Another credential is on the disk for root alone, and used from then on."""
        self.tell(
            1,
            {
                "openstack": {
                    "application_credential_id": "new-id",
                    "application_credential_secret": "new-secret",
                }
            },
        )
        settings.apply(self.node)
        self.assertEqual(0o600, self.paths.config.stat().st_mode & 0o777)
        self.assertNotIn("credential-secret", self.paths.config.read_text())
        certificates.issue(self.paths, ["DNS:x"], 0, self.node.config)
        auth = [r.body["auth"] for r in self.cloud.requests if r.path == "/v3/auth/tokens"][-1]
        self.assertEqual(
            {"id": "new-id", "secret": "new-secret"}, auth["identity"]["application_credential"]
        )
        self.node.say("the secret is new-secret")
        self.assertNotIn("new-secret", self.log())

    def test_names(self):
        """Further names of the API get into a new certificate."""
        self.tell(1, {"api": {"addresses": ["swarm.example.org"]}})
        settings.apply(self.node)
        self.assertIn("DNS:swarm.example.org", certificates.known(self.paths)["names"])
        self.assertEqual([RELOAD], self.verbs())

    def test_what_cannot_be_read(self):
        """Settings that make no configuration do not get onto the disk, and are not confirmed."""
        before = self.paths.config.read_text()
        self.tell(1, {"api": {"port": "many"}})
        self.assertRaises(NodeError, settings.apply, self.node)
        self.assertEqual(before, self.paths.config.read_text())
        self.assertIsNone(self.label())


class RotationTest(SettingsCase):
    """The steps of a rotation of the cluster's CA, as one manager goes them."""

    def setUp(self):
        super().setUp()
        self.new = self.useFixture(fakes.Authority())
        self.both = {"ca_certificate": self.authority.pem + self.new.pem}

    def switch(self):
        """Let Magnum sign with the new CA."""
        self.cloud.sign, self.cloud.ca = self.new.sign, self.new.pem

    def test_trust(self):
        """Trusting one more is a reload; the certificate stays, with what goes before the CA."""
        certificate = self.paths.certificate.read_text()
        self.tell(1, {**self.both, "api": {"chain": self.new.pem}})
        settings.apply(self.node)
        self.assertEqual([RELOAD], self.verbs())
        self.assertEqual(self.both["ca_certificate"], self.paths.cluster_ca.read_text())
        self.assertEqual(certificate + self.new.pem, self.paths.certificate.read_text())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.paths.certificate)

    def test_sign(self):
        """The certificate is replaced once Magnum signs with the new CA, and not before."""
        wanted = {**self.both, "api": {"chain": "", "issuer": digest(self.new)}}
        self.tell(2, wanted)
        before = self.paths.certificate.read_text()
        error = self.assertRaises(NodeError, settings.apply, self.node)
        self.assertIn("another authority", str(error))
        self.assertIsNone(self.label())
        self.assertEqual(before, self.paths.certificate.read_text())
        self.switch()
        settings.apply(self.node)
        self.assertEqual("2", self.label())
        self.assertEqual(digest(self.new), certificates.known(self.paths)["issuer"])
        # Whom it trusts is not what Magnum's API says now.
        self.assertEqual(self.both["ca_certificate"], self.paths.cluster_ca.read_text())
        self.assertIn(RELOAD, self.verbs())

    def test_only_the_new(self):
        """Not to trust the old CA any more ends its clients' connections."""
        self.test_sign()
        self.tell(3, {"ca_certificate": self.new.pem, "api": {"issuer": digest(self.new)}})
        settings.apply(self.node)
        self.assertEqual([RESTART], self.verbs())
        self.assertEqual(self.new.pem, self.paths.cluster_ca.read_text())

    def test_catching_up(self):
        """A manager that was away for all of it takes over the end alone."""
        self.switch()
        self.tell(3, {"ca_certificate": self.new.pem, "api": {"issuer": digest(self.new)}})
        settings.apply(self.node)
        self.assertEqual("3", self.label())
        self.assertEqual([RESTART], self.verbs())
        self.assertEqual(digest(self.new), certificates.known(self.paths)["issuer"])

    def test_renewal_later(self):
        """A renewal keeps what the settings say."""
        self.tell(1, {**self.both, "api": {"chain": self.new.pem}})
        settings.apply(self.node)
        text = self.paths.certificate.read_text()
        facts = {**certificates.known(self.paths), "issued": 0}
        self.paths.certificate.write_text(json.dumps(facts) + "\n" + text.partition("\n")[2])
        self.verbs()
        manager.renew(self.node)
        self.assertEqual([RELOAD], self.verbs())
        self.assertTrue(self.paths.certificate.read_text().endswith("KEY-----\n" + self.new.pem))
        self.assertEqual(self.both["ca_certificate"], self.paths.cluster_ca.read_text())


class WatchTest(SettingsCase):
    def setUp(self):
        super().setUp()
        self.pauses: list[float] = []

        def sleep(seconds):
            self.pauses.append(seconds)
            if len(self.pauses) == 3:
                self.engine.error = ""
            if len(self.pauses) == 5:
                self.tell(2, {})

        self.useFixture(fixtures.MonkeyPatch("time.sleep", sleep))

    def test_news(self):
        """Looking goes on, also while the engine cannot say, until there is something else."""
        self.tell(1, {})
        self.engine.error = "no leader"
        told = []
        settings.watch(self.node, 1, lambda: told.append(len(self.pauses)))
        self.assertEqual([5], told)
        self.assertEqual([settings.INTERVAL] * 5, self.pauses)

    def test_what_could_not_be_applied(self):
        """It is tried again after a while, whether or not there is something else."""
        settings.watch(self.node, -1, lambda: None)
        self.assertEqual([settings.RETRY], self.pauses)


class ServeTest(SettingsCase):
    def setUp(self):
        super().setUp()
        for name in ("setgroups", "setgid", "setuid"):
            self.useFixture(fixtures.MonkeyPatch(f"os.{name}", lambda _: None))
        self.useFixture(fixtures.MonkeyPatch("grp.getgrnam", lambda _: _Group()))
        for name in ("INTERVAL", "RETRY"):
            self.useFixture(
                fixtures.MonkeyPatch(f"magnum_swarm_mode.node.swarm.settings.{name}", 0.02)
            )
        raw = json.loads(self.paths.config.read_text())
        raw["join"].update(port=0, certificate_port=0)
        self.paths.config.write_text(json.dumps(raw))

    def serve(self):
        return program.main(["serve"], self.paths)

    def test_it_ends_when_there_is_news(self):
        """The server takes over what is told at its start, and ends to be started again."""
        self.tell(1, {"api": {"chain": "one"}})
        for generation, chain in ((2, "two"), (3, "three")):
            later = threading.Timer(0.5, self.tell, (generation, {"api": {"chain": chain}}))
            later.start()
            self.assertEqual(0, self.serve())
            later.join()
            self.assertEqual(str(generation - 1), self.label())
        self.assertTrue(self.paths.certificate.read_text().endswith("two"))

    def test_tokens_are_served_whatever_the_settings(self):
        """What cannot be taken over keeps no worker from joining; it is tried again."""
        self.tell(1, {"api": {"issuer": "nobody"}})
        self.assertEqual(0, self.serve())
        self.assertIn("settings: certificate from Magnum: ", self.log())
        self.assertIsNone(self.label())


class _Group:
    gr_gid = 0
