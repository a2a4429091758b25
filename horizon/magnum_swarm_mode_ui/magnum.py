# SPDX-License-Identifier: Apache-2.0
"""Magnum's API with the token of the user who is logged in.

Requests and answers pass as they are: what Magnum accepts is for Magnum to say. magnum-ui's own
functions turn every value into text, split labels at commas and drop what they do not know.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from magnum_ui.api import magnum
from magnumclient.common.apiclient import exceptions
from openstack_dashboard.api.rest import utils as rest_utils

# Node labels came with 1.14; older releases of Magnum answer with the newest version they have.
_VERSION = {"OpenStack-API-Version": "container-infra latest"}
# Of a list that Magnum cuts into pages ([api] max_limit, 1000 by default).
_MOST_PAGES = 50


class Magnum:
    """Calls Magnum's API for one request of a browser.

    :param request: whose user is logged in.
    """

    def __init__(self, request: HttpRequest) -> None:
        client = magnum.magnumclient(request)
        if client is None:
            raise rest_utils.AjaxError(503, _("This cloud has no container-infra service."))
        self._http = client.clusters.api

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return what Magnum answers, decoded; None where it answers nothing.

        :param path: below the endpoint, beginning with ``/v1/``.
        :raises AjaxError: with Magnum's status and sentence.
        """
        options: dict[str, Any] = {"headers": dict(_VERSION)}
        if body is not None:
            options["body"] = body
        try:
            answer = self._http.json_request(method, path, **options)[1]
        except exceptions.HttpError as error:
            raise rest_utils.AjaxError(error.http_status, sentence(error)) from error
        except exceptions.ClientException as error:
            text = _("Magnum does not answer: %(reason)s") % {"reason": error}
            raise rest_utils.AjaxError(503, text) from error
        return answer or None

    def every(self, path: str, key: str) -> list[dict[str, Any]]:
        """Return all items of a list, page after page.

        :param key: the name of the list in the answer.
        """
        return [item for page in self._pages(path) for item in page.get(key) or ()]

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        following = path
        for _page in range(_MOST_PAGES):
            page = self.call("GET", following) or {}
            yield page
            if not page.get("next"):
                return
            # The address is Magnum's own view of itself, which may be of another network.
            following = f"{path}?{urllib.parse.urlsplit(page['next']).query}"


def sentence(error: Exception) -> str:
    """Return what Magnum says of a refusal, without what its client adds."""
    text = str(getattr(error, "message", "") or error)
    return text.partition(" (HTTP ")[0].strip()
