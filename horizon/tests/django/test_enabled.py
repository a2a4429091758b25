# SPDX-License-Identifier: Apache-2.0
from django.conf import settings
from horizon import exceptions
from magnumclient import exceptions as client_exceptions

from tests.django import base
from tests.django.fake_magnum import KUBERNETES


class EnabledTest(base.RestTestCase):
    def test_module_comes_after_that_of_magnum_ui(self) -> None:
        """The plug-in's pages are loaded after those that they change."""
        modules = settings.HORIZON_CONFIG["angular_modules"]
        self.assertLess(
            modules.index("horizon.dashboard.container-infra"),
            modules.index("horizon.dashboard.container-infra.swarm-mode"),
        )

    def test_refusals_keep_their_status_at_magnum_uis_own_resources(self) -> None:
        """What Magnum refuses with status 409 does not become status 500, for any engine."""
        self.assertIn(client_exceptions.HttpError, exceptions.RECOVERABLE)
        self.refuse(f"GET /v1/clusters/{KUBERNETES}", "Busy.", 409)
        answer = self.ajax("GET", f"/api/container_infra/clusters/{KUBERNETES}")
        self.assertEqual(409, answer.status_code)
