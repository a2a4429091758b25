# SPDX-License-Identifier: Apache-2.0
"""What Magnum signs for a user: its own behaviour, which the page about attackers describes."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

# By its name: the other tests' keys are made once.
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.x509.oid import NameOID
from magnum.conductor.handlers import ca_conductor
from magnum.objects import certificate as magnum_certificate

from magnum_swarm_mode.certificates import store as certificate_store
from tests.functional.conductor import base


class SigningTest(base.DriverTest):
    def test_anything(self):
        """Magnum signs any name, and weak keys, by the authority of the cluster."""
        uuid = self.create(managers=1, workers=1)
        key = generate_private_key(65537, 1024)
        for name in ("*", "swarm-manager-0"):
            request = (
                x509.CertificateSigningRequestBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
                .sign(key, hashes.SHA256())
            )
            pem = request.public_bytes(serialization.Encoding.PEM).decode()
            signed = self._sign(uuid, pem)
            self.assertEqual(request.subject, signed.subject)
            self.assertEqual(1024, signed.public_key().key_size)
            authority = x509.load_pem_x509_certificate(
                certificate_store.certificate(uuid, self.cluster(uuid).ca_cert_ref).encode()
            )
            signed.verify_directly_issued_by(authority)

    def _sign(self, uuid, pem):
        request = magnum_certificate.Certificate(self.context(), cluster_uuid=uuid, csr=pem)
        handler = ca_conductor.Handler()
        answer = handler.sign_certificate(self.context(), self.cluster(uuid), request)
        return x509.load_pem_x509_certificate(answer.pem.encode())
