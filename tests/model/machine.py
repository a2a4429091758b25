# SPDX-License-Identifier: Apache-2.0
"""What may happen to a cluster in any order, and what must hold once it comes to rest."""

import dataclasses
import random

from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.decisions.record import Phase
from tests.model.simulation import Simulation

# Invariants of which a fault is known and open, and where it is.
OPEN: dict[str, str] = {}


@dataclasses.dataclass
class Counts:
    """What a run has done.

    :ivar open: how often each known fault was met.
    """

    sequences: int = 0
    deaths: int = 0
    events: int = 0
    open: dict[str, int] = dataclasses.field(default_factory=dict)


def known(broken: str) -> str:
    """Return where the open fault is by which an invariant is broken; empty for none."""
    return next((place for name, place in OPEN.items() if broken.startswith(name)), "")


def play(seed: int, counts: Counts) -> tuple[list[str], list[str]]:
    """Play one sequence; return the invariants that it broke, and what happened."""
    dice = random.Random(seed)
    simulation = Simulation()
    story: list[str] = []
    try:
        _kill_or_not(dice, simulation, story, "create", 0.15)
        for _ in range(dice.randint(3, 10)):
            _happen(dice, simulation, story)
        broken = judge(simulation)
    finally:
        counts.sequences += 1
        counts.deaths += simulation.world.deaths
        counts.events += simulation.world.events
        simulation.close()
    return broken, story


def _kill_or_not(
    dice: random.Random, simulation: Simulation, story: list[str], what: str, share: float
) -> None:
    deadly = dice.randint(0, 9) if dice.random() < share else None
    after = dice.random() < 0.5
    story.append(what if deadly is None else f"{what} dies {'after' if after else 'at'} {deadly}")
    if what.startswith("resize"):
        simulation.resize(int(what.split()[1]), deadly, after=after)
    elif what == "health":
        simulation.poll(deadly, after=after, health=True)
    else:
        getattr(simulation, what)(deadly, after=after)


def _happen(dice: random.Random, simulation: Simulation, story: list[str]) -> None:
    world = simulation.world
    what = dice.choices(
        ["time", "resize", "poll", "health", "down", "up", "lag", "lose", "delete"],
        [4, 4, 5, 2, 1, 1, 1, 1, 1],
    )[0]
    if what == "time":
        turns = dice.randint(1, 8)
        story.append(f"{turns} turns")
        for _ in range(turns):
            world.tick(70)
            simulation.poll()
    elif what == "resize":
        _kill_or_not(dice, simulation, story, f"resize {dice.randint(1, 4)}", 0.4)
    elif what in ("poll", "health", "delete"):
        world.tick(70)
        _kill_or_not(dice, simulation, story, what, 0.5)
    elif what == "down":
        service = dice.choice(["heat", "swarm", "keystone"])
        story.append(f"{service} is down")
        world.down.add(service)
    elif what == "up":
        story.append("all services are up")
        world.down.clear()
    elif what == "lag":
        world.lag = dice.randint(0, 4)
        story.append(f"Heat takes {world.lag} turns")
    elif what == "lose" and world.nodes:
        node = dice.choice(list(world.nodes.values()))
        if not node.get("ManagerStatus") or all(
            one["Status"]["State"] == "ready" for one in world.raft()
        ):
            story.append(f"{node['Description']['Hostname'][-9:]} is lost")
            world.set_state(node, "down")


def judge(simulation: Simulation) -> list[str]:
    """Let faults stop and return the invariants that do not hold then."""
    world = simulation.world
    updates = world.updates
    broken = []
    is_at_rest = simulation.settle()
    record, row = Store().get(simulation.uuid), simulation.row()
    going = record is not None and record.state.phase in (Phase.DELETING, Phase.CLEANING)
    if going and row is not None and not row.status.startswith("DELETE"):
        return [f"a delete is taken up: {row.status}"]
    if not is_at_rest:
        return [f"it terminates: {simulation.row().status}: {simulation.row().status_reason}"]
    broken += [f"safety: {one}" for one in world.broken]
    if world.updates - updates > 4 * (simulation.requested + 1):
        broken.append("Heat updates are bounded")
    cluster = simulation.row()
    if cluster is None:
        left = [world.trusts, world.credentials, world.certificates]
        if any(left) or any(s.status != "DELETE_COMPLETE" for s in world.stacks.values()):
            broken.append("delete leaves nothing")
        return broken
    if simulation.deleted and cluster.status != "DELETE_FAILED":
        broken.append(f"delete wins: {cluster.status}")
    if cluster.status.endswith("_COMPLETE"):
        nodes = [
            node["Description"]["Hostname"]
            for node in world.nodes.values()
            if node["Status"]["State"] == "ready"
        ]
        rows = sum(group.node_count for group in cluster.nodegroups)
        if sorted(nodes) != simulation.servers() or len(nodes) != rows:
            broken.append(f"truth: rows {rows}, Heat {len(simulation.servers())}, swarm {nodes}")
        if not simulation.deleted and cluster.node_count not in simulation.wanted:
            broken.append("no request is lost")
    return broken
