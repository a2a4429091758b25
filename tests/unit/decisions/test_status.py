# SPDX-License-Identifier: Apache-2.0
import dataclasses

from oslotest import base

from magnum_swarm_mode.decisions import status
from magnum_swarm_mode.decisions.record import Kind, Phase, State, new
from magnum_swarm_mode.decisions.status import Action, Decision, Seen
from tests.fakes.docker import node

NOW = 2_000_000_000


def seen(cluster_status, stack_status, phase=Phase.CREATED, **more):
    state_fields = {field.name for field in dataclasses.fields(State)}
    state = {name: more.pop(name) for name in list(more) if name in state_fields}
    stack_id, since = more.pop("stack_id", "stack"), more.pop("submitted_at", 0)
    known = new(phase, "owner", "swarm-mode-1", stack_id).owning(Kind.STACK, since=since)
    return Seen(
        cluster_status=cluster_status,
        state=dataclasses.replace(known, **{"phase_since": NOW - 30, **state}),
        now=NOW,
        stack_status=stack_status,
        **more,
    )


class CreateTest(base.BaseTestCase):
    def decide(self, *args, **more):
        return status.decide(seen("CREATE_IN_PROGRESS", *args, **more))

    def test_progress(self):
        """While Heat works, the reason says who has reported."""
        self.assertEqual(
            Decision("CREATE_IN_PROGRESS", "Waiting."),
            self.decide("CREATE_IN_PROGRESS", progress="Waiting."),
        )

    def test_complete(self):
        """A stack that is complete and a Docker API that answers complete the cluster."""
        self.assertEqual(
            Decision("CREATE_COMPLETE", None, Action.COMPLETE), self.decide("CREATE_COMPLETE")
        )

    def test_docker_silent(self):
        """A complete stack alone does not complete the cluster."""
        self.assertEqual(
            Decision("CREATE_IN_PROGRESS", "All nodes have reported; waiting: no answer."),
            self.decide("CREATE_COMPLETE", docker_problem="no answer.", complete_since=NOW - 1),
        )

    def test_docker_silent_at_first_sight(self):
        """The wait for the Docker API begins when Heat is first seen to be done."""
        self.assertEqual(
            "CREATE_IN_PROGRESS", self.decide("CREATE_COMPLETE", docker_problem="no.").status
        )

    def test_docker_silent_too_long(self):
        """The wait for the Docker API ends, with the last problem in the reason."""
        self.assertEqual(
            Decision(
                "CREATE_FAILED",
                "The creation of the cluster failed: All nodes have reported that they are ready, "
                "but the swarm was not whole within 300 seconds: Refused.",
            ),
            self.decide("CREATE_COMPLETE", docker_problem="Refused.", complete_since=NOW - 300),
        )

    def test_failed(self):
        """A failed stack fails the cluster with what failed first."""
        self.assertEqual(
            Decision("CREATE_FAILED", "The creation of the cluster failed: Worker 2: disk full"),
            self.decide("CREATE_FAILED", failure="Worker 2: disk full"),
        )

    def test_failed_without_reason(self):
        """A failure that Heat does not explain still gets a sentence."""
        self.assertEqual(
            "Heat could not make the cluster and gives no reason; see the events of the stack.",
            self.decide("CREATE_FAILED").reason,
        )

    def test_deleted_from_outside(self):
        """A stack that somebody deleted behind Magnum's back fails the cluster."""
        for stack_status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_FAILED", None):
            self.assertEqual(
                Decision(
                    "CREATE_FAILED",
                    "The creation of the cluster failed: The cluster's Heat stack was deleted "
                    "from outside Magnum.",
                ),
                self.decide(stack_status),
            )

    def test_not_yet_asked(self):
        """A cluster whose credentials are being made stays as it is."""
        for phase in (Phase.PREPARING, Phase.SUBMITTING):
            self.assertEqual("CREATE_IN_PROGRESS", self.decide(None, phase).status)

    def test_interrupted(self):
        """A conductor that died before Heat had the stack leaves a failed cluster, in time."""
        for phase in (Phase.PREPARING, Phase.SUBMITTING):
            waits = self.decide(None, phase, phase_since=NOW - status.SUBMIT_SECONDS + 1)
            decision = self.decide(None, phase, phase_since=NOW - status.SUBMIT_SECONDS)

            self.assertEqual("CREATE_IN_PROGRESS", waits.status)
            self.assertEqual("CREATE_FAILED", decision.status)
            self.assertIn("interrupted", decision.reason)

    def test_interrupted_before_it_had_the_lease(self):
        """Nothing shows that a conductor lives which only reads what a creation needs: it gets more
        time."""
        for age, expected in (
            (status.SUBMIT_SECONDS, "CREATE_IN_PROGRESS"),
            (status.PREPARE_SECONDS, "CREATE_FAILED"),
        ):
            look = dataclasses.replace(
                seen("CREATE_IN_PROGRESS", None),
                state=dataclasses.replace(
                    new(Phase.PREPARING, "", "swarm-mode-1"), phase_since=NOW - age
                ),
            )

            self.assertEqual(expected, status.decide(look).status)

    def test_interrupted_after_submitting(self):
        """A stack that a dead conductor asked for is taken over."""
        self.assertEqual(
            "CREATE_COMPLETE",
            self.decide("CREATE_COMPLETE", Phase.SUBMITTING, phase_since=NOW - 6000).status,
        )

    def test_delete_has_begun(self):
        """A delete that has begun is not overwritten by what creation looks like."""
        for phase in (Phase.DELETING, Phase.CLEANING):
            self.assertEqual(
                Decision("CREATE_IN_PROGRESS", None), self.decide("DELETE_IN_PROGRESS", phase)
            )

    def test_blind(self):
        """What cannot be seen changes only the reason."""
        self.assertEqual(
            Decision("CREATE_IN_PROGRESS", "Heat does not answer."),
            self.decide(None, blind="Heat does not answer."),
        )

    def test_every_stack_status(self):
        """No status of Heat's is taken for success but those that end in COMPLETE."""
        actions = [
            "CREATE",
            "UPDATE",
            "ROLLBACK",
            "SUSPEND",
            "RESUME",
            "ADOPT",
            "SNAPSHOT",
            "CHECK",
            "RESTORE",
            "INIT",
        ]
        for action in actions:
            for outcome, expected in (
                ("IN_PROGRESS", "CREATE_IN_PROGRESS"),
                ("FAILED", "CREATE_FAILED"),
                ("COMPLETE", "CREATE_COMPLETE"),
                ("SOMETHING_NEW", "CREATE_IN_PROGRESS"),
            ):
                self.assertEqual(expected, self.decide(f"{action}_{outcome}").status)


class UpdateTest(base.BaseTestCase):
    def test_outcomes(self):
        """Updates and roll-backs end under their own names."""
        for operation in ("UPDATE", "ROLLBACK"):
            for stack_status, expected in (
                ("UPDATE_IN_PROGRESS", "IN_PROGRESS"),
                ("UPDATE_FAILED", "FAILED"),
                ("UPDATE_COMPLETE", "COMPLETE"),
                ("CREATE_COMPLETE", "COMPLETE"),
            ):
                self.assertEqual(
                    f"{operation}_{expected}",
                    status.decide(seen(f"{operation}_IN_PROGRESS", stack_status)).status,
                )


class DeleteTest(base.BaseTestCase):
    def decide(self, *args, **more):
        more.setdefault("phase", Phase.DELETING)
        return status.decide(seen("DELETE_IN_PROGRESS", *args, **more))

    def test_going(self):
        """While Heat deletes, nothing is done."""
        self.assertEqual(
            Decision("DELETE_IN_PROGRESS", "Heat deletes the cluster's resources."),
            self.decide("DELETE_IN_PROGRESS"),
        )

    def test_gone(self):
        """When the stack is gone, what was made beside it is removed."""
        for stack_status in (None, "DELETE_COMPLETE"):
            self.assertEqual(Action.CLEAN_UP, self.decide(stack_status).action)

    def test_never_made(self):
        """Without a stack there is nothing to wait for."""
        self.assertEqual(Action.CLEAN_UP, self.decide(None, stack_id="").action)

    def test_may_still_appear(self):
        """A stack that Heat was just asked for by another conductor is waited for."""
        self.assertEqual(
            Action.NOTHING, self.decide(None, stack_id="", submitted_at=NOW - 60).action
        )
        self.assertEqual(
            Action.CLEAN_UP, self.decide(None, stack_id="", submitted_at=NOW - 120).action
        )

    def test_failed(self):
        """A delete that Heat could not do fails, with the cause."""
        self.assertEqual(
            Decision("DELETE_FAILED", "The deletion of the cluster failed: Port in use"),
            self.decide("DELETE_FAILED", failure="Port in use"),
        )

    def test_not_asked(self):
        """A stack that does not go, because the conductor died before asking, is asked again."""
        for stack_status in ("CREATE_COMPLETE", "CREATE_IN_PROGRESS", "UPDATE_FAILED"):
            self.assertEqual(Action.DELETE_STACK, self.decide(stack_status).action)

    def test_cleaning(self):
        """Cleaning goes on without another look at Heat."""
        self.assertEqual(Action.CLEAN_UP, self.decide(None, phase=Phase.CLEANING).action)


class LackingTest(base.BaseTestCase):
    def lacking(self, *nodes, managers=1, workers=1):
        return status.lacking(status.lacks("swarm", nodes, managers, workers, {}))

    def test_nothing(self):
        """A swarm with all its managers and workers ready lacks nothing."""
        manager = node("swarm-manager-0", manager="reachable", leader=True)

        self.assertEqual("", self.lacking(manager, node("swarm-worker-0")))

    def test_worker_in_another_swarm(self):
        """A worker that this swarm does not know is named."""
        manager = node("swarm-manager-0", manager="reachable", leader=True)

        self.assertEqual(
            "In the swarm 1 of 2 workers are ready (missing: swarm-worker-0).",
            self.lacking(manager, node("swarm-worker-1"), workers=2),
        )

    def test_worker_down(self):
        """A worker that is listed and down is lacking."""
        manager = node("swarm-manager-0", manager="reachable", leader=True)

        self.assertIn(
            "missing: swarm-worker-0", self.lacking(manager, node("swarm-worker-0", state="down"))
        )

    def test_manager_unreachable(self):
        """A manager that the others do not reach is lacking."""
        managers = [
            node("swarm-manager-0", manager="reachable", leader=True),
            node("swarm-manager-1", manager="unreachable"),
            node("swarm-manager-2", manager="reachable"),
        ]

        self.assertEqual(
            "In the swarm 2 of 3 managers are ready (missing: swarm-manager-1).",
            self.lacking(*managers, managers=3, workers=0),
        )

    def test_no_leader(self):
        """Managers without a leader are no swarm."""
        self.assertEqual(
            "In the swarm there is no leader.",
            self.lacking(node("swarm-manager-0", manager="reachable"), workers=0),
        )

    def test_ghost(self):
        """A dead entry beside all that are wanted lacks nothing."""
        nodes = [
            node("swarm-manager-0", manager="reachable", leader=True),
            node("swarm-worker-0"),
            node("swarm-worker-0", number=1, state="down"),
        ]

        self.assertEqual("", self.lacking(*nodes))

    def test_names_of_others(self):
        """A worker counts for the server that it is, also under another name, and once only."""
        manager = node("swarm-manager-0", manager="reachable", leader=True)
        liar, twin = node("swarm-worker-1"), node("swarm-worker-1", number=1)
        names = {manager["ID"]: "swarm-manager-0", liar["ID"]: "swarm-worker-0"}
        for known in (names, {**names, twin["ID"]: "swarm-worker-0"}):
            nodes = [manager, liar, twin][: len(known)]
            self.assertEqual(
                "In the swarm 1 of 2 workers are ready (missing: swarm-worker-1).",
                status.lacking(status.lacks("swarm", nodes, 1, 2, known)),
            )
        names[twin["ID"]] = "swarm-worker-1"
        lacks = status.lacks("swarm", [manager, liar, twin], 1, 2, names)
        self.assertEqual("", status.lacking(lacks))

    def test_many(self):
        """Of many that are missing some are named."""
        manager = node("swarm-manager-0", manager="reachable", leader=True)

        lacking = self.lacking(manager, workers=500)

        self.assertIn("swarm-worker-9 and 490 more)", lacking)


class ProgressTest(base.BaseTestCase):
    def test_both(self):
        """Signals are counted by kind of node."""
        self.assertEqual(
            "Waiting for nodes to report: managers 2/3, workers 1/8.",
            status.progress(
                {"managers": 3, "workers": 8},
                {"manager_signal": ("a", "b"), "worker_signal": ("c", "c")},
            ),
        )

    def test_no_workers(self):
        """A kind of which there are none is not mentioned."""
        self.assertEqual(
            "Waiting for nodes to report: managers 0/1.",
            status.progress({"managers": 1, "workers": 0}, {}),
        )
