"""What a Python process beneath ``spectra run`` imports as it starts: the launch of ``opentelemetry-instrument``.

A command may also start programs in the Python of another environment; those are left alone, without a word.
"""

import os

try:
    from opentelemetry.instrumentation.auto_instrumentation import initialize
except ImportError:
    pass
else:
    _path = os.environ.get("PYTHONPATH", "")
    _here = os.path.dirname(os.path.abspath(__file__))
    # What starts while we do must not start us again, and so on without an end.
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in _path.split(os.pathsep) if part != _here)
    try:
        initialize()
    finally:
        os.environ["PYTHONPATH"] = _path
