"""Price one record, side by side with genai-prices and LiteLLM in one run: goal 3 µs or less warm, 100 µs cold.

    python bench/bench_price.py [--litellm SITE-PACKAGES] [--calls N]

Loading is measured in a fresh process each; warm is the median of many calls of one model, cold the median of the first call of
each of OpenAI's models. LiteLLM is run if it is there (in .venvs/litellm, or where --litellm says).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("gpt-4o", "gpt-5", "gpt-5.4")
USAGE = {"prompt_tokens": 12_345, "completion_tokens": 678, "cached_tokens": 4096, "reasoning_tokens": 100}

LOADS = {  # what is imported first, and what then loads the prices
    "ours": ("import spectra_otel.pricing as p", "c = p.shipped_catalog(); [c.names(name) for name in c.providers]"),
    "genai-prices": ("from genai_prices.data_snapshot import get_snapshot", "get_snapshot()"),
    "litellm": ("import litellm", "litellm.model_cost"),
}
MEASURE_LOAD = """
import re, time
def rss(): return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
before, start = rss(), time.perf_counter()
{package}
imported = time.perf_counter()
{prices}
print(imported - start, time.perf_counter() - imported, rss() - before)
"""
LITELLM_CALLS = """
import statistics, sys, time, litellm
from litellm import ModelResponse, Usage, completion_cost
usage = Usage(prompt_tokens=12345, completion_tokens=678, total_tokens=13023,
              prompt_tokens_details={{"cached_tokens": 4096}}, completion_tokens_details={{"reasoning_tokens": 100}})
response = ModelResponse(model={model!r}, usage=usage)
completion_cost(response, model={model!r})
times = []
for _ in range({calls}):
    start = time.perf_counter()
    completion_cost(response, model={model!r})
    times.append(time.perf_counter() - start)
print(statistics.median(times) * 1e6)
"""


def load(package: str, prices: str, path: Path | None) -> list[float] | None:
    """Median ms of the import, ms of the load and MiB of both, of five fresh processes."""
    runs = []
    for _ in range(5):
        out = run(MEASURE_LOAD.format(package=package, prices=prices), path)
        if out is None:
            return None
        runs.append([float(value) for value in out.split()[-3:]])
    imported, loaded, kib = (statistics.median(values) for values in zip(*runs, strict=True))
    return [imported * 1e3, loaded * 1e3, kib / 1024]


def run(code: str, path: Path | None) -> str | None:
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(path or "")]),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return done.stdout if done.returncode == 0 else None


def median(call: Callable[[], object], calls: int) -> float:
    """Median microseconds of one call."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def ours(model: str, calls: int) -> float:
    from spectra_otel.pricing import calculate

    at = datetime.now(UTC)
    return median(lambda: calculate("openai", model, USAGE, at=at), calls)


def ours_cold() -> float:
    from spectra_otel.pricing import Pricer

    pricer, times = Pricer(), []
    for model in pricer.catalog.names("openai"):
        start = time.perf_counter()
        pricer.calculate("openai", model, USAGE)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def genai(model: str, calls: int) -> float:
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=12_345, output_tokens=678, cache_read_tokens=4096)
    return median(lambda: calc_price(usage, model, provider_id="openai"), calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--litellm", type=Path, default=next(iter(ROOT.glob(".venvs/litellm/lib/python*/site-packages")), None)
    )
    parser.add_argument("--calls", type=int, default=20_000)
    arguments = parser.parse_args()
    print(f"{'warm, median µs':<24}{'ours':>10}{'genai-prices':>16}{'litellm':>12}{'ratios':>18}")
    for model in MODELS:
        mine, theirs = ours(model, arguments.calls), genai(model, arguments.calls // 20)
        out = run(LITELLM_CALLS.format(model=model, calls=500), arguments.litellm) if arguments.litellm else None
        other = float(out.split()[-1]) if out else None
        ratios = f"1 : {theirs / mine:.0f}" + (f" : {other / mine:.0f}" if other else "")
        print(f"{model:<24}{mine:>10.2f}{theirs:>16.1f}{f'{other:.1f}' if other else '-':>12}{ratios:>18}")
    print(f"{'cold, median µs':<24}{ours_cold():>10.1f}")
    print(f"{'fresh process':<24}{'import ms':>10}{'load ms':>10}{'MiB':>8}")
    for name, (package, prices) in LOADS.items():
        measured = load(package, prices, arguments.litellm if name == "litellm" else None)
        print(
            f"{name:<24}"
            + (f"{measured[0]:>10.1f}{measured[1]:>10.1f}{measured[2]:>8.1f}" if measured else "  not here")
        )


if __name__ == "__main__":
    main()
