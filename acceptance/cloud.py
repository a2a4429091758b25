# SPDX-License-Identifier: Apache-2.0
"""The cloud, through its public APIs, with the user's own rights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions
import openstack
from magnumclient.common.utils import generate_csr_and_key

from acceptance.errors import Broken
from acceptance.options import Options

SERVER = "OS::Nova::Server"
# Where a resource of Heat's can be asked for: service, path.
KINDS = {
    "OS::Cinder::Volume": ("block_storage", "/volumes"),
    "OS::Neutron::FloatingIP": ("network", "/floatingips"),
    "OS::Neutron::Net": ("network", "/networks"),
    "OS::Neutron::Port": ("network", "/ports"),
    "OS::Neutron::Router": ("network", "/routers"),
    "OS::Neutron::SecurityGroup": ("network", "/security-groups"),
    "OS::Neutron::Subnet": ("network", "/subnets"),
    SERVER: ("compute", "/servers"),
    "OS::Nova::ServerGroup": ("compute", "/os-server-groups"),
}
_GONE = ("", "DELETE_COMPLETE", "DELETED")


@dataclass(frozen=True)
class Resource:
    """Something that a cluster consists of."""

    kind: str
    ident: str

    def __str__(self) -> str:
        return f"{self.kind.rpartition('::')[2]} {self.ident}"


def template_body(options: Options) -> dict[str, Any]:
    """Return the cluster template that is asked for; published ports are opened by a label."""
    fields: dict[str, Any] = {
        "name": options.name,
        "coe": "swarm-mode",
        "image_id": options.node_image,
        "flavor_id": options.flavor,
        "master_flavor_id": options.manager_flavor or options.flavor,
        "external_network_id": options.external_network,
        "keypair_id": options.keypair,
        "fixed_network": options.fixed_network,
        "fixed_subnet": options.fixed_subnet,
        "dns_nameserver": options.dns_nameserver,
        "docker_volume_size": options.docker_volume_size,
        "http_proxy": options.http_proxy,
        "https_proxy": options.https_proxy,
        "no_proxy": options.no_proxy,
        "labels": {"published_ports": str(options.published_port), **options.labels},
    }
    return {name: value for name, value in fields.items() if value}


class Cloud:
    """A connection to all services.

    :raises Broken: the variables of the environment lead to no cloud.
    """

    def __init__(self, name: str = "") -> None:
        try:
            self._connection: Any = openstack.connect(cloud=name or None)
            self._connection.authorize()
        except (
            openstack.exceptions.SDKException,
            openstack.exceptions.ConfigException,
            keystoneauth1.exceptions.ClientException,
        ) as error:
            raise Broken(f"the cloud cannot be reached: {error}") from error

    def _call(
        self, service: str, method: str, path: str, body: object = None, *, may_miss: bool = False
    ) -> Any:
        """Call a service and return its answer; None where there is nothing and may be nothing.

        :raises Broken: refused, or no answer.
        """
        adapter = getattr(self._connection, service)
        more = {} if body is None else {"json": body}
        try:
            answer = adapter.request(path, method, **more)
        except (
            openstack.exceptions.SDKException,
            keystoneauth1.exceptions.ClientException,
        ) as error:
            raise Broken(f"{service} {method} {path}: {error}") from error
        if answer.status_code == 404 and may_miss:
            return None
        if answer.status_code >= 400:
            raise Broken(f"{service} {method} {path}: {answer.status_code} {_sentence(answer)}")
        return answer.json() if answer.content else {}

    def _magnum(self, method: str, path: str, body: object = None, **more: bool) -> Any:
        return self._call("container_infrastructure_management", method, path, body, **more)

    # -- Magnum ------------------------------------------------------------------------------------

    def make_template(self, options: Options) -> str:
        """Make the cluster template and return its uuid."""
        return str(self._magnum("POST", "/clustertemplates", template_body(options))["uuid"])

    def delete_template(self, ident: str) -> None:
        """Delete a cluster template, if it is there."""
        self._magnum("DELETE", f"/clustertemplates/{ident}", may_miss=True)

    def make_cluster(self, options: Options, template: str) -> str:
        """Ask for a cluster and return its uuid."""
        body = {
            "name": options.name,
            "cluster_template_id": template,
            "master_count": options.managers,
            "node_count": options.workers,
            "create_timeout": max(1, options.create_timeout // 60),
        }
        return str(self._magnum("POST", "/clusters", body)["uuid"])

    def cluster(self, ident: str) -> dict[str, Any]:
        """Return Magnum's record of a cluster, empty when there is none."""
        return self._magnum("GET", f"/clusters/{ident}", may_miss=True) or {}

    def delete_cluster(self, ident: str) -> None:
        """Ask for a cluster's removal, if it is there."""
        self._magnum("DELETE", f"/clusters/{ident}", may_miss=True)

    def client_files(self, ident: str, directory: Path) -> None:
        """Write ca.pem, cert.pem and key.pem of a new client certificate."""
        made = generate_csr_and_key()
        body = {"cluster_uuid": ident, "csr": _text(made["csr"])}
        files = {
            "ca.pem": self._magnum("GET", f"/certificates/{ident}")["pem"],
            "cert.pem": self._magnum("POST", "/certificates", body)["pem"],
            "key.pem": _text(made["key"]),
        }
        for name, text in files.items():
            path = directory / name
            path.touch(0o600)
            path.write_text(text, encoding="utf-8")

    # -- what a cluster consists of ----------------------------------------------------------------

    def resources(self, stack: str) -> list[Resource]:
        """Return what a stack and those nested in it consist of."""
        path = f"/stacks/{stack}/resources?nested_depth=5"
        found = self._call("orchestration", "GET", path)["resources"]
        # Heat names a server by the type that its template calls it, which may be an alias.
        servers = {one["id"] for one in self._call("compute", "GET", "/servers")["servers"]}
        known = set()
        for one in found:
            ident = one["physical_resource_id"]
            kind = SERVER if ident in servers else one["resource_type"]
            if ident and kind in KINDS:
                known.add(Resource(kind, ident))
        return sorted(known, key=str)

    def left(self, cluster: str, stack: str, resources: Iterable[Resource]) -> list[str]:
        """Return what is still there of a cluster that was deleted."""
        found = [str(one) for one in resources if self._exists(one)]
        answer = self._call("orchestration", "GET", f"/stacks/{stack}", may_miss=True)
        if answer and answer["stack"]["stack_status"] not in _GONE:
            found.append(f"Stack {stack}")
        user = self._connection.current_user_id
        credentials = self._call("identity", "GET", f"/users/{user}/application_credentials")
        found += [
            f"application credential {one['id']}"
            for one in credentials["application_credentials"]
            if cluster in one["name"] or cluster in (one.get("description") or "")
        ]
        return found

    def _exists(self, resource: Resource) -> bool:
        service, path = KINDS[resource.kind]
        answer = self._call(service, "GET", f"{path}/{resource.ident}", may_miss=True)
        status = next(iter(answer.values())).get("status", "there") if answer else ""
        return status not in _GONE

    # -- Nova --------------------------------------------------------------------------------------

    def reboot(self, name: str, resources: Iterable[Resource]) -> None:
        """Reboot that one of the servers that bears the name."""
        for one in resources:
            if one.kind != SERVER:
                continue
            server = self._call("compute", "GET", f"/servers/{one.ident}")["server"]
            if server["name"] == name:
                body = {"reboot": {"type": "SOFT"}}
                self._call("compute", "POST", f"/servers/{one.ident}/action", body)
                return
        raise Broken(f"no server of the cluster is called {name}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _sentence(answer: Any) -> str:
    """Return the sentence in a refusal's body, or the body."""
    try:
        found: Mapping[str, Any] = answer.json()
        errors = found.get("errors") or [next(iter(found.values()))]
        return str(errors[0].get("detail") or errors[0].get("message"))
    except (ValueError, AttributeError, IndexError, KeyError, StopIteration, TypeError):
        return str(answer.text)[:300]
