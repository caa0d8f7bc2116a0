"""Generators of which each step runs in one context: what holds in their body does not hold in the code that reads them.

A generator shares its reader's context, so what a block in it sets would be seen by the reader between two pieces; and a reader
that takes each piece in another context, as the thread pools of web frameworks do, would lose it.
"""

from __future__ import annotations

import functools
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from spectra_otel.tracking.track import Track

T = TypeVar("T")


def tracked_generator(
    function: Callable[..., Generator[Any, Any, Any]], block: Callable[[], Track]
) -> Callable[..., Generator[Any, Any, Any]]:
    """``function``, each generator of which runs in a ``block`` of its own."""

    @functools.wraps(function)
    def tracked(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        here, around = copy_context(), block()
        here.run(around.__enter__)
        try:
            result = yield from _steps(here, function(*args, **kwargs))
        except BaseException as error:
            here.run(around.__exit__, type(error), error, error.__traceback__)
            raise
        here.run(around.__exit__, None, None, None)
        return result

    return tracked


def tracked_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], block: Callable[[], Track]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """The same for a function of async generators."""

    @functools.wraps(function)
    async def tracked(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        here, around = copy_context(), block()
        await _Within(here, around.__aenter__())
        try:
            pieces = function(*args, **kwargs)
            step: Any = pieces.asend
            argument: Any = None
            while True:
                try:
                    piece = await _Within(here, step(argument))
                except StopAsyncIteration:
                    break
                step = pieces.asend
                try:
                    argument = yield piece
                except GeneratorExit:
                    await _Within(here, pieces.aclose())
                    raise
                except BaseException as error:
                    step, argument = pieces.athrow, error
        except BaseException as error:
            here.run(around.__exit__, type(error), error, error.__traceback__)
            raise
        here.run(around.__exit__, None, None, None)

    return tracked


def pieces_within(here: Context, pieces: Iterable[T]) -> Iterator[T]:
    """The same pieces, each taken in the context ``here``."""
    taken = iter(pieces)
    try:
        while True:
            try:
                piece = here.run(next, taken)
            except StopIteration:
                return
            yield piece
    finally:
        close = getattr(taken, "close", None)
        if close is not None:
            here.run(close)


async def async_pieces_within(here: Context, pieces: AsyncIterable[T]) -> AsyncIterator[T]:
    """The same for async ones."""
    taken = aiter(pieces)
    try:
        while True:
            try:
                piece = await _Within(here, anext(taken))
            except StopAsyncIteration:
                return
            yield piece
    finally:
        close = getattr(taken, "aclose", None)
        if close is not None:
            await _Within(here, close())


def _steps(here: Context, generator: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """The same generator, each step in the context ``here``."""
    step: Any = generator.send
    argument: Any = None
    while True:
        try:
            piece = here.run(step, argument)
        except StopIteration as end:
            found: T = end.value
            return found
        step = generator.send
        try:
            argument = yield piece
        except GeneratorExit:
            here.run(generator.close)
            raise
        except BaseException as error:
            step, argument = generator.throw, error


class _Within(Awaitable[T]):
    """Something to await, each of its steps in one context, in the task that awaits it."""

    def __init__(self, here: Context, awaited: Awaitable[T]) -> None:
        self._here = here
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, T]:
        return _steps(self._here, self._awaited.__await__())
