# SPDX-License-Identifier: Apache-2.0
"""Texts of managers and of Magnum that would do harm on the user's terminal."""

import json
import unicodedata

import fixtures

from tests.unit.cli import base
from tests.unit.cli.fake_managers import FakeManagers, node

HOSTILE = "\x1b[2J\x07\u202e\u2066\u2028\x9b"
HARMFUL = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


class UntrustedTest(base.CommandTestCase):
    def assert_harmless(self, ran: base.Ran, *expected: str) -> None:
        """Look at all that a command has written; the expected words must be there."""
        written = ran.out + ran.err
        bad = {one for one in written if one != "\n" and unicodedata.category(one) in HARMFUL}
        self.assertEqual(set(), bad, repr(written))
        for word in expected:
            self.assertIn(word, written)

    def test_magnum(self) -> None:
        """All that Magnum has of a cluster is shown without harm, also in an error."""
        template = self.cloud.add_template()
        self.cloud.add_cluster(
            name="c",
            cluster_template_id=template["uuid"],
            status_reason=f"reason{HOSTILE}",
            health_status_reason={f"name{HOSTILE}": f"state{HOSTILE}"},
        )
        self.assert_harmless(self.magnum("cluster-show", "c"), "reason", "name", "state")
        error = {"errors": [{"status": 400, "title": f"refused{HOSTILE}", "detail": "x"}]}
        self.cloud.failures["GET", "/clusters/c"] = (400, json.dumps(error), "application/json")
        self.assert_harmless(self.magnum("cluster-show", "c"), "refused")

    def test_managers(self) -> None:
        """So is all that a manager says of itself, and why it refuses something."""
        managers = self.useFixture(FakeManagers([0, 1], [node(0), node(1)]))
        self.cloud.authority = managers.authority
        template = self.cloud.add_template()
        self.cloud.add_cluster(
            name="c", cluster_template_id=template["uuid"], **managers.cluster(2)
        )
        info = managers.info
        managers.info = lambda index: {  # type: ignore[method-assign]
            **info(index),
            "Name": f"hostname{HOSTILE}",
            "Swarm": {**info(index)["Swarm"], "Error": f"problem{HOSTILE}"},
        }
        for name in ("_INTERVAL", "_BEGIN_SECONDS"):
            self.useFixture(
                fixtures.MonkeyPatch(f"magnum_swarm_mode.cli.swarm.recover.{name}", 0.05)
            )
        ran = self.magnum("swarm-recover", "c", "--yes")
        self.assert_harmless(ran, "problem")
        ran = self.magnum("swarm-backup", "c", str(self.home / "copy"))
        self.assert_harmless(ran)
