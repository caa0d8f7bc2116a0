"""The configuration: reading files, substitution, merging, typed settings and the pipelines they describe.

The grammar is the OpenTelemetry Collector's. From text to pipelines it goes one way::

    files, --set ──► resolve (merge, ${env:…}) ──► decode (onto dataclasses) ──► document (references) ──► pipeline.build
"""
