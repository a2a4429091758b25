# SPDX-License-Identifier: Apache-2.0
"""Which machines get a certificate of a cluster's authority with the credential of its nodes.

The credential stands in user-data, which everyone can read who may see the project's stacks. So it
proves nothing by itself. What counts is a key that only a manager has:

- The first certificate of a cluster is signed while the cluster is being created, for manager 0.
  Its public key is recorded.
- A manager renews its certificate with the key that is recorded for it, or replaces that key by
  another one with a signature of the recorded key.
- Every other manager, and each that replaces one, has its request signed by a manager whose key is
  recorded. That manager knows by the network who asks it
  (``magnum_swarm_mode/node/swarm/certificate_server.py``).

A request to sign proves by itself that who made it has its private key: it is signed with that.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Collection, Mapping

from cryptography import exceptions as cryptography_exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from magnum_swarm_mode import exceptions

# The header with the signature of a manager over a request to sign, in base64.
PROOF = "X-Swarm-Mode-Proof"
# The manager that founds the swarm.
FIRST = "0"
_COMMON_NAME = re.compile(r"swarm-manager-(0|[1-9][0-9]{0,4})")
# One request and nothing around it: of two, another reader may take the other one.
_PEM = re.compile(
    r"-----BEGIN CERTIFICATE REQUEST-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+"
    r"-----END CERTIFICATE REQUEST-----\n*"
)
# A request of a manager has less than a third of that.
_LONGEST = 8192  # characters
_UNREADABLE = (
    "The request to sign is not that of a manager: expected are a PEM text of a certificate "
    "request with an elliptic key of curve P-256, its signature, and the one common name "
    "swarm-manager-<index>."
)


class NotAdmitted(exceptions.SwarmModeError):
    """Nothing is signed for this machine; HTTP 403."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A request to sign for a manager, whose maker has shown to have its private key.

    :ivar index: which manager it is for.
    :ivar key: its public key: DER in base64.
    :ivar signed: the text that a manager signs for it.
    :ivar proof: the signature over that text; empty for none.
    """

    index: str
    key: str
    signed: bytes
    proof: bytes


def read(cluster_uuid: str, csr: str, proof: str) -> Request:
    """Return what a request to sign says.

    :param csr: PEM.
    :param proof: the header :data:`PROOF`; empty for none.
    :raises Refused: when it is not one that a manager makes.
    """
    try:
        if len(csr) > _LONGEST or len(proof) > _LONGEST or not _PEM.fullmatch(csr):
            raise ValueError
        parsed = x509.load_pem_x509_csr(csr.encode())
        key = parsed.public_key()
        names = [one.value for one in parsed.subject]
        match = _COMMON_NAME.fullmatch(str(names[0])) if len(names) == 1 else None
        is_name = bool(parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
        if not isinstance(key, ec.EllipticCurvePublicKey) or match is None or not is_name:
            raise ValueError
        if not isinstance(key.curve, ec.SECP256R1) or not parsed.is_signature_valid:
            raise ValueError
        signature = base64.b64decode(proof, validate=True)
    except (
        ValueError,
        TypeError,
        binascii.Error,
        cryptography_exceptions.UnsupportedAlgorithm,
        x509.InvalidVersion,
    ):
        raise exceptions.Refused(_UNREADABLE) from None
    return Request(match[1], _encoded(key), text(cluster_uuid, csr), signature)


def text(cluster_uuid: str, csr: str) -> bytes:
    """Return what a manager signs for a request; the node program builds the same."""
    return f"magnum-swarm-mode certificate\n{cluster_uuid}\n{csr}".encode()


def admitted(keys: Mapping[str, str], request: Request, *, is_creating: bool) -> dict[str, str]:
    """Return the keys of a cluster's managers after a request.

    :param keys: index of each manager to its public key.
    :param is_creating: whether the cluster is being created.
    :raises NotAdmitted: when nothing proves that the request is a manager's.
    """
    is_first = is_creating and not keys and request.index == FIRST
    is_known = keys.get(request.index) == request.key
    if is_first or is_known or any(_has_signed(key, request) for key in keys.values()):
        return {**keys, request.index: request.key}
    raise NotAdmitted(
        f"Nothing is signed for manager {request.index}: its key is not known, and no manager of "
        "the cluster has signed its request. The credential of the nodes proves nothing by itself.",
        f"Refused to sign for manager {request.index} with the key {request.key[-24:]}: the keys "
        f"of managers {', '.join(sorted(keys)) or '(none)'} are known.",
    )


def without_removed(keys: Mapping[str, str], present: Collection[str]) -> dict[str, str]:
    """Return the keys of the managers that a cluster still has.

    :param present: the indices of its managers; empty where they are not known.
    """
    return {index: key for index, key in keys.items() if index in present or not present}


def _encoded(key: ec.EllipticCurvePublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()


def _has_signed(key: str, request: Request) -> bool:
    try:
        public = serialization.load_der_public_key(base64.b64decode(key))
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(request.proof, request.signed, ec.ECDSA(hashes.SHA256()))
    except (
        ValueError,
        cryptography_exceptions.InvalidSignature,
        cryptography_exceptions.UnsupportedAlgorithm,
    ):
        return False
    return True
