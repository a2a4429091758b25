# SPDX-License-Identifier: Apache-2.0
"""What a shell sources to use the cloud."""

import shlex
from collections.abc import Mapping

from devcloud import settings

USERS = ("demo", "admin")


def variables(user: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """The OS_* variables of a user; its project bears the same name."""
    return {
        "OS_AUTH_URL": settings.AUTH_URL,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": settings.REGION,
        "OS_USERNAME": user,
        "OS_PASSWORD": passwords[user],
        "OS_PROJECT_NAME": user,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        # Another cloud's clouds.yaml on this machine must not mix in.
        "OS_CLIENT_CONFIG_FILE": "/dev/null",
    }


def text(user: str, passwords: Mapping[str, str]) -> str:
    """Shell text: unset what another openrc may have set, export ours, extend PATH once."""
    lines = [
        "unset OS_CLOUD OS_TOKEN OS_AUTH_TYPE OS_PROJECT_ID OS_TENANT_ID OS_TENANT_NAME"
        " OS_TRUST_ID OS_APPLICATION_CREDENTIAL_ID OS_APPLICATION_CREDENTIAL_SECRET"
    ]
    for name, value in variables(user, passwords).items():
        lines.append(f"export {name}={shlex.quote(value)}")
    directories = f"{settings.BIN}:{settings.VENV}/bin"
    lines.append(
        f'case ":$PATH:" in *":{directories}:"*) ;; *) export PATH="{directories}:$PATH" ;; esac'
    )
    return "\n".join(lines) + "\n"
