# SPDX-License-Identifier: Apache-2.0
"""Mistakes that people make, and names that look like mistakes but are none."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devcloud import settings
from devcloud.demo import shell
from devcloud.demo.rest import RestError, request
from devcloud.services import resources
from tests import cases
from tests.endtoend import base, clusters, snapshots
from tests.endtoend.clusters import Cluster
from tests.endtoend.waiting import wait_for

TEMPLATE = "bad-input"
SOON = 12.0  # seconds until a refusal must be there: the preflight's, and the API's own
NARROW = "10.0.77.0/29"
CLOSED = "10.0.78.0/24"


class TestRefusals(base.EndToEndTestCase):
    """What cannot be made is refused at once, by real services' answers, and leaves nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.project = self.demo.cloud.project_id or self._project()
        clusters.make_template(self.demo, TEMPLATE, docker_volume_size=1)
        self.addCleanup(clusters.remove_template, self.demo, TEMPLATE)
        self.uuid = self.demo.cloud.get("container-infra", f"/clustertemplates/{TEMPLATE}")["uuid"]
        self.wrong: list[str] = []

    def _project(self) -> str:
        self.demo.cloud.authenticate()
        return self.demo.cloud.project_id

    def test_refused(self) -> None:
        """Each mistake gets its sentence within seconds, and nothing is left of any."""
        narrow = self._network("bad-narrow", NARROW)
        closed = self._network("bad-closed", CLOSED, gateway_ip=None)
        token = self._restricted_token()
        nameless = self._image()
        foreign = self._image(os_distro="fedora-coreos")
        before = snapshots.settled()

        self._cluster("label-unknown", labels={"join_timeuot": "60"})
        self._cluster("label-value", labels={"join_timeout": "soon"})
        self._cluster("managers-even", master_count=2)
        self._cluster("managers-zero", master_count=0)
        self._cluster("cluster-name", name="$(reboot)")
        self._cluster("no-floating-ip", floating_ip_enabled=False)
        self._cluster("flavor-missing", flavor_id="m1.smal")
        self._cluster("keypair-missing", keypair="absent")
        self._cluster("network-missing", fixed_network="absent")
        self._cluster("subnet-missing", fixed_subnet="absent")
        self._cluster("zone-missing", labels={"availability_zone": "absent"})
        self._cluster("pool-overlaps", labels={"swarm_address_pool": "10.0.0.0/16"})
        self._cluster("subnet-full", fixed_network=narrow, node_count=8)
        self._cluster("router-missing", fixed_network=narrow, node_count=0)
        self._cluster("subnet-gateway", fixed_network=closed)
        self._cluster("credential-restricted", token=token)
        self._template("image-missing", image_id="absent")
        self._template("image-without-distro", image_id=nameless)
        self._template("image-distro", image_id=foreign)
        self._template("external-missing", external_network_id="absent")
        self._template("external-internal", external_network_id=settings.PRIVATE_NETWORK)
        self._quotas()

        left = snapshots.leftovers(before)
        self.assertEqual({}, left, snapshots.describe(left))
        self.assertEqual([], self.wrong, "\n".join(self.wrong))

    def test_command_line(self) -> None:
        """Both commands print the sentence."""
        for words in (
            ("openstack", "coe", "cluster", "create", "bad", "--cluster-template", TEMPLATE),
            ("magnum", "cluster-create", "--name", "bad", "--cluster-template", TEMPLATE),
        ):
            with self.subTest(command=words[0]):
                labels = ("--labels", "join_timeuot=60")
                error: Any = self.assertRaises(shell.CommandError, self.demo.run, *words, *labels)
                self.assertIn("did you mean join_timeout?", error.output)

    # -- requests -----------------------------------------------------------------------------

    def _cluster(self, ident: str, token: str = "", **fields: object) -> None:
        body = {
            "name": f"bad-{ident}",
            "cluster_template_id": self.uuid,
            "master_count": 1,
            "node_count": 1,
            **fields,
        }
        self._refused(ident, "/clusters", body, token)

    def _template(self, ident: str, **fields: object) -> None:
        always = {
            "name": f"bad-{ident}",
            "coe": "swarm-mode",
            "image_id": "ubuntu_xenial",
            "flavor_id": "m1.small",
            "external_network_id": settings.EXTERNAL_NETWORK,
            "fixed_network": settings.PRIVATE_NETWORK,
        }
        self._refused(ident, "/clustertemplates", {**always, **fields}, "")

    def _refused(self, ident: str, path: str, body: Mapping[str, Any], token: str) -> None:
        """Note what is wrong with the answer, so that one case does not hide the others."""
        cloud = self.demo.cloud
        headers = {
            "X-Auth-Token": token or cloud.token,
            "OpenStack-API-Version": "container-infra latest",
        }
        began = time.monotonic()
        try:
            made = request("POST", cloud.endpoint("container-infra") + path, body, headers)[0]
        except RestError as error:
            seconds = time.monotonic() - began
            sentence = json.loads(error.body)["errors"][0]["detail"]
            try:
                cases.shown(self, ident, sentence, answer=error.status, seconds=seconds)
                self.assertLess(seconds, SOON, sentence)
            except AssertionError as problem:
                self.wrong.append(f"{ident}: {problem}")
        else:
            self.wrong.append(f"{ident}: accepted as {made['uuid']}")
            if path == "/clusters":
                Cluster(self.demo, body["name"], made["uuid"]).remove()
            else:
                clusters.remove_template(self.demo, made["uuid"])

    def _quotas(self) -> None:
        """Cases of quotas, each lowered for a moment."""
        compute = f"/os-quota-sets/{self.project}"
        limits = self.admin.cloud.get("compute", compute)["quota_set"]
        used = self.demo.cloud.get("compute", "/limits")["limits"]["absolute"]

        def nova(**values: int) -> None:
            self.admin.cloud.call("PUT", "compute", compute, {"quota_set": values})

        instances = used["totalInstancesUsed"] + 4
        self.addCleanup(nova, instances=limits["instances"])
        nova(instances=instances)
        self._cluster("quota-servers", master_count=3, node_count=8)
        nova(instances=limits["instances"])

        volumes = f"/os-quota-sets/{self.project}"
        limits = self.admin.cloud.get("block-storage", volumes)["quota_set"]
        used = self.demo.cloud.get("block-storage", "/limits")["limits"]["absolute"]

        def cinder(**values: int) -> None:
            self.admin.cloud.call("PUT", "block-storage", volumes, {"quota_set": values})

        self.addCleanup(cinder, volumes=limits["volumes"])
        cinder(volumes=used["totalVolumesUsed"] + 1)
        self._cluster("quota-volumes")
        cinder(volumes=limits["volumes"])
        # A type's quota cannot be taken away any more; what it was is as good.
        kind = self.demo.cloud.get("block-storage", "/types/default")["volume_type"]["name"]
        self.addCleanup(cinder, **{f"volumes_{kind}": limits[f"volumes_{kind}"]})
        cinder(**{f"volumes_{kind}": used["totalVolumesUsed"] + 1})
        self._cluster("quota-volumes-of-type")
        cinder(**{f"volumes_{kind}": limits[f"volumes_{kind}"]})

        network = f"/v2.0/quotas/{self.project}"
        self.addCleanup(self._reset_network_quota, network)
        addresses = self.demo.cloud.get("network", "/v2.0/floatingips")["floatingips"]
        quota = {"quota": {"floatingip": len(addresses)}}
        self.admin.cloud.call("PUT", "network", network, quota)
        self._cluster("quota-floating-ips")
        self._reset_network_quota(network)
        self._heat_limit(nova, cinder, network)

    def _heat_limit(
        self, nova: Callable[..., None], cinder: Callable[..., None], network: str
    ) -> None:
        """More resources than Heat lets a stack have, where no quota is in the way."""
        path = f"/os-quota-sets/{self.project}"
        for service, change, names in (
            ("compute", nova, ("instances", "cores", "ram", "server_group_members")),
            ("block-storage", cinder, ("volumes", "gigabytes")),
        ):
            limits = self.admin.cloud.get(service, path)["quota_set"]
            self.addCleanup(change, **{name: limits[name] for name in names})
            change(**dict.fromkeys(names, -1))
        unlimited = {"quota": {"port": -1, "floatingip": -1}}
        self.admin.cloud.call("PUT", "network", network, unlimited)
        # As many as the subnet has addresses for, each of several resources.
        labels = {"worker_floating_ip_enabled": "true"}
        self._cluster("quota-stack", node_count=205, labels=labels)
        self._reset_network_quota(network)

    def _reset_network_quota(self, path: str) -> None:
        try:
            self.admin.cloud.call("DELETE", "network", path)
        except RestError as error:
            if error.status != 404:
                raise

    # -- what the mistakes need ---------------------------------------------------------------

    def _network(self, name: str, cidr: str, **subnet: object) -> str:
        """A network of the demo project's own, with one subnet; its id."""
        cloud = self.demo.cloud
        body = {"network": {"name": name}}
        ident: str = cloud.call("POST", "network", "/v2.0/networks", body)["network"]["id"]
        self.addCleanup(cloud.call, "DELETE", "network", f"/v2.0/networks/{ident}")
        wanted = {"name": name, "network_id": ident, "ip_version": 4, "cidr": cidr, **subnet}
        cloud.call("POST", "network", "/v2.0/subnets", {"subnet": wanted})
        return ident

    def _image(self, **properties: str) -> str:
        """An image without data; its id."""
        cloud = self.demo.cloud
        body = {"name": "bad", "disk_format": "raw", "container_format": "bare", **properties}
        ident: str = cloud.call("POST", "image", "/v2/images", body)["id"]
        self.addCleanup(cloud.call, "DELETE", "image", f"/v2/images/{ident}")
        return ident

    def _restricted_token(self) -> str:
        """A token of an ordinary application credential of the demo user."""
        cloud = self.demo.cloud
        path = f"/users/{cloud.user_id}/application_credentials"
        body = {"application_credential": {"name": f"bad-{secrets.token_hex(4)}"}}
        made = cloud.call("POST", "identity", path, body)["application_credential"]
        self.addCleanup(cloud.call, "DELETE", "identity", f"{path}/{made['id']}")
        credential = {"id": made["id"], "secret": made["secret"]}
        methods = {"methods": ["application_credential"], "application_credential": credential}
        answer = request(
            "POST", f"{settings.AUTH_URL}/auth/tokens", {"auth": {"identity": methods}}
        )
        return next(v for k, v in answer[1].items() if k.lower() == "x-subject-token")


# Shell, YAML, HOT and JSON in one, as far as each place lets it in.
HOSTILE = "\";touch /pwned;'$(touch /pwned)`touch /pwned` {get_file: /etc/passwd} #&x *x !y |z"
HOSTILE_IMAGE = HOSTILE.replace(":", "")  # Glance takes what is before a colon for an operator
HOSTILE_NO_PROXY = (  # what has a slash must be a network
    f"{settings.HOST_ADDRESS},{{get_file:passwd}},;touch<pwned;,#,&x,*x,!y,|z,<<,@X@,%s,%n"
)
PROXY = "http://192.0.2.9:3128"  # nobody's; OpenStack and the cluster's own nodes are excepted
# Key: name. Two bear one name, which YAML would take for nothing.
PLAIN, LONG, CHINESE, FIRST, SECOND = "a_b.c-", "long", "集群", "first", "second"
NAMES = {PLAIN: PLAIN, LONG: "n" * 242, CHINESE: CHINESE, FIRST: "null", SECOND: "null"}
HOSTILE_ONE = CHINESE  # the cluster of the hostile template
LISTING = "find /etc /usr/local /opt /srv /home /root -xdev -type f | sort; ls -A /"


class TestNames(base.EndToEndTestCase):
    """Names that Magnum allows, or should, and values that want to be something else."""

    def test_all_are_created(self) -> None:
        """Clusters of any name, two of the same, and one of hostile values are all complete, and
        the hostile one's manager has the same files as an ordinary one's."""
        templates = dict.fromkeys(NAMES, self._ordinary_template())
        templates[HOSTILE_ONE] = self._hostile_template()
        before = snapshots.settled()
        made = self._make(templates)
        self._look_at(made)
        for cluster in made.values():
            cluster.delete()
        for cluster in made.values():
            cluster.wait_gone()
        left = snapshots.leftovers(before)
        self.assertEqual({}, left, snapshots.describe(left))

    def _make(self, templates: Mapping[str, str]) -> dict[str, Cluster]:
        """Ask for all clusters at once, and wait for them."""

        def ask(key: str) -> Cluster:
            return clusters.ask_for(self.demo, NAMES[key], templates[key], 1, 0)

        with ThreadPoolExecutor(len(NAMES)) as pool:
            made = dict(zip(NAMES, pool.map(ask, NAMES), strict=True))
        for cluster in made.values():
            self.addCleanup(cluster.remove)
        began = time.monotonic()
        for key, cluster in made.items():
            cluster.wait("CREATE_COMPLETE")
            print(f"{key}: complete after {time.monotonic() - began:.0f} s")
        return made

    def _look_at(self, made: Mapping[str, Cluster]) -> None:
        shown = self.demo.json("coe", "cluster", "show", CHINESE)
        self.assertEqual((CHINESE, made[CHINESE].uuid), (shown["name"], shown["uuid"]))
        self.assertIn(CHINESE, self.demo.run("magnum", "cluster-list"))
        self.assertNotEqual(made[FIRST].uuid, made[SECOND].uuid)

        self.assertEqual(self._files(made[PLAIN]), self._files(made[HOSTILE_ONE]))
        machine = made[HOSTILE_ONE].machine(made[HOSTILE_ONE].managers()[0])
        pwned = machine.text("find / -xdev -name '*pwned*' -not -path '/proc/*'")
        self.assertEqual("", pwned)
        # The value arrived as it is where it belongs.
        proxies = machine.text("tr '\\0' '\\n' < /proc/$(pidof dockerd)/environ")
        self.assertIn(f"NO_PROXY={HOSTILE_NO_PROXY},", proxies)

    def _files(self, cluster: Cluster) -> list[str]:
        """Files of its manager, without what names the node."""
        server = cluster.managers()[0]
        listed = cluster.machine(server).text(LISTING)
        for name in (server.name, server.ident, cluster.uuid):
            listed = listed.replace(name, "*")
        return sorted(listed.splitlines())

    def _ordinary_template(self) -> str:
        """A template like the hostile one without anything hostile; its name."""
        name = "ordinary"
        clusters.make_template(
            self.demo,
            name,
            docker_volume_size=1,
            http_proxy=PROXY,
            no_proxy=settings.HOST_ADDRESS,
            labels=clusters.SSH,
        )
        self.addCleanup(clusters.remove_template, self.demo, name)
        return name

    def _hostile_template(self) -> str:
        """A template in which everything that may be is hostile; its uuid."""
        image = self._hostile_image()
        volume_type = self._hostile_volume_type()
        name = f"{HOSTILE} 集"
        clusters.make_template(
            self.demo,
            name,
            image_id=image,
            docker_volume_size=1,
            no_proxy=HOSTILE_NO_PROXY,
            http_proxy=PROXY,
            tags=HOSTILE,
            labels={**clusters.SSH, "docker_volume_type": volume_type},
        )
        listed = self.demo.cloud.get("container-infra", "/clustertemplates")["clustertemplates"]
        uuid: str = next(one["uuid"] for one in listed if one["name"] == name)
        self.addCleanup(clusters.remove_template, self.demo, uuid)
        return uuid

    def _hostile_image(self) -> str:
        """The image that the ordinary clusters have, under another name; that name."""
        path = settings.STATE / f"hostile-{secrets.token_hex(4)}"
        path.write_text("a placeholder\n", encoding="utf-8")
        self.addCleanup(path.unlink)
        made = self.admin.json(
            *("image", "create", "--file", str(path), "--disk-format", "raw"),
            *("--container-format", "bare", "--public"),
            *("--property", f"os_distro={settings.OS_DISTRO}", HOSTILE_IMAGE),
        )
        ident = made["id"]
        self.addCleanup(self.admin.cloud.call, "DELETE", "image", f"/v2/images/{ident}")
        link = settings.IMAGES_BY_ID / ident
        resources.link_image(ident, settings.GLANCE_IMAGES["ubuntu_xenial"])
        self.addCleanup(link.unlink)
        return HOSTILE_IMAGE

    def _hostile_volume_type(self) -> str:
        cloud = self.admin.cloud
        body = {"volume_type": {"name": HOSTILE}}
        made = cloud.call("POST", "block-storage", "/types", body)["volume_type"]
        self._later(lambda: cloud.call("DELETE", "block-storage", f"/types/{made['id']}"))
        return HOSTILE

    def _later(self, remove: Callable[[], object]) -> None:
        """Remove something at the end; Cinder has to have forgotten who used it."""

        def gone() -> bool:
            try:
                remove()
            except RestError as error:
                return error.status == 404
            return True

        self.addCleanup(wait_for, "a thing to be removed", gone, timeout=30)
