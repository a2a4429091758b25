# SPDX-License-Identifier: Apache-2.0
"""What holds for every label and every value: typed or refused, and unharmed on its way."""

import copy
import dataclasses
import functools
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.node.base import config
from magnum_swarm_mode.preview import main
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack.files import templates
from tests.unit import strategies
from tests.unit.admission.properties import PROPERTY
from tests.unit.stack import samples

NAMES = st.sampled_from(sorted(label_table.DECLARATIONS))
ROLES = ("manager", "worker")
# Templates take time to read.
FEWER = settings(PROPERTY, max_examples=40)


@functools.cache
def loaded(text: str) -> Any:
    """Return what a template says, read once."""
    return yaml.safe_load(text)


def inputs(parsed: label_table.Labels, **changes: Any) -> stack_request.StackInputs:
    return dataclasses.replace(samples.inputs(**changes), labels=parsed)


def told(request: stack_request.StackRequest) -> dict[str, dict[str, Any]]:
    """Return the configuration that a node of each role finds, read as cloud-init does."""
    texts = main.documents(request)
    found = {}
    for role in ROLES:
        config_ = yaml.safe_load(texts[f"cloud-init/{role}.yaml"])
        plain = copy.deepcopy(loaded(request.files[f"user_data/{role}.yaml"]))
        found[role] = json.loads(config_["write_files"][0].pop("content"))
        plain["write_files"][0].pop("content")
        assert config_ == plain, "a value got out of its place"
    return found


def complaint(schema: Mapping[str, Any], value: Any) -> str:
    """Return why a value is not one of a parameter of HOT; empty when it is."""
    kinds: Mapping[str, Any] = {
        "string": str,
        "number": int,
        "boolean": bool,
        "comma_delimited_list": list,
        "json": (dict, list),
    }
    if not isinstance(value, kinds[schema["type"]]):
        return f"a {type(value).__name__} is no {schema['type']}"
    for constraint in schema.get("constraints", ()):
        length, bounds = constraint.get("length", {}), constraint.get("range", {})
        if length and not length.get("min", 0) <= len(value) <= length.get("max", len(value)):
            return f"length {len(value)}"
        if bounds and not bounds.get("min", value) <= value <= bounds.get("max", value):
            return f"{value} is out of range"
        if value not in constraint.get("allowed_values", [value]):
            return f"{value} is none of the allowed values"
        if "allowed_pattern" in constraint and not re.fullmatch(
            constraint["allowed_pattern"], value
        ):
            return f"{value} does not match"
    return ""


class TestLabels(base.BaseTestCase):
    @PROPERTY
    @given(NAMES, strategies.HOSTILE_TEXT)
    def test_any_text_is_a_value_or_a_sentence_that_names_the_label(self, name, text):
        """Nothing else comes of whatever is given to a label."""
        try:
            parsed = label_parsing.parse({name: text})
        except exceptions.Refused as refusal:
            self.assertIn(name, str(refusal))
            self.assertTrue(str(refusal).isprintable(), ascii(str(refusal)))
            return
        value = getattr(parsed, name)
        self.assertIsInstance(value, type(label_table.BUILT_IN_DEFAULTS[name]))
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str):
                self.assertFalse(any(unicodedata.category(c) in ("Cc", "Cs") for c in item))

    def test_good_values_are_good(self):
        """The values that the other properties are tested with are not refused by themselves."""
        together = {
            "docker_repository_key": {"docker_repository": "https://a.example"},
            "boot_volume_type": {"boot_volume_size": "1"},
            "log_address": {"log_driver": "syslog"},
        }
        alone = {"log_driver": {"log_address": "tcp://a.example:1"}}

        @PROPERTY
        @given(st.data())
        def check(data):
            name = data.draw(NAMES)
            value = data.draw(strategies.label_values(name))
            more = dict(together.get(name, {}))
            if name == "log_driver" and value in ("gelf", "fluentd"):
                more = alone[name]
            if name == "docker_repository" and value.startswith("http:"):
                more = {"docker_repository_key": "https://a.example/key"}
            if value == "7946":  # the one port that two bounds do not say
                return
            label_parsing.parse({name: value, **more})

        check()


class TestParameters(base.BaseTestCase):
    @FEWER
    @given(strategies.label_maps())
    def test_heat_gets_parameters_of_the_declared_types(self, values):
        """Of any labels: a refusal, or parameters within what the template allows."""
        try:
            parsed = label_parsing.parse(values)
        except exceptions.Refused:
            return
        request = stack_request.build(inputs(parsed))
        declared = loaded(request.template)["parameters"]
        for name, value in request.parameters.items():
            self.assertEqual("", complaint(declared[name], value), name)
        json.dumps(request.parameters, allow_nan=False)
        # What stands in the environment reaches the variants.
        for file, template in request.files.items():
            schemas = {} if "/" in file else loaded(template)["parameters"]
            for name, value in request.environment["parameter_defaults"].items():
                if name in schemas:
                    self.assertEqual("", complaint(schemas[name], value), f"{file}: {name}")

    @FEWER
    @given(strategies.label_maps())
    def test_a_node_reads_what_the_labels_say(self, values):
        """The configuration goes through HOT, YAML and JSON, and the node parses it."""
        try:
            parsed = label_parsing.parse(values)
        except exceptions.Refused:
            return
        try:
            request = stack_request.build(inputs(parsed, fixed_network=samples.EXISTING))
        except exceptions.Refused as refusal:
            self.assertIn("network_mtu", str(refusal))
            return
        for role, configuration in told(request).items():
            found = config.parse(json.dumps(configuration))
            self.assertEqual(role, found.role)
            daemon = found.engine_daemon
            self.assertEqual(parsed.network_mtu or samples.EXISTING.mtu, found.engine_mtu)
            self.assertEqual(parsed.docker_version, found.engine_version)
            self.assertEqual(parsed.docker_repository, found.engine_repository)
            self.assertEqual(parsed.docker_repository_key, found.engine_repository_key)
            self.assertEqual(parsed.log_driver, daemon["log-driver"])
            self.assertEqual(list(parsed.registry_mirrors), daemon.get("registry-mirrors", []))
            self.assertEqual(parsed.data_path_port, found.swarm_data_path_port)
            self.assertEqual(parsed.swarm_address_pool_mask, found.swarm_address_pool_mask)
            self.assertEqual(parsed.manager_availability, found.swarm_manager_availability)
            self.assertEqual(
                request.parameters["engine"]["daemon"],
                daemon,
                "daemon.json is the one that was made",
            )

    @FEWER
    @given(
        st.sampled_from(["cluster_name", "keypair", "http_proxy", "no_proxy", "external_network"]),
        strategies.HOSTILE_TEXT,
    )
    def test_hostile_text_changes_nothing(self, field, text):
        """Where free text is allowed, the node reads that very text or the cluster is refused."""
        try:
            request = stack_request.build(samples.inputs(**{field: text}))
        except exceptions.Refused as refusal:
            self.assertTrue(str(refusal).isprintable())
            return
        for found in told(request).values():
            self.assertEqual(
                {"cluster_name": text}.get(field, "swarm-mode-cluster"), found["cluster"]["name"]
            )
            if field in ("http_proxy", "no_proxy") and text:
                self.assertEqual(text, found["engine"][field])

    @FEWER
    @given(strategies.HOSTILE_TEXT, st.sampled_from(["availability_zone", "boot_volume_type"]))
    def test_hostile_names_reach_heat_as_they_are(self, text, name):
        """A zone or a volume type is data for Nova and Cinder, whatever it looks like."""
        try:
            parsed = label_parsing.parse({name: text, "boot_volume_size": 1})
        except exceptions.Refused:
            return
        parameters = stack_request.build(inputs(parsed)).parameters
        self.assertEqual(text.strip(), parameters[name])

    def test_templates_hold_no_label(self):
        """What a label says travels as a parameter, never within a template."""
        before = {name: templates.read(name) for name in ("cluster.yaml", "node_group.yaml")}
        request = stack_request.build(samples.inputs(availability_zone="needle"))
        texts = [request.template, *request.files.values()]
        self.assertEqual(before["cluster.yaml"], request.template)
        self.assertFalse(any("needle" in text for text in texts))
