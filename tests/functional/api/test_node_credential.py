# SPDX-License-Identifier: Apache-2.0
"""What Magnum's own API lets the application credential of a cluster's nodes do."""

import json
from dataclasses import replace

import sqlalchemy

from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions import record
from magnum_swarm_mode.decisions.record import Phase
from tests.functional.api import fake_cloud
from tests.functional.api.test_clusters import ClusterCase
from tests.unit.admission.signing_requests import Maker


class NodeCredentialTest(ClusterCase):
    """What a token of the nodes' application credential may do."""

    def setUp(self):
        super().setUp()
        self.own = self.existing()
        self.other = self.existing()
        self.token = self.token_of(self.own)

    def token_of(self, cluster):
        """Return a token of a cluster's nodes; without access rules, as the guard is alone here."""
        name = f"magnum-swarm-mode-node-{cluster}"
        credential = {"id": "1", "name": name, "restricted": True}
        return self.service.cloud.token(f"node-{cluster}", application_credential=credential)

    def as_node(self, method, path, body=None, **options):
        return self.service.call(method, path, body, token=self.token, **options)

    def assert_forbidden(self, answer):
        self.assertEqual(403, answer.status_code, answer.text)
        self.assertIn("may only sign certificates", answer.json()["errors"][0]["detail"])

    def store(self):
        """Return the table of records, with one of the own cluster."""
        engine = sqlalchemy.create_engine(f"sqlite:///{self.service.directory}/magnum.sqlite")
        self.addCleanup(engine.dispose)
        store = Store(engine)
        if store.get(self.own) is None:
            store.insert(self.own, fake_cloud.PROJECT, record.new(Phase.CREATED, "owner", "stack"))
        return store

    def sign(self, maker, index, signed_by=None):
        """Ask for a certificate of a manager."""
        csr = maker.csr(f"swarm-manager-{index}")
        headers = {"X-Swarm-Mode-Proof": signed_by.proof(self.own, csr)} if signed_by else {}
        body = {"cluster_uuid": self.own, "csr": csr}
        return self.as_node("POST", "/v1/certificates", body, headers=headers)

    def assert_not_admitted(self, answer):
        self.assertEqual(403, answer.status_code, answer.text)
        self.assertIn("proves nothing by itself", answer.json()["errors"][0]["detail"])

    def test_its_own_cluster(self):
        """It signs for a manager of its own cluster and reads the cluster."""
        first, second, thief = Maker(), Maker(), Maker()
        store = self.store()
        before = self.settle()
        # The cluster is complete, and none of its managers is known.
        self.assert_not_admitted(self.sign(first, 0))
        store.amend(self.own, lambda state: replace(state, manager_keys={"0": first.public}))
        self.assert_not_admitted(self.sign(thief, 0))
        self.assert_not_admitted(self.sign(second, 1, thief))
        self.assertEqual(before, self.settle())
        for answer in (self.sign(first, 0), self.sign(second, 1, first), self.sign(second, 1)):
            self.assertEqual(201, answer.status_code, answer.text)
            self.assertEqual(self.own, answer.json()["cluster_uuid"])
        known = store.get(self.own).state.manager_keys
        self.assertEqual({"0": first.public, "1": second.public}, known)
        shown = self.as_node("GET", f"/v1/clusters/{self.own}")
        self.assertEqual("CREATE_COMPLETE", shown.json()["status"])
        self.as_node("GET", f"/v1/certificates/{self.own}")
        self.assertIn(self.own, json.dumps(self.service.messages()[-1]))

    def test_while_creating(self):
        """The first manager of a new cluster is signed for, once."""
        self.own = self.existing(status="CREATE_IN_PROGRESS")
        self.token = self.token_of(self.own)
        self.store()
        first = Maker()
        self.assert_not_admitted(self.sign(first, 1))
        for _ in range(2):
            self.assertEqual(201, self.sign(first, 0).status_code)
        self.assert_not_admitted(self.sign(Maker(), 0))

    def test_no_record(self):
        """Nothing is signed for a cluster that has no record, as one that is deleted."""
        answer = self.sign(Maker(), 0)
        self.assertEqual(403, answer.status_code, answer.text)

    def test_no_request_of_a_manager(self):
        """What is no request of a manager is a bad request."""
        answer = self.as_node("POST", "/v1/certificates", {"cluster_uuid": self.own, "csr": "PEM"})
        self.assertEqual(400, answer.status_code, answer.text)
        self.assertIn("swarm-manager-<index>", answer.json()["errors"][0]["detail"])

    def test_other_clusters(self):
        """It neither signs for another cluster of its project nor reads it."""
        before = self.settle()
        self.assert_forbidden(
            self.as_node("POST", "/v1/certificates", {"cluster_uuid": self.other, "csr": "PEM"})
        )
        self.assert_forbidden(
            self.as_node(
                "POST",
                "/v1/certificates",
                {"cluster_uuid": f"existing-{self.own}", "csr": "PEM"},
            )
        )
        for path in (
            f"/v1/certificates/{self.other}",
            f"/v1/clusters/{self.other}",
            f"/v1/clusters/existing-{self.own}",
            "/v1/clusters",
            "/v1/clustertemplates",
        ):
            self.assert_forbidden(self.as_node("GET", path))
        self.assertEqual(before, self.settle())

    def test_other_calls(self):
        """It neither rotates, deletes nor changes anything, however the call is dressed up."""
        before = self.settle()
        for answer in (
            self.as_node("PATCH", f"/v1/certificates/{self.own}"),
            self.as_node("DELETE", f"/v1/clusters/{self.own}"),
            self.as_node("POST", f"/v1/certificates/{self.own}?_method=patch"),
            self.as_node("GET", f"/v1/certificates/{self.own}?_method=patch"),
            self.as_node("POST", f"/v1/clusters/{self.own}?_method=delete"),
            self.as_node("POST", f"/v1/clusters/{self.own}/actions/resize", {"node_count": 0}),
            self.as_node(
                "POST",
                "/v1/certificates",
                headers={"Content-Type": "application/xml"},
                data=f"<c><cluster_uuid>{self.other}</cluster_uuid></c>",
            ),
        ):
            self.assert_forbidden(answer)
        self.assertEqual(before, self.settle())

    def test_unreadable_bodies(self):
        """A request to sign that cannot be read is a bad request."""
        good = json.dumps({"cluster_uuid": self.own, "csr": "PEM"})
        name = f'"cluster_uuid": "{self.own}"'
        for sent, kind in (
            (good.encode("utf-16"), ""),
            (good.encode("utf-16-le"), ""),
            (good.encode("utf-16"), "; charset=utf-16"),
            (good.encode(), "; charset=unknown"),
            (good.encode("utf-32"), ""),
            (b"\xef\xbb\xbf" + good.encode(), ""),
            (b"\xff" + good.encode(), ""),
            (b"[" * 100_000, ""),
            (b'{"csr":' * 100_000, ""),
            (b"", ""),
            (b"[]", ""),
            (b"null", ""),
            (b'{"csr": ' + b"9" * 5000 + b"}", ""),
            (f'{{{name}, "csr": ["PEM"]}}'.encode(), ""),
            (f'{{{name}, "csr": {{"PEM": 1}}}}'.encode(), ""),
            (f'{{{name}, "csr": "\\ud800"}}'.encode(), ""),
            (f"{{{name}, {name}}}".encode(), ""),
            (f'{{{name}, "csr": NaN}}'.encode(), ""),
        ):
            headers = {"Content-Type": "application/json" + kind}
            answer = self.as_node("POST", "/v1/certificates", data=sent, headers=headers)
            self.assertEqual(400, answer.status_code, f"{sent[:60]!r} {kind}")

    def test_users_are_not_held(self):
        """A user's token may still do what the user may."""
        answer = self.service.call(
            "POST", "/v1/certificates", {"cluster_uuid": self.other, "csr": "PEM"}
        )
        self.assertEqual(201, answer.status_code, answer.text)
