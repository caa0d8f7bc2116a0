"""Who serves AI calls, on which hosts and paths, and how to read what they say.

One module per provider, each a table with a ``PROVIDER`` (or ``PROVIDERS``) in it; a new provider is one new file. The wire
formats that providers share are in :mod:`spectra_otel.providers.wire`.
"""
