"""Calls through google-genai; its asynchronous client is made of aiohttp where that is installed, else of httpx2."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types

MODEL = "gemini-2.5-flash"
QUESTION = "How is the weather?"


def client(server: Any) -> genai.Client:
    return genai.Client(api_key="x", http_options=types.HttpOptions(base_url=server.url("google")))


def plain(server: Any) -> None:
    with client(server) as google:
        google.models.generate_content(model=MODEL, contents=QUESTION)


def stream(server: Any, stop: int = 1000) -> None:
    with client(server) as google:
        for number, _ in enumerate(chunks := google.models.generate_content_stream(model=MODEL, contents=QUESTION)):
            if number == stop:
                chunks.close()
                break


async def plain_async(server: Any) -> None:
    await client(server).aio.models.generate_content(model=MODEL, contents=QUESTION)


async def stream_async(server: Any, stop: int = 1000) -> None:
    chunks: Any = await client(server).aio.models.generate_content_stream(model=MODEL, contents=QUESTION)
    number = 0
    async for _ in chunks:
        number += 1
        if number > stop:
            await chunks.aclose()
            break


CASES = {
    "google/plain": plain,
    "google/plain async": plain_async,
    "google/stream": stream,
    "google/stream async": stream_async,
    "google/early": lambda s: stream(s, 2),
    "google/early async": lambda s: stream_async(s, 2),
    "google/error": plain,
    "google/error async": plain_async,
}
