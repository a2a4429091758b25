# SPDX-License-Identifier: Apache-2.0
"""Root's shell on a server, over ssh with the key pair's private key."""

import shlex
import subprocess

from devcloud import settings
from devcloud.demo import shell
from tests.endtoend import users

USER = "debian"  # the default user of Debian's cloud-init
OPTIONS = (
    *("-i", str(settings.SSH_KEY)),
    *("-o", "StrictHostKeyChecking=no"),
    *("-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "LogLevel=ERROR"),
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=10"),
)


class Machine:
    """A server reached at ``address``, through ``jump`` where that is given."""

    def __init__(self, address: str, jump: str = "") -> None:
        self.address = address
        self.jump = jump

    def command(self, text: str) -> list[str]:
        """The ssh command that runs ``text`` as root in a POSIX shell."""
        proxy: list[str] = []
        if self.jump:
            through = ["ssh", *OPTIONS, "-W", "%h:%p", f"{USER}@{self.jump}"]
            proxy = ["-o", f"ProxyCommand={shlex.join(through)}"]
        root = f"sudo -n sh -c {shlex.quote(text)}"
        return ["ssh", *OPTIONS, *proxy, f"{USER}@{self.address}", root]

    def run(self, text: str, *, stdin: bytes = b"", timeout: float = 120.0) -> bytes:
        """What ``text`` prints on its standard output.

        :param timeout: seconds
        :raises shell.CommandError: it ended with another code than 0, or not in time
        """
        try:
            done = subprocess.run(
                self.command(text),
                env=shell.login_environment(users.HOME),
                input=stdin,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise shell.CommandError(f"ssh {self.address} {text}", 124, "too late") from error
        if done.returncode:
            said = (done.stderr + done.stdout).decode(errors="replace")
            raise shell.CommandError(f"ssh {self.address} {text}", done.returncode, said)
        return done.stdout

    def text(self, text: str, timeout: float = 120.0) -> str:
        """What ``text`` prints, as text without blanks around it."""
        return self.run(text, timeout=timeout).decode(errors="replace").strip()

    def try_text(self, text: str) -> str:
        """What ``text`` prints, or why it could not be run."""
        try:
            return self.text(text, timeout=30)
        except shell.CommandError as error:
            return f"({error.code}) {error.output.strip()[-300:]}"
