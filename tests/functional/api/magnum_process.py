# SPDX-License-Identifier: Apache-2.0
"""Runs one of Magnum's own services in this process, for a test to talk to from another.

``python -m tests.functional.api.magnum_process KIND PORT JOURNAL MAGNUM_CONF``, with KIND:

- ``wsgi`` serves ``magnum.wsgi.api``; ``command`` runs ``magnum-api``.
- ``conductor`` runs ``magnum-conductor``, and writes the template that it reads for a caller over
  RPC to the journal.

RPC goes over oslo.messaging's in-memory transport. For the API, the other end of it is here: it
answers Magnum's object indirection with Magnum's own handler, and writes every other message to
JOURNAL, a line of JSON each.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
import wsgiref.simple_server
from pathlib import Path
from typing import Any


class Recorder:
    """An RPC endpoint with every method, which writes down what it is asked."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_") or method in ("target", "filter_rule"):
            raise AttributeError(method)

        def record(context: dict[str, Any], **arguments: Any) -> Any:
            with self._journal.open("a") as journal:
                journal.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
            # What signing and reading a certificate answer with.
            return arguments.get("certificate")

        return record


class IndirectionForOthers:
    """Magnum's object indirection, but not for the thread that serves it.

    The one side of it is magnum-api and the other magnum-conductor, and here they are one process.
    """

    def __init__(self, indirection: Any) -> None:
        self._indirection = indirection
        self.serving = threading.local()

    def __bool__(self) -> bool:
        return not getattr(self.serving, "now", False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._indirection, name)


def _await_transport() -> Any:
    from magnum.common import rpc

    while rpc.TRANSPORT is None:
        time.sleep(0.05)
    return rpc


def _object_handler() -> Any:
    """Return Magnum's own handler of object indirection, once the API has switched that on."""
    from magnum.conductor.handlers import indirection_api
    from magnum.objects import base

    while base.MagnumObject.indirection_api is None:
        time.sleep(0.05)
    indirection = IndirectionForOthers(base.MagnumObject.indirection_api)
    base.MagnumObject.indirection_api = indirection

    class Handler(indirection_api.Handler):
        def _object_dispatch(self, *args: Any, **kwargs: Any) -> Any:
            indirection.serving.now = True
            try:
                return super()._object_dispatch(*args, **kwargs)
            finally:
                indirection.serving.now = False

    return Handler()


def _serve_rpc(journal: Path, with_objects: bool) -> None:
    rpc = _await_transport()
    import magnum.conf
    import oslo_messaging

    target = oslo_messaging.Target(topic=magnum.conf.CONF.conductor.topic, server="test")
    endpoints: list[Any] = [Recorder(journal)]
    serializer = None
    if with_objects:
        from magnum.objects import base

        endpoints.insert(0, _object_handler())
        serializer = rpc.RequestContextSerializer(base.MagnumObjectSerializer())
    oslo_messaging.get_rpc_server(
        rpc.TRANSPORT, target, endpoints, executor="threading", serializer=serializer
    ).start()


def _ask_conductor(journal: Path) -> None:
    """Read all templates through the conductor as magnum-api does, once it answers."""
    _await_transport()
    from magnum.common import context
    from magnum.conductor import api
    from oslo_versionedobjects import base

    admin = context.make_admin_context(all_tenants=True)
    conductor = api.API(context=admin)
    versions = base.obj_tree_get_versions("ClusterTemplate")
    what = "ClusterTemplate", "list"
    # How magnum-api asks changed with Magnum 22.
    if hasattr(conductor, "object_class_action_versions"):
        templates = conductor.object_class_action_versions(admin, *what, versions, (), {})
    else:
        templates = conductor.object_class_action(admin, *what, versions[what[0]], (), {})
    journal.write_text(json.dumps([template.coe for template in templates]) + "\n")


def main() -> None:
    """Run the service until it is killed."""
    kind, port, journal, config = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    sys.argv = ["magnum", "--config-file", config]
    if kind in ("conductor", "command"):
        # Up to Magnum 22 this makes eventlet replace threads, of which there must be none yet.
        importlib.import_module("magnum.cmd")
    if kind == "conductor":
        threading.Thread(target=_ask_conductor, args=(journal,), daemon=True).start()
        from magnum.cmd import conductor

        conductor.main()
        return
    threading.Thread(target=_serve_rpc, args=(journal, kind == "command"), daemon=True).start()
    if kind == "command":
        from magnum.cmd import api

        api.main()
        return
    import magnum.wsgi.api

    wsgiref.simple_server.make_server(
        "127.0.0.1", port, magnum.wsgi.api.application
    ).serve_forever()


if __name__ == "__main__":
    main()
