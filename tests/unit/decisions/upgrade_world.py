# SPDX-License-Identifier: Apache-2.0
"""A cluster whose nodes are made of images, as an upgrade sees it, without a wire."""

import dataclasses

from magnum_swarm_mode.decisions import model
from magnum_swarm_mode.decisions.model import GREEN, Member, Recolour, Remake, Resize
from magnum_swarm_mode.decisions.upgrade_plan import Target, Upgrade, seal
from tests.unit.decisions import swarm_world

OLD, NEW = "old", "new"
FLAVOR = "m1.small"


class UpgradeWorld(swarm_world.World):
    """A world whose groups have two colours, and whose managers can be taken away.

    :ivar made_of: host name to image, of all servers that there are.
    :ivar bad: images whose nodes never join.
    :ivar fewest: the fewest workers that were ready at once.
    """

    def __init__(self, managers=3, workers=3, tasks=1):
        super().__init__(managers, workers, tasks)
        self.images = {"masters": {"": OLD, GREEN: OLD}, "worker": {"": OLD, GREEN: OLD}}
        self.settings = {"engine": 1}
        self.machines = {}
        self.green = []
        self.green_removed = set()
        self.counts = {"": workers, GREEN: 0}
        self.made_of = {
            row.hostname(index): OLD for row in self.rows.values() for index in row.indices
        }
        self.bad = set()
        self.reports = {}
        self.renewals = 0
        self.present = set(self.made_of)
        self.fewest = workers

    def upgrade(self, image=NEW, groups=("masters", "worker"), batch=1, settings=None):
        """Ask for other images."""
        settings = settings or self.settings
        self.plan = self.plan.requested(
            resized=False,
            upgrade=Upgrade(
                {
                    name: Target(
                        name,
                        image,
                        FLAVOR,
                        seal(image, FLAVOR, settings),
                        template=f"template-{image}",
                        batch=batch,
                        settings=settings,
                    )
                    for name in groups
                }
            ),
        )

    def green_name(self, index):
        return f"swarm-worker-g{index}"

    def members(self, row):
        found = [
            Member(str(index), row.hostname(index), self.server(row.hostname(index)))
            for index in row.indices
        ]
        if not row.is_manager:
            found += [
                Member(f"g{index}", self.green_name(index), self.server(self.green_name(index)))
                for index in self.green
            ]
        return tuple(found)

    def server(self, hostname):
        return f"server-{hostname}-{self.made_of[hostname]}" if hostname in self.made_of else ""

    def seen(self, **more):
        seen = super().seen(reports=self.reports, **more)
        groups = []
        for group in seen.groups:
            images = self.images[group.uuid]
            asked = group.asked if group.is_manager else sum(self.counts.values())
            seals = [seal(images[c], FLAVOR, self.settings) for c in ("", GREEN)]
            if group.is_manager:
                seals[0] = self.machines.get("default", {}).get("seal") or seals[0]
            groups.append(
                dataclasses.replace(
                    group,
                    asked=asked,
                    green=0 if group.is_manager else self.counts[GREEN],
                    seals=tuple(seals),
                    image=images[""],
                    flavor=FLAVOR,
                    machines=self.machines if group.is_manager else {},
                )
            )
        return dataclasses.replace(seen, groups=tuple(groups))

    def act(self, action):
        if not isinstance(action, Recolour | Remake):
            if isinstance(action, Resize) and not self.rows[action.group].is_manager:
                colour = GREEN if self.counts[GREEN] else ""
                self.counts[colour] = action.count
                self.rows["worker"].asked = action.count
                self.remove(action.removals)
                self.ask(action)
                return
            super().act(action)
            return
        images = self.images[action.group]
        if action.renew:
            self.renewals += 1
            assert self.plan.upgrade is not None
            self.settings = self.plan.upgrade.groups[action.group].settings
        if isinstance(action, Remake):
            images[""] = action.image
            self.machines = {index: dict(one) for index, one in action.machines.items()}
        else:
            self.counts = {"": action.blue, GREEN: action.green}
            self.remove(action.removals)
            for colour, (image, _) in action.looks.items():
                images[colour] = image
            if action.machines is not None:
                self.machines = {index: dict(one) for index, one in action.machines.items()}
        self.ask(action)

    def remove(self, indices):
        for index in indices:
            if index.startswith(GREEN):
                self.green_removed.add(int(index[1:]))
            else:
                self.rows["worker"].removed.add(int(index))

    def ask(self, action):
        assert not self.stack_status.endswith("IN_PROGRESS"), "a second update cancels the first"
        self.updates.append(action)
        self.stack_status = "UPDATE_IN_PROGRESS"
        self.updated = f"t{len(self.updates)}"

    def finish_heat(self):
        self.stack_status = "UPDATE_COMPLETE"
        masters, workers = self.rows["masters"], self.rows["worker"]
        free = [i for i in range(1000) if i not in masters.port_removed]
        masters.ports = free[: masters.port_count]
        wanted = {}
        names = [i for i in range(1000) if i not in masters.removed][: masters.asked]
        for index in names:
            own = self.machines.get(str(index), {})
            if not own.get("absent"):
                wanted[masters.hostname(index)] = (
                    masters,
                    index,
                    own.get("image") or self.images["masters"][""],
                )
        masters.indices = names
        blue = [i for i in range(1000) if i not in workers.removed][: self.counts[""]]
        green = [i for i in range(1000) if i not in self.green_removed][: self.counts[GREEN]]
        # A server is replaced in place by nothing but a mistake of ours.
        for index in blue:
            name = workers.hostname(index)
            wanted[name] = (workers, index, self.images["worker"][""])
        for index in green:
            wanted[self.green_name(index)] = (workers, index, self.images["worker"][GREEN])
        workers.indices, self.green = blue, green
        for name in set(self.made_of) - set(wanted):
            del self.made_of[name]
            self.vanish(name)
        for name, (row, index, image) in wanted.items():
            if name in self.made_of:
                assert self.made_of[name] == image, f"{name} would be replaced"
            elif len(self.made_of) >= self.limit:
                self.stack_status = "UPDATE_FAILED"
                self.failure = f"The server {name} failed: Quota exceeded for instances."
            else:
                self.made_of[name] = image
                self.boot(row, index, name, image)
        assert set(masters.indices) <= set(masters.ports), "a manager has no port"

    def vanish(self, name):
        for node in list(self.nodes.values()):
            if node.hostname == name and node.state == "ready":
                leads = node.leader
                self.nodes[node.id] = dataclasses.replace(
                    node, state="down", reachable=False, leader=False, tasks=0
                )
                if leads:
                    self.elect()

    def boot(self, row, index, name, image):
        if image in self.bad:
            return
        self.join(row, index)
        if name != row.hostname(index):
            (node,) = [n for n in self.nodes.values() if n.id == f"n{self.serial}"]
            self.nodes[node.id] = dataclasses.replace(node, hostname=name)

    def check(self):
        super().check()
        ready = [
            n
            for n in self.nodes.values()
            if "worker" in n.hostname and n.state == "ready" and n.availability == "active"
        ]
        self.fewest = min(self.fewest, len(ready))
        raft = [n for n in self.nodes.values() if n.in_raft]
        assert len(raft) >= min(len(self.rows["masters"].indices), 3) - 1

    def made(self):
        return dict(sorted(self.made_of.items()))


COMPLETE = model.Outcome.COMPLETE
FAILED = model.Outcome.FAILED
