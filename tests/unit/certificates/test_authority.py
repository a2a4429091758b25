# SPDX-License-Identifier: Apache-2.0
import functools
import pathlib
import subprocess

import fixtures
from magnum.common.x509 import operations as magnum_x509
from oslotest import base

from magnum_swarm_mode.certificates import authority as certificates_authority
from magnum_swarm_mode.certificates import names as certificate_names


@functools.cache
def authority(name, *, follows=False):
    """Return certificate and key of an authority as Magnum makes it."""
    original = magnum_x509._build_ca_extentions
    magnum_x509._build_ca_extentions = lambda: certificate_names.ca_extensions(original)
    token = certificate_names._SUCCESSOR.set(name if follows else "")
    try:
        pair = magnum_x509.generate_ca_certificate(name)
    finally:
        certificate_names._SUCCESSOR.reset(token)
        magnum_x509._build_ca_extentions = original
    return pair["certificate"].decode(), pair["private_key"].decode()


def client(name, issuer, key):
    pair = magnum_x509.generate_client_certificate(issuer, name, "o", key.encode())
    return pair["certificate"].decode()


class UnderTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.old, self.old_key = authority("swarm")
        self.new, self.new_key = authority("swarm 2026", follows=True)
        self.chain = certificates_authority.under(self.old, self.new, self.new_key)

    def verifies(self, certificate, trusted, chain=""):
        """Return whether OpenSSL believes a certificate."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name, text in (("leaf", certificate), ("ca", trusted), ("chain", chain)):
            (directory / name).write_text(text)
        more = ("-untrusted", "chain") if chain else ()
        done = subprocess.run(
            ["openssl", "verify", "-CAfile", "ca", *more, "leaf"],
            cwd=directory,
            capture_output=True,
            text=True,
        )
        return done.returncode == 0

    def test_both_believe_the_old_certificate(self):
        """With the chain all believe it who know the old authority, or the new one."""
        leaf = client("manager", "swarm", self.old_key)
        self.assertTrue(self.verifies(leaf, self.old, self.chain))
        self.assertTrue(self.verifies(leaf, self.new, self.chain))
        self.assertFalse(self.verifies(leaf, self.new))

    def test_nobody_else_gets_in_by_it(self):
        """Whom the new authority did not sign is not believed with the chain either."""
        other, key = authority("swarm other")
        leaf = client("manager", "swarm other", key)
        self.assertFalse(self.verifies(leaf, self.new, self.chain))
        self.assertFalse(self.verifies(leaf, self.new, self.chain + other))

    def test_clients_of_both(self):
        """Where both are trusted clients of both are let in, in either order."""
        for issuer, key in (("swarm", self.old_key), ("swarm 2026", self.new_key)):
            leaf = client("client", issuer, key)
            self.assertTrue(self.verifies(leaf, certificates_authority.bundle(self.old, self.new)))
            self.assertTrue(self.verifies(leaf, certificates_authority.bundle(self.new, self.old)))

    def test_always_the_same(self):
        """Whoever makes it again makes the same, so that nodes are told nothing new."""
        self.assertEqual(self.chain, certificates_authority.under(self.old, self.new, self.new_key))

    def test_may_follow(self):
        """One of the same name, or that may not stand above another, may not follow."""
        self.assertTrue(certificates_authority.may_follow(self.old, self.new))
        self.assertTrue(
            certificates_authority.may_follow(self.new, authority("x", follows=True)[0])
        )
        self.assertFalse(
            certificates_authority.may_follow(self.old, authority("swarm", follows=True)[0])
        )
        self.assertFalse(certificates_authority.may_follow(self.old, authority("other")[0]))
