# SPDX-License-Identifier: Apache-2.0
import contextlib
import functools
from collections.abc import Callable

from magnum.objects import fields
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import operations as operation_rules
from magnum_swarm_mode.decisions.model import Member
from tests import cases

WORKERS = {"role": "worker", "name": "more", "min_node_count": 1, "max_node_count": 4}


class StatusTest(base.BaseTestCase):
    def refusal(self, function, *arguments):
        return str(self.assertRaises(exceptions.Refused, function, *arguments))

    def test_at_rest(self):
        """A cluster that is complete can be changed either way."""
        for status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "ROLLBACK_COMPLETE"):
            operation_rules.check_update(status, None)
            operation_rules.check_resize(status, None)

    def test_busy(self):
        """While an operation is under way a resize waits its turn, and an update is told so."""
        operation_rules.check_resize("UPDATE_IN_PROGRESS", "Draining a.")
        sentence = self.refusal(operation_rules.check_update, "UPDATE_IN_PROGRESS", "Draining a.")
        cases.shown(self, "change-update-busy", sentence, answer=400)
        error = self.assertRaises(
            exceptions.Refused,
            operation_rules.check_group_change,
            "UPDATE_IN_PROGRESS",
            "Draining a.",
            creates=True,
        )
        cases.shown(self, "change-group-busy", str(error), answer=400)

    def test_group_owner(self):
        """Whose node group it shall be, his is the cluster."""
        operation_rules.check_group_owner("me", "me")
        sentence = self.refusal(operation_rules.check_group_owner, "me", "you")
        cases.shown(self, "group-not-owner", sentence, answer=400)

    def test_group_stays(self):
        """A node group whose deletion was requested is changed no more."""
        for status in (None, "CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_FAILED"):
            operation_rules.check_group_stays("gpu", status)
        for status in ("DELETE_IN_PROGRESS", "DELETE_FAILED"):
            sentence = self.refusal(operation_rules.check_group_stays, "gpu", status)
            cases.shown(self, "change-group-goes", sentence, answer=400)

    def test_rotate_credential(self):
        """A credential is rotated in a cluster at rest, also after a failure, and in no other."""
        for status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED"):
            operation_rules.check_credential_rotation(status, None)
        sentence = self.refusal(
            operation_rules.check_credential_rotation, "UPDATE_IN_PROGRESS", "Draining a."
        )
        cases.shown(self, "credential-busy", sentence, answer=400)
        for status in ("CREATE_IN_PROGRESS", "CREATE_FAILED", "DELETE_IN_PROGRESS"):
            self.refusal(operation_rules.check_credential_rotation, status, None)

    def test_failed(self):
        """A failed update is repaired by a resize, and an update is told so."""
        operation_rules.check_resize("UPDATE_FAILED", None)
        sentence = self.refusal(operation_rules.check_update, "UPDATE_FAILED", "No host.")
        cases.shown(self, "change-update-failed", sentence, answer=400)

    def test_every_status(self):
        """For each status of Magnum's it is said what can be asked for."""
        table = {
            "CREATE_IN_PROGRESS": "",
            "CREATE_FAILED": "",
            "CREATE_COMPLETE": "update resize create group change group rotate",
            "UPDATE_IN_PROGRESS": "resize change group",
            "UPDATE_FAILED": "resize create group change group",
            "UPDATE_COMPLETE": "update resize create group change group rotate",
            "DELETE_IN_PROGRESS": "",
            "DELETE_FAILED": "",
            "DELETE_COMPLETE": "",
            "RESUME_COMPLETE": "update resize create group change group rotate",
            "RESUME_FAILED": "",
            "RESTORE_COMPLETE": "update resize create group change group rotate",
            "ROLLBACK_IN_PROGRESS": "",
            "ROLLBACK_FAILED": "",
            "ROLLBACK_COMPLETE": "update resize create group change group rotate",
            "SNAPSHOT_COMPLETE": "update resize create group change group rotate",
            "CHECK_COMPLETE": "update resize create group change group rotate",
            "ADOPT_COMPLETE": "update resize create group change group rotate",
        }
        self.assertEqual(set(fields.ClusterStatus.ALL), set(table))
        checks: dict[str, Callable[[str, str | None], None]] = {
            "update": operation_rules.check_update,
            "resize": operation_rules.check_resize,
            "create group": functools.partial(operation_rules.check_group_change, creates=True),
            "change group": functools.partial(operation_rules.check_group_change, creates=False),
            "rotate": operation_rules.check_rotation,
        }
        for status, allowed in table.items():
            found = []
            for name, check in checks.items():
                with contextlib.suppress(exceptions.Refused):
                    check(status, None)
                    found.append(name)
            self.assertEqual(allowed, " ".join(found), status)

    def test_hopeless(self):
        """Of clusters that can only be deleted it is said so."""
        for status, case in (
            ("CREATE_FAILED", "change-after-failed-creation"),
            ("ROLLBACK_FAILED", "change-after-failed-rollback"),
        ):
            for function in (operation_rules.check_update, operation_rules.check_resize):
                cases.shown(self, case, self.refusal(function, status, "No host."), answer=400)

    def test_creating(self):
        """A cluster in creation is not resized."""
        sentence = self.refusal(operation_rules.check_resize, "CREATE_IN_PROGRESS", None)
        cases.shown(self, "change-creating", sentence, answer=400)

    def test_rotation(self):
        """Certificates are replaced while nothing else is under way, and after no failure."""
        for status, reason, case in (
            ("UPDATE_IN_PROGRESS", "Draining a.", "certificates-busy"),
            ("UPDATE_FAILED", "No host.", "certificates-after-failure"),
        ):
            sentence = self.refusal(operation_rules.check_rotation, status, reason)
            cases.shown(self, case, sentence, answer=400)

    def test_bounds(self):
        """A group keeps to its bounds."""
        operation_rules.check_count(WORKERS, 4)
        for count in (0, 5):
            sentence = self.refusal(operation_rules.check_count, WORKERS, count)
            cases.shown(self, "change-bounds", sentence, answer=400)

    def test_named(self):
        """A node that is not in the group is named, with those that are."""
        members = [Member("0", "swarm-worker-0", "id-0"), Member("3", "swarm-worker-3", "id-3")]
        operation_rules.check_named(["3", "id-0", "swarm-worker-0"], members, "more")
        sentence = self.refusal(operation_rules.check_named, ["1"], members, "more")
        self.assertIn("of swarm-worker-0, swarm-worker-3.", sentence)
        cases.shown(self, "change-unknown-node", sentence, answer=400)
