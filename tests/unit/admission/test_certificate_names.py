# SPDX-License-Identifier: Apache-2.0
"""What a cluster's certificate authority is called."""

from __future__ import annotations

import types

from oslotest import base

from magnum_swarm_mode import certificate_names

UUID = "08b1537e-874c-47de-814b-914ffb1c5a28"


def cluster(name: str | None, coe: str = "swarm-mode") -> types.SimpleNamespace:
    return types.SimpleNamespace(
        name=name, uuid=UUID, cluster_template=types.SimpleNamespace(coe=coe)
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
