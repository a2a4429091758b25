# SPDX-License-Identifier: Apache-2.0
"""Makes ``swarm-mode`` known to a Magnum process.

Magnum's list of orchestration engines is written down in several places of its code, without an
extension point. :func:`register` extends each of them in place. It may be called any number of
times, and it looks before it touches: when a place is not as in Magnum 20 to 23, the service ends
with a sentence instead of misbehaving later.

It is called in two ways:

- by oslo.config, while a service reads its configuration, through the entry point
  ``oslo.config.driver`` (``[DEFAULT] config_source = swarm_mode`` and ``[swarm_mode] driver =
  magnum_swarm_mode``): early enough for every process of every release;
- by the import of the driver's module, which Magnum 23 does at the start of its processes.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from oslo_config import cfg, sources

from magnum_swarm_mode import conf, constants, exceptions, log
from magnum_swarm_mode.admission import legacy as legacy_rules
from magnum_swarm_mode.certificates import names as certificate_names

LOG = log.of(__name__)

# Present on our replacements, so that none is put in place twice.
_MARK = "__magnum_swarm_mode__"
# magnum-api imports this before it reads its configuration, under each of its servers; no other
# process imports it.
_API_MODULE = "magnum.api.app"
_TEMPLATE_CONTROLLER = "magnum.api.controllers.v1.cluster_template"
_CLUSTER_CONTROLLER = "magnum.api.controllers.v1.cluster"

# Magnum reads rows of both; of the second there can be old ones only.
_ENGINES = (constants.COE, legacy_rules.COE)

_lock = threading.RLock()


@dataclasses.dataclass(frozen=True)
class Patch:
    """A function of Magnum's, and what is put around it.

    :ivar module: where it lives.
    :ivar path: its name in the module; a method is ``Class.method``.
    :ivar parameters: names of its parameters in the releases that are known.
    :ivar hook: called with the original and then the arguments.
    :ivar optional: whether known releases lack it.
    """

    module: str
    path: str
    parameters: tuple[str, ...]
    hook: Callable[..., Any]
    optional: bool = False

    def verify(self) -> None:
        """Check that it is there and takes the parameters that are expected.

        :raises Inconsistent: naming the place.
        """
        found = self._find()
        if found is None:
            if not self.optional:
                raise exceptions.Inconsistent(f"{self.module}.{self.path} does not exist")
            return
        function = _plain(found)
        parameters = tuple(inspect.signature(function).parameters)
        if not hasattr(function, _MARK) and parameters != self.parameters:
            raise exceptions.Inconsistent(
                f"{self.module}.{self.path} takes ({', '.join(parameters)}) instead of "
                f"({', '.join(self.parameters)})"
            )

    def apply(self) -> None:
        """Put the hook in place unless it is there already."""
        found = self._find()
        if found is None or hasattr(_plain(found), _MARK):
            return
        original = _plain(found)

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return self.hook(original, *args, **kwargs)

        setattr(replacement, _MARK, True)
        owner, name = self._owner()
        setattr(
            owner,
            name,
            classmethod(replacement) if isinstance(found, classmethod) else replacement,
        )

    def _owner(self) -> tuple[Any, str]:
        *holders, name = self.path.split(".")
        owner: Any = importlib.import_module(self.module)
        for holder in holders:
            owner = getattr(owner, holder, None)
        return owner, name

    def _find(self) -> Any:
        owner, name = self._owner()
        # What a class only inherits is not what Magnum calls through it.
        return getattr(owner, "__dict__", {}).get(name)


# The conductor makes the certificates before it calls the driver.
_CERTIFICATES = (
    Patch(
        "magnum.conductor.handlers.common.cert_manager",
        "_get_issuer_name",
        ("cluster",),
        certificate_names.issuer_name,
    ),
    Patch(
        "magnum.conductor.handlers.common.cert_manager",
        "generate_certificates_to_cluster",
        ("cluster", "context"),
        certificate_names.generate,
    ),
    Patch(
        "magnum.conductor.handlers.common.cert_manager",
        "_generate_ca_cert",
        ("issuer_name", "context"),
        certificate_names.authority,
    ),
    Patch(
        "magnum.conductor.handlers.common.cert_manager",
        "_generate_client_cert",
        ("issuer_name", "ca_cert", "ca_password", "context"),
        certificate_names.client,
    ),
    Patch(
        "magnum.objects.x509keypair",
        "X509KeyPair.create",
        ("self", "context"),
        certificate_names.pair,
    ),
    Patch(
        "magnum.common.x509.operations",
        "_build_ca_extentions",
        (),
        certificate_names.ca_extensions,
    ),
)


_PERIODIC = "magnum.service.periodic"
_SYNC = "sync_cluster_status"


def _with_loop(task: Any) -> Any:
    """Return a periodic task that is followed by a look at clusters that are due."""
    if hasattr(task, _MARK):
        return task

    @functools.wraps(task)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        # The conductor's modules import Magnum's, which read options while they are imported.
        from magnum_swarm_mode.conductor.due import loop

        return loop.after_sync(task, *args, **kwargs)

    setattr(replacement, _MARK, True)
    return replacement


def _bound_looks() -> None:
    """Have looks at our clusters taken by a bounded number of threads, each in one conductor."""
    from magnum_swarm_mode.conductor.due import loop  # as in _with_loop

    periodic: Any = sys.modules[_PERIODIC]
    if not isinstance(periodic.loopingcall, loop.Calls):
        periodic.loopingcall = loop.Calls(periodic.loopingcall)


def _set_up_tasks(original: Callable[..., Any], settings: Any, *args: Any) -> Any:
    """Let Magnum look at clusters as often as its own option says, and at all that are due.

    It reads ``[kubernetes] health_polling_interval`` while the module is imported, which is before
    it reads its configuration.

    :raises Inconsistent: when there is no task that looks at clusters in progress.
    """
    tasks = sys.modules[_PERIODIC].MagnumPeriodicTasks
    if _SYNC not in dict(tasks._periodic_tasks):
        raise exceptions.Inconsistent(f"{_PERIODIC}.MagnumPeriodicTasks has no task {_SYNC}")
    tasks._periodic_tasks = [
        (name, _with_loop(task) if name == _SYNC else task) for name, task in tasks._periodic_tasks
    ]
    _bound_looks()
    spacing = tasks._periodic_spacing
    interval = settings.kubernetes.health_polling_interval
    if interval > 0 and "sync_cluster_health_status" in spacing:
        spacing["sync_cluster_health_status"] = interval
    return original(settings, *args)


_TASKS = Patch(_PERIODIC, "setup", ("conf", "tg"), _set_up_tasks)


_HANDLERS = "magnum.conductor.handlers"


def _conductor_patches() -> list[Patch]:
    """Return what is put around what only a conductor has imported, from its start."""
    patches = [_TASKS] if _PERIODIC in sys.modules else []
    if f"{_HANDLERS}.cluster_conductor" not in sys.modules:
        return patches
    # The conductor's modules import Magnum's, as in _with_loop.
    from magnum_swarm_mode.conductor.change import handlers

    return [
        *patches,
        Patch(
            f"{_HANDLERS}.cluster_conductor",
            "Handler.cluster_resize",
            ("self", "context", "cluster", "node_count", "nodes_to_remove", "nodegroup"),
            handlers.resize,
        ),
        *(
            Patch(
                f"{_HANDLERS}.nodegroup_conductor",
                f"Handler.{name}",
                ("self", "context", "cluster", "nodegroup"),
                hook,
            )
            for name, hook in (
                ("nodegroup_update", handlers.update),
                ("nodegroup_delete", handlers.delete),
            )
        ),
    ]


def _plain(found: Any) -> Any:
    return found.__func__ if isinstance(found, (classmethod, staticmethod)) else found


def _api_patches() -> list[Patch]:
    # Importing this imports Magnum's validators, which freeze option values: not before the
    # configuration was parsed, and never in the conductor.
    from magnum_swarm_mode.api import operations as api_operations
    from magnum_swarm_mode.api import requests as hooks

    client = "magnum.conductor.api"
    parameters = {
        "cluster_update_async": (
            "node_count",
            "health_status",
            "health_status_reason",
            "rollback",
        ),
        "cluster_resize_async": ("node_count", "nodes_to_remove", "nodegroup", "rollback"),
        "cluster_upgrade": ("cluster_template", "max_batch_size", "nodegroup"),
        "rotate_ca_certificate": (),
        "credential_rotate": (),
        "nodegroup_create_async": ("nodegroup",),
        "nodegroup_update_async": ("nodegroup",),
        "nodegroup_delete_async": ("nodegroup",),
    }
    return [
        Patch(
            "magnum.api.validation",
            "Validator.get_coe_validator",
            ("cls", "coe"),
            hooks.get_coe_validator,
        ),
        Patch(
            "magnum.api.validation",
            "_enforce_network_driver_types",
            ("cluster_template",),
            hooks.enforce_network_driver_types,
        ),
        Patch(
            "magnum.api.attr_validator",
            "validate_os_resources",
            ("context", "cluster_template", "cluster"),
            hooks.validate_os_resources,
        ),
        Patch(
            "magnum.api.attr_validator",
            "validate_master_count",
            ("context", "cluster"),
            hooks.validate_master_count,
        ),
        Patch(
            "magnum.api.attr_validator",
            "validate_image",
            ("cli", "image"),
            hooks.validate_image,
        ),
        Patch(
            "magnum.api.attr_validator",
            "validate_flavor_root_volume_size",
            ("cli", "flavor", "boot_volume_size"),
            hooks.validate_flavor_root_volume_size,
        ),
        Patch(
            "pecan.core",
            "PecanBase.find_controller",
            ("self", "state"),
            hooks.find_controller,
        ),
        Patch(
            "magnum.api.hooks",
            "ContextHook.before",
            ("self", "state"),
            hooks.before_request,
        ),
        Patch(
            "magnum.api.hooks",
            "NoExceptionTracebackHook.after",
            ("self", "state"),
            hooks.after_request,
        ),
        # Since Magnum 23.
        Patch(
            "magnum.drivers.common.driver",
            "Driver.get_default_driver",
            ("cls",),
            hooks.get_default_driver,
            optional=True,
        ),
        *(
            Patch(
                client,
                f"API.{operation}",
                ("self", "cluster", *parameters[operation]),
                api_operations.gate(operation),
                # Since Magnum 21.
                optional=operation == "credential_rotate",
            )
            for operation in api_operations.OFFERED
        ),
    ]


def _register_objects() -> None:
    """Extend the versioned objects, which every process needs that reads a template.

    :raises Inconsistent: when the list of engines is not where it was.
    """
    from magnum.objects import fields

    known = getattr(getattr(fields, "ClusterType", None), "ALL", None)
    enum: Any = getattr(getattr(fields, "ClusterTypeField", None), "AUTO_TYPE", None)
    values = getattr(enum, "_valid_values", None)
    if not isinstance(known, tuple) or not isinstance(values, (list, tuple)):
        raise exceptions.Inconsistent(
            "magnum.objects.fields.ClusterType or ClusterTypeField lists no orchestration engines"
        )
    fields.ClusterType.ALL = (*known, *(name for name in _ENGINES if name not in known))
    # Shared by all fields of this type, so that objects which are defined already know it too.
    enum._valid_values = type(values)((*values, *(n for n in _ENGINES if n not in values)))


def _register_api_type() -> None:
    """Extend the API's type in place, where its module was imported before.

    :raises Inconsistent: when the type has no such enumeration.
    """
    controller = sys.modules.get(_TEMPLATE_CONTROLLER)
    template = getattr(controller, "ClusterTemplate", None)
    if template is None:
        # Not imported yet, or just being imported: it reads the list that was extended above.
        return
    found = [item for item in template._wsme_attributes if item.name == "coe"]
    values = getattr(found[0].datatype, "values", None) if found else None
    if not isinstance(values, set):
        raise exceptions.Inconsistent(f"{_TEMPLATE_CONTROLLER}.ClusterTemplate.coe is no choice")
    if not values.issuperset(_ENGINES):
        values.update(_ENGINES)
        found[0].datatype.name = f"Enum({', '.join(sorted(values))})"


def _register_cluster_names() -> None:
    """Let clusters have names in any script, where Magnum knows the letters of English only.

    :raises Inconsistent: when names are not held to a pattern.
    """
    # The controllers can be imported once the objects know the engine.
    from magnum_swarm_mode.api import requests as hooks

    cluster = importlib.import_module(_CLUSTER_CONTROLLER).Cluster
    found = [item for item in cluster._wsme_attributes if item.name == "name"]
    datatype = found[0].datatype if found else None
    pattern = getattr(datatype, "pattern", None)
    if isinstance(pattern, hooks.ClusterNames):
        return
    if datatype is None or not hasattr(pattern, "search"):
        raise exceptions.Inconsistent(f"{_CLUSTER_CONTROLLER}.Cluster.name has no pattern")
    datatype.pattern = hooks.ClusterNames(pattern)


def _guarded(patch: Patch) -> Patch:
    """Put what looks for rows of old releases before a patch's hook."""
    from magnum_swarm_mode.api import legacy as legacy_api

    return dataclasses.replace(patch, hook=legacy_api.before(patch.module, patch.path, patch.hook))


def _apply(patches: Iterable[Patch]) -> None:
    patches = [_guarded(patch) for patch in patches]
    # All are looked at before one is touched.
    for patch in patches:
        patch.verify()
    for patch in patches:
        patch.apply()


def register(api: bool | None = None) -> None:
    """Make swarm-mode known to this process; doing it again changes nothing.

    :param api: whether the process serves Magnum's API; found out when None.
    :raises SystemExit: with a sentence when Magnum's inside is not what this release knows.
    """
    if api is None:
        api = _API_MODULE in sys.modules
    with _lock:
        try:
            _register_objects()
            if api:
                _register_api_type()
                _apply(_api_patches())
                _register_cluster_names()
            else:
                _apply([*_CERTIFICATES, *_conductor_patches()])
        except (exceptions.Inconsistent, ImportError, AttributeError) as error:
            LOG.critical("swarm-mode cannot be registered: %s", error)
            raise SystemExit(
                "magnum-swarm-mode does not fit the Magnum that is installed "
                f"({error}): install a release of magnum-swarm-mode that supports it, or remove "
                "config_source = swarm_mode and the package."
            ) from error


def _check_options(parsed: Any) -> None:
    """End the service when an option has a value that no cluster could be created with.

    oslo.config checks values when they are read, which would be at the first request.
    """
    try:
        conf.register_opts(parsed)
        conf.check(parsed)
    except (cfg.Error, ValueError, exceptions.Refused) as error:
        reason = getattr(error, "operator_message", str(error))
        raise SystemExit(f"[swarm_mode] in magnum.conf is not valid: {reason}") from error


class _NoValues(sources.ConfigurationSource):
    """A configuration source that knows no option."""

    def get(
        self,
        group_name: str | None,  # noqa: ARG002 (oslo.config's signature)
        option_name: str,  # noqa: ARG002
        opt: cfg.Opt,  # noqa: ARG002
    ) -> tuple[Any, None]:
        """Say that the option has no value here."""
        return sources._NoValue, None


class ConfigurationSourceDriver(sources.ConfigurationSourceDriver):
    """Entry point ``oslo.config.driver``: registers swarm-mode while Magnum's services start."""

    def open_source_from_opt_group(
        self,
        conf: Any,
        group_name: str,  # noqa: ARG002 (oslo.config's signature)
    ) -> _NoValues:
        """Register swarm-mode and return a source without values.

        oslo.config swallows exceptions raised here; SystemExit ends the service.
        """
        _check_options(conf)
        # A tool that reads magnum.conf where Magnum is not has nothing to be registered in.
        if "magnum" in sys.modules:
            register()
        return _NoValues()

    def list_options_for_discovery(self) -> list[cfg.Opt]:
        """Return what configures this source: nothing but the group's own options."""
        return list(conf.list_opts()[0][1])
