# SPDX-License-Identifier: Apache-2.0
"""What the tests of REST resources share: a logged-in user and a Magnum on the loopback."""

from __future__ import annotations

import json
import socket
from typing import Any
from unittest import mock

from magnum_ui.api import magnum
from magnumclient.v1 import client as magnum_client
from openstack_dashboard.api import base as catalogue
from openstack_dashboard.api.rest import utils as rest_utils
from openstack_dashboard.test import helpers
from urllib3.connection import HTTPConnection

from tests.django import fake_magnum

ROOT = "/api/container_infra/swarm_mode"
CLUSTER = f"{ROOT}/clusters/{fake_magnum.CLUSTER}"


class RestTestCase(helpers.TestCase):
    """Calls resources as a browser does."""

    def setUp(self) -> None:
        super().setUp()
        # Horizon's tests forbid sockets to block for longer than a second.
        self.addCleanup(socket.setdefaulttimeout, socket.getdefaulttimeout())
        self.magnum = fake_magnum.FakeMagnum()
        self.addCleanup(self.magnum.stop)
        # Horizon's tests let nothing connect; here is a Magnum to connect to.
        HTTPConnection.connect = self._real_conn_request
        self._patch(catalogue, "url_for", self._url)
        # For magnum-ui's own resources.
        self._patch(magnum, "magnumclient", self._client)
        # Horizon's answers have a property of the name that Django's test client writes to.
        self._patch(rest_utils._RestResponse, "json", None)

    def _patch(self, owner: Any, name: str, value: Any) -> None:
        patch = mock.patch.object(owner, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def _url(self, request: Any, service: str) -> str:
        return {"container-infra": self.magnum.url, "orchestration": self.magnum.heat}[service]

    def _client(self, request: Any) -> magnum_client.Client:
        return magnum_client.Client(
            auth_token="token", magnum_url=self.magnum.url, api_version="1.13"
        )

    def say(self, what: str, value: Any, status: int = 200) -> None:
        """Have Magnum answer a method and path."""
        self.magnum.answers[what] = (status, value)

    def refuse(self, what: str, sentence: str, status: int = 400) -> None:
        """Have Magnum refuse a method and path."""
        self.magnum.answers[what] = (status, fake_magnum.refusal(status, sentence))

    def ajax(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer to a call of the pages' own."""
        text = "" if body is None else json.dumps(body)
        return self.client.generic(
            method, path, text, "application/json", HTTP_X_REQUESTED_WITH="XMLHttpRequest"
        )
