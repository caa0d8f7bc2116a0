"""A stream of chunks that the app reads, and the record that is made of it, however far it is read."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from spectra_otel import faults
from spectra_otel.errors import BudgetExceededError
from spectra_otel.instrumentors.estimate import estimate_delivered
from spectra_otel.providers.base import StreamReader
from spectra_otel.tracking import context
from spectra_otel.tracking.abandoned import abandoned
from spectra_otel.tracking.reading import reader_of, to_dict

if TYPE_CHECKING:
    from spectra_otel.tracking.track import TrackedCall

T = TypeVar("T")


class Reading:
    """What is known of a stream so far. Does not hold the stream, so that letting go of it is noticed."""

    def __init__(self, call: TrackedCall) -> None:
        self._call = call
        self._reader: StreamReader | None = None
        self.has_begun = False
        """Whether a chunk was asked for."""

    def take(self, chunk: Any) -> None:
        """Read one chunk. Raises nothing but :class:`BudgetExceededError`, for a stream that outgrows what there is room for."""
        request = self._call.request
        if request is None or request.is_finished:
            return
        try:
            data = to_dict(chunk)
            if self._reader is None:
                request.seen_first_chunk()
                request.values["is_streaming"] = True
                self._reader = reader_of(data, request.values)
            if self._reader is not None:
                self._reader.event(data)
                if request.ticket is not None:
                    request.ticket.delivered(self._reader.characters)
        except BudgetExceededError as error:
            self._call.record()  # what was delivered is the answer
            self.end(error)
            raise
        except Exception as error:
            faults.report("stream(...).wrap", error)

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Around the reading of the first chunk. If that begins an instrumented stream, this call is left to it."""
        self.has_begun = True
        before, request = context.last_request(), self._call.request
        with ExitStack() as stack:
            stack.enter_context(context.attributed(self._call.attribution))
            if request is not None and request.ticket is not None:
                stack.enter_context(context.lending(request.ticket))
            yield
            begun = context.last_request()
            if begun is not None and begun is not before and begun.values.get("is_streaming"):
                self._call.leave()

    def close(self) -> None:
        """The stream was let go of, or closed; nothing if it is settled. Never raises."""
        try:
            self.end(aborted=True)
        except Exception as error:
            faults.report("stream(...).wrap", error)

    def end(self, error: BaseException | None = None, *, aborted: bool = False) -> None:
        """The stream is over, or given up."""
        request, reader = self._call.request, self._reader
        if request is None or request.is_finished:
            return
        complete = reader is not None and reader.complete
        if reader is not None:
            request.values.update(reader.finish())
        if (aborted or error is not None) and not complete:
            request.values["is_aborted"] = True
            estimate_delivered(request.values, self._call.body, reader.characters if reader is not None else 0)
        if error is not None and isinstance(error, Exception):
            self._call.fail(error)
        else:
            self._call.succeed()


class _Watched:
    """A stream of the app's, whose record is settled when it is let go of."""

    def __init__(self, source: Any, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        abandoned.watch()

    def __del__(self) -> None:
        abandoned.put(self._reading)

    def __getattr__(self, name: str) -> Any:
        """What the stream can besides: an SDK's has its ``response``."""
        if name == "_source":  # a copy that was never made
            raise AttributeError(name)
        return getattr(self._source, name)

    def _failed(self, error: BaseException) -> None:
        """Reading raised this: the end, or a failure. Never raises."""
        try:
            self._reading.end(None if isinstance(error, StopIteration | StopAsyncIteration) else error)
        except Exception as fault:
            faults.report("stream(...).wrap", fault)


class Chunks(_Watched, Generic[T]):
    """An iterator over the chunks of a stream; a context manager if they are one, too."""

    def __init__(self, chunks: Iterable[T], reading: Reading) -> None:
        super().__init__(chunks, reading)
        self._chunks: Iterator[T] = iter(chunks)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            if self._reading.has_begun:
                chunk = next(self._chunks)
            else:
                with self._reading.beginning():
                    chunk = next(self._chunks)
        except BaseException as error:
            self._failed(error)
            raise
        self._reading.take(chunk)
        return chunk

    def close(self) -> None:
        """Close the stream, and settle its record."""
        try:
            close = getattr(self._source, "close", None)
            if callable(close):
                close()
        finally:
            self._reading.close()

    def __enter__(self) -> Chunks[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncChunks(_Watched, Generic[T]):
    """The same for async streams."""

    def __init__(self, chunks: AsyncIterable[T], reading: Reading) -> None:
        super().__init__(chunks, reading)
        self._chunks: AsyncIterator[T] = aiter(chunks)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            if self._reading.has_begun:
                chunk = await anext(self._chunks)
            else:
                with self._reading.beginning():
                    chunk = await anext(self._chunks)
        except BaseException as error:
            self._failed(error)
            raise
        self._reading.take(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close the stream, and settle its record."""
        try:
            close = getattr(self._source, "aclose", None) or getattr(self._source, "close", None)
            closing = close() if callable(close) else None
            if inspect.isawaitable(closing):
                await closing
        finally:
            self._reading.close()

    async def __aenter__(self) -> AsyncChunks[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
