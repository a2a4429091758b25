# SPDX-License-Identifier: Apache-2.0
"""What a cluster's certificate authority is called."""

from __future__ import annotations

import types
from unittest import mock

from cryptography import x509
from magnum.common import exception
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.certificates import names as certificate_names

UUID = "08b1537e-874c-47de-814b-914ffb1c5a28"


def cluster(
    name: str | None, coe: str = "swarm-mode", ref: str | None = None
) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        name=name,
        uuid=UUID,
        project_id="project",
        cluster_template=types.SimpleNamespace(coe=coe),
        ca_cert_ref=ref,
    )


def magnums(cluster: types.SimpleNamespace) -> str:
    return cluster.name or cluster.uuid


class IssuerNameTest(base.BaseTestCase):
    def test_short(self) -> None:
        """A name that fits is the authority's."""
        self.assertEqual("n" * 64, certificate_names.issuer_name(magnums, cluster("n" * 64)))

    def test_long(self) -> None:
        """A longer one gives way to the uuid."""
        self.assertEqual(UUID, certificate_names.issuer_name(magnums, cluster("n" * 65)))

    def test_octets_count(self) -> None:
        """Other scripts have more octets than characters."""
        self.assertEqual("群" * 21, certificate_names.issuer_name(magnums, cluster("群" * 21)))
        self.assertEqual(UUID, certificate_names.issuer_name(magnums, cluster("群" * 22)))

    def test_other_engines(self) -> None:
        """Clusters of other engines are Magnum's business."""
        other = cluster("n" * 65, "kubernetes")
        self.assertEqual("n" * 65, certificate_names.issuer_name(magnums, other))

    def test_no_name(self) -> None:
        """A cluster without a name has its uuid there, as Magnum does it."""
        self.assertEqual(UUID, certificate_names.issuer_name(magnums, cluster(None)))


class SuccessorTest(base.BaseTestCase):
    """An authority that follows another."""

    def made(self, of: types.SimpleNamespace) -> str:
        """Have Magnum make an authority; its name."""

        def generate(cluster: types.SimpleNamespace, context: object = None) -> str:
            return certificate_names.issuer_name(magnums, cluster)

        return str(certificate_names.generate(generate, of))

    def test_name(self) -> None:
        """It is the name of the first with the moment, or the uuid with it."""
        moment = r" \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [0-9a-f]{6}$"
        self.assertRegex(self.made(cluster("swarm", ref="x")), "^swarm" + moment)
        self.assertRegex(self.made(cluster("n" * 60, ref="x")), f"^{UUID}" + moment)
        self.assertRegex(self.made(cluster(None, ref="x")), f"^{UUID}" + moment)

    def test_two_in_a_second(self):
        """Two authorities that are made in the same second have different names."""
        one = cluster("swarm", ref="x")
        with mock.patch("time.time", return_value=1.0):
            self.assertNotEqual(self.made(one), self.made(one))

    def test_failure(self) -> None:
        """A failure names the request, for Magnum shows nothing else of it."""

        def generate(_: object, context: object = None) -> None:
            raise ValueError("No store.")

        for ref, said in (
            (None, "The creation of the cluster failed: No store."),
            (
                "x",
                "The replacement of certificates failed: No store. Nothing was changed; before you "
                "try again, resize a node group to its present count.",
            ),
        ):
            error = self.assertRaises(
                exceptions.Unavailable, certificate_names.generate, generate, cluster("a", ref=ref)
            )
            self.assertEqual(said, str(error))

    def test_magnums_failure(self) -> None:
        """What Magnum raises keeps its class, by which its handlers know it."""

        def generate(_: object, context: object = None) -> None:
            raise exception.CertificatesToClusterFailed(message="100 % lost.")

        error = self.assertRaises(
            exception.CertificatesToClusterFailed,
            certificate_names.generate,
            generate,
            cluster("a", ref=None),
        )
        self.assertEqual("The creation of the cluster failed: 100 % lost.", str(error))

    def test_first(self) -> None:
        """The first one bears the cluster's name alone."""
        self.assertEqual("swarm", self.made(cluster("swarm")))

    def test_other_engines(self) -> None:
        """Authorities of other engines' clusters are Magnum's business."""
        self.assertEqual("other", self.made(cluster("other", "kubernetes", "x")))

    def test_path(self) -> None:
        """Only a second one may stand above another."""
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        usual = [x509.Extension(constraint.oid, True, constraint)]

        def generate(_: object, context: object = None) -> int | None:
            (found,) = certificate_names.ca_extensions(lambda: usual)
            self.assertTrue(found.critical)
            return found.value.path_length

        self.assertEqual(0, certificate_names.generate(generate, cluster("a")))
        self.assertIsNone(certificate_names.generate(generate, cluster("a", ref="x")))
