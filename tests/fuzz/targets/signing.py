# SPDX-License-Identifier: Apache-2.0
"""Requests to sign: what managers send each other, and what they send to Magnum's API."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import manager_keys
from magnum_swarm_mode.node.base import openstack
from magnum_swarm_mode.node.base.docker import Info
from magnum_swarm_mode.node.base.errors import NodeError
from magnum_swarm_mode.node.swarm import certificate_server, certificates, join_server
from tests.fuzz import inputs
from tests.fuzz.harness import Target
from tests.fuzz.targets import join, node
from tests.unit.admission.signing_requests import Maker
from tests.unit.node import fakes

CLUSTER = fakes.UUID
# Who asks: the address of manager 1.
_ASKING = "127.0.0.12"
BETWEEN = b"\n\x00\n"
# Keys and signatures are the same in each run.
_ECDSA = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def maker(number: int) -> Maker:
    """Return who has the private key of a number."""
    return Maker(ec.derive_private_key(number, ec.SECP256R1()))


FOUNDER, OTHER = maker(1001), maker(1002)


def proof(by: Maker, csr: bytes) -> bytes:
    """Return the signature of a manager over a request, in base64."""
    text = f"magnum-swarm-mode certificate\n{CLUSTER}\n".encode() + csr
    return base64.b64encode(by.private.sign(text, _ECDSA))


def pem(der: bytes, kind: str = "CERTIFICATE REQUEST", width: int = 64) -> bytes:
    """Return DER as PEM."""
    said = base64.b64encode(der).decode()
    lines = [said[at : at + width] for at in range(0, len(said), width)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""]).encode()


def _sized(tag: int, content: bytes) -> bytes:
    """Return a value in DER."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def signed(by: Maker, content: bytes) -> bytes:
    """Return a request in DER whose content has a good signature, whatever it is."""
    signature = by.private.sign(content, _ECDSA)
    return _sized(0x30, content + _ECDSA_SHA256 + _sized(0x03, b"\x00" + signature))


def request(
    private: Any,
    *names: str,
    kind: x509.ObjectIdentifier = NameOID.COMMON_NAME,
    written: _ASN1Type | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.CertificateSigningRequest:
    """Return a request to sign.

    :param kind: of the names.
    :param written: the type of the texts.
    """
    subject = x509.Name([x509.NameAttribute(kind, name, _type=written) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return builder.sign(private, None)
    return builder.sign(private, hashes.SHA256(), ecdsa_deterministic=True)


def _der(made: x509.CertificateSigningRequest) -> bytes:
    return made.public_bytes(serialization.Encoding.DER)


def _variants() -> list[x509.CertificateSigningRequest]:
    """Return requests that can be read, most of which are no manager's."""
    own = OTHER.private
    name = "swarm-manager-1"
    names = x509.SubjectAlternativeName([x509.DNSName("m"), x509.DNSName("a.example.com")])
    texts = (
        *("swarm-manager-0", "swarm-manager-7", "swarm-manager-01", "swarm-manager-99999"),
        *("swarm-manager-100000", "swarm-manager-1\n", "swarm-manager-²", "swarm-manager-1\x00"),
        *("\x1b[2J", "語", "x" * 64, "swarm-manager-1,CN=swarm-manager-0", " swarm-manager-1"),
        *("swarm-manager-1 + O = x", "swarm-manager-1\nsubject=CN = swarm-manager-1"),
    )
    return [
        *[request(own, name)] * 20,
        *[request(own, name, extensions=[names])] * 3,
        *[request(own, one) for one in texts],
        request(own),
        request(own, name, name),
        request(own, name, "swarm-manager-0"),
        request(own, name, kind=NameOID.ORGANIZATION_NAME),
        request(own, name, written=_ASN1Type.PrintableString),
        request(own, name, written=_ASN1Type.BMPString),
        request(own, name, written=_ASN1Type.T61String),
        request(ec.derive_private_key(5, ec.SECP384R1()), name),
        request(ec.derive_private_key(5, ec.SECP256K1()), name),
        request(ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32), name),
    ]


_VARIANTS = _variants()
_GOOD = request(OTHER.private, "swarm-manager-1")
_FOR_FOUNDER = request(OTHER.private, "swarm-manager-0")
GOOD = pem(_der(_GOOD))


def _flipped(data: bytes, dice: inputs.Dice) -> bytes:
    """Return bytes of which a few have another value."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _odd(dice: inputs.Dice) -> bytes:
    """Make a text around one request or two."""
    one, two = (pem(_der(dice.choice((_GOOD, _FOR_FOUNDER)))) for _ in range(2))
    short = one.partition(b"-----END")[0]
    return dice.choice(
        (
            pem(_der(_GOOD), dice.choice(("NEW CERTIFICATE REQUEST", "CERTIFICATE", "X"))),
            pem(_der(_GOOD), width=dice.choice((1, 63, 76, 5000))),
            one.replace(b"\n", dice.choice((b"\r\n", b"\r", b" ", b"", b"\n\n"))),
            one + two,
            dice.choice((b" ", b"x", b"x\n", b"\n", b"\t", b"#", b"-----")) + one + two,
            short + two,
            one[:-30] + two,
            pem(b"rubbish") + one,
            pem(_der(_GOOD), "NEW CERTIFICATE REQUEST") + two,
            pem(_der(_GOOD), "CERTIFICATE") + two,
            one.replace(b"\n", b"\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,0\n\n", 1),
            one.replace(b"\n", b"\na: b\n\n", 1) + two,
            b"A" * dice.choice((10, 3000, 9000)) + b"\n" + one,
        )
    )


def _pem_of(dice: inputs.Dice) -> bytes:
    """Make a request to sign, in PEM."""
    chance, one = dice.random(), dice.choice(_VARIANTS)
    if chance < 0.35:
        return pem(_der(one))
    if chance < 0.7:
        change = inputs.cut if dice.random() < 0.2 else _flipped
        return pem(signed(OTHER, change(one.tbs_certrequest_bytes, dice)))
    if chance < 0.8:
        return pem(_flipped(_der(one), dice))
    if chance < 0.93:
        return _odd(dice)
    return inputs.cut(pem(_der(one)), dice)


def bodies(valid: dict[str, Any]) -> inputs.Make:
    """Return what makes bodies whose request is changed, or of which something else is."""
    documents = inputs.documents({**valid, "csr": GOOD.decode()})

    def made(dice: inputs.Dice) -> bytes:
        if dice.random() < 0.2:
            return documents(dice)
        return json.dumps({**valid, "csr": _pem_of(dice).decode("latin-1")}).encode()

    return made


_ASK = {"secret": "bootstrap-secret"}


class _Engine(join._Engine):
    """An engine in a swarm that does not know who asks."""

    def info(self) -> Info:
        """Return that the node is active."""
        return Info("active", "m", control=True)


class _Wire(node._Wire):
    """A connection that remembers what was sent."""

    def __init__(self, sent: list[bytes]) -> None:
        super().__init__(self._answered)
        self._sent = sent

    def sendall(self, data: bytes) -> None:
        """Take a part of a request in."""
        self._sent.append(bytes(data))
        super().sendall(data)

    def _answered(self, first: bytes) -> bytes:
        if b"/auth/tokens" in first:
            return inputs.answer(b'{"token": {}}', fields=("X-Subject-Token: t",))
        return inputs.answer(b'{"pem": "PEM"}')


class _Signatures(Target):
    """Manager 0, which has a certificate: at the address that asks nothing is served."""

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        self._sent: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

        def connect(connection: Any) -> None:
            if connection.port != 80:
                raise ConnectionRefusedError
            connection.sock = _Wire(self._sent)

        told = {"auth_url": "http://k.test/v3", "magnum_url": "http://m.test/v1"}
        section = {**fakes.config_json()["openstack"], **told}
        self._config = fakes.parse_config(managers=2, openstack=section)
        form = serialization.PrivateFormat.PKCS8
        self._pair = FOUNDER.private.private_bytes(
            serialization.Encoding.PEM, form, serialization.NoEncryption()
        ).decode()
        with mock.patch.object(http.client.HTTPConnection, "connect", connect):
            yield

    def service(self) -> certificate_server.Signatures:
        """Return what answers, as it is at its start."""
        engine: Any = _Engine()
        self._sent.clear()
        return certificate_server.Signatures(self._config, self._pair, self._context, engine)

    def check_sent(self) -> None:
        """Check that what Magnum was sent, if anything, is for who asked, and is admitted."""
        bodies = [one for one in self._sent if b'"csr"' in one]
        heads = [one for one in self._sent if b"POST /v1/certificates" in one]
        for head, body in zip(heads, bodies, strict=True):
            given = head.partition(b"X-Swarm-Mode-Proof: ")[2].partition(b"\r\n")[0].decode()
            try:
                read = manager_keys.read(CLUSTER, json.loads(body)["csr"], given)
            except exceptions.Refused:
                continue
            known = self._config.managers.get(read.index, {"address": _ASKING})
            assert known["address"] == _ASKING, read.index
            manager_keys.admitted({"0": FOUNDER.public}, read, is_creating=False)


class Certificates(_Signatures):
    """The body of a request for a certificate.

    Only ``NodeError`` leaves it. What reaches Magnum is for the manager whose address asks, and is
    signed, or Magnum refuses it.
    """

    name = "join-csr"
    refusals = (NodeError,)
    longest = 500
    depths = (openstack.sign, certificates.proof)

    def inputs(self) -> inputs.Make:
        return bodies(_ASK)

    def read(self, data: bytes) -> Iterable[str]:
        service = self.service()
        try:
            return list(service.answer(_ASKING, data[: join_server.LONGEST_BODY]).values())
        finally:
            self.check_sent()


class Server(_Signatures):
    """All that another manager sends, to the handler of the certificates' server.

    As of the join server: an answer or none, only errors of the connection, one line that can be
    shown.
    """

    name = "join-certificate"
    refusals = (ConnectionError,)
    longest = 1000
    depths = (openstack.sign, join_server.Handler.do_POST)

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        with super().ready(), contextlib.ExitStack() as stack:
            self._server = join_server.Server(("127.0.0.1", 0), join_server.tls(), self.service())
            stack.callback(self._server.server_close)
            yield

    def inputs(self) -> inputs.Make:
        return join.requests(b"POST /v1/certificate HTTP/1.1", bodies(_ASK))

    def read(self, data: bytes) -> Iterable[str]:
        self._server.service = self.service()
        answer, said = join.exchanged(self._server, _ASKING, data)
        self.check_sent()
        assert b"PRIVATE KEY" not in answer
        yield said


class Keys(Target):
    """A request to sign and its proof, and the keys that a record holds.

    Only ``Refused`` and ``NotAdmitted`` leave the reader and the decision, and nothing but the key
    of the request is added.
    """

    name = "api-keys"
    refusals = (exceptions.Refused, manager_keys.NotAdmitted)
    depths = (manager_keys.read, manager_keys.admitted)

    def inputs(self) -> inputs.Make:
        known = {"0": FOUNDER.public}
        record = inputs.documents(known, {**known, "1": OTHER.public})
        fine = json.dumps(known).encode()

        def made(dice: inputs.Dice) -> bytes:
            csr = _pem_of(dice) if dice.random() < 0.7 else GOOD
            keys = fine if dice.random() < 0.5 else record(dice)
            if dice.random() < 0.1:
                der = FOUNDER.private.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                keys = json.dumps({"0": base64.b64encode(_flipped(der, dice)).decode()}).encode()
            return BETWEEN.join((keys, proof_of(csr, dice), csr))

        return made

    def read(self, data: bytes) -> Iterable[str]:
        keys, given, csr, *_ = [*data.split(BETWEEN, 2), b"", b""]
        try:
            known = json.loads(keys)
        except (ValueError, RecursionError):
            known = {}
        # A record's other kinds are refused where it is read; see the target "record".
        plain = isinstance(known, dict) and all(isinstance(one, str) for one in known.values())
        known = known if plain else {}
        read = manager_keys.read(CLUSTER, csr.decode("ascii", "replace"), given.decode("latin-1"))
        after = manager_keys.admitted(known, read, is_creating=False)
        assert after == {**known, read.index: read.key}
        yield read.index


def proof_of(csr: bytes, dice: inputs.Dice) -> bytes:
    """Make a proof, of which many are good."""
    good = proof(FOUNDER, csr)
    chance = dice.random()
    if chance < 0.6:
        return good
    if chance < 0.8:
        return base64.b64encode(_flipped(base64.b64decode(good), dice))
    return dice.choice((b"", inputs.cut(good, dice), b"\xff", b"==", proof(OTHER, csr), good * 99))


TARGETS = (Certificates(), Server(), Keys())
