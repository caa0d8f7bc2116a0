"""What a Python process beneath ``spectra run`` imports as it starts: the launch of ``opentelemetry-instrument``.

A command may also start programs in the Python of another environment; those are left alone, without a word. A
``sitecustomize`` that the environment has of its own is run first, as it would be without us.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run_theirs() -> None:
    spec = PathFinder.find_spec("sitecustomize", [place for place in sys.path if os.path.abspath(place) != _HERE])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


def _start() -> None:
    try:
        from opentelemetry.instrumentation.auto_instrumentation import initialize
    except ImportError:
        return
    path = os.environ.get("PYTHONPATH", "")
    # What starts while we do must not start us again, and so on without an end.
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in path.split(os.pathsep) if part != _HERE)
    try:
        initialize()
    finally:
        os.environ["PYTHONPATH"] = path


try:
    _run_theirs()
finally:
    _start()
