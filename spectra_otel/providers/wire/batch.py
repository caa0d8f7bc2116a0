"""Batches of calls, and where each provider puts their results.

Starting a batch gives its id. Its results are the lines of a file whose id a later look at the batch tells, or they stand in
the answer to that look itself, all at once or page by page. One line or entry is one :class:`Result`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from spectra_otel.providers.base import Format
from spectra_otel.providers.values import Json, as_dict, as_list


class Result(NamedTuple):
    """One call of a batch: the app's name for it, its HTTP status where that is told, and the body of its answer."""

    name: str | None
    status_code: int | None
    body: Json


class Batch(Format):
    """OpenAI's batches, which most others copied: a file of results and one of errors."""

    files: tuple[str, ...] = ("output_file_id", "error_file_id")
    """Where a look at the batch has the ids of the files."""
    inline = False
    """The results can stand in the answer to a look."""

    def batch_id(self, body: Json) -> str | None:
        """The id of the batch that was started."""
        found = as_dict(body.get("job")).get("id") or body.get("id")  # Together wraps it
        return found if isinstance(found, str) else None

    def model(self, body: Json) -> str | None:
        """The model of all calls of the batch, where there is one."""
        found = body.get("model")
        return found if isinstance(found, str) else None

    def result_files(self, body: Json) -> list[str]:
        """The ids of the files with results, as far as they are known."""
        return [found for name in self.files if isinstance(found := body.get(name), str) and found]

    def entries(self, body: Json) -> list[Any]:
        """The results that stand in the answer to a look itself."""
        return []

    def is_over(self, body: Json) -> bool:
        """Whether no later look can have results that this one has not."""
        return True

    def result(self, row: Json) -> Result | None:
        """One result; None for a call that was never answered."""
        name, response = row.get("custom_id"), as_dict(row.get("response"))
        body = {"error": row["error"]} if row.get("error") else as_dict(response.get("body"))
        status = response.get("status_code")
        return Result(name, status if type(status) is int else None, body)


class MessageBatch(Batch):
    """Anthropic's: the results have an address of their own, by the batch's id."""

    def result(self, row: Json) -> Result | None:
        result = as_dict(row.get("result"))
        if result.get("type") not in ("succeeded", "errored"):
            return None
        return Result(row.get("custom_id"), None, as_dict(result.get("message") or result.get("error")))


class MistralBatch(Batch):
    """Mistral's: files, or the results themselves where the calls were sent without one."""

    files = ("output_file", "error_file")
    inline = True

    def entries(self, body: Json) -> list[Any]:
        return as_list(body.get("outputs"))

    def is_over(self, body: Json) -> bool:
        return body.get("status") not in ("QUEUED", "RUNNING", "CANCELLATION_REQUESTED")


class RouterBatch(Batch):
    """OpenRouter's: a look at a batch that is done has its results."""

    inline = True

    def entries(self, body: Json) -> list[Any]:
        return as_list(body.get("results"))


class XaiBatch(Batch):
    """xAI's: results in pages, also while others are still awaited."""

    inline = True

    def batch_id(self, body: Json) -> str | None:
        return super().batch_id({"id": body.get("batch_id") or body.get("id")})

    def entries(self, body: Json) -> list[Any]:
        return [row for name in ("results", "succeeded", "failed") for row in as_list(body.get(name))]

    def is_over(self, body: Json) -> bool:
        return False

    def result(self, row: Json) -> Result | None:
        result = as_dict(row.get("batch_result") or row.get("result"))
        answers = [found for found in as_dict(result.get("response")).values() if isinstance(found, dict)]
        error = result.get("error") or row.get("error_message") or row.get("error")
        if not answers and not error:
            return None
        return Result(row.get("batch_request_id"), None, answers[0] if answers else {"error": error})


class GeminiBatch(Batch):
    """Gemini's: an operation whose output is a file, or the results themselves where the calls were sent without one."""

    inline = True

    def batch_id(self, body: Json) -> str | None:
        name = body.get("name")
        return _last(name) if isinstance(name, str) else None

    def model(self, body: Json) -> str | None:
        name = as_dict(body.get("metadata")).get("model")
        return _last(name) if isinstance(name, str) else None

    def result_files(self, body: Json) -> list[str]:
        name = _output(body).get("responsesFile")
        return [_last(name)] if isinstance(name, str) and name else []

    def entries(self, body: Json) -> list[Any]:
        output = _output(body)
        kinds = ("inlinedResponses", "inlinedEmbedContentResponses")
        return [row for kind in kinds for row in as_list(as_dict(output.get(kind)).get("inlinedResponses"))]

    def is_over(self, body: Json) -> bool:
        return bool(body.get("done"))

    def result(self, row: Json) -> Result | None:
        name = row.get("key") or as_dict(row.get("metadata")).get("key")
        body = {"error": row["error"]} if row.get("error") else as_dict(row.get("response"))
        return Result(name, None, body) if body else None


def _output(body: Json) -> Json:
    """The output of a Gemini batch: in the operation's answer when it is done, before that in its metadata."""
    return as_dict(body.get("response")) or as_dict(as_dict(body.get("metadata")).get("output"))


def _last(name: str) -> str:
    """``batches/x`` → ``x``."""
    return name.rpartition("/")[2].partition(":")[0]
