# SPDX-License-Identifier: Apache-2.0
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode.admission import node_token
from tests.unit.admission.properties import PROPERTY

OWN = "0b4c5d2e-8d5c-4f43-9a3e-7a5b6c7d8e9f"
OTHER = "0b4c5d2e-8d5c-4f43-9a3e-7a5b6c7d8e90"
SIGN = json.dumps({"cluster_uuid": OWN, "csr": "PEM"}).encode()
FUZZ = settings(PROPERTY, max_examples=500)
# Bytes of any kind, and JSON that resembles a request to sign.
BODIES = st.binary(max_size=100) | st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from([OWN, OTHER, "PEM", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster_uuid", "csr", "ca_cert_type", "x"]), inner, max_size=4
        )
    ),
)


def token(name):
    return {"token": {"application_credential": {"id": "1", "name": name, "restricted": True}}}


def call(method="POST", path="/v1/certificates", query="", content="application/json", body=SIGN):
    return node_token.Call(method, path, query, content, body)


def get(path, **options):
    return call("GET", path, **{"content": "", "body": b"", **options})


class GuardTest(base.BaseTestCase):
    def refusal(self, wanted, name=f"magnum-swarm-mode-node-{OWN}"):
        return node_token.refusal(token(name), wanted)

    def test_its_three_calls(self):
        """A node's credential signs for its cluster, and reads its certificates and itself."""
        for allowed in (
            call(),
            call(path="/v1/certificates/"),
            call(body=json.dumps({"cluster_uuid": OWN, "csr": "x", "ca_cert_type": None}).encode()),
            get(f"/v1/certificates/{OWN}"),
            get(f"/v1/clusters/{OWN}"),
            get(f"/v1/clusters/{OWN}/"),
        ):
            self.assertIsNone(self.refusal(allowed), allowed)

    def test_everything_else(self):
        """Other clusters, names, methods, paths, queries and bodies are forbidden."""
        for forbidden in (
            call(body=json.dumps({"cluster_uuid": OTHER, "csr": "x"}).encode()),
            call(body=json.dumps({"cluster_uuid": "by-name", "csr": "x"}).encode()),
            call(body=json.dumps({"cluster_uuid": OWN.upper(), "csr": "x"}).encode()),
            call(body=json.dumps({"cluster_uuid": OWN.replace("-", ""), "csr": "x"}).encode()),
            call(body=json.dumps({"cluster_uuid": [OWN], "csr": "x"}).encode()),
            call(body=json.dumps({"cluster_uuid": OWN, "ca_cert_type": "etcd"}).encode()),
            call(body=f'{{"cluster_uuid": "{OTHER}", "cluster_uuid": "{OWN}"}}'.encode()),
            call(body=b""),
            call(body=b"[]"),
            call(body=b"\xff"),
            call(body=f"<certificate><cluster_uuid>{OTHER}</cluster_uuid></certificate>".encode()),
            call(content="application/xml"),
            call(content="application/x-www-form-urlencoded"),
            call(content="application/x-www-form-urlencoded", body=b'{"a": "&_method=patch&"}'),
            call(content=""),
            call(query="_method=patch"),
            call(query="certificate.cluster_uuid=" + OTHER),
            call(path="/certificates"),
            call(path="//v1/certificates"),
            call(path="/v1/certificates.json"),
            call(path=f"/v1/certificates/{OWN}"),
            call(path="/v1/clusters"),
            call(path=f"/v1/clusters/{OWN}/actions/resize"),
            call("PATCH", f"/v1/certificates/{OWN}"),
            call("PATCH", f"/v1/credentials/{OWN}"),
            call("DELETE", f"/v1/clusters/{OWN}"),
            call("PUT"),
            get("/v1/clusters"),
            get("/v1/clusters/by-name"),
            get(f"/v1/clusters/{OTHER}"),
            get(f"/v1/clusters/{OWN}/nodegroups"),
            get(f"/v1/clusters/{OWN}\n"),
            get(f"/v1/certificates/{OTHER}"),
            get("/v1/certificates/by-name"),
            get(f"/v1/certificates/{OWN}", query="ca_cert_type=etcd"),
            get(f"/v1/certificates/{OWN}", query="_method=patch"),
            get(f"/v1/certificates/{OWN}", body=b"_method=patch"),
            get(f"/v1/certificates/../clustertemplates/{OWN}"),
            get("/v1/mservices"),
            get("/"),
        ):
            self.assertIn("may only sign", self.refusal(forbidden) or "", forbidden)

    def test_other_tokens_are_left_alone(self):
        """Users, and their application credentials of other names, are not the guard's business."""
        others = [None, "", {}, {"token": {}}, token("ci"), token("my-magnum-swarm-mode-node-")]
        for other in others:
            self.assertIsNone(node_token.refusal(other, call("DELETE", f"/v1/clusters/{OTHER}")))

    def test_rotated(self):
        """A credential that was made by a rotation bears a number, and may do the same."""
        for number in (1, 12):
            name = f"magnum-swarm-mode-node-{OWN}-{number}"
            self.assertIsNone(self.refusal(call(), name))
            self.assertIsNotNone(self.refusal(get(f"/v1/clusters/{OTHER}"), name))

    def test_name_without_cluster(self):
        """A credential with our prefix whose name names no cluster may do nothing."""
        for name in (
            "",
            "x",
            OWN + "x",
            OWN + "\n",
            OWN.upper(),
            f"x-{OWN}",
            f"{OWN}-",
            f"{OWN}-0",
        ):
            self.assertIsNotNone(self.refusal(call(), f"magnum-swarm-mode-node-{name}"), name)

    @PROPERTY
    @given(
        st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "get"]),
        st.one_of(
            st.text(),
            st.sampled_from(["/v1/certificates", f"/v1/certificates/{OTHER}", "/v1/clusters/"]),
        ),
        st.binary(),
    )
    def test_no_call_without_its_uuid(self, method, path, body):
        """No call passes that does not name the credential's own cluster."""
        wanted = call(method, path, body=body)
        if OWN not in path and OWN.encode() not in body:
            self.assertIsNotNone(self.refusal(wanted))

    def test_unreadable(self):
        """A signing request that Magnum cannot read differs from one that is forbidden."""
        good = SIGN.decode()
        for body in (
            good.encode("utf-16"),
            good.encode("utf-16-le"),
            good.encode("utf-32"),
            b"\xef\xbb\xbf" + SIGN,
            b"",
            b"[]",
            b"null",
            b"[" * 100_000,
            b'{"csr":' * 100_000,
            b'{"csr": ' + b"9" * 5000 + b"}",
            b'{"csr": ["PEM"]}',
            b'{"csr": "\\ud800"}',
            b'{"csr": "a", "csr": "b"}',
        ):
            wanted = call(body=body)
            self.assertFalse(node_token.is_readable(wanted), body[:40])
            self.assertIsNotNone(self.refusal(wanted), repr(body[:40]))
        other = json.dumps({"cluster_uuid": OTHER, "csr": "x"}).encode()
        for wanted in (call(), call(body=other), get("/v1/clusters"), call("PUT", body=b"\xff")):
            self.assertTrue(node_token.is_readable(wanted), wanted)

    @FUZZ
    @given(BODIES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]))
    def test_any_body(self, value, encoding):
        """Every body is allowed, forbidden or unreadable; what is allowed signs for the cluster."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode(encoding)
        wanted = call(body=body)
        if self.refusal(wanted) is None:
            self.assertTrue(node_token.is_readable(wanted))
            self.assertEqual(OWN, json.loads(body.decode())["cluster_uuid"])
        if encoding != "utf-8" and not isinstance(value, bytes):
            self.assertFalse(node_token.is_readable(wanted))

    @FUZZ
    @given(
        st.recursive(
            st.none() | st.text(max_size=10) | st.integers() | st.sampled_from([OWN, "name"]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["token", "application_credential", "name", "x"]), inner
                )
            ),
        )
    )
    def test_any_token(self, info):
        """The guard has an answer for every answer of Keystone."""
        self.assertIn(node_token.concerns(info), (True, False))
        self.assertIn(node_token.refusal(info, get("/v1/clusters")) is None, (True, False))
