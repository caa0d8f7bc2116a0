"""What deploy/ holds: its forms, and what it says really run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.backends.booted import NSPAWN, SYSTEMD, Machine, booted
from tests.backends.positions.programs import (
    BUILD,
    COST,
    ROOT,
    address,
    attributes_by_id,
    free_port,
    listening,
    needs,
    shop,
    until,
    url,
)
from tests.backends.test_install import install
from tests.exporters.servers import Received, http_server

DEPLOY = ROOT / "deploy"
HADOLINT = BUILD / "lint" / "bin" / "hadolint"
PODMAN = BUILD / "podman" / "podman"
KUBERNETES_VALIDATE = BUILD / "lint" / "bin" / "kubernetes-validate"
USER = 10001
"""Whom the image and the manifest run as."""
PYTHON = "docker.io/library/python:3.13-slim"
HERE = ["--network=host", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
"""How a container runs here: on the loopback interface of the machine, within limits that need no right to raise."""
UNIT = "spectra-collector.service"

pytestmark = [pytest.mark.backend, pytest.mark.timeout(300)]


systemd = needs(NSPAWN, SYSTEMD)[-1]
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may")


def said(*command: str | Path) -> str:
    """What a check prints; it must end well."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


class TestForms:
    @needs(HADOLINT)[-1]
    def test_hadolint_finds_nothing_in_the_dockerfile(self) -> None:
        """Not a warning."""
        assert said(HADOLINT, DEPLOY / "Dockerfile") == ""

    @needs(KUBERNETES_VALIDATE)[-1]
    def test_the_manifest_fits_the_schemas_of_kubernetes(self) -> None:
        """Each of its resources, with no field that Kubernetes does not know."""
        assert said(KUBERNETES_VALIDATE, "--strict", DEPLOY / "kubernetes.yaml").count("passed for resource") == 3

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
    def test_systemd_finds_nothing_in_the_unit(self, tmp_path: Path) -> None:
        """With a command that is there."""
        unit = tmp_path / "spectra-collector.service"
        text = (DEPLOY / unit.name).read_text()
        unit.write_text(text.replace("/opt/spectra/bin/spectra", "/bin/true"))
        assert said("systemd-analyze", "verify", unit) == ""


def manifest() -> dict[str, Any]:
    """The parts of the manifest, by kind."""
    return {part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def configuration(ports: Mapping[int, int]) -> str:
    """The manifest's, with its ports on the loopback interface and free."""
    text: str = manifest()["ConfigMap"]["data"]["config.yaml"]
    for known, used in ports.items():
        text = text.replace(f"0.0.0.0:{known}", address(used))
    return text


def free_ports() -> dict[int, int]:
    """A free port for each of the manifest's."""
    return {known: free_port() for known in (4317, 4318, 8888, 13133)}


@pytest.fixture(scope="module")
def backend() -> Iterator[Received]:
    with http_server() as received:
        yield received


@pytest.fixture(scope="module")
def ports() -> dict[int, int]:
    return free_ports()


@pytest.fixture(scope="module")
def etc(tmp_path_factory: pytest.TempPathFactory, backend: Received, ports: dict[int, int]) -> Path:
    """What an operator writes to /etc/spectra."""
    folder = tmp_path_factory.mktemp("etc")
    folder.chmod(0o755)
    (folder / "config.yaml").write_text(configuration(ports))
    (folder / "environment").write_text(f"BACKEND={backend.endpoint}\n")
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, etc: Path) -> Iterator[Machine]:
    """A machine with the package in /opt, for the Python that all users can read, and the unit."""
    folder = tmp_path_factory.mktemp("machine")
    environment = folder / "opt"
    said(sys.executable, "-m", "uv", "venv", "--quiet", "--relocatable", "--python=/usr/bin/python3", environment)
    install(environment / "bin" / "python", f"{ROOT}[collector]")
    unit = DEPLOY / UNIT
    files = {"/opt/spectra": environment, "/etc/spectra": etc, f"/etc/systemd/system/{UNIT}": unit}
    with booted(folder, files) as machine:
        yield machine


@root
@systemd
class TestUnit:
    """The unit in a systemd, with all of its sandbox but the limits that the machine does not let it set."""

    def test_it_starts_without_any_right_and_keeps_what_it_gets(
        self, machine: Machine, ports: dict[int, int], backend: Received
    ) -> None:
        """A user that is made up as it starts, no capability; the span reaches store and backend, priced."""
        machine.said("systemctl", "start", UNIT)
        until(listening(ports[4318]))
        (sent,) = shop(url(ports[4318]))
        until(lambda: len(backend.spans) >= 2)
        assert attributes_by_id(backend)[sent.chat][COST] > 0
        status = machine.said("cat", f"/proc/{machine.shown(UNIT, 'MainPID')}/status")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert 61184 <= int(facts["Uid"].split()[0]) <= 65519, "not a user that systemd made up"
        assert {facts[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
        kept = machine.said("find", "/var/lib/spectra/", "-type", "f", "-printf", "%u %f\\n").splitlines()
        assert {line.split()[0] for line in kept} == {"spectra-collector"}

    def test_a_reload_takes_a_good_configuration_and_refuses_a_bad_one(
        self, machine: Machine, ports: dict[int, int], etc: Path
    ) -> None:
        """The same process goes on in both cases, and the operator is told of the bad one."""
        config = etc / "config.yaml"
        good, before, moved = config.read_text(), machine.shown(UNIT, "MainPID"), free_port()
        config.write_text(good.replace(address(ports[4318]), address(moved)))
        machine.said("systemctl", "reload", UNIT)
        until(listening(moved))
        config.write_text(good.replace("duckdb:", "duckbd:"))
        assert machine.run("systemctl", "reload", UNIT).returncode != 0
        assert "duckbd" in machine.said("journalctl", f"--unit={UNIT}", "--lines=20")
        assert listening(moved)()
        config.write_text(good)
        machine.said("systemctl", "reload", UNIT)
        until(listening(ports[4318]))
        assert machine.shown(UNIT, "MainPID") == before

    def test_it_is_started_again_after_a_crash_and_stops_cleanly(self, machine: Machine, ports: dict[int, int]) -> None:
        """What was acknowledged before the crash is there afterwards; a stop ends well and is no failure."""
        shop(url(ports[4318]))
        before = machine.shown(UNIT, "MainPID")
        machine.said("kill", "-KILL", before)
        until(lambda: machine.shown(UNIT, "MainPID") not in {before, "0"})
        until(listening(ports[4318]))
        shop(url(ports[4318]))
        machine.said("systemctl", "stop", UNIT)
        assert (machine.shown(UNIT, "Result"), machine.shown(UNIT, "ExecMainStatus")) == ("success", "0")
        home = "SPECTRA_HOME=/var/lib/spectra"
        rows = json.loads(machine.said("env", home, "/opt/spectra/bin/spectra", "requests", "--format", "json"))
        assert len(rows) == 3


def podman(*command: str | Path) -> str:
    """What podman prints; it must end well."""
    return said(PODMAN, *command).strip()


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image of the Dockerfile, built with the certificates and the package index that this machine trusts."""
    name = "localhost/spectra-collector:test"
    trusted = [Path("/etc/ssl/certs"), *Path("/etc").glob("pip.conf")]
    policy = PODMAN.parent / "root" / "etc" / "containers" / "policy.json"
    podman(
        "build", "--quiet", "--pull-never", "--isolation=chroot", f"--signature-policy={policy}", f"--tag={name}",
        *[f"--volume={path}:{path}:ro" for path in trusted], f"--file={DEPLOY / 'Dockerfile'}", ROOT,
    )  # fmt: skip
    yield name
    podman("rmi", "--force", name)
    podman("image", "prune", "--force")


def as_the_manifest_says(tmp_path: Path, ports: Mapping[int, int]) -> list[str]:
    """Options of `podman run` for what the manifest's pod has."""
    pod = manifest()["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user, may = pod["securityContext"], container["securityContext"]
    assert (may["allowPrivilegeEscalation"], may["readOnlyRootFilesystem"], user["runAsNonRoot"]) == (False, True, True)
    config = tmp_path / "config.yaml"
    config.write_text(configuration(ports))
    return [
        f"--user={user['runAsUser']}:{user['runAsGroup']}", "--security-opt=no-new-privileges",
        "--read-only", "--read-only-tmpfs=false", *[f"--cap-drop={name}" for name in may["capabilities"]["drop"]],
        f"--memory={container['resources']['limits']['memory'].removesuffix('i')}",
        f"--stop-timeout={pod['terminationGracePeriodSeconds']}",
        "--volume=spectra-test:/var/lib/spectra", f"--volume={config}:/etc/spectra/config.yaml:ro",
    ]  # fmt: skip


@root
@needs(PODMAN)[-1]
class TestImage:
    """The image, built and run by podman; Debian's Python stands in for the one of the Dockerfile."""

    def test_it_is_small(self, image: str) -> None:
        """At most 180 MB on top of Python."""
        sizes = [int(podman("image", "inspect", "--format={{.Size}}", name)) for name in (image, PYTHON)]
        print(f"{(sizes[0] - sizes[1]) / 1e6:.0f} MB")
        assert 50e6 < sizes[0] - sizes[1] < 180e6

    def test_it_holds_the_package_alone(self, image: str) -> None:
        """Neither the checkout nor pip, and a home that is empty and nobody else's."""
        look = "ls -d /src /opt/spectra/bin/pip 2>/dev/null; stat --format '%u %g %a' /var/lib/spectra; ls -A /var/lib/spectra"
        assert podman("run", "--rm", *HERE, "--entrypoint=sh", image, "-c", look) == f"{USER} {USER} 700"

    def test_it_runs_the_manifest_without_any_right(self, image: str, tmp_path: Path) -> None:
        """On a file system that it cannot write: priced for the backend, a stop that ends well, a record in the volume."""
        ports = free_ports()
        options = [*HERE, *as_the_manifest_says(tmp_path, ports)]
        with http_server() as backend:
            name = podman("run", "--detach", *options, f"--env=BACKEND={backend.endpoint}", image)
            try:
                until(listening(ports[13133]))
                until(listening(ports[4318]))
                (sent,) = shop(url(ports[4318]))
                until(lambda: len(backend.spans) >= 2)
                status = podman("exec", name, "cat", "/proc/1/status")
                denied = podman("exec", name, "sh", "-c", "touch /opt/spectra/x || touch /x || echo denied")
                podman("stop", name)
                assert podman("inspect", "--format={{.State.ExitCode}} {{.State.OOMKilled}}", name) == "0 false"
                asked = ["--entrypoint=spectra", image, "requests", "--format=json"]
                (row,) = json.loads(podman("run", "--rm", *options, *asked))
            finally:
                podman("rm", "--force", "--volumes", name)
                podman("volume", "rm", "--force", "spectra-test")
        assert denied.startswith("denied")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (facts["Uid"].split(), facts["Gid"].split()) == ([str(USER)] * 4, [str(USER)] * 4)
        assert {facts[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
        assert attributes_by_id(backend)[sent.chat][COST] > 0
        assert row["span_id"] == sent.chat
