# SPDX-License-Identifier: Apache-2.0
"""What all templates have in common, read as the data they are."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import yaml
from oslotest import base

from magnum_swarm_mode.stack.files import templates as files_templates

# Files of which Heat takes one or the other.
VARIANTS = (
    ("network_made.yaml", "network_existing.yaml"),
    ("manager_port.yaml", "manager_port_floating.yaml"),
    ("manager.yaml", "manager_volume.yaml"),
    ("worker_volume.yaml", "worker_floating.yaml", "worker_volume_floating.yaml"),
)
SECRETS = {"node_credential_secret", "join_secret"}


def templates() -> dict[str, Any]:
    """Return all HOT files by name."""
    return {
        path.name: yaml.safe_load(path.read_text())
        for path in sorted(files_templates.template_directory().glob("*.yaml"))
    }


def mentioned(value: Any) -> Iterator[str]:
    """Yield the name of every parameter that a part of a template gets."""
    if isinstance(value, dict):
        if set(value) == {"get_param"}:
            argument = value["get_param"]
            yield argument if isinstance(argument, str) else argument[0]
        for item in value.values():
            yield from mentioned(item)
    elif isinstance(value, list):
        for item in value:
            yield from mentioned(item)


class TestTemplates(base.BaseTestCase):
    def test_all_files_are_of_the_current_version(self):
        """Heat understands the same functions in every file."""
        for name, template in templates().items():
            self.assertEqual("2021-04-16", template["heat_template_version"], name)

    def test_every_parameter_is_typed_described_and_constrained(self):
        """A reader of the template needs no other file to know what a parameter is."""
        for name, template in templates().items():
            for parameter, schema in template["parameters"].items():
                self.assertTrue(schema["description"].endswith("."), f"{name}: {parameter}")
                self.assertIn("type", schema, f"{name}: {parameter}")
                if schema["type"] != "boolean":
                    self.assertTrue(schema.get("constraints"), f"{name}: {parameter}")

    def test_a_parameter_is_declared_alike_in_all_files(self):
        """The same name means the same thing everywhere."""
        first: dict[str, tuple[str, Any]] = {}
        for name, template in templates().items():
            for parameter, schema in template["parameters"].items():
                where, known = first.setdefault(parameter, (name, schema))
                self.assertEqual(known, schema, f"{parameter} in {where} and {name}")

    def test_what_may_be_empty_is_not_looked_up(self):
        """Heat asks the service for a thing without a name, and refuses, but for key pairs."""
        for name, template in templates().items():
            for parameter, schema in template["parameters"].items():
                if schema.get("default") == "":
                    kinds = {one.get("custom_constraint") for one in schema["constraints"]}
                    self.assertLessEqual(kinds, {None, "nova.keypair"}, f"{name}: {parameter}")

    def test_no_parameter_is_unused(self):
        """What is handed in is used, by one of the variants where there are several."""
        found = templates()
        groups = list(VARIANTS)
        groups += [(name,) for name in found if name not in set(itertools.chain(*VARIANTS))]
        for group in groups:
            declared = set().union(*(found[name]["parameters"] for name in group))
            used = set(mentioned([found[name] for name in group]))
            self.assertEqual(declared, used, str(group))

    def test_variants_have_equal_inputs_and_outputs(self):
        """One variant can stand in the place of another."""
        found = templates()
        for group in VARIANTS:
            for name in group[1:]:
                for part in ("parameters", "outputs"):
                    self.assertEqual(
                        set(found[group[0]][part]), set(found[name][part]), f"{name}: {part}"
                    )

    def test_a_worker_template_takes_what_a_bare_server_is_given(self):
        """The group hands its members the same properties whatever they are made of."""
        given = templates()["node_group.yaml"]["resources"]["workers"]["properties"]
        given = set(given["resource_def"]["properties"])
        for name in VARIANTS[-1]:
            self.assertEqual(
                {"docker_volume_size", "docker_volume_type", "external_network"},
                set(templates()[name]["parameters"]) - given,
            )
            self.assertEqual(set(), given - set(templates()[name]["parameters"]))

    def test_secrets_are_hidden(self):
        """Heat shows no secret to who looks at a stack."""
        for name, template in templates().items():
            for parameter, schema in template["parameters"].items():
                self.assertEqual(
                    parameter in SECRETS, schema.get("hidden", False), f"{name}: {parameter}"
                )

    def test_every_resource_has_a_comment(self):
        """One sentence before each resource says what it is for."""
        for path in files_templates.template_directory().glob("*.yaml"):
            lines = path.read_text().splitlines()
            names = yaml.safe_load(path.read_text()).get("resources", {})
            start = lines.index("resources:") if names else 0
            for name in names:
                line = lines.index(f"  {name}:", start)
                self.assertRegex(lines[line - 1], r"^  # .*\.$", f"{path.name}: {name}")

    def test_shared_user_data_does_not_depend_on_the_member(self):
        """No index gets into user-data, or a thousand workers would need a thousand copies."""
        for name in ("cluster.yaml", "node_group.yaml"):
            for resource in templates()[name]["resources"].values():
                if resource["type"] == "OS::Heat::SoftwareConfig":
                    self.assertNotIn("%index%", str(resource))

    def test_no_shell_and_no_secrets_in_templates(self):
        """Templates are data."""
        for path in files_templates.template_directory().rglob("*.yaml"):
            self.assertIsNone(re.search(r"#!/|\$\(|curl", path.read_text()), path.name)
