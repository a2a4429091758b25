# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from magnum_swarm_mode.node.base import errors
from magnum_swarm_mode.node.base.codes import Code


class RedactTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(errors.SECRETS.discard, "hunter2-secret")
        errors.SECRETS.add("hunter2-secret")

    def test_known_secret(self):
        """A secret of the configuration is replaced wherever it stands."""
        self.assertEqual("a *** b ***", errors.redact("a hunter2-secret b hunter2-secret"))

    def test_join_token(self):
        """A join token is replaced though nobody announced it."""
        self.assertEqual("token ***.", errors.redact("token SWMTKN-1-abc-def."))

    def test_private_key(self):
        """A private key is replaced, whatever its kind."""
        key = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n"
        self.assertEqual("key ***", errors.redact(f"key {key}"))

    def test_empty_and_short_values_are_no_secrets(self):
        """An empty or very short value would blot out everything."""
        self.addCleanup(errors.SECRETS.discard, "")
        self.addCleanup(errors.SECRETS.discard, "ab")
        errors.SECRETS.update(("", "ab"))
        self.assertEqual("abc", errors.redact("abc"))

    def test_longer_secret_first(self):
        """A secret that contains another leaves no rest."""
        self.addCleanup(errors.SECRETS.discard, "hunter2-secret-more")
        errors.SECRETS.add("hunter2-secret-more")
        self.assertEqual("***", errors.redact("hunter2-secret-more"))

    def test_errors_are_redacted(self):
        """An error never holds a secret."""
        self.assertEqual("with ***", str(errors.Temporary("with hunter2-secret", 503)))


class CodeTest(base.BaseTestCase):
    def test_a_full_disk_is_the_reason(self):
        """Whatever fails of a full disk, in whoever's words, the code says so."""
        for cause in (
            "/etc/x cannot be written: No space left on device",
            "apt-get: You don't have enough free space in /var/cache/apt/archives/.",
            "dockerd: write /x: no space left on device",
        ):
            error = errors.NodeError(cause, code=Code.ENGINE_FAILED)
            self.assertEqual(Code.DISK_FULL, error.code)
        self.assertEqual(Code.ENGINE_FAILED, errors.NodeError("x", code=Code.ENGINE_FAILED).code)
