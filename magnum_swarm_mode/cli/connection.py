# SPDX-License-Identifier: Apache-2.0
"""From OS_* variables, ``clouds.yaml`` and ``--os-*`` options to a client of Magnum's API."""

from __future__ import annotations

import argparse
import os
from typing import Any

from keystoneauth1 import exceptions as keystone_errors
from magnumclient.v1 import client as magnum_client
from openstack import config as openstack_config
from openstack import exceptions as openstack_errors

from magnum_swarm_mode.cli.errors import CommandError, one_line

SERVICE_TYPE = "container-infra"


def register_options(
    config: openstack_config.OpenStackConfig, parser: argparse.ArgumentParser, argv: list[str]
) -> None:
    """Add the options that every OpenStack client has, and those that only this one had.

    :param argv: what stands before the command's name; options of one authentication type are known
        only when that type is asked for there or in the configuration.
    :raises CommandError: if the configuration files or the authentication type are wrong.
    """
    try:
        config.register_argparse_arguments(parser, argv, service_keys=[SERVICE_TYPE])
    except openstack_errors.ConfigException as e:
        raise CommandError(one_line(e)) from e
    parser.add_argument("--service-type", help=argparse.SUPPRESS)
    parser.add_argument("--bypass-url", help=argparse.SUPPRESS)
    parser.add_argument(
        "--magnum-api-version",
        metavar="<version>",
        default=os.environ.get("MAGNUM_API_VERSION", "latest"),
        help="Microversion of Magnum's API, as '1.9' (default: MAGNUM_API_VERSION, else 'latest')",
    )


def connect(config: openstack_config.OpenStackConfig, options: argparse.Namespace) -> Any:
    """Return a Magnum client, authenticated on its first request.

    :param options: the options before the command's name, and nothing else: whatever they hold
        counts as configuration of the cloud.
    :raises CommandError: if no cloud is named or authentication is impossible as configured.
    """
    try:
        region = config.get_one(argparse=options)
        session = region.get_session()
        return magnum_client.Client(
            session=session,
            region_name=region.get_region_name(SERVICE_TYPE),
            interface=region.get_interface(SERVICE_TYPE),
            service_type=options.service_type or options.os_service_type or SERVICE_TYPE,
            endpoint_override=(
                options.bypass_url
                or options.os_endpoint_override
                or os.environ.get("OS_ENDPOINT_OVERRIDE")
                or region.get_endpoint(SERVICE_TYPE)
            ),
            api_version=options.magnum_api_version,
        )
    except (keystone_errors.MissingRequiredOptions, keystone_errors.MissingAuthPlugin) as e:
        raise CommandError(
            "No cloud to talk to: source an openrc file, set OS_* variables, or name one of"
            f" clouds.yaml with --os-cloud. ({one_line(e)})"
        ) from e
    except openstack_errors.ConfigException as e:
        raise CommandError(one_line(e)) from e
