# SPDX-License-Identifier: Apache-2.0
"""What ``magnum swarm-backup`` and ``swarm-restore`` have done on a manager's host, as root.

The text of this file is sent there, so that it needs nothing but Python's standard library (3.9).
It runs as a transient systemd unit, which goes on when the command or its connection dies, ends
after a time of its own, and brings the engine back and removes its files however it ends::

    launch   clean up after another run; make the directory and the unit; start the unit
    work     what the command asked for, once its file "go" is there; then wait to be stopped
    end      systemd calls it when the unit ends: start the engine, remove the directory
    clean    stop the unit, and with it everything

A restored swarm first lives in a second engine of its own, in a network namespace from which only
this host's own engine is reached. There it has the address that its consensus log knows, so that
the own engine can join it as a manager with an address of the present; then the other one leaves.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from typing import Any

UNIT = "magnum-swarm-transfer.service"
UNIT_FILE = pathlib.Path("/run/systemd/system") / UNIT
STAGE = pathlib.Path("/var/lib/magnum-swarm-transfer")
ENGINE = ("docker.socket", "docker.service")
OWN_SOCKET = "/run/docker.sock"
API = "/v1.41"
LIFETIME = 1800  # seconds that the unit may live; then the engine runs and the files are gone
GO_SECONDS = 900  # that the command may take to send its file
ENGINE_SECONDS = 120  # that the engine may take to stop, and to start
STEP_SECONDS = 90  # that one step of the swarm may take
READY_SECONDS = 45  # that the swarm may take to see the engine again before it is started anew
LINK, PEER = "mswm-transfer0", "mswm-transfer1"
UNIT_TEXT = f"""[Unit]
Description=Copy of the swarm's state for magnum swarm-backup or swarm-restore
[Service]
ExecStart=/usr/bin/python3 {STAGE}/program.py work
ExecStopPost=/usr/bin/python3 {STAGE}/program.py end
RuntimeMaxSec={LIFETIME}
TimeoutStopSec=300
"""


class TransferError(Exception):
    """It does not work; the text says what."""


class HopelessError(Exception):
    """It does not work, and trying again does not help; the text says what."""


def run(*command: str, seconds: float = 60) -> str:
    """Run a command and return what it prints.

    :raises TransferError: if it fails or takes too long
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise TransferError(f"{' '.join(command)} took over {seconds} s") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise TransferError(f"{' '.join(command)}: {said[-300:] or done.returncode}")
    return done.stdout


def say(step: str, **more: Any) -> None:
    """Leave word of how far it is, where the command looks."""
    fresh = STAGE / "status.new"
    fresh.write_text(json.dumps({"step": step, **more}))
    fresh.replace(STAGE / "status.json")
    print(step, flush=True)


def wait(what: str, look: Callable[[], Any], seconds: float = STEP_SECONDS) -> Any:
    """Look until something is there, and return it; what fails is tried again.

    :raises TransferError: if it is not there in time; says what was seen last
    """
    deadline = time.monotonic() + seconds
    last = "nothing"
    while True:
        try:
            found = look()
            if found:
                return found
        except (TransferError, OSError, ValueError, http.client.HTTPException) as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise TransferError(f"{what} did not come about in {seconds} s; seen last: {last}")
        time.sleep(0.3)


# -- the unit ---------------------------------------------------------------------------------


def launch(source: str) -> None:
    """Start over: whatever an earlier run left is ended and removed first."""
    clean()
    STAGE.mkdir(mode=0o700)
    STAGE.chmod(0o700)
    (STAGE / "program.py").write_text(source)
    UNIT_FILE.parent.mkdir(parents=True, exist_ok=True)
    UNIT_FILE.write_text(UNIT_TEXT)
    run("systemctl", "daemon-reload")
    say("waiting for the command")
    run("systemctl", "start", UNIT)


def clean() -> None:
    """End the unit, which brings the engine back, and remove everything."""
    if UNIT_FILE.exists():
        run("systemctl", "stop", UNIT, seconds=330)
        UNIT_FILE.unlink()
        run("systemctl", "daemon-reload")
    shutil.rmtree(STAGE, ignore_errors=True)


def work() -> None:
    """Wait for what the command asks for, do it, and leave word."""
    os.umask(0o077)
    try:
        asked = wait("the command's file", lambda: json.loads(read("go.json")), GO_SECONDS)
        {"backup": backup, "restore": restore}[asked["work"]](asked)
    except Exception as error:
        say("failed", error=str(error) or type(error).__name__)
    time.sleep(LIFETIME)


def read(name: str) -> str:
    """Return a file of the directory; nothing there is no JSON yet."""
    try:
        return (STAGE / name).read_text()
    except FileNotFoundError as error:
        raise TransferError("not there yet") from error


def end() -> None:
    """Bring the engine back and remove the copy, however the unit ended."""
    start_engine()
    drop_link()
    shutil.rmtree(STAGE, ignore_errors=True)


def start_engine() -> None:
    """Start the engine, and try so for a while."""
    wait("start of the engine", lambda: run("systemctl", "start", *ENGINE) or True, ENGINE_SECONDS)


# -- backup ---------------------------------------------------------------------------------


def backup(asked: dict[str, Any]) -> None:
    """Copy the swarm's state while the engine stands still.

    :param asked: ``data``, the directory of the engine's data
    """
    began = time.monotonic()
    say("stopping the engine")
    try:
        # The socket first: whoever connects to it would start the engine again.
        run("systemctl", "stop", *ENGINE, seconds=ENGINE_SECONDS)
        say("copying")
        with tarfile.open(STAGE / "swarm.tar.gz", "w:gz", compresslevel=3) as archive:
            archive.add(pathlib.Path(asked["data"], "swarm"), "swarm")
    finally:
        start_engine()
    stood = round(time.monotonic() - began, 1)
    digest = hashlib.sha256()
    with (STAGE / "swarm.tar.gz").open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    say("waiting until the swarm sees the engine again")
    say("done", sha256=digest.hexdigest(), seconds=stood, ready=is_seen())


def is_seen() -> bool:
    """Return whether the swarm sees the engine again, which is restarted if that takes long.

    On a busy host engines of release 20.10 at times give up their first session with the swarm.
    """
    own = Docker(OWN_SOCKET)

    def ready() -> bool:
        return bool(own.node(own.swarm()["NodeID"])["Status"]["State"] == "ready")

    for again in (True, False):
        try:
            wait("a node that is ready", ready, READY_SECONDS)
            return True
        except TransferError as error:
            print(error, flush=True)
        if again:
            run("systemctl", "restart", "docker.service", seconds=2 * ENGINE_SECONDS)
    return False


# -- restore ---------------------------------------------------------------------------------


class Docker:
    """An engine behind its unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API and return what it answers.

        :raises TransferError: if the engine refuses
        """
        connection = http.client.HTTPConnection("engine", timeout=45)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(45)
        try:
            connection.sock.connect(self._path)
            data = None if body is None else json.dumps(body)
            connection.request(method, API + path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise TransferError(f"{method} {path}: {text.strip()[:300]}")
        return json.loads(text) if text.strip() else None

    def swarm(self) -> dict[str, Any]:
        """Return the engine's view of itself in the swarm."""
        swarm: dict[str, Any] = self.call("GET", "/info")["Swarm"]
        return swarm

    def node(self, ident: str) -> dict[str, Any]:
        """Return an entry of the swarm's list of nodes."""
        node: dict[str, Any] = self.call("GET", f"/nodes/{ident}")
        return node

    def change(self, ident: str, **spec: str) -> bool:
        """Change what the swarm wants of a node."""
        node = self.node(ident)
        path = f"/nodes/{ident}/update?version={node['Version']['Index']}"
        self.call("POST", path, {**node["Spec"], **spec})
        return True

    def leads(self) -> bool:
        """Return whether the engine leads its swarm, which then can decide."""
        own = self.node(self.swarm()["NodeID"])
        return bool((own.get("ManagerStatus") or {}).get("Leader"))


def restore(asked: dict[str, Any]) -> None:
    """Have this host's engine be the only manager of the swarm that was kept.

    :param asked: ``former`` and ``own``, addresses of the manager that was copied and of this one
    """
    say("unpacking")
    unpack(STAGE / "swarm.tar.gz", STAGE / "second")
    say("starting the swarm in an engine of its own")
    second = start_second(asked["former"], asked["own"])
    own = Docker(OWN_SOCKET)
    try:
        say("making it a swarm of one manager")
        former = found_again(second, asked["former"])
        say("joining it")
        token = second.call("GET", "/swarm")["JoinTokens"]["Manager"]
        if own.swarm()["LocalNodeState"] != "inactive":
            own.call("POST", "/swarm/leave?force=true")
        wait("leaving", lambda: own.swarm()["LocalNodeState"] == "inactive")
        join(own, asked, token)
        say("handing over")
        hand_over(own, former)
    finally:
        stop_second()
    say("removing nodes that are gone")
    forget_others(own)
    say("done")


def unpack(path: pathlib.Path, target: pathlib.Path) -> None:
    """Unpack a copy, which has nothing but files and directories below one name.

    :raises TransferError: if it has anything else
    """
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            parts = pathlib.PurePosixPath(member.name).parts
            if parts[:1] != ("swarm",) or ".." in parts or not (member.isfile() or member.isdir()):
                raise TransferError(f"the copy has something that is no swarm's: {member.name}")
            member.uid = member.gid = 0
        archive.extractall(target)


_second: list[subprocess.Popen[bytes]] = []


def start_second(former: str, own: str) -> Docker:
    """Start a second engine on a copy, which reaches nothing but this host, and is reached there.

    :param former: the address that the copy's manager had
    :param own: the address of this host's engine
    """
    drop_link()
    settings = {
        "data-root": f"{STAGE}/second",
        "exec-root": f"{STAGE}/exec",
        "pidfile": f"{STAGE}/second.pid",
        "hosts": [f"unix://{STAGE}/second.sock"],
        "bridge": "none",
        "storage-driver": "vfs",
    }
    (STAGE / "second.json").write_text(json.dumps(settings))
    # It waits for its network, and does not see the containerd of this host's own engine.
    script = (
        "read go; mount -t tmpfs none /run/containerd 2>/dev/null;"
        f" exec dockerd --config-file {STAGE}/second.json"
    )
    with (STAGE / "second.log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--", "/bin/sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _second.append(process)
    inside = ("nsenter", f"--net=/proc/{process.pid}/ns/net", "--", "ip")
    network, host = pathlib.Path(f"/proc/{process.pid}/ns/net"), pathlib.Path("/proc/self/ns/net")
    wait("a network", lambda: network.stat().st_ino != host.stat().st_ino, 10)
    size = "128" if ":" in former else "32"
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", PEER)
    run("ip", "link", "set", PEER, "netns", str(process.pid))
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "address", "add", f"{former}/{size}", "dev", PEER)
    run(*inside, "link", "set", PEER, "up")
    # It must have a route to everywhere; what is beyond this host answers nobody there.
    run(*inside, *(["-6"] if ":" in own else []), "route", "add", "default", "dev", PEER)
    run("ip", "link", "set", LINK, "up")
    run("ip", "route", "replace", f"{former}/{size}", "dev", LINK, "src", own)
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.close()
    second = Docker(f"{STAGE}/second.sock")

    def is_up() -> bool:
        if process.poll() is not None:
            last = (STAGE / "second.log").read_text(errors="replace").strip().splitlines()[-1:]
            raise HopelessError(f"the second engine ended: {''.join(last)[-300:]}")
        second.call("GET", "/version")
        return True

    wait("start of the second engine", is_up, ENGINE_SECONDS)
    return second


def stop_second() -> None:
    """End the second engine and its network."""
    for process in _second:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
    _second.clear()
    drop_link()


def drop_link() -> None:
    """Remove the link to a second engine, and with it the route."""
    # It goes by itself as well, with the network namespace of its other end.
    with contextlib.suppress(TransferError):
        run("ip", "link", "delete", LINK)


def found_again(second: Docker, former: str) -> str:
    """Make the copy's manager the only one of its swarm, and return its node id."""
    place = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": former,
        "DataPathAddr": former,
        "ForceNewCluster": True,
        "Availability": "drain",
        "Spec": {},
    }

    def again() -> bool:
        seen = second.swarm()
        if seen["LocalNodeState"] == "error":
            raise HopelessError(f"the copy's swarm does not start: {seen['Error'].rstrip(': ')}")
        second.call("POST", "/swarm/init", place)
        return True

    wait("a swarm of one manager", again)
    wait("its leader", second.leads)
    ident = str(second.swarm()["NodeID"])
    wait("a manager without tasks", lambda: second.change(ident, Availability="drain"))
    return ident


def join(own: Docker, asked: dict[str, Any], token: str) -> None:
    """Let this host's engine join the swarm as a second manager."""
    address, former = asked["own"], asked["former"]
    remote = f"[{former}]:2377" if ":" in former else f"{former}:2377"
    body = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": address,
        "DataPathAddr": address,
        "Availability": "drain",
        "RemoteAddrs": [remote],
        "JoinToken": token,
    }
    own.call("POST", "/swarm/join", body)

    def is_in() -> bool:
        node = own.node(own.swarm()["NodeID"])
        return (node.get("ManagerStatus") or {}).get("Reachability") == "reachable"

    wait("place among the managers", is_in)


def hand_over(own: Docker, former: str) -> None:
    """Have the engine that was copied leave the managers."""
    wait("demotion", lambda: own.change(former, Role="worker"))
    wait(
        "a swarm of this manager alone",
        lambda: own.leads() and not own.node(former).get("ManagerStatus"),
    )


def forget_others(own: Docker) -> None:
    """Remove the entries of all nodes but this one."""
    mine = own.swarm()["NodeID"]

    def forget() -> bool:
        # Former managers are none any more since the swarm was made one of a single manager.
        for node in own.call("GET", "/nodes"):
            if node["ID"] != mine:
                own.call("DELETE", f"/nodes/{node['ID']}?force=true")
        return True

    wait("a list without nodes that are gone", forget)


def main() -> None:
    """Do what is asked for; a text of this program stands before the verb where it was sent."""
    verb = sys.argv[-1]
    if verb == "launch":
        launch(sys.argv[1])
    else:
        {"work": work, "end": end, "clean": clean}[verb]()


if __name__ == "__main__":
    main()
