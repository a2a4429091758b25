# SPDX-License-Identifier: Apache-2.0
"""Single faults that can be put into the driver, each in one place of one file.

``tests.model.mutations`` puts them in, one at a time, to see which check of the model notices it.
"""

import dataclasses

from tests.replaced import Edit

WRITTEN = "written"


@dataclasses.dataclass(frozen=True)
class Break:
    """One fault.

    :ivar name: begins with the number of the invariant that it is to violate.
    :ivar emphasis: of the sequences that are to notice it; ``written`` for those that are written
        down one by one as tests.
    :ivar what: what the driver does with it.
    :ivar file: below the package's folder.
    :ivar old: the text that the file has exactly once.
    :ivar new: the text in its place.
    """

    name: str
    emphasis: str
    what: str
    file: str
    old: str
    new: str

    @property
    def edit(self) -> Edit:
        """What it changes."""
        return Edit(self.file, self.old, self.new)


BREAKS = (
    Break(
        "1-busy-request",
        "counting",
        "A request during an operation is not served after it",
        "decisions/model.py",
        "        plan.number += 1\n        # Each request gets",
        "        if not self.is_over:\n"
        "            return plan\n"
        "        plan.number += 1\n"
        "        # Each request gets",
    ),
    Break(
        "1-named-node",
        "counting",
        "Nodes that are named during an operation are not removed",
        "decisions/model.py",
        "        if named:\n            plan.named[group]",
        "        if named and self.is_over:\n            plan.named[group]",
    ),
    Break(
        "1-failure-unnamed",
        "counting",
        "A failure does not name its request",
        "sentences.py",
        "    return why if is_named else f",
        "    return why if True else f",
    ),
    Break(
        "2-no-deadline",
        WRITTEN,
        "An operation has no deadline",
        "decisions/change.py",
        "    if seen.now <= plan.deadline:\n        return None",
        "    if True:\n        return None",
    ),
    Break(
        "2-heat-each-pass",
        "counting",
        "Heat is asked again at each pass",
        "decisions/resize.py",
        "    return group.asked != group.wanted or (group.stack_status",
        "    return True or (group.stack_status",
    ),
    Break(
        "2-no-breaker",
        "counting",
        "Updates of Heat without progress are not counted",
        "decisions/change.py",
        "    if plan.updates <= MOST_UPDATES and plan.repeats <= MOST_REPEATS:",
        "    if True:",
    ),
    Break(
        "3-no-arrivals",
        WRITTEN,
        "An operation does not wait for new nodes",
        "decisions/change.py",
        "    return steps.late(seen, plan, missing)",
        "    return None",
    ),
    Break(
        "3-not-compared",
        WRITTEN,
        "An operation is complete although groups lack nodes",
        "decisions/change.py",
        "lacking = [one for one in seen.groups if one in short or",
        "lacking = [one for one in () if",
    ),
    Break(
        "3-always-healthy",
        WRITTEN,
        "Every cluster that answers is called healthy",
        "decisions/health.py",
        "    return Health(HEALTHY if well else UNHEALTHY, reason)",
        "    return Health(HEALTHY, reason)",
    ),
    Break(
        "4-two-managers",
        WRITTEN,
        "Managers leave without waiting for each other",
        "decisions/resize.py",
        "    return [*away, *others[:spare]]",
        "    return [*away, *others]",
    ),
    Break(
        "4-no-quorum-check",
        "counting",
        "A manager is demoted without a look at the quorum",
        "decisions/steps.py",
        "    if problem := loses_quorum(seen.nodes or (), victim):",
        '    if problem := "":',
    ),
    Break(
        "5-wrong-node",
        "counting",
        "Heat removes the node after the drained one",
        "conductor/change/act.py",
        '    removed = listed(stack, f"{prefix}removals")\n',
        "    gone = [str(int(one) + 1) for one in gone]\n"
        '    removed = listed(stack, f"{prefix}removals")\n',
    ),
    Break(
        "5-no-drain",
        "counting",
        "Nodes are not drained before they are removed",
        "decisions/steps.py",
        "    fresh = [node for node in nodes if node.availability == ACTIVE]\n",
        "    return None\n    fresh = [node for node in nodes if node.availability == ACTIVE]\n",
    ),
    Break(
        "5-no-patience",
        WRITTEN,
        "A node that is down is replaced at once",
        "decisions/healing.py",
        "    due = {node.id for node in down if now - since[node.id] >= rule.delay}",
        "    due = {node.id for node in down}",
    ),
    Break(
        "6-trust-stays",
        "life",
        "A deletion leaves the trust",
        "cloud/grants.py",
        "    credentials.revoke_trust(makers",
        "    () and credentials.revoke_trust(makers",
    ),
    Break(
        "6-credential-stays",
        "rotating",
        "A rotation leaves the former credential",
        "conductor/rotation/credential.py",
        "                cloud_grants.revoke(self._store, cluster.uuid, grant, ())\n",
        "                pass\n",
    ),
    Break(
        "6-delete-overwritten",
        "counting",
        "A deletion that another request overwrote is not taken up",
        "conductor/poll.py",
        "    if clocks.now() - record.state.phase_since > _DELETE_MARK_SECONDS:",
        "    if False:",
    ),
    Break(
        "6-group-stack-stays",
        "counting",
        "A deletion leaves the stacks of node groups",
        "conductor/delete.py",
        "    if not state.things(*GROUPS):\n        return True",
        "    if True:\n        return True",
    ),
    Break(
        "7-other-cluster",
        "counting",
        "A status is written to the rows of other clusters as well",
        "conductor/rows.py",
        ".where(table.c.uuid == cluster_uuid, table.c.status == expected_status)",
        ".where(table.c.status == expected_status)",
    ),
    Break(
        "7-takeover",
        WRITTEN,
        "A creation that was taken over deletes the cluster's stack",
        "conductor/create.py",
        'was taken over while it was created", cluster.uuid)\n        return\n',
        'was taken over while it was created", cluster.uuid)\n',
    ),
    Break(
        "7-lease-ignored",
        WRITTEN,
        "A lease that another conductor has is taken",
        "db/store.py",
        "                sa.or_(expires <= now, _is_ahead(expires, now, LONGEST_LEASE)),\n",
        "",
    ),
    Break(
        "8-debts",
        WRITTEN,
        "An operation that fails leaves nodes drained",
        "decisions/steps.py",
        "    debts = _debts(plan)\n    actions",
        "    debts: dict[str, Debt] = {}\n    actions",
    ),
    Break(
        "8-rollback-status",
        "counting",
        "An operation ends in a status that Magnum lets nobody change",
        "conductor/change/rows.py",
        'f"UPDATE_{step.outcome.name}"',
        'f"ROLLBACK_{step.outcome.name}"',
    ),
    Break(
        "8-old-failure",
        WRITTEN,
        "Heat's old failure ends the next operation",
        "decisions/change.py",
        "        if steps.is_answered(plan, group):\n            same",
        "        if True:\n            same",
    ),
)
