"""Start and stop: ``configure``, ``shutdown`` and ``force_flush``, and the one host of the process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED

from spectra_otel import faults
from spectra_otel.config.settings import SETTINGS, Settings, read_settings
from spectra_otel.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from spectra_otel.config.load import Config
    from spectra_otel.sdk.attach import Attachments
    from spectra_otel.sdk.delivery import Delivery
    from spectra_otel.sdk.host import Host
    from spectra_otel.sdk.lifetime import Lifetime


@dataclass(slots=True)
class _Running:
    asked: tuple[Any, ...]
    settings: Settings
    host: Host
    attachments: Attachments
    lifetime: Lifetime


_lock = RLock()
_running: _Running | None = None


def configure(config: Config | None = None, *, tracer_provider: object = None, **settings: Any) -> None:
    """Start Spectra in this process.

    It attaches to the tracer provider of the app, or sets one where there is none, and to providers that are made later.
    Calling it again with the same arguments, or with none, changes nothing; with others it starts anew.

    Args:
        config: A pipeline file, a mapping in its grammar, or None for ``SPECTRA_CONFIG`` or else the built-in pipeline.
        tracer_provider: A provider to attach to that is not the global one.
        settings: Any setting by its name without ``SPECTRA_`` in lower case (``db="calls.duckdb"``); it wins over the environment
            and is what child processes inherit.

    Nothing is raised for a bad setting: one line is logged, and the app runs on without Spectra.
    """
    _contained(config, tracer_provider, settings, sets_global=True)


def start_from_environment() -> None:
    """Start as the launchers do: settings from the environment, and the global provider left to the app where none is set."""
    _contained(None, None, {}, sets_global=False)


def force_flush(timeout: float = 30.0) -> bool:
    """Settle open streams, write and send all that waits, within ``timeout`` seconds; False if that was not enough."""
    running = _running
    return running is None or running.host.force_flush(timeout)


def shutdown(timeout: float = 30.0) -> bool:
    """Flush, then leave the app's providers and HTTP clients as they were. False if not everything got out in time."""
    global _running
    with _lock:
        running, _running = _running, None
    return running is None or _stop(running, timeout)


def current_host() -> Host | None:
    """The host of this process; None where Spectra is not running."""
    return _running.host if _running is not None else None


def current_settings() -> Settings | None:
    """The settings that the host was started with."""
    return _running.settings if _running is not None else None


def _contained(config: Config | None, provider: object, overrides: dict[str, Any], *, sets_global: bool) -> None:
    try:
        with _lock:
            _start(config, provider, overrides, sets_global)
    except ConfigError as error:
        _not_started(str(error))
    except Exception as error:
        _not_started(error)


def _not_started(error: str | Exception) -> None:
    from spectra_otel.sdk import run_ledger

    faults.report("not started, the app runs on without it", error)
    run_ledger.say("failed")


def _start(config: Config | None, provider: object, overrides: dict[str, Any], sets_global: bool) -> None:
    global _running
    asked = (config, overrides)
    if _running is not None:
        if (config is None and not overrides) or asked == _running.asked:
            _attach(_running, provider, sets_global)
            return
        read_settings(**overrides)  # a bad setting leaves the running host as it is
        shutdown()
    settings = read_settings(**overrides)
    if not settings.enabled or os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        from spectra_otel.sdk import run_ledger

        run_ledger.say("off")
        return
    _to_environment(overrides)
    running = _make(asked, config, settings)
    _running = running
    _attach(running, provider, sets_global)
    _install_instrumentors(running.host)


def _make(asked: tuple[Any, ...], config: Config | None, settings: Settings) -> _Running:
    from spectra_otel.sdk import run_ledger
    from spectra_otel.sdk.attach import Attachments
    from spectra_otel.sdk.host import Host
    from spectra_otel.sdk.lifetime import Lifetime

    attachments = Attachments()
    host = Host(lambda: _build(config, settings, lifetime), provider=attachments.provider)
    lifetime = Lifetime(at_exit=host.finish, at_signal=lambda seconds: host.force_flush(seconds, settle=False))
    if config is not None or not _is_built_in(settings):
        try:
            host.build()  # what somebody wrote is checked now, where they see it
        except BaseException:
            lifetime.close()
            raise
    run_ledger.say("hello")
    return _Running(asked, settings, host, attachments, lifetime)


def _build(config: Config | None, settings: Settings, lifetime: Lifetime) -> Delivery:
    from spectra_otel import pipeline
    from spectra_otel.config.load import load
    from spectra_otel.sdk import events, run_ledger
    from spectra_otel.sdk.delivery import Delivery

    document = load(config, settings)
    if document.providers:
        from spectra_otel.providers import custom

        custom.configure(document.providers)
    pipelines = pipeline.build(document)
    databases = [getattr(built.exporter, "database", None) for each in pipelines for built in each.exporters]
    run_ledger.say_stores([str(path) for path in databases if path is not None])
    return Delivery(
        pipelines,
        persistence=settings.persistence,
        announce=events.announcer(settings.request_transformer),
        tally=run_ledger.add,
        on_worker=lifetime.watch_multiprocessing,
    )


def _is_built_in(settings: Settings) -> bool:
    """No setting changes the built-in pipeline, which is known to be right."""
    changed = (settings.config, settings.otel_enabled, settings.span_builder, settings.request_transformer)
    return not any((*changed, settings.prices, settings.fx_rates))


def _attach(running: _Running, provider: object, sets_global: bool) -> None:
    """To the given provider, the global one, and those to come; a provider is made where there is none."""
    attachments, host = running.attachments, running.host
    attachments.attach_to_future_providers(host)
    if provider is not None and not attachments.attach(provider, host):
        faults.report("attach", f"{type(provider).__name__} is not a tracer provider of the OpenTelemetry SDK")
    current = trace.get_tracer_provider()
    if attachments.attach(current, host) or attachments.provider() is not None:
        return
    made = _new_provider()
    attachments.attach(made, host)
    if isinstance(current, trace.ProxyTracerProvider):
        if sets_global:
            trace.set_tracer_provider(made)
    else:
        name = type(current).__qualname__
        faults.report(
            "attach",
            f"{name} is not a provider of the OpenTelemetry SDK; only calls that Spectra itself sees are recorded",
        )


def _new_provider() -> TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider

    return TracerProvider()


def _install_instrumentors(host: Host) -> None:
    from spectra_otel import instrumentors

    try:
        instrumentors.install(host)
    except Exception as error:
        faults.report("instrumentors", error)


def _stop(running: _Running, timeout: float) -> bool:
    from spectra_otel import instrumentors

    try:
        instrumentors.uninstall()
    except Exception as error:
        faults.report("instrumentors", error)
    done = running.host.force_flush(timeout)
    running.attachments.detach()
    running.lifetime.close()
    return running.host.shutdown(timeout) and done


def _to_environment(overrides: Mapping[str, Any]) -> None:
    """Settings given in code are what every part of this process and its children read."""
    names = {setting.field: setting.name for setting in SETTINGS}
    for field, value in overrides.items():
        if value is not None:
            os.environ[names[field]] = _as_text(field, value)


def _as_text(field: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if field == "metadata" and not isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
