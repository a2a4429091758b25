# SPDX-License-Identifier: Apache-2.0
"""What Heat answers, and what nodes signal through it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import requests

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.decisions.model import Member
from magnum_swarm_mode.heat import client as heat_client
from magnum_swarm_mode.heat import failures, members
from tests.fuzz import inputs
from tests.fuzz.harness import Target

_BETWEEN = b"\n\x00\n"
_SERVER = "16fd2706-8baf-433b-82eb-8c7fada847da"
STACK = {
    "stack": {
        "id": "a1",
        "stack_name": "swarm-mode-c",
        "stack_status": "CREATE_FAILED",
        "stack_status_reason": "Resource CREATE failed: Error: resources.manager_ready: timed out",
        "updated_time": None,
        "outputs": [
            {"output_key": "manager_servers", "output_value": {"0": _SERVER}},
            {"output_key": "worker_servers", "output_value": {"0": "w", "1": "x"}},
            {"output_key": "servers", "output_error": "not yet"},
        ],
        "parameters": {
            "node_name_prefix": "c",
            "group_name_prefix": "c-g",
            "manager_machines": '{"1": {"absent": true, "seal": "s"}}',
        },
    }
}
_PATH = "http://heat.test/v1/p/stacks/swarm-mode-c"
RESOURCE = {
    "resource_name": "manager_ready",
    "resource_type": "OS::Heat::WaitCondition",
    "resource_status": "CREATE_FAILED",
    "updated_time": "2026-11-23T08:00:00Z",
    "resource_status_reason": "WaitConditionFailure: resources.manager_ready: c-manager-0: disk;"
    "c-worker-1: x",
    "physical_resource_id": "p",
    "links": [{"rel": "stack", "href": f"{_PATH}/a1"}, {"rel": "self", "href": f"{_PATH}/a1/r/x"}],
}
SERVER = {
    **RESOURCE,
    "resource_name": "0",
    "resource_type": "OS::Nova::Server",
    "resource_status_reason": "ResourceInError: resources[0].resources.server: Went to status "
    'ERROR due to "Message: No valid host was found. , Code: 500"',
    "links": [{"rel": "stack", "href": f"{_PATH}-workers-abcdefghijkl/b2"}],
}
SIGNALS = {
    _SERVER: {
        "status": "FAILURE",
        "reason": "c-manager-0: disk",
        "data": "DiskFull",
        "id": _SERVER,
    },
    "w": {"status": "SUCCESS", "reason": "", "data": ""},
}


class _Session:
    """A session whose requests are answered in memory, as keystoneauth's would be.

    :ivar told: bodies by the kind of what is asked for.
    """

    told: dict[str, bytes]

    def request(self, url: str, method: str, **_: Any) -> requests.Response:
        """Answer a request."""
        path = url.partition("?")[0]
        kind = "stack"
        if "/resources" in path:
            kind = "resources"
            if path.endswith("/metadata"):
                kind = "signals"
            elif not path.endswith("/resources"):
                kind = "resource"
        elif "/messages" in path:
            kind = "resource"
        answer = requests.Response()
        answer.status_code, answer._content = 200, self.told[kind]
        answer.headers["Content-Type"] = "application/json"
        # Where Heat sends who names a stack by its id alone.
        answer.headers["Location"] = f"{_PATH}/a1"
        answer.url = url
        return answer


class Stacks(Target):
    """A stack, its resources and their signals, as JSON; then failures, members and reports.

    A user can change his stack, and nodes write their signals. Only errors of this package leave
    what reads them, and sentences can be shown.
    """

    name = "heat-stacks"
    depths = (members.failure, members.reports, members.members_of, failures.explain)
    refusals = (exceptions.SwarmModeError,)
    longest = 5000

    def __init__(self) -> None:
        self._session = _Session()
        self._heat = heat_client.Heat(self._session, region_name=None, interface="public")

    def inputs(self) -> inputs.Make:
        fine = [
            json.dumps(one).encode()
            for one in (STACK, {"resources": [RESOURCE, SERVER]}, {"metadata": SIGNALS})
        ]
        late = {"resources": [{**RESOURCE, "resource_status_reason": "1 of 3 received"}, SERVER]}
        makes = (
            inputs.documents(STACK),
            inputs.documents({"resources": [RESOURCE, SERVER]}, late),
            inputs.documents({"metadata": SIGNALS}),
        )

        def one_changed(which: int) -> inputs.Make:
            some = [inputs.just(one) for one in fine]
            some[which] = makes[which]
            return inputs.parts(*some, between=_BETWEEN)

        return inputs.often(
            *((2, one_changed(which)) for which in range(3)),
            (1, inputs.parts(*makes, between=_BETWEEN)),
        )

    def read(self, data: bytes) -> Iterable[str]:
        stack, resources, signals, *_ = [*data.split(_BETWEEN), b"", b""]
        one = json.dumps({"resource": RESOURCE}).encode()
        self._session.told = {
            "stack": stack,
            "resources": resources,
            "signals": signals,
            "resource": one,
        }
        found = self._heat.get("a1")
        assert found is not None
        yield found.reason
        yield from self._shown(lambda: [members.failure(self._heat, found)])
        known = [Member("0", "c-manager-0", _SERVER)]
        yield from self._shown(
            lambda: members.reports(
                self._heat, "a1", known, is_default=True, is_manager=True
            ).values()
        )
        for is_default in (True, False):
            self._shown(
                lambda which=is_default: members.addresses(found, is_default=which).values()
            )
        yield from self._shown(lambda: [str(sorted(members.machines(found)))[:0]])
        self._shown(lambda: self._heat.signals("a1").keys())
        for is_default, is_manager in ((True, True), (True, False), (False, False)):
            yield from self._shown(
                lambda which=(is_default, is_manager): [
                    member.hostname
                    for member in members.members_of(
                        self._heat, found, is_default=which[0], is_manager=which[1]
                    )
                ]
            )

    def _shown(self, question: Any) -> list[str]:
        try:
            return list(question())
        except exceptions.SwarmModeError as error:
            return [str(error)]


_RESOURCES = (("manager_ready", "OS::Heat::WaitCondition"), ("x", "OS::Cinder::Volume"))


_BITS = (
    "resources[0].resources.",
    "server: ",
    "ResourceInError: ",
    ";c-worker-1: ",
    "-worker-",
    "-manager-g",
    "(HTTP ",
    "(Request-ID: ",
    "Neutron server returns request_ids: [",
    "['Traceback",
    'Went to status ERROR due to "',
    "Message: ",
    ', Code: Unknown"',
    "quota",
    "exceeds allowed ",
    "Docker volume ",
    "1 of 3 received",
    "Build of instance ",
    "Client: ",
    "a" * 50,
    "9" * 20,
    "\x1b[2J",
    "\u202e",
    "語",
    " ",
    "\n",
    "-",
    ":",
    ";",
    "]",
    ")",
    "CREATE aborted",
)
_TIMES = (*[1] * 16, 2, 2, 40, 1500)


def _words(dice: inputs.Dice) -> bytes:
    """Make a text of the words that services use, some of them many times."""
    if dice.random() < 0.1:
        said = "".join(json.loads(dice.pool.text(dice)) for _ in range(dice.randrange(1, 4)))
    else:
        said = ""
        for _ in range(dice.randrange(1, 7)):
            said += (dice.choice(_BITS) * dice.choice(_TIMES))[:8000]
    return said.encode("utf-8", "surrogatepass")


class Words(Target):
    """What a failed resource and a signal say, as one text: what the sentence about it is.

    No text takes long to be matched, and the sentence can be shown.
    """

    name = "heat-words"
    depths = (failures.explain, failures.late)
    longest = 5000

    def inputs(self) -> inputs.Make:
        return _words

    def read(self, data: bytes) -> Iterable[str]:
        said = data.decode("utf-8", "surrogateescape")
        for name, kind in _RESOURCES[len(data) % 2 :][:1]:
            cause = failures.Resource.from_api(
                {
                    **RESOURCE,
                    "resource_name": name,
                    "resource_type": kind,
                    "resource_status_reason": said,
                    "links": [{"rel": "stack", "href": f"{_PATH}{said}/a1"}],
                }
            )
            first = failures.first([cause])
            yield str(failures.is_late(first, said))
            signals = {"s": {"status": "FAILURE", "reason": said, "data": said}}
            code = failures.code_of(cause, signals)
            yield failures.explain(cause, "c", said[:100] and "words", code)
            yield failures.late([cause], [], "c")
            yield failures.node_words(said)


TARGETS = (Stacks(), Words())
