"""What deploy/ holds, as far as a machine without a container runtime, a cluster and a systemd of its own can check it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.backends.positions.programs import (
    BUILD,
    COST,
    ROOT,
    address,
    free_port,
    listening,
    needs,
    program,
    shop,
    until,
    url,
)
from tests.backends.test_install import fresh, install
from tests.exporters.servers import http_server
from tests.service.running import attributes_of

DEPLOY = ROOT / "deploy"
HADOLINT = BUILD / "lint" / "bin" / "hadolint"
KUBERNETES_VALIDATE = BUILD / "lint" / "bin" / "kubernetes-validate"
USER = 10001
"""Whom the image and the manifest run as."""

pytestmark = [pytest.mark.backend, pytest.mark.timeout(300)]


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


@pytest.fixture
def image() -> Iterator[Path]:
    """What the Dockerfile makes, without the container: the package in /opt, and a home that its user owns."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    install(fresh(folder / "opt"), f"{ROOT}[collector]")
    (folder / "home").mkdir()
    os.chown(folder / "home", USER, USER)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="another user needs root and setpriv")
def test_the_image_runs_the_manifest_as_its_user(image: Path) -> None:
    """The installed extra, the manifest's configuration and the user without rights: healthy, and spans arrive priced."""
    parts: dict[str, Any] = {
        part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    }
    text = parts["ConfigMap"]["data"]["config.yaml"]
    ports = {known: free_port() for known in (4317, 4318, 8888, 13133)}
    for known, used in ports.items():
        text = text.replace(f"0.0.0.0:{known}", address(used))
    config = image / "config.yaml"
    config.write_text(text)
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
    command = [*user, image / "opt" / "bin" / "spectra", "collect", "--config", config]
    with http_server() as backend:
        environment = {"SPECTRA_HOME": str(image / "home"), "BACKEND": backend.endpoint, "HOME": str(image / "home")}
        with program(command, image / "log", listening(ports[13133]), environment) as process:
            until(listening(ports[4318]))
            (sent,) = shop(url(ports[4318]))
            until(lambda: len(backend.spans) >= 2)
        spans = {span.span_id.hex(): attributes_of(span) for span in backend.spans}
        assert process.returncode == 0
    assert spans[sent.chat][COST] > 0
    assert {path.stat().st_uid for path in (image / "home").rglob("*")} == {USER}
