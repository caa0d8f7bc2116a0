"""Which entry a model name means. Exact or by a named rule; never by likeness, so `gpt-4ox` means nothing.

The rules, in order: the user's alias; the name itself; the name without the path or prefix it was called through; a dated
snapshot of a known model; a rule of the provider. A rule only ever takes away what is known not to change the price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from spectra_otel.pricing.catalog import DEFAULTS, Catalog, Entry, Offer
from spectra_otel.pricing.overrides import Overrides

LONGEST = 256
"""Names longer than this are not looked up; no provider has such."""

_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
DATE_SUFFIX = re.compile(rf"[-@](20\d{{2}}-{_MONTH}-{_DAY}|20\d{{2}}{_MONTH}{_DAY})\Z")
_REVISION = re.compile(r"-00\d\Z")
_BEDROCK_NAME = re.compile(r"(?P<base>.+?)(?P<version>-v\d+)?(?::0)?(?::\d+k)?\Z")
_BEDROCK_REGIONS = ("us.", "eu.", "apac.", "jp.", "au.", "in.")
"""Geographies with one premium for the models of Anthropic; GovCloud has another."""
_ARN = re.compile(r"arn:aws:bedrock:[^/]+:(?:foundation-model|inference-profile)/(?P<model>[^/]+)\Z")
"""What is not a model of its own (custom, provisioned), and not in another partition (GovCloud), where prices differ."""
_AURA = re.compile(r"(aura(?:-2)?)-[a-z]+-[a-z]{2}\Z")
_OLLAMA_CLOUD = ("-cloud", ":cloud")
_FINE_TUNED = re.compile(r"(ft:[^:]+):.+")

Rule = tuple[str, str]  # what the rule does, in words; the name it gives


@dataclass(frozen=True, slots=True)
class Match:
    """An entry, and how the name led to it."""

    entry: Entry
    rule: str


class Matcher:
    """Finds entries in a catalog under the user's own prices and aliases."""

    def __init__(self, catalog: Catalog, overrides: Overrides) -> None:
        self.catalog = catalog
        self.overrides = overrides

    def match(self, provider: str, model: str, *, account: str = "", at: date | None = None) -> Match | None:
        """The entry that ``model`` of ``provider`` means, or ``None``. The user's aliases and prices may be for one account."""
        name = model.strip().lower()
        if not name or len(name) > LONGEST or name == DEFAULTS or any(c.isspace() for c in name):
            return None
        if (target := self.overrides.meaning(provider, name, account, at)) is not None:
            found = self.match(provider, target, account=account, at=at)
            return found and Match(found.entry, f"your alias for {target}; {found.rule}")
        for rule, candidate in _candidates(provider, name):
            if (entry := self.find(provider, candidate, account)) is not None:
                return Match(entry, rule)
        return _by_policy(provider, name, self.find)

    def find(self, provider: str, name: str, account: str = "") -> Entry | None:
        """The entry of exactly this name, the user's offers over those of the catalog, an account's over those for all."""
        listed, own = self.catalog.find(provider, name), self.own(provider, name, account)
        if own is None:
            return listed
        if listed is None:
            return replace(own, model_type=own.model_type or "text")
        return replace(listed, model_type=own.model_type or listed.model_type, offers=(*listed.offers, *own.offers))

    def own(self, provider: str, name: str, account: str = "") -> Entry | None:
        """The user's own prices of exactly this name, for all accounts and for this one."""
        own = self.overrides.entries.get((provider, name))
        if own is None or not any(offer.account for offer in own.offers):
            return own
        offers = tuple(offer for offer in own.offers if offer.account in ("", account))
        return replace(own, offers=offers) if offers else None

    def defaults(self, provider: str, account: str = "") -> list[Entry]:
        """Prices that hold for all models of the provider: the catalog's, then the user's."""
        entries = (self.catalog.find(provider, DEFAULTS), self.own(provider, DEFAULTS, account))
        return [entry for entry in entries if entry is not None]

    def suggest(self, provider: str, model: str, count: int = 3) -> list[str]:
        """Known names that look like ``model``, best first; of other providers if this one is unknown or has none."""
        import difflib

        name = model.strip().lower()[:LONGEST]
        own = [*self.catalog.names(provider), *(n for p, n in self.overrides.entries if p == provider)]
        if own:
            return difflib.get_close_matches(name, own, n=count, cutoff=0.6)
        return difflib.get_close_matches(provider, self.catalog.providers, n=count, cutoff=0.6)


def _candidates(provider: str, name: str) -> Iterator[Rule]:
    yield "exact name", name
    for rule, shorter in _unwrapped(provider, name):
        yield rule, shorter
        name = shorter
    for rule, base in _PROVIDER_RULES.get(provider, _no_rules)(name):
        yield rule, base
        yield from _undated(base, rule + "; ")
    yield from _undated(name)


def _unwrapped(provider: str, name: str) -> Iterator[Rule]:
    """The name without what it was called through, one step at a time."""
    for prefix in (f"{provider}/", "models/", "publishers/google/models/", "publishers/anthropic/models/"):
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            yield f"without {prefix}", name
    if provider == "vertex" and name.startswith("google/"):
        name = name.removeprefix("google/")
        yield "without google/", name
    if provider in ("vertex", "google") and name.startswith("projects/"):
        yield "last part of the resource name", name.rpartition("/")[2]
    if provider == "bedrock" and (found := _ARN.match(name)):
        yield "model of the ARN", found["model"]
    if provider == "fireworks" and "/" not in name:
        yield "with accounts/fireworks/models/", f"accounts/fireworks/models/{name}"


def _undated(name: str, before: str = "") -> Iterator[Rule]:
    if (found := DATE_SUFFIX.search(name)) and _is_day(found[1]):
        yield f"{before}snapshot {found[1]} of the model", name[: found.start()]


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _openai_rules(name: str) -> Iterator[Rule]:
    if found := _FINE_TUNED.match(name):
        yield "fine-tuned model, tuned rates", found[1]


def _google_rules(name: str) -> Iterator[Rule]:
    if _REVISION.search(name):
        yield "stable revision of the model", name[:-4]


def _bedrock_rules(name: str) -> Iterator[Rule]:
    """A model id has a version (`-v1:0`) and may have a geography (`us.`).

    Anthropic's models have one price in all geographies. Of others the prices differ, but for `us.` and the plain id.
    """
    found = _BEDROCK_NAME.match(name)
    assert found is not None  # it matches every name
    base, version = found["base"], found["version"] or ""
    forms = [name, base + version, f"{base}{version}:0"]
    if version in ("", "-v1"):  # no version means the first one; any other is another model
        forms += [base, f"{base}-v1:0", f"{base}-v1"]
    geography = next((g for g in (*_BEDROCK_REGIONS, "global.") if name.startswith(g)), "")
    is_anthropic = name.startswith("anthropic.", len(geography))
    for form in forms[1:]:
        yield "model id with another form of its version", form
    for form in forms:
        rest = form.removeprefix(geography)
        if geography in _BEDROCK_REGIONS and is_anthropic:
            for other in _BEDROCK_REGIONS:
                yield f"price of the geography {other}", other + rest
        if geography == "us." or (geography and is_anthropic):
            yield f"without the geography {geography}", rest


def _ollama_cloud_rules(name: str) -> Iterator[Rule]:
    if name.endswith(_OLLAMA_CLOUD):
        yield "name on a server of one's own", name[: -len(_OLLAMA_CLOUD[0])]


def in_ollama_cloud(name: str) -> str:
    """What a model of Ollama's cloud is called where a server of one's own passes calls on to it."""
    known = name.strip().lower().endswith(_OLLAMA_CLOUD)
    return name if known else f"{name.strip()}{'-' if ':' in name else ':'}cloud"


def _deepgram_rules(name: str) -> Iterator[Rule]:
    if found := _AURA.match(name):
        yield "model of the voice", found[1]


def _no_rules(name: str) -> Iterator[Rule]:
    return iter(())


_PROVIDER_RULES: dict[str, Callable[[str], Iterator[Rule]]] = {
    "openai": _openai_rules,
    "google": _google_rules,
    "vertex": _google_rules,
    "bedrock": _bedrock_rules,
    "deepgram": _deepgram_rules,
    "ollama-cloud": _ollama_cloud_rules,
}


def _by_policy(provider: str, name: str, find: Callable[[str, str], Entry | None]) -> Match | None:
    """Providers that say once for many models what they cost."""
    if provider == "ollama" and not name.endswith(_OLLAMA_CLOUD):
        return Match(_free(provider, name), "runs on the user's own machine: no charge")
    if provider == "ollama" and (entry := find("ollama-cloud", name[: -len(_OLLAMA_CLOUD[0])])) is not None:
        return Match(entry, "runs in Ollama's cloud")
    if provider == "openrouter" and name.endswith(":free") and find(provider, name.removesuffix(":free")):
        return Match(_free(provider, name), "variant :free of a known model: no charge")
    return None


def _free(provider: str, name: str) -> Entry:
    return Entry(provider, name, "text", (Offer("standard", {"input": "0", "output": "0"}, source="policy"),))
