# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's services answer while a user waits for Magnum's API.

A service may be away, in maintenance, slow, or replaced by something that speaks HTTP but not its
language. So every answer is small, has a deadline and is looked at before it is believed, and what
is wrong ends as one sentence that names the service.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import enum
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keystoneauth1 import exceptions as auth_exceptions

from magnum_swarm_mode import exceptions, log, text

LOG = log.of(__name__)

# Lists of some thousand flavors or ports are a few MiB.
_LARGEST_ANSWER = 32 * 2**20
_CHUNK = 2**16
# A load balancer may redirect to a canonical address; more often than that it leads nowhere.
_REDIRECTS = 3
_LONGEST_MESSAGE = 200
# Questions that one process asks at the same time, for all its requests. A creation asks up to 15.
# Where many users wait for a slow service, further questions wait until their deadline.
MOST_AT_ONCE = 64
_POOL = concurrent.futures.ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="swarm-mode-ask")


class Service(enum.Enum):
    """A service by its official type.

    The values are: type in the catalogue, what users know it as, and the version that ends its
    endpoint's path where the catalogue leaves that out.
    """

    KEYSTONE = ("identity", "Keystone (identity)", "v3")
    GLANCE = ("image", "Glance (images)", "v2")
    NOVA = ("compute", "Nova (servers)", "v2.1")
    NEUTRON = ("network", "Neutron (networks)", "v2.0")
    CINDER = ("block-storage", "Cinder (volumes)", "v3")
    HEAT = ("orchestration", "Heat (stacks)", "")

    @property
    def type(self) -> str:
        """Its official type."""
        return self.value[0]

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        return self.value[1]

    def address(self, endpoint: str) -> str:
        """Return the address that its paths are appended to."""
        base = endpoint.rstrip("/")
        version = self.value[2]
        # Some catalogues append the project to the version.
        if not version or re.search(r"/v\d[^/]*(/[^/]+)?$", urllib.parse.urlsplit(base).path):
            return base
        return f"{base}/{version}"


class NotThere(Exception):  # noqa: N818 (the word says it)
    """The service does not know what was asked for."""


class NotAllowed(exceptions.Refused):
    """The service does not let the user ask this."""


class TokenRejected(NotAllowed):
    """The user's token is not valid (any more), such as when its project is gone."""


def does_not_answer(service: Service, reason: object) -> exceptions.Unavailable:
    """Return the error for a service that cannot be reached, or says that it cannot serve."""
    return exceptions.Unavailable(
        f"{service.title} does not answer, so nothing was created; try again later, and tell the "
        "operator if it stays so.",
        f"{service.title}: {reason}",
    )


def answers_rubbish(service: Service, reason: object) -> exceptions.Unavailable:
    """Return the error for something that answers in the place of a service."""
    return exceptions.Unavailable(
        f"{service.title} gives answers that make no sense, so nothing was created; tell the "
        "operator, whose log says more.",
        f"{service.title}: {reason}",
    )


@contextlib.contextmanager
def believed(service: Service) -> Iterator[None]:
    """Guard the reading of an answer: whatever is not as documented is the service's fault.

    :raises Unavailable: naming the service.
    """
    try:
        yield
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        RecursionError,
        OverflowError,
    ) as error:
        raise answers_rubbish(service, f"unexpected answer: {error!r}") from error


@dataclasses.dataclass(frozen=True)
class Deadline:
    """A point in time, on the monotonic clock.

    :ivar seconds: how long it was ahead when it was set.
    """

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the one ``seconds`` ahead."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def left(self) -> float:
        """Seconds until then, or 0."""
        return max(0.0, self.at - time.monotonic())


class Services:
    """Asks services with a user's rights.

    :param session: a keystoneauth session; its catalogue is used.
    :param region: region of the endpoints, None for any.
    :param interface: which endpoints to use, such as ``public``.
    :param deadline: when the last answer must be there.
    """

    def __init__(
        self, session: Any, region: str | None, interface: str, deadline: Deadline
    ) -> None:
        self._session = session
        self._region = region or None
        self._interface = interface
        self.deadline = deadline

    def has(self, service: Service) -> bool:
        """Return whether the catalogue has an endpoint of a service."""
        return bool(self._endpoint(service))

    def _endpoint(self, service: Service) -> str | None:
        try:
            found = self._session.get_endpoint(
                service_type=service.type, interface=self._interface, region_name=self._region
            )
        except auth_exceptions.CatalogException:
            return None
        except auth_exceptions.ClientException as error:
            raise _without_token(Service.KEYSTONE, error) from error
        return str(found) if found else None

    def get(self, service: Service, path: str, **query: Any) -> dict[str, Any]:
        """Return what a service answers to a GET.

        :param path: begins with a slash; below the service's versioned address.
        :raises NotThere: for 400 and 404: names that users make up end as either.
        :raises NotAllowed: for 403, and as TokenRejected for 401.
        :raises Unavailable: when there is no sensible answer in time.
        """
        url = self._url(service, path)
        status, said = self._fetch(service, "GET", url, params=query)
        # Keystone finds the project or user of the token gone before it looks at anything else.
        if service is Service.KEYSTONE and status == 404 and _message(said):
            raise _not_allowed(service, 401, "")
        if status in (400, 404):
            raise NotThere(f"{url}: {status}")
        return self._read_object(service, url, status, said, (200,))

    def try_post(self, service: Service, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a service answers to a POST that changes nothing, also where it refuses it.

        :param path: begins with a slash; below the service's versioned address.
        :raises NotThere: for 404.
        :raises NotAllowed: for 401 and 403.
        :raises Unavailable: when there is no sensible answer in time.
        """
        url = self._url(service, path)
        status, said = self._fetch(service, "POST", url, json=body)
        if status == 404:
            raise NotThere(f"{url}: {status}")
        return self._read_object(service, url, status, said, (200, 400))

    def _url(self, service: Service, path: str) -> str:
        endpoint = self._endpoint(service)
        if not endpoint:
            raise exceptions.Unavailable(
                f"This cloud's catalogue has no {self._interface} endpoint of {service.title}"
                + (f" in region {self._region}" if self._region else "")
                + ", which clusters need; tell the operator."
            )
        return service.address(endpoint) + path

    @staticmethod
    def _read_object(
        service: Service, url: str, status: int, said: str, good: tuple[int, ...]
    ) -> dict[str, Any]:
        if status in (401, 403):
            raise _not_allowed(service, status, _message(said))
        if status >= 500 or status == 429:
            raise does_not_answer(service, f"{url}: {status} {said[:_LONGEST_MESSAGE]!r}")
        with believed(service):
            answer = json.loads(said) if status in good else None
            if not isinstance(answer, dict):
                raise ValueError(f"{url}: {status} {said[:_LONGEST_MESSAGE]!r}")
        return answer

    def require(self, service: Service, path: str, **query: Any) -> dict[str, Any]:
        """As :meth:`get`, for what every such service has.

        :raises NotAllowed: for 401 and 403.
        :raises Unavailable: when there is no sensible answer in time.
        """
        try:
            return self.get(service, path, **query)
        except NotThere as error:
            raise answers_rubbish(service, error) from error

    def _fetch(self, service: Service, method: str, url: str, **options: Any) -> tuple[int, str]:
        if not self.deadline.left:
            raise does_not_answer(service, f"{url}: no answer in {self.deadline.seconds:g} s")
        try:
            response = self._session.request(
                url,
                method,
                **options,
                headers={"Accept": "application/json"},
                timeout=self.deadline.left,
                redirect=_REDIRECTS,
                raise_exc=False,
                stream=True,
                log=False,
            )
            with contextlib.closing(response):
                return response.status_code, self._read(service, url, response)
        except (auth_exceptions.ClientException, OSError, ValueError) as error:
            # ValueError: a redirect to something that is no address.
            raise _without_token(service, error, url) from error

    def _read(self, service: Service, url: str, response: Any) -> str:
        """Read a body that may be endless, or come a byte at a time."""
        parts, size = [], 0
        for part in response.iter_content(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > _LARGEST_ANSWER:
                raise answers_rubbish(service, f"{url}: more than {_LARGEST_ANSWER} bytes")
            if not self.deadline.left:
                raise does_not_answer(service, f"{url}: no answer in {self.deadline.seconds:g} s")
        return b"".join(parts).decode("utf-8", "replace")

    def together(self, *asks: tuple[Service, Callable[[], Any]]) -> list[Any]:
        """Do several asks at once and return their results in order.

        :param asks: the service each asks, and what to call.
        :raises SwarmModeError: the first one's error, in the order of the asks; Unavailable for one
            that has not ended at the deadline.
        """
        errors: list[BaseException] = []
        asked = [_POOL.submit(ask) for _, ask in asks]
        for (service, _), one in zip(asks, asked, strict=True):
            if not _ended(one, self.deadline):
                reason = f"no answer in {self.deadline.seconds:g} s"
                errors.append(does_not_answer(service, reason))
            elif error := one.exception():
                errors.append(error)
        if errors:
            raise errors[0]
        return [one.result() for one in asked]

    def begin(
        self, asks: Mapping[str, tuple[Service, Callable[[], Any]]]
    ) -> Callable[[], dict[str, Any]]:
        """Begin asks whose answers help, but need not be had.

        :param asks: by name; the service each asks, and what to call.
        :returns: what waits for the answers, at most until the deadline, and returns by name those
            that there are.
        """
        asked = {name: _POOL.submit(ask) for name, (_, ask) in asks.items()}

        def answers() -> dict[str, Any]:
            found = {}
            for name, one in asked.items():
                if not _ended(one, self.deadline):
                    LOG.warning("%s: no answer about %s in time", asks[name][0].title, name)
                elif isinstance(error := one.exception(), exceptions.SwarmModeError | NotThere):
                    LOG.info("%s does not tell %s: %s", asks[name][0].title, name, error)
                else:
                    found[name] = one.result()
            return found

        return answers


def in_time(deadline: Deadline, ask: Callable[[], Any], otherwise: Any) -> Any:
    """Return what ``ask`` returns, or ``otherwise`` when it has not ended at the deadline."""
    one = _POOL.submit(ask)
    return one.result() if _ended(one, deadline) else otherwise


def _ended(one: concurrent.futures.Future[Any], deadline: Deadline) -> bool:
    """Wait for a question, at most until the deadline, and tell whether it has ended.

    One that has no thread yet then is given up; one that is asked ends by itself soon after.
    """
    concurrent.futures.wait([one], deadline.left)
    if one.done():
        return True
    one.cancel()
    return False


def _without_token(service: Service, error: Exception, url: str = "") -> exceptions.SwarmModeError:
    """Return the error for a request that was not answered, or not even made.

    Answers raise nothing, so that an HTTP error is Keystone's, to the user's token.
    """
    if isinstance(error, auth_exceptions.Unauthorized | auth_exceptions.Forbidden):
        return _not_allowed(Service.KEYSTONE, 401, "")
    if isinstance(error, auth_exceptions.NotFound) and _message(
        getattr(error.response, "text", "") or ""
    ):
        return _not_allowed(Service.KEYSTONE, 401, "")
    return does_not_answer(service, f"{url}: {error}" if url else error)


def _not_allowed(service: Service, status: int, message: str) -> NotAllowed:
    if status == 401:
        return TokenRejected(
            f"{service.title} does not accept your token (any more); authenticate again."
        )
    reason = f": {message}" if message else "."
    return NotAllowed(f"{service.title} does not let you make what a cluster needs{reason}")


def _message(body: str) -> str:
    """Return the message in an error that a service answered, empty where it is none."""
    try:
        answer = json.loads(body)
        (inner,) = answer.values()
        message = inner["message"]
    except (ValueError, TypeError, AttributeError, KeyError):
        return ""
    return one_line(message)


def one_line(message: object) -> str:
    """Return the message of a service as it can stand in a sentence."""
    return text.line(message, _LONGEST_MESSAGE)


def quoted(name: object) -> str:
    """Return a name as one part of a path."""
    return urllib.parse.quote(str(name), safe="")
