# SPDX-License-Identifier: Apache-2.0
"""Templates and user-data, judged by Heat's own code and by cloud-init's own schema."""

import dataclasses
import itertools
import json
import pathlib
from typing import Any

import jsonschema
import yaml
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import quota, room
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack import size as stack_size
from magnum_swarm_mode.stack.files import user_data
from tests.functional.heat import engine
from tests.unit.stack import samples

# cloud-init comes with the node images of the one-machine cloud.
IMAGES = pathlib.Path("/var/lib/devcloud/images")
SCHEMA = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
HOSTILE = (
    "a_b.c-",
    "x" * 242,
    "集群",
    '"; reboot #',
    "$(reboot)`reboot`",
    "{get_param: node_credential_secret}",
    '"}\\n',  # what JSON and YAML escape
    "- !!python/object/apply:os.system [reboot]",
    "{{ program }}",
    "@CONFIGURATION@",
    "%index%",
    "\u2028\u00a0\ufeff line",
    "'\\'\"\\\"",
)


def build(**changes: Any) -> stack_request.StackRequest:
    """Return the request of a usual cluster with changes."""
    return stack_request.build(samples.inputs(**changes))


def given(request: stack_request.StackRequest, **parameters: Any) -> stack_request.StackRequest:
    """Return a request with other parameters, as an upgrade asks for them."""
    return dataclasses.replace(request, parameters={**request.parameters, **parameters})


class TestHeat(base.BaseTestCase):
    def test_heat_takes_every_combination_of_variants(self):
        """All templates together are valid, whichever variants a cluster needs."""
        jobs = [
            engine.job(
                "validate",
                build(
                    fixed_network=network,
                    docker_volume_size=volume,
                    boot_volume_size=boot,
                    floating_ip_enabled=managers,
                    worker_floating_ip_enabled=workers,
                ),
            )
            for network, volume, boot, managers, workers in itertools.product(
                (None, samples.EXISTING), (0, 5), (0, 10), (False, True), (False, True)
            )
        ]
        for result in engine.run(*jobs):
            self.assertIn("manager_ready", result)

    def test_heat_takes_what_is_optional(self):
        """Values that may be empty may be given as well."""
        for result in engine.run(
            engine.job("validate", build(keypair="", dns_nameservers=())),
            engine.job(
                "validate",
                build(
                    availability_zone="zone",
                    ssh_allowed_cidrs=("192.0.2.0/24", "198.51.100.0/24"),
                    insecure_registries=("registry:5000",),
                    http_proxy="http://proxy:3128",
                    openstack_ca=samples.CERTIFICATE,
                    docker_version="26.1",
                    docker_repository="https://download.docker.com/linux/debian",
                    log_driver="syslog",
                    log_address="udp://192.0.2.1:514",
                    registry_mirrors=("https://mirror.example.com",),
                    published_ports=("80/tcp", "8000-8010/udp"),
                    published_ports_allowed_cidrs=("192.0.2.0/24", "198.51.100.0/24"),
                    network_mtu=1400,
                    server_group_policy="none",
                    worker_server_group_policy="anti-affinity",
                    docker_volume_size=5,
                    docker_volume_type="fast",
                    boot_volume_size=10,
                    boot_volume_type="faster",
                ),
            ),
            engine.job("validate", build(worker_count=0)),
        ):
            self.assertIn("manager_ready", result)

    def test_heat_takes_hostile_names(self):
        """A name is only ever data."""
        jobs = [engine.job("validate", build(cluster_name=name)) for name in HOSTILE]
        for name, result in zip(HOSTILE, engine.run(*jobs), strict=True):
            self.assertIn("manager_ready", result, name)

    def test_a_thousand_workers_are_small(self):
        """What Heat stores of a group of a thousand is below its own limit for templates."""
        (result,) = engine.run(
            engine.job("members", build(worker_count=1000, keypair="k" * 64), trace=1)
        )
        members = result["resources"]
        self.assertEqual(1000, len(members))
        self.assertEqual({"Magnum::SwarmMode::Worker"}, {m["type"] for m in members.values()})
        self.assertLess(len(json.dumps(members["999"])), 1024)

    def test_heat_puts_the_configuration_into_user_data_unharmed(self):
        """Whatever a cluster is called, its nodes read what was meant and nothing else changes."""
        jobs, expected = [], []
        for role, name in itertools.product(("manager", "worker"), HOSTILE):
            told = samples.configuration(role, name)
            expected.append(told)
            jobs.append(
                {
                    "action": "replace",
                    "text": user_data.render(role),
                    "params": {user_data.CONFIGURATION: told},
                }
            )
        for told, text in zip(expected, engine.run(*jobs), strict=True):
            plain = yaml.safe_load(user_data.render(told["role"]))
            filled = yaml.safe_load(text)
            self.assertEqual(told, json.loads(filled["write_files"][0].pop("content")))
            plain["write_files"][0].pop("content")
            self.assertEqual(plain, filled)


class TestSize(base.BaseTestCase):
    """What is known of Heat's limits."""

    def test_resources_of_a_stack(self):
        """As many resources are counted as Heat counts, but for those under a condition."""
        variants = list(itertools.product((None, samples.EXISTING), (0, 5), (False, True)))
        jobs = [
            engine.job(
                "count",
                build(
                    fixed_network=network,
                    docker_volume_size=volume,
                    floating_ip_enabled=floating,
                    worker_floating_ip_enabled=floating,
                ),
                trace=1,
            )
            for network, volume, floating in variants
        ]
        for counted, (network, volume, floating) in zip(engine.run(*jobs), variants, strict=True):
            wanted = room.Wanted(
                image="ubuntu_xenial",
                manager_flavor="m1.medium",
                worker_flavor="m1.medium",
                fixed_network="private" if network else "",
                managers=3,
                workers=8,
                floating_ip_enabled=floating,
                worker_floating_ip_enabled=floating,
                docker_volume_size=volume,
            )
            # The managers' server group and the workers' wait condition.
            self.assertEqual(counted - 2, stack_size.of_cluster(wanted))

    def test_limits(self):
        """Heat tells its limits of a preview that it would refuse anyway."""
        few, many = stack_size.preview(5), stack_size.preview(10**9)
        good, stacks, resources, none = engine.run(
            engine.preview(few, resources=5),
            engine.preview(few, stacks=0),
            engine.preview(few, resources=4),
            engine.preview(many, stacks=-1, resources=-1),
        )
        for answer in (good, none):
            self.assertIn("Invalid stack name", answer["error"])
            quota.check_stack(5, answer["error"])
        for answer in (stacks, resources):
            self.assertIn("RequestLimitExceeded", answer["error"])
            self.assertRaises(exceptions.Refused, quota.check_stack, 5, answer["error"])
        # A stack that there is needs no further one.
        quota.check_stack(5, stacks["error"], is_new=False)


class TestServers(base.BaseTestCase):
    """What Heat's own engine asks of Nova and Cinder, by label."""

    def test_a_node_boots_from_a_volume_of_its_image(self):
        """Nova gets the image as the source of a volume, and no image beside it."""
        boot = {
            "boot_index": 0,
            "image": "ubuntu_xenial",
            "volume_size": 10,
            "volume_type": "fast",
            "delete_on_termination": True,
        }
        wanted = {"boot_volume_size": 10, "boot_volume_type": "fast"}
        jobs = [
            engine.job("properties", build(**wanted, **changes), role=role, trace=1)
            for role in ("manager", "worker")
            for changes in ({}, {"docker_volume_size": 5}, {"worker_floating_ip_enabled": True})
        ]
        for made in engine.run(*jobs):
            server = made["server"]
            self.assertNotIn("image", server)
            first = {
                name: value
                for name, value in server["block_device_mapping_v2"][0].items()
                if value is not None
            }
            self.assertEqual(boot, {name: first.get(name) for name in boot})
            rest = server["block_device_mapping_v2"][1:]
            self.assertEqual(
                ["docker_volume"] if rest else [], sorted(set(made) & {"docker_volume"})
            )
            self.assertEqual([-1] * len(rest), [one["boot_index"] for one in rest])

    def test_a_node_boots_from_its_flavors_disk_otherwise(self):
        """Without a boot volume Nova gets the image and no mapping."""
        for made in engine.run(
            *(engine.job("properties", build(), role=role) for role in ("manager", "worker"))
        ):
            self.assertEqual("ubuntu_xenial", made["server"]["image"])
            self.assertNotIn("block_device_mapping_v2", made["server"])

    def test_the_volume_type_of_docker_volumes(self):
        """Cinder gets the type of the label, or none."""
        jobs = [
            engine.job("properties", build(docker_volume_size=5, **changes), role=role)
            for role in ("manager", "worker")
            for changes in ({"docker_volume_type": "fast"}, {})
        ]
        types = [made["docker_volume"].get("volume_type") for made in engine.run(*jobs)]
        self.assertEqual(["fast", None, "fast", None], types)

    def test_the_availability_zone_and_no_zone(self):
        """Nova gets the zone of the label; without one the property is absent."""
        jobs = [
            engine.job("properties", build(**changes), role=role)
            for role in ("manager", "worker")
            for changes in ({"availability_zone": "east"}, {})
        ]
        zones = [made["server"].get("availability_zone") for made in engine.run(*jobs)]
        self.assertEqual(["east", None, "east", None], zones)

    def test_the_second_colour(self):
        """Workers of the second colour have names, an image and a flavor of their own."""
        for changes in ({}, {"docker_volume_size": 5}, {"boot_volume_size": 10}):
            (made,) = engine.run(
                engine.job(
                    "properties",
                    given(
                        build(**changes),
                        worker_green_count=1,
                        worker_green_image="newer",
                        worker_green_flavor="m1.large",
                    ),
                    role="worker",
                    group="green_workers",
                    trace=1,
                )
            )
            server = made["server"]
            boot = server.get("block_device_mapping_v2", [{}])[0]
            self.assertEqual("newer", server.get("image") or boot["image"])
            self.assertEqual("m1.large", server["flavor"])
            self.assertTrue(server["name"].endswith("-worker-g0"), server["name"])

    def test_a_manager_that_differs(self):
        """A manager has its own image and flavor where it is named, or is away with its volume."""
        own = {"0": {"image": "older", "flavor": "m1.large", "seal": "s"}}
        for changes in ({}, {"docker_volume_size": 5}, {"boot_volume_size": 10}):
            request = build(**changes)
            named, other, absent = engine.run(
                *(
                    engine.job(
                        "properties", given(request, manager_machines=machines), role="manager"
                    )
                    for machines in (own, {"1": own["0"]}, {"0": {"absent": True}})
                )
            )
            server = named["server"]
            boot = server.get("block_device_mapping_v2", [{}])[0]
            self.assertEqual("older", server.get("image") or boot["image"])
            self.assertEqual("m1.large", server["flavor"])
            usual = other["server"].get("block_device_mapping_v2", [{}])[0]
            self.assertEqual("ubuntu_xenial", other["server"].get("image") or usual["image"])
            self.assertEqual({}, absent)

    def test_what_an_upgrade_gives_heat_anew(self):
        """The renewed templates are valid with the environment of every kind of cluster."""
        template, files = stack_request.renewal("cluster.yaml")
        jobs = []
        for changes in ({}, {"docker_volume_size": 5, "worker_floating_ip_enabled": True}):
            request = build(**changes)
            renewed = dataclasses.replace(request, template=template, files=files)
            self.assertLessEqual(set(request.files), set(files))
            jobs.append(engine.job("validate", renewed))
        for result in engine.run(*jobs):
            self.assertIn("manager_ready", result)

    def test_server_groups_are_made_as_asked(self):
        """Each role has a group of its policy and its servers the hint, or neither."""
        cases: tuple[tuple[dict[str, Any], bool, bool], ...] = (
            ({}, True, False),
            ({"server_group_policy": "none"}, False, False),
            ({"worker_server_group_policy": "anti-affinity"}, True, True),
        )
        jobs = []
        for changes, _, _ in cases:
            request = build(**changes)
            jobs += [engine.job("properties", request, role=role) for role in ("manager", "worker")]
            jobs.append(engine.job("validate", request))
        made = engine.run(*jobs)
        for number, (changes, manager, worker) in enumerate(cases):
            *servers, names = made[3 * number : 3 * number + 3]
            hints = ["scheduler_hints" in one["server"] for one in servers]
            self.assertEqual([manager, worker], hints, str(changes))
            self.assertEqual(manager, "manager_server_group" in names, str(changes))


class TestCloudInit(base.BaseTestCase):
    def test_user_data_is_valid_by_cloud_inits_schema(self):
        """cloud-init of every node image knows every key, and each has the right type."""
        schemas = sorted(IMAGES.glob(f"docker-*/{SCHEMA}"))
        self.assertNotEqual([], schemas, f"no node image below {IMAGES}")
        for path, role in itertools.product(schemas, ("manager", "worker")):
            schema = json.loads(path.read_text())
            config = yaml.safe_load(user_data.render(role))
            jsonschema.Draft4Validator(schema).validate(config)
            known = set()
            for part in schema["allOf"]:
                known |= set(schema["$defs"][part["$ref"].rsplit("/", 1)[1]].get("properties", ()))
            self.assertEqual(set(), set(config) - known)
