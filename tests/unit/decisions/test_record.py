# SPDX-License-Identifier: Apache-2.0
"""The contents of a cluster's record."""

import dataclasses
import json
from typing import Any

from oslotest import base

from magnum_swarm_mode import exceptions, stored
from magnum_swarm_mode.decisions.model import Leaving, Plan, Sent, Waiting
from magnum_swarm_mode.decisions.record import TRANSITIONS, Kind, Owned, Phase, State, new
from magnum_swarm_mode.decisions.rotation import CaRotation, CredentialRotation
from magnum_swarm_mode.decisions.upgrade_plan import Target, Upgrade

STATE = new(Phase.PREPARING, "owner", "swarm-mode-1")


class TransitionsTest(base.BaseTestCase):
    def test_every_phase(self):
        """The table says of every phase what may follow it."""
        self.assertEqual(set(Phase), set(TRANSITIONS))

    def test_refused(self):
        """A phase that cannot follow is refused; nothing leads out of a deletion."""
        for phase in (Phase.DELETING, Phase.CLEANING):
            state = dataclasses.replace(STATE, phase=phase)
            for other in (Phase.PREPARING, Phase.SUBMITTING, Phase.CREATED, Phase.ABANDONED):
                self.assertRaises(exceptions.Inconsistent, state.entering, other)

    def test_cleaning(self):
        """Nothing is cleaned up whose stack was not asked to go."""
        before = [phase for phase, following in TRANSITIONS.items() if Phase.CLEANING in following]
        self.assertEqual([Phase.DELETING, Phase.CLEANING], before)


class OwnedTest(base.BaseTestCase):
    def test_new(self):
        """Of a new cluster all is noted that will be made, before anything is."""
        self.assertEqual(
            [("stack", "", "swarm-mode-1"), ("credential", "0", ""), ("trust", "0", "")],
            [(one.kind, one.key, one.name) for one in STATE.owned],
        )

    def test_more_is_known(self):
        """What becomes known of a thing is added to it; others stay."""
        state = STATE.owning(Kind.TRUST, "0", id="t").owning(Kind.CERTIFICATE, "ref", since=5)
        self.assertEqual("t", state.trust_id)
        self.assertEqual("swarm-mode-1", state.stack.name)
        self.assertEqual(Owned("certificate", "ref", since=5), state.thing(Kind.CERTIFICATE, "ref"))

    def test_without(self):
        """What is gone is forgotten, and nothing else."""
        state = STATE.without(Kind.TRUST, "0")
        self.assertEqual(["stack", "credential"], [one.kind for one in state.owned])
        self.assertEqual("", state.trust_id)

    def test_order(self):
        """Things are listed in the order of the kinds that are asked for."""
        state = STATE.owning(Kind.GROUP, "g", name="group")
        self.assertEqual(
            ["group", "stack"], [one.kind for one in state.things(Kind.GROUP, Kind.STACK)]
        )


class StoredTest(base.BaseTestCase):
    def full(self):
        upgrade = Upgrade({"g": Target("workers", "image", "flavor", "seal", redo=["w-1"])})
        plan = Plan(
            number=2,
            desired={"g": None},
            leaving={"w-1": Leaving("g", "named")},
            sent={"cluster": Sent(1, "t0")},
            waiting=Waiting("heat", 5),
            upgrade=upgrade,
        )
        return dataclasses.replace(
            STATE,
            plan=plan,
            ca=CaRotation(old={"ca_cert_ref": "x"}, step="sign"),
            credential=CredentialRotation(notes=("a", "b")),
        )

    def test_round_trip(self):
        """Every part is read as it was written."""
        state = self.full()
        self.assertEqual(state, State.from_json(state.to_json()))

    def test_newer_release(self):
        """What a newer release wrote survives in every part."""
        values = json.loads(self.full().to_json())
        places = [
            values,
            values["plan"],
            values["plan"]["leaving"]["w-1"],
            values["plan"]["upgrade"],
            values["plan"]["upgrade"]["groups"]["g"],
            values["healing"],
            values["ca"],
            values["credential"],
            *values["owned"],
        ]
        for number, place in enumerate(places):
            place["later"] = [number]
        text = json.dumps(values, sort_keys=True)
        self.assertEqual(text, State.from_json(text).to_json())

    def test_other_kind(self):
        """A value of another kind than is expected keeps nobody from reading the rest."""
        values = json.loads(STATE.to_json())
        values["plan"] = {"upgrade": 5, "leaving": ["x"]}
        state = State.from_json(json.dumps(values))
        self.assertEqual((5, ["x"]), (state.plan.upgrade, state.plan.leaving))
        self.assertEqual("owner", state.owner_id)

    def test_dumped(self):
        """What is given to JSON is of its kinds alone."""
        self.assertEqual(
            {"kind": "trust", "key": "0"},
            {k: v for k, v in stored.dump(Owned(Kind.TRUST, "0")).items() if v},
        )

    def test_work_due(self):
        """A look is due for a request and a rotation that goes on, not for one that stopped."""
        due = [
            bool(dataclasses.replace(STATE, phase=Phase.CREATED, **changes).work_due)
            for changes in (
                {},
                {"plan": Plan(number=1)},
                {"ca": CaRotation()},
                {"ca": CaRotation(failed=True)},
                {"ca": CaRotation(failed=True), "credential": CredentialRotation()},
                {"ca": CaRotation(failed=True), "plan": Plan(number=1)},
            )
        ]
        self.assertEqual([False, True, True, False, True, False], due)

    def test_work_due_is_a_number(self):
        """A time that is no whole number still says when a look is due."""
        odd: tuple[Any, ...] = (7.7, float("inf"), float("nan"), "7")
        for since in odd:
            state = dataclasses.replace(STATE, phase=Phase.DELETING, phase_since=since)
            self.assertIsInstance(state.work_due, int)
