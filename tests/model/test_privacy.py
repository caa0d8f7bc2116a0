"""Words of an error hold no key, no token, and nothing of the prompt."""

from __future__ import annotations

import pytest

from spectra_otel.model.privacy import without_credentials, without_echo, words


@pytest.mark.parametrize(("text", "kept"), [
    ("Incorrect API key provided: sk-proj-abcdefghij0123456789.", "Incorrect API key provided: [redacted]."),
    ("url: /models/g:generateContent?key=AIzaSyD0&alt=sse (", "url: /models/g:generateContent?key=[redacted]&alt=sse ("),
    ("for url 'https://x.test/a?api-key=abc123'", "for url 'https://x.test/a?api-key=[redacted]'"),
    ("https://b.test/f?X-Amz-Signature=ab12&X-Amz-Date=1", "https://b.test/f?X-Amz-Signature=[redacted]&X-Amz-Date=1"),
    ("proxy http://me:pa55@proxy.test:3128 refused", "proxy http://[redacted]@proxy.test:3128 refused"),
    ("header Authorization: Bearer abcdefghijkl", "header Authorization: [redacted]"),
    ("model `gpt-4ox` does not exist", "model `gpt-4ox` does not exist"),
    ("keyboard=1 is no key; see https://x.test:80/a@b", "keyboard=1 is no key; see https://x.test:80/a@b"),
    ("", None),
])  # fmt: skip
def test_keys_and_tokens_are_left_out(text: str, kept: str | None) -> None:
    """In the text, in the query of a URL, before its host."""
    assert words(ValueError(text)) == kept


def test_an_error_that_cannot_say_what_it_is_says_nothing() -> None:
    """It is the app's, and it may raise."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert words(Odd()) is None


def test_the_key_that_was_sent_is_left_out_whatever_it_looks_like() -> None:
    """Not all keys have a beginning of their own."""
    headers = {"authorization": "Bearer 0a1b2c3d4e5f", "api-key": "99887766"}
    assert without_credentials("0a1b2c3d4e5f or 99887766 is wrong", headers) == "[redacted] or [redacted] is wrong"


PROMPT = "The patient, Ms Miller, born in 1961, came to us with a fever and was sent home on Monday."
ASKED = {
    "model": "gpt-4o-nano",
    "messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}],
    "user": "u-1234567",
}


@pytest.mark.parametrize(("message", "kept"), [
    (f"Invalid value: '{PROMPT}'.", "Invalid value: '[redacted]'."),
    (f"Invalid value: '{PROMPT[:60]}...'", "Invalid value: '[redacted]...'"),
    (f"near {PROMPT[10:70]}!", "near [redacted]!"),
    ("no model `gpt-4o-nano`, or u-1234567 may not use it", "no model `gpt-4o-nano`, or u-1234567 may not use it"),
])  # fmt: skip
def test_what_was_said_is_left_out(message: str, kept: str) -> None:
    """Whole or in a piece; what the error is about stays."""
    assert without_echo(message, ASKED) == kept


@pytest.mark.parametrize("body", [
    {"input": {"prompt": "cat pic"}}, {"inputText": "a cat pic of mine"}, {"text": "cat pic"},
    {"query": "cat pic", "documents": ["dog pic"]},
    {"contents": [{"parts": [{"text": "cat pic"}]}]}, {"texts": ["cat pic"]}, {"prompt": "cat pic"}, {"system": "cat pic"},
])  # fmt: skip
def test_prompts_are_known_in_every_shape(body: dict[str, object]) -> None:
    """Each provider has a name of its own for it."""
    assert "pic" not in without_echo("bad: a cat pic of mine, dog pic", {**body, "x": "a cat pic of mine"}).replace(
        "dog pic", ""
    )
