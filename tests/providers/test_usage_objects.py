"""Usage objects of providers, read by their tables."""

from __future__ import annotations

from typing import Any

import pytest

from spectra_otel.providers.wire.usage import CHAT, CONVERSE, GENERATE, MESSAGES, Convention, read


@pytest.mark.parametrize(
    ("convention", "usage", "fields"),
    [
        (
            MESSAGES,
            {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 1},
            {"prompt_tokens": 17, "cached_tokens": 5, "cache_write_tokens": 2, "completion_tokens": 1},
        ),
        (
            CONVERSE,
            {"inputTokens": 10, "outputTokens": 1, "cacheReadInputTokens": 5, "cacheReadInputTokenCount": 5},
            {"prompt_tokens": 15, "cached_tokens": 5, "completion_tokens": 1},
        ),
        (
            GENERATE,
            {"promptTokenCount": 10, "toolUsePromptTokenCount": 4, "thoughtsTokenCount": 7},
            {"prompt_tokens": 14, "completion_tokens": 7, "reasoning_tokens": 7},
        ),
        (
            MESSAGES,
            {"input_tokens": 10.0, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2.0},
            {"prompt_tokens": 17, "cached_tokens": 5, "cache_write_tokens": 2},
        ),
        (
            MESSAGES,
            {"input_tokens": 10, "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 3}},
            {"prompt_tokens": 17, "cache_write_tokens": 7, "cache_write_1h_tokens": 4},
        ),
    ],
)
def test_what_is_counted_beside_the_whole_is_added(
    convention: Convention, usage: dict[str, Any], fields: dict[str, int]
) -> None:
    """Counts beside the input or the output are part of it in the record, once, in whatever order they come."""
    assert read(usage, convention) == fields
    assert read(dict(reversed(usage.items())), convention) == fields


def test_a_part_makes_no_whole() -> None:
    """Where the provider does not say the input, what was read from its cache does not stand for it."""
    assert read({"cache_read_input_tokens": 5, "output_tokens": 1}, MESSAGES) == {
        "cached_tokens": 5,
        "completion_tokens": 1,
    }


def test_of_two_names_the_one_that_says_something_holds() -> None:
    """A zero under one name does not hide the count under another."""
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 4}
    assert read(usage, CHAT)["cached_tokens"] == 4


def test_what_is_no_number_is_not_added() -> None:
    """A count that is text stays what it is: whoever takes it decides, and the whole is not touched."""
    assert read({"input_tokens": 10, "cache_read_input_tokens": "5"}, MESSAGES)["prompt_tokens"] == 10
