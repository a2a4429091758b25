# SPDX-License-Identifier: Apache-2.0
"""Whatever JSON stands in a field, Magnum's own API answers with success or with a sentence."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from magnum.api.controllers.v1 import cluster, cluster_template

from magnum_swarm_mode.labels import table as label_table
from tests.functional.api import test_clusters
from tests.unit import strategies
from tests.unit.admission import properties

HOSTILE = (
    "'; DROP TABLE cluster; --",
    "$(touch /pwned)",
    "`reboot`",
    "{get_param: OS::stack_id}",
    "{{ 7 * 7 }}",
    "%index%",
    "%(x)s %d",
    "a: b\n- c",
    '"}, {"x": "',
    "../../etc/passwd",
    "https://[::1",
    "\N{PILE OF POO}",
    "集群",
    "\x00",
    "\ud800",
    "-1",
    "1e400",
    "true",
    "10.0.0.0/8",
    "x" * 300,
)
NUMBERS = (-1, 0, 1, 2, 3, 2**31, 2**63, 10**40, 0.5, float("inf"), True)
KNOWN = ("ubuntu_xenial", "debian", "m1.small", "fuel", "private", "private-subnet", "public")
scalars = st.one_of(
    st.sampled_from(HOSTILE + NUMBERS + KNOWN),
    st.text(max_size=20),
    st.integers(),
    st.none(),
    st.booleans(),
    st.floats(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=8), st.just("join_timeout")), inner, max_size=3),
    ),
    max_leaves=6,
)


def fields_of(api_type: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields of a type of the API, each with some JSON."""
    names = sorted({attribute.name for attribute in api_type._wsme_attributes} | {"unknown"})
    return st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=3)


# Each example is a request or two.
PROPERTY = settings(properties.PROPERTY, max_examples=80)


class PropertyTest(test_clusters.ClusterCase):
    def setUp(self):
        super().setUp()
        self.service.cloud.reset()
        self.good = self.create_template()

    def send(self, method, path, body):
        # JSON as some clients write it: with NaN and halves of surrogate pairs.
        return self.service.call(
            method, path, data=json.dumps(body), headers={"Content-Type": "application/json"}
        )

    def assert_answered(self, answer, body):
        """Check that an answer is a success, or a 4xx with a sentence; which it is."""
        said = f"{json.dumps(body)[:500]} -> {answer.status_code} {answer.text[:1500]}"
        self.assertLess(answer.status_code, 500, said)
        self.assertNotIn("Traceback", answer.text, said)
        if answer.status_code < 400:
            return True
        self.assertGreater(len(self.sentence(answer).split()), 2, said)
        return False

    def assert_no_traces(self, before):
        """Check that requests which were refused changed nothing, anywhere."""
        self.assertEqual(before, (self.service.rows(), list(self.service.cloud.changes)))

    @PROPERTY
    @given(fields_of(cluster.Cluster))
    def test_cluster(self, fields):
        """A cluster is accepted and sent to the conductor, or refused with a sentence."""
        body = {**self.cluster(self.good, master_count=1, node_count=1), **fields}
        before = self.service.rows(), list(self.service.cloud.changes)
        self.assert_answered(self.send("POST", "/v1/clusters", body), body)
        self.assert_no_traces(before)

    @PROPERTY
    @given(
        strategies.label_maps(),
        st.dictionaries(
            st.sampled_from([*label_table.DECLARATIONS, "unknown"]), values, max_size=2
        ),
    )
    def test_labels_of_a_cluster(self, good, other):
        """So is one with any labels, whether their values make sense or not."""
        body = self.cluster(self.good, labels=good | other)
        before = self.service.rows(), list(self.service.cloud.changes)
        self.assert_answered(self.send("POST", "/v1/clusters", body), body)
        self.assert_no_traces(before)

    @PROPERTY
    @given(fields_of(cluster_template.ClusterTemplate))
    def test_template(self, fields):
        """A template is stored and can be shown, or is refused with a sentence."""
        body = {**self.template(), **fields}
        before = self.service.rows(), list(self.service.cloud.changes)
        answer = self.send("POST", "/v1/clustertemplates", body)
        if not self.assert_answered(answer, body):
            self.assert_no_traces(before)
            return
        path = f"/v1/clustertemplates/{answer.json()['uuid']}"
        for shown in (path, "/v1/clustertemplates"):
            self.assertEqual(200, self.service.call("GET", shown).status_code, str(body))
        self.assertEqual(204, self.service.call("DELETE", path).status_code, str(body))

    @PROPERTY
    @given(
        st.sampled_from(
            [*sorted(a.name for a in cluster_template.ClusterTemplate._wsme_attributes), "x", ""]
        ),
        st.sampled_from(["add", "replace", "remove", "move"]),
        values,
    )
    def test_patch(self, name, operation, value):
        """A patch of a template is carried out, or refused with a sentence."""
        path = f"/v1/clustertemplates/{self.good['uuid']}"
        body = [{"op": operation, "path": f"/{name}", "value": value}]
        self.assert_answered(self.send("PATCH", path, body), body)
        shown = self.service.call("GET", path)
        self.assertEqual(200, shown.status_code, f"{body}: {shown.text}")

    @PROPERTY
    @given(values)
    def test_whole_bodies(self, body):
        """So is a body that is no object at all, or nearly one."""
        for path in ("/v1/clusters", "/v1/clustertemplates"):
            self.assertFalse(self.assert_answered(self.send("POST", path, body), body))

    def test_bodies_that_are_no_json(self):
        """And one that is no JSON."""
        for data in (b"", b"{", b"[" * 500, b'{"name": "a", "name": "b"}'):
            for path in ("/v1/clusters", "/v1/clustertemplates"):
                answer = self.service.call(
                    "POST", path, data=data, headers={"Content-Type": "application/json"}
                )
                self.assertFalse(self.assert_answered(answer, repr(data[:30])))
