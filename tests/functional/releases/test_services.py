# SPDX-License-Identifier: Apache-2.0
"""The API applications and the conductor of the releases before the newest, with swarm-mode.

The newest one is what :mod:`tests.functional.api` runs. What is asked is the same; what those
releases answer otherwise is said here.
"""

from __future__ import annotations

from typing import Any

from oslotest import base as test_base

from devcloud import releases
from magnum_swarm_mode import constants
from tests.functional.api import (
    base,
    test_clusters,
    test_legacy,
    test_node_credential,
    test_refusals,
    test_templates,
)


class _Stored:
    """Before Magnum 23 a template has a driver only where its image names one.

    Whose driver a cluster gets is decided when it is needed.
    """

    service: base.MagnumService

    def create_template(self, **fields: Any) -> dict[str, Any]:
        created: dict[str, Any] = super().create_template(**fields)  # type: ignore[misc]
        if created["driver"] is None:
            created["driver"] = self.found(created["coe"])
        return created

    def found(self, coe: str) -> str:
        """The entry point that is right; whether the release finds it, one test asks."""
        return {constants.COE: constants.ENTRY_POINT}[coe]


class _Other(_Stored):
    """Beside another driver, where the release is asked which one it finds."""

    _found: dict[tuple[int, str], str] = {}

    def found(self, coe: str) -> str:
        """The entry point that the release finds for an engine on Ubuntu."""
        # Once for each installation, as starting Magnum takes seconds.
        key = (id(self.service), coe)
        if key not in self._found:
            self._found[key] = self._find(coe)
        return self._found[key]

    def _find(self, coe: str) -> str:
        result = self.service.run_magnum(
            "api",
            check=False,
            before="import json; from magnum.common import service\n"
            "service.prepare_service(sys.argv)\n"
            "from magnum.drivers.common import driver\n"
            f"found = driver.Driver.get_driver('vm', 'ubuntu', {coe!r})\n"
            "print('found', type(found).__module__)\n"
            "sys.exit(7)",
        )
        module = result.stdout.rpartition("found ")[2].strip()
        assert result.returncode == 7, result.stderr
        known = {
            "magnum_swarm_mode.driver": "swarm_mode",
            "tests.functional.api.other_driver": str(self.service.other_driver),
        }
        return known[module]

    def post(self, fields: dict[str, Any]) -> Any:
        answer = super().post(fields)  # type: ignore[misc]
        if answer.status_code == 201 and answer.json()["driver"] is None:
            body = {**answer.json(), "driver": self.found(answer.json()["coe"])}
            answer.json = lambda: body
        return answer


def _on(
    release: releases.Release, case: type[base.MagnumTestCase], how: str = "", **options: Any
) -> type:
    """A test case of the newest release's, on another one or with other options.

    :param how: what tells it from others in its name.
    """
    name = f"{case.__name__}{how}{release.version.partition('.')[0]}"
    return type(
        name,
        (_Other if issubclass(case, test_templates.OtherDriverTest) else _Stored, case),
        {
            "__doc__": case.__doc__,
            "__module__": __name__,
            "service_options": {**case.service_options, **options, "release": release},
        },
    )


for _release in releases.ALL:
    if not _release.is_default:
        for _case in (
            test_templates.TemplateTest,
            test_templates.OtherDriverTest,
            test_clusters.CreateTest,
            test_clusters.LivingClusterTest,
            test_node_credential.NodeCredentialTest,
            test_legacy.LegacyTest,
            test_refusals.EveryReleaseTest,
            test_refusals.ChangeTest,
        ):
            _made = _on(_release, _case)
            globals()[_made.__name__] = _made
            del _made
    # As the command magnum-api, which reads its objects through the conductor.
    _made = _on(_release, test_templates.TemplateTest, "Command", kind="command")
    globals()[_made.__name__] = _made
    del _made


class ConductorTest(test_base.BaseTestCase):
    def test_admitted(self) -> None:
        """The conductor reads a template of swarm-mode and sends it over RPC."""
        for release in releases.ALL:
            with (
                self.subTest(release=release.version),
                base.MagnumService("conductor", release=release) as service,
            ):
                self.assertEqual('["swarm-mode"]\n', service.journal.read_text())
