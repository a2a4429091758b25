# SPDX-License-Identifier: Apache-2.0
"""What Magnum's API lets those do who do not own the cluster."""

from tests.functional.api.test_clusters import ClusterCase
from tests.unit.admission.signing_requests import Maker

OTHER_PROJECT = "5a2c4dc7ad0b4d6fb2b8d0c9b1d2a0fe"
OTHER_USER = "5a2c4dc7ad0b4d6fb2b8d0c9b1d2a0ff"


class OthersTest(ClusterCase):
    def setUp(self):
        super().setUp()
        self.uuid = self.existing()
        self.cluster_path = f"/v1/clusters/{self.uuid}"
        self.before = self.settle()

    def calls(self, token):
        """Make every call that would change the cluster or open it; return the answers."""
        csr = Maker().csr("*")
        group = f"{self.cluster_path}/nodegroups"
        for method, path, body in (
            ("POST", "/v1/certificates", {"cluster_uuid": self.uuid, "csr": csr}),
            ("PATCH", f"/v1/certificates/{self.uuid}", None),
            ("PATCH", f"/v1/credentials/{self.uuid}", None),
            ("DELETE", self.cluster_path, None),
            ("POST", f"{self.cluster_path}/actions/resize", {"node_count": 1}),
            ("POST", group, {"name": "further", "node_count": 1}),
            ("DELETE", f"{group}/default-worker", None),
        ):
            yield f"{method} {path}", self.service.call(method, path, body, token=token)

    def test_other_tenant(self):
        """For a member of another project the cluster does not exist, whichever call it is."""
        token = self.service.cloud.token("other", project=OTHER_PROJECT, user=OTHER_USER)
        for call, answer in self.calls(token):
            # Magnum answers 400 where a body names a cluster that does not exist.
            self.assertIn(answer.status_code, (400, 403, 404), f"{call}: {answer.text}")
            self.assertRegex(answer.text, "could not be found|Policy doesn't allow")
        for path in (self.cluster_path, f"/v1/certificates/{self.uuid}"):
            answer = self.service.call("GET", path, token=token)
            self.assertEqual(404, answer.status_code, answer.text)
        listed = self.service.call("GET", "/v1/clusters", token=token)
        self.assertEqual([], listed.json()["clusters"])
        self.assertEqual(self.before, self.settle())

    def test_reader(self):
        """A reader of the project sees the cluster, and neither changes it nor gets a key to it."""
        token = self.service.cloud.token("only-reader", roles=("reader",), user=OTHER_USER)
        for call, answer in self.calls(token):
            self.assertEqual(403, answer.status_code, f"{call}: {answer.text}")
        self.assertEqual(200, self.service.call("GET", self.cluster_path, token=token).status_code)
        self.assertEqual(self.before, self.settle())

    def test_member(self):
        """Another member of the project has nothing signed before the credential is rotated."""
        token = self.service.cloud.token("member", user=OTHER_USER)
        body = {"cluster_uuid": self.uuid, "csr": Maker().csr("*")}
        answer = self.service.call("POST", "/v1/certificates", body, token=token)
        self.assertEqual(403, answer.status_code, answer.text)
        self.assertEqual(self.before, self.settle())
