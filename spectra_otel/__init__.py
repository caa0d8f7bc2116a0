"""Spectra OTel: what your AI calls cost, as native OpenTelemetry components."""
