# SPDX-License-Identifier: Apache-2.0
"""Magnum's API with the token of the user who is logged in.

Requests and answers pass as they are: what Magnum accepts is for Magnum to say. magnum-ui's own
functions turn every value into text, split labels at commas and drop what they do not know, and
python-magnumclient changes its interface with releases: neither is between a page and Magnum here.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from horizon import exceptions
from openstack_dashboard.api import base
from openstack_dashboard.api.rest import utils as rest_utils

_SERVICE = "container-infra"
# Node labels came with 1.14; older releases of Magnum answer with the newest version they have.
_VERSION = f"{_SERVICE} latest"
# Seconds until Magnum is connected to, and until it answers: it asks other services itself.
_TIMEOUT = (5, 60)
# Of a list that Magnum cuts into pages ([api] max_limit, 1000 by default).
_MOST_PAGES = 50


class Magnum:
    """Calls Magnum's API for one request of a browser.

    :param request: whose user is logged in.
    """

    def __init__(self, request: HttpRequest) -> None:
        try:
            url = base.url_for(request, _SERVICE)
        except exceptions.ServiceCatalogException as error:
            text = _("This cloud has no container-infra service.")
            raise rest_utils.AjaxError(503, text) from error
        self._root = re.sub(r"/(v1)?/*$", "", url)
        self._headers = {
            "Accept": "application/json",
            "OpenStack-API-Version": _VERSION,
            "X-Auth-Token": request.user.token.id,
        }
        insecure = getattr(settings, "OPENSTACK_SSL_NO_VERIFY", False)
        authority = getattr(settings, "OPENSTACK_SSL_CACERT", None)
        self._verify = False if insecure else authority or True

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return what Magnum answers, decoded; None where it answers nothing.

        :param path: below the endpoint, beginning with ``/v1/``.
        :raises AjaxError: with Magnum's status and sentence.
        """
        try:
            answer = requests.request(
                method,
                self._root + path,
                json=body,
                headers=self._headers,
                verify=self._verify,
                timeout=_TIMEOUT,
                # The token is for Magnum alone.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # The text of the error names inner addresses.
            raise rest_utils.AjaxError(503, _("Magnum does not answer.")) from error
        if not answer.ok or answer.is_redirect:
            status = 502 if answer.is_redirect else answer.status_code
            raise rest_utils.AjaxError(status, sentence(answer))
        return answer.json() if answer.content else None

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


def sentence(answer: requests.Response) -> str:
    """Return what Magnum says of a refusal."""
    try:
        [error, *_more] = answer.json()["errors"]
        # Magnum's titles end at the first full stop.
        text = error.get("detail") if answer.status_code < 500 else ""
        return str(text or error["title"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return str(_("Magnum answers with status %(status)s.") % {"status": answer.status_code})
