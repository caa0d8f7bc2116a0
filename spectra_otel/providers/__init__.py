"""Who serves AI calls, on which hosts and paths, and how to read what they say.

One module per provider, each a table with a ``PROVIDER`` (or ``PROVIDERS``) in it; a new provider is one new file. The wire
formats that providers share are in :mod:`spectra_otel.providers.wire`. Providers of your own: ``docs/providers.md``.
"""

from spectra_otel.providers.base import Endpoint, Format, Provider, Sent, StreamReader
from spectra_otel.providers.custom import register

__all__ = ["Endpoint", "Format", "Provider", "Sent", "StreamReader", "register"]
