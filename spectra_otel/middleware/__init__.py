"""Spectra in web apps and task queues: who a call is made for, and records on disk once the response is out.

``asgi`` for FastAPI, Starlette and every other ASGI app, ``wsgi`` for Flask and every other WSGI app, ``django`` for Django's own
list of middleware, ``celery`` for workers. None imports a framework that the app has not imported.
"""

from spectra_otel.middleware.asgi import SpectraMiddleware as ASGIMiddleware
from spectra_otel.middleware.scope import flush, identify
from spectra_otel.middleware.wsgi import SpectraMiddleware as WSGIMiddleware

__all__ = ["ASGIMiddleware", "WSGIMiddleware", "flush", "identify"]
