# SPDX-License-Identifier: Apache-2.0
"""Tables made from what the code declares.

``swarm-mode-labels`` shows every label, ``swarm-mode-fields:: cluster-template`` (or ``cluster``,
``node-group``) what becomes of every field of Magnum's API, ``swarm-mode-options`` every option of
``[swarm_mode]``, and ``swarm-mode-cases:: refusals`` the cases in a file of ``doc/source/cases``;
tests bring them about. ``swarm-mode-attacks:: container`` shows what an attacker can do at most.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from oslo_config import cfg
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from magnum_swarm_mode import conf
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.labels import table as label_table

_FIELDS: Mapping[str, Mapping[str, request_fields.Field]] = {
    "cluster-template": request_fields.CLUSTER_TEMPLATE_FIELDS,
    "cluster": request_fields.CLUSTER_FIELDS,
    "node-group": request_fields.NODE_GROUP_FIELDS,
}


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        value = ",".join(str(item) for item in value)
    return str(value)


def _cell(text: str, literal: bool) -> nodes.entry:
    entry = nodes.entry()
    if text:
        inside = nodes.literal(text=text) if literal else nodes.Text(text)
        entry += nodes.paragraph("", "", inside)
    return entry


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    literals: set[int],
    widths: Sequence[int] = (),
) -> nodes.table:
    """Return a table.

    :param literals: columns of names.
    :param widths: relative ones; without them the last column is three times as wide as others.
    """
    group, body = nodes.tgroup(cols=len(head)), nodes.tbody()
    for width in widths or (*(1 for _ in head[1:]), 3):
        group += nodes.colspec(colwidth=width)
    header = nodes.thead()
    header += nodes.row("", *(_cell(text, False) for text in head))
    for row in rows:
        body += nodes.row("", *(_cell(text, column in literals) for column, text in enumerate(row)))
    group += header
    group += body
    return nodes.table("", group)


class LabelTable(Directive):
    """Every label with type, default, unit and help."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = [
            (
                name,
                _shown(label_table.BUILT_IN_DEFAULTS[name]),
                declaration.kind,
                declaration.unit,
                "no" if declaration.fixed else "yes",
                "yes" if declaration.per_group else "no",
                declaration.help,
            )
            for name, declaration in label_table.DECLARATIONS.items()
        ]
        return [
            _table(
                (
                    *("Label", "Default", "Value", "Unit"),
                    *("Can change", "Own value in a node group", "What it does"),
                ),
                rows,
                {0, 1},
            )
        ]


class FieldTable(Directive):
    """Every field of one of Magnum's API types."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        fields = _FIELDS[self.arguments[0]]
        rows = [
            (name, field.handling.value, field.text)
            for name, field in sorted(
                fields.items(), key=lambda item: (item[1].handling.name, item[0])
            )
        ]
        return [_table(("Field", "Given a value", "What it does, or the answer"), rows, {0})]


class OptionTable(Directive):
    """Every option of the driver's group."""

    def run(self) -> list[nodes.Node]:
        """Return a definition list."""
        result = nodes.definition_list()
        for _, options in conf.list_opts():
            for option in options:
                result += self._item(option)
        return [result]

    @staticmethod
    def _item(option: cfg.Opt) -> nodes.definition_list_item:
        default = option.default
        about = nodes.paragraph("", "", nodes.Text(f"{option.type.type_name}, "))
        if option.sample_default and default is None:
            about += nodes.Text("no default; as it is set: ")
            about += nodes.literal(text=_shown(option.sample_default))
        elif _shown(default):
            about += nodes.Text("default ")
            about += nodes.literal(text=_shown(default))
        else:
            about += nodes.Text("empty by default")
        return nodes.definition_list_item(
            "",
            nodes.term("", "", nodes.literal(text=option.name)),
            nodes.definition("", about, nodes.paragraph(text=option.help)),
        )


class CaseList(SphinxDirective):
    """Everything that goes wrong in one way, as a definition list."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        path = pathlib.Path(self.env.srcdir, "cases", f"{self.arguments[0]}.yaml")
        self.env.note_dependency(str(path))
        result = nodes.definition_list()
        for case in yaml.safe_load(path.read_text(encoding="utf-8")) or ():
            result += self._item(case)
        return [result]

    @staticmethod
    def _item(case: Mapping[str, object]) -> nodes.definition_list_item:
        answer = nodes.paragraph("", "", nodes.literal(text=str(case["answer"])))
        answer += nodes.Text(f" {case['sentence']}")
        inside = nodes.definition("", answer)
        if case.get("remedy"):
            remedy = nodes.paragraph("", "", nodes.emphasis(text="What helps: "))
            remedy += nodes.Text(str(case["remedy"]).strip())
            inside += remedy
        term = nodes.term("", "", nodes.Text(str(case["case"])))
        return nodes.definition_list_item("", term, inside, ids=[f"case-{case['id']}"])


class LastingTable(SphinxDirective):
    """What each operation of a cluster that lasts was seen to cost."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        path = pathlib.Path(self.env.srcdir) / "lasting.yaml"
        self.env.note_dependency(str(path))
        rows = [
            (
                one["operation"],
                str(one.get("seconds", "")) or "not measured",
                str(one.get("refusals", "")) or "-",
                f"{one['shown']} ({one['test'].rpartition('.')[0].removeprefix('tests.')})",
            )
            for one in yaml.safe_load(path.read_text(encoding="utf-8"))
        ]
        head = ("Operation", "Seconds", "Requests refused", "What a test sees")
        return [_table(head, rows, set())]


class AttackTable(SphinxDirective):
    """What one attacker can do at most, with the tests that try it."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table; a sentence with several tests spans their rows."""
        path = pathlib.Path(self.env.srcdir) / "attacks.yaml"
        self.env.note_dependency(str(path))
        entries = [
            one
            for one in yaml.safe_load(path.read_text(encoding="utf-8"))
            if one["attacker"] == self.arguments[0]
        ]
        if not entries:
            raise self.error(f"{path.name} has no attacker {self.arguments[0]}")
        rows = [
            ("" if number else one["attack"], "" if number else one["at_most"], name, result)
            for one in entries
            for number, (name, result) in enumerate(self._tests(one["tests"]))
        ]
        head = ("Attack", "At most", "Test", "Result")
        table = _table(head, rows, {2}, (3, 4, 4, 1))
        lines = iter(next(iter(table.findall(nodes.tbody))).children)
        for one in entries:
            first, *others = (next(lines) for _ in one["tests"])
            for entry in first.children[:2]:
                entry["morerows"] = len(others)
            for other in others:
                del other[:2]
        return [table]

    @staticmethod
    def _tests(tests: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        for name, result in tests.items():
            yield name.removeprefix("tests."), result or "not run"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("swarm-mode-attacks", AttackTable)
    app.add_directive("swarm-mode-lasting", LastingTable)
    app.add_directive("swarm-mode-labels", LabelTable)
    app.add_directive("swarm-mode-fields", FieldTable)
    app.add_directive("swarm-mode-options", OptionTable)
    app.add_directive("swarm-mode-cases", CaseList)
    return {"parallel_read_safe": True}
