# SPDX-License-Identifier: Apache-2.0
"""Which machines get a certificate with the credential of the nodes."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import manager_keys
from tests.unit.admission.signing_requests import Maker

UUID = "08b1537e-874c-47de-814b-914ffb1c5a28"
OTHER = "16fd2706-8baf-433b-82eb-8c7fada847da"


def request(maker: Maker, index: int, proof: str = "", uuid: str = UUID) -> manager_keys.Request:
    return manager_keys.read(uuid, maker.csr(f"swarm-manager-{index}"), proof)


class ReadTest(base.BaseTestCase):
    """What is a request of a manager."""

    def refused(self, csr: str, proof: str = "") -> None:
        error = self.assertRaises(exceptions.Refused, manager_keys.read, UUID, csr, proof)
        self.assertIn("swarm-manager-<index>", error.user_message)

    def test_manager(self) -> None:
        """Its index, key and the text to sign are known."""
        maker = Maker()
        csr = maker.csr("swarm-manager-12")
        found = manager_keys.read(UUID, csr, "")
        self.assertEqual(("12", maker.public, b""), (found.index, found.key, found.proof))
        self.assertEqual(f"magnum-swarm-mode certificate\n{UUID}\n{csr}".encode(), found.signed)

    def test_names(self) -> None:
        """A request has exactly one name, which is that of a manager."""
        maker = Maker()
        for names in (
            (),
            ("*",),
            ("swarm-manager-",),
            ("swarm-manager-01",),
            ("swarm-manager-100000",),
            ("swarm-manager-0\n",),
            ("xswarm-manager-0",),
            ("swarm-manager-0", "swarm-manager-1"),
        ):
            self.refused(maker.csr(*names))

    def test_other_attribute(self) -> None:
        """The name stands nowhere but in the common name."""
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "swarm-manager-0")])
        built = x509.CertificateSigningRequestBuilder().subject_name(subject)
        signed = built.sign(Maker().private, hashes.SHA256())
        self.refused(signed.public_bytes(serialization.Encoding.PEM).decode())

    def test_keys(self) -> None:
        """Other kinds of keys are refused."""
        self.refused(Maker(rsa.generate_private_key(65537, 2048)).csr("swarm-manager-0"))
        self.refused(Maker(ec.generate_private_key(ec.SECP384R1())).csr("swarm-manager-0"))

    def test_signature(self) -> None:
        """Who makes a request has its key: a request that somebody has changed is refused."""
        csr = Maker().csr("swarm-manager-0")
        der = bytearray(x509.load_pem_x509_csr(csr.encode()).public_bytes(_DER))
        at = bytes(der).index(b"swarm-manager-0")
        der[at + len("swarm-manager-")] = ord("1")
        changed = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
        self.refused(changed.decode())

    def test_two_requests(self) -> None:
        """A text with more than one request is refused: another reader may take the other one."""
        own, other = Maker().csr("swarm-manager-1"), Maker().csr("swarm-manager-0")
        for text in (own + other, f" {other}{own}", f"x\n{own}"):
            self.assertRaises(exceptions.Refused, manager_keys.read, UUID, text, "")

    def test_rubbish(self) -> None:
        """What is no request, or no base64, is refused."""
        good = Maker().csr("swarm-manager-0")
        for csr in ("", "PEM", good[:200], "x" * 10_000, good + "A" * 10_000):
            self.refused(csr)
        for proof in ("é", "a", "====", "A" * 10_000):
            self.refused(good, proof)


_DER = serialization.Encoding.DER


class AdmittedTest(base.BaseTestCase):
    """For whom something is signed."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second, self.thief = Maker(), Maker(), Maker()

    def refused(
        self, keys: dict[str, str], made: manager_keys.Request, *, is_creating: bool = True
    ) -> None:
        error = self.assertRaises(
            manager_keys.NotAdmitted,
            manager_keys.admitted,
            keys,
            made,
            is_creating=is_creating,
        )
        self.assertIn("its key is not known", error.user_message)

    def test_first(self) -> None:
        """The first manager gets the first certificate, while the cluster is being created."""
        made = request(self.first, 0)
        self.assertEqual(
            {"0": self.first.public}, manager_keys.admitted({}, made, is_creating=True)
        )
        self.refused({}, made, is_creating=False)
        self.refused({}, request(self.first, 1))

    def test_second(self) -> None:
        """After that the credential alone gets nothing, whichever manager it names."""
        keys = {"0": self.first.public}
        for index in (0, 1, 99):
            self.refused(keys, request(self.thief, index))
        proof = self.thief.proof(UUID, self.thief.csr("swarm-manager-1"))
        self.refused(keys, request(self.thief, 1, proof))

    def test_renewal(self) -> None:
        """A known key is signed for again, at any time, but for its own index only."""
        keys = {"0": self.first.public, "1": self.second.public}
        made = request(self.second, 1)
        self.assertEqual(keys, manager_keys.admitted(keys, made, is_creating=False))
        self.refused(keys, request(self.second, 0))

    def test_signed_by_a_manager(self) -> None:
        """A manager has the request of another one signed, which is known from then on."""
        csr = self.second.csr("swarm-manager-1")
        proof = self.first.proof(UUID, csr)
        made = manager_keys.read(UUID, csr, proof)
        keys = manager_keys.admitted({"0": self.first.public}, made, is_creating=False)
        self.assertEqual({"0": self.first.public, "1": self.second.public}, keys)

    def test_new_key(self) -> None:
        """A manager replaces its own key; the former one is worth nothing then."""
        csr = self.second.csr("swarm-manager-0")
        made = manager_keys.read(UUID, csr, self.first.proof(UUID, csr))
        keys = manager_keys.admitted({"0": self.first.public}, made, is_creating=False)
        self.assertEqual({"0": self.second.public}, keys)
        self.refused(keys, request(self.first, 0))

    def test_proof_of_something_else(self) -> None:
        """A signature is for one request of one cluster."""
        csr = self.second.csr("swarm-manager-1")
        keys = {"0": self.first.public}
        for proof in (
            self.first.proof(OTHER, csr),
            self.first.proof(UUID, self.second.csr("swarm-manager-1")),
            self.first.proof(UUID, ""),
        ):
            self.refused(keys, manager_keys.read(UUID, csr, proof))

    def test_damaged_key(self) -> None:
        """A key in the record that cannot be read proves nothing."""
        made = request(self.thief, 1, self.thief.proof(UUID, "x"))
        self.refused({"0": "rubbish", "1": ""}, made)


class RemovedTest(base.BaseTestCase):
    def test_removed(self) -> None:
        """Keys of managers that are gone are forgotten, where the managers are known."""
        keys = {"0": "a", "2": "b", "3": "c"}
        self.assertEqual({"0": "a", "3": "c"}, manager_keys.without_removed(keys, {"0", "3"}))
        self.assertEqual(keys, manager_keys.without_removed(keys, set()))
