# SPDX-License-Identifier: Apache-2.0
"""APIs of the cloud with the token of the user who is logged in: Magnum's, and Heat's.

Requests and answers pass as they are: what Magnum accepts is for Magnum to say. magnum-ui's own
functions turn every value into text, split labels at commas and drop what they do not know, and
python-magnumclient changes its interface with releases: neither is between a page and Magnum here.
"""

from __future__ import annotations

import abc
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import requests
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from horizon import exceptions
from openstack_dashboard.api import base
from openstack_dashboard.api.rest import utils as rest_utils

# Node labels came with 1.14; older releases of Magnum answer with the newest version they have.
_VERSION = "container-infra latest"
# Seconds until a service is connected to, and until it answers: it asks other services itself.
_TIMEOUT = (5, 60)
# Of a list that Magnum cuts into pages ([api] max_limit, 1000 by default).
_MOST_PAGES = 50


class Service(abc.ABC):
    """Calls a service for one request of a browser.

    :param request: whose user is logged in.
    :cvar type: of the service, in the catalogue.
    :cvar name: as users know it.
    :ivar root: of its addresses.
    """

    type: ClassVar[str]
    name: ClassVar[str]

    def __init__(self, request: HttpRequest) -> None:
        try:
            self.root = base.url_for(request, self.type)
        except exceptions.ServiceCatalogException as error:
            text = _("This cloud has no service of type %(type)s.") % {"type": self.type}
            raise rest_utils.AjaxError(503, text) from error
        self.headers = {"Accept": "application/json", "X-Auth-Token": request.user.token.id}
        insecure = getattr(settings, "OPENSTACK_SSL_NO_VERIFY", False)
        authority = getattr(settings, "OPENSTACK_SSL_CACERT", None)
        self._verify = False if insecure else authority or True

    @abc.abstractmethod
    def refusal(self, answer: requests.Response) -> str:
        """Return what the service says of a refusal; empty where it is not to be understood."""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the service answers, decoded; None where it answers nothing.

        :param path: below the root.
        :raises AjaxError: with the service's status and sentence.
        """
        try:
            answer = requests.request(
                method,
                self.root + path,
                json=body,
                headers=self.headers,
                verify=self._verify,
                timeout=_TIMEOUT,
                # The token is for the service alone.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # The text of the error names inner addresses.
            text = _("%(service)s does not answer.") % {"service": self.name}
            raise rest_utils.AjaxError(503, text) from error
        if not answer.ok or answer.is_redirect:
            status = 502 if answer.is_redirect else answer.status_code
            raise rest_utils.AjaxError(status, self.refusal(answer) or self._status(answer))
        return answer.json() if answer.content else None

    def _status(self, answer: requests.Response) -> str:
        text = _("%(service)s answers with status %(status)s.")
        return str(text % {"service": self.name, "status": answer.status_code})


class Magnum(Service):
    """Magnum's API; paths begin with ``/v1/``."""

    type = "container-infra"
    name = "Magnum"

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.root = re.sub(r"/(v1)?/*$", "", self.root)
        self.headers["OpenStack-API-Version"] = _VERSION

    def refusal(self, answer: requests.Response) -> str:
        """Return the sentence of the first error."""
        try:
            [error, *_more] = answer.json()["errors"]
            # Magnum's titles end at the first full stop.
            text = error.get("detail") if answer.status_code < 500 else ""
            return str(text or error["title"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return ""

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


class Heat(Service):
    """Heat's API; paths begin with ``/stacks``."""

    type = "orchestration"
    name = "Heat"

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.root = self.root.rstrip("/")

    def refusal(self, answer: requests.Response) -> str:
        """Return the message of the error."""
        try:
            return str(answer.json()["error"]["message"])
        except (ValueError, LookupError, TypeError):
            return ""
