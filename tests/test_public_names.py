"""The public surface is listed, sorted, importable, and costs nothing until it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import spectra_otel


def test_all_is_sorted_and_each_name_is_there() -> None:
    """Every name of ``__all__`` can be had; nothing else is public."""
    assert list(spectra_otel.__all__) == sorted(spectra_otel.__all__)
    for name in spectra_otel.__all__:
        assert getattr(spectra_otel, name) is not None
    assert set(spectra_otel.__all__) == set(spectra_otel._HOMES)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """An unknown name fails as it does in every module."""
    assert not hasattr(spectra_otel, "no_such_name")


def test_importing_the_package_imports_nothing() -> None:
    """``import spectra_otel`` loads no other module of ours and nothing third-party."""
    code = "import json, sys; before = {*sys.modules}; import spectra_otel; print(json.dumps([*({*sys.modules} - before)]))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    foreign = [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names]
    assert foreign == ["spectra_otel"]
