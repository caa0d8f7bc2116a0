"""What both ledgers make of revisions, budgets that are removed, windows that are past, and of being lost."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import spectra_otel as spectra
from spectra_otel.budgets import guard, owners, redis_ledger, sqlite_ledger, sqlite_tables, ticket
from spectra_otel.budgets.amounts import Amount, Limit
from spectra_otel.budgets.book import _claim, book
from spectra_otel.budgets.definition import Budget, LimitConfig, bucket_of
from spectra_otel.budgets.ledger import LEASE_SECONDS, RENEW_SECONDS, BucketState, Claim, Ledger, Stored
from spectra_otel.budgets.sqlite_ledger import SqliteLedger
from tests.budgets.test_contract import BODY, CALL, CENT, claim, leased


def settled(ledger: Ledger, bucket: str = "") -> tuple[Any, ...]:
    [state] = [state for state in ledger.states("b") if state.bucket == bucket]
    return (*state.settled, state.unpriced)


def test_a_revision_takes_the_place_of_what_its_record_counted(ledger: Ledger) -> None:
    """An unknown cost counts as unpriced until it is known; a price that changes is no second call."""
    b = [claim("b", thresholds=(0.5,))]
    ledger.count("r", b, Amount(0, 10, 1), unpriced=1)
    assert settled(ledger) == (0, 10, 1, 1)
    said = [ledger.count("r", b, Amount(60 * CENT, 12, 1), rev=1).counted for _ in range(3)]
    assert [[one.fired for one in each] for each in said] == [[(0.5,)], [], []]
    assert settled(ledger) == (60 * CENT, 12, 1, 0)
    [counted] = ledger.count("r", b, Amount(20 * CENT, 12, 1), rev=2).counted
    assert (counted.added, counted.fired) == ((-40 * CENT, 0, 0), ())
    assert settled(ledger) == (20 * CENT, 12, 1, 0)


def test_what_is_known_by_now_is_not_undone_by_what_comes_again(ledger: Ledger) -> None:
    """Neither the record itself nor an earlier revision of it changes anything once a later one is counted."""
    ledger.count("r", [claim("b")], Amount(0, 10, 1), unpriced=1)
    ledger.count("r", [claim("b")], Amount(5 * CENT, 10, 1), rev=2)
    ledger.count("r", [claim("b")], Amount(0, 10, 1), unpriced=1)
    ledger.count("r", [claim("b")], Amount(4 * CENT, 10, 1), rev=1)
    assert settled(ledger) == (5 * CENT, 10, 1, 0)


def test_a_revision_of_what_was_not_counted_here_counts_nothing(ledger: Ledger) -> None:
    """A lease has settled it, or it is not of this ledger's budgets; those that have not counted it do not begin to."""
    assert ledger.count("r", [claim("b")], Amount(CENT, 10, 1), rev=1).counted in ((), [])
    assert ledger.states() == []
    ledger.count("r", [claim("b")], Amount(CENT, 10, 1))
    ledger.count("r", [claim("b"), claim("c")], Amount(2 * CENT, 10, 1), rev=1)
    assert [(state.budget, state.settled.cost) for state in ledger.states()] == [("b", 2 * CENT)]


def test_a_revision_corrects_what_a_lease_has_counted(ledger: Ledger) -> None:
    """A call that was let through without a price has taken what was set aside for it, until its cost is known."""
    lease = leased(ledger.reserve([claim("b")], Amount(9 * CENT, 50, 1), Amount()))
    ledger.settle(lease, Amount(9 * CENT, 10, 1), unpriced=1, record="r")
    assert settled(ledger) == (9 * CENT, 10, 1, 1)
    ledger.count("r", [claim("b")], Amount(0, 0, 1), unpriced=1, rev=1)
    assert settled(ledger) == (9 * CENT, 10, 1, 1)
    for _ in range(2):
        ledger.count("r", [claim("b")], Amount(2 * CENT, 12, 1), rev=2)
        assert settled(ledger) == (2 * CENT, 12, 1, 0)
    assert ledger.count("r", [claim("b")], Amount(5 * CENT, 12, 1)).counted in ((), [])
    assert settled(ledger) == (2 * CENT, 12, 1, 0)


def test_a_revision_corrects_what_a_swept_lease_has_counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its floor was charged when it was swept; what its process says later is whole."""
    monkeypatch.setattr("spectra_otel.budgets.sqlite_tables.LEASE_SECONDS", -1)
    monkeypatch.setattr(redis_ledger, "LEASE_SECONDS", -1)
    monkeypatch.setattr("spectra_otel.budgets.ledger.DOUBT_SECONDS", -0.5)
    lease = leased(ledger.reserve([claim("b")], Amount(9 * CENT, 50, 1), Amount(CENT, 5, 1)))
    assert [ledger.sweep() for _ in range(2)] == [0, 1]
    ledger.settle(lease, Amount(9 * CENT, 50, 1), unpriced=1, record="r")
    ledger.count("r", [claim("b")], Amount(2 * CENT, 12, 1), rev=1)
    assert settled(ledger) == (2 * CENT, 12, 1, 0)


def test_a_revision_corrects_the_budget_of_a_run_that_is_over(ledger: Ledger) -> None:
    """Only the call itself knew which run it was part of; a bucket that has the name of such budgets is none."""
    run, named = Claim("tree:run", "1-a", "run", 1, Limit(CENT)), claim("b")._replace(bucket="run")
    lease = leased(ledger.reserve([run, named], Amount(CENT, 50, 1), Amount()))
    ledger.settle(lease, Amount(CENT, 10, 1), unpriced=1, record="r")
    ledger.count("r", [], Amount(CENT // 2, 10, 1), rev=1)
    states = {state.budget: (*state.settled, state.unpriced) for state in ledger.states()}
    assert states == {"tree:run": (CENT // 2, 10, 1, 0), "b": (CENT, 10, 1, 1)}


def test_a_revision_that_knows_the_user_moves_the_call_to_them(ledger: Ledger) -> None:
    """The bucket that had it gives it back."""
    nobody, somebody = claim("b"), claim("b")._replace(bucket="u1")
    ledger.count("r", [nobody], Amount(CENT, 10, 1), unpriced=1)
    ledger.count("r", [somebody], Amount(3 * CENT, 10, 1), rev=1)
    assert (settled(ledger), settled(ledger, "u1")) == ((0, 0, 0, 0), (3 * CENT, 10, 1, 0))


def test_a_budget_that_is_set_anew_has_nothing_of_calls_that_the_one_before_let_through(ledger: Ledger) -> None:
    """Their room was that one's: to give it back here would let more through than fits."""
    ledger.define(Stored("b", "{}", "cli", True))
    b = [claim("b", 10 * CENT), claim("other")]
    under_way = leased(ledger.reserve(b, Amount(10 * CENT, 1, 1), Amount(CENT, 1, 1)))
    dying = leased(ledger.reserve([claim("b", 20 * CENT)], Amount(5 * CENT, 1, 1), Amount(CENT, 1, 1)))
    assert ledger.remove("b")
    assert not ledger.remove("b")
    ledger.define(Stored("b", "{}", "cli", True))
    leased(ledger.reserve([b[0]], Amount(10 * CENT, 1, 1), Amount()))
    ledger.extend(dying, Amount(CENT, 1, 0))
    ledger.settle(dying, Amount(2 * CENT, 1, 1))
    ledger.settle(under_way, Amount(7 * CENT, 1, 1))
    assert isinstance(ledger.reserve([b[0]], Amount(1, 1, 1), Amount()), list)
    states = {state.budget: (state.settled.cost, state.reserved.cost) for state in ledger.states()}
    assert states == {"b": (0, 10 * CENT), "other": (7 * CENT, 0)}


def test_a_correction_takes_no_more_than_there_is(ledger: Ledger) -> None:
    """A job that was charged in a budget removed since gives nothing to the one that took its name."""
    leased(ledger.reserve([claim("b")], Amount(5, 5, 1), Amount()))
    ledger.correct([claim("b")], Amount(-CENT, -5, -1))
    assert settled(ledger) == (0, 0, 0, 0)


def test_windows_that_are_long_past_are_forgotten(ledger: Ledger) -> None:
    """Ten thousand users of an hourly budget do not fill a disk; what still counts stays."""
    now = int(time.time())
    windows = {
        "hourly": (now - 41 * 86400, now - 39 * 86400),
        "daily": (now - 42 * 86400, now - 40 * 86400),
        "monthly": (now - 72 * 86400, now - 70 * 86400),
        f"{90 * 86400}s": (now - 131 * 86400, now - 129 * 86400),
        "run": (now - 81 * 86400, now - 79 * 86400),
        "total": (0,),
    }
    for period, starts in windows.items():
        ledger.replace([BucketState("b", f"u{n}", period, start) for start in starts for n in range(600)])
    ledger.checkpoint()
    assert {(state.period, state.start) for state in ledger.states()} == {(p, s[-1]) for p, s in windows.items()}


def test_the_log_of_a_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where its writers never pause, so that it would begin anew."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for n in range(200):
        ledger.count(f"r{n}", [claim("b")._replace(bucket=f"u{n}")], Amount(1, 1, 1))
    log = tmp_path / "ledger.db-wal"
    before = log.stat().st_size
    ledger.checkpoint()
    assert log.stat().st_size == before > 0
    monkeypatch.setattr(sqlite_ledger, "_MOST_WAL_BYTES", before)
    ledger.checkpoint()
    assert log.stat().st_size == 0
    assert len(ledger.states()) == 200


def test_what_one_bucket_has_is_asked_for_alone(ledger: Ledger) -> None:
    """And is nothing where it has counted nothing."""
    ledger.count("r", [claim("b")], Amount(CENT, 5, 1))
    assert ledger.state(("b", "", "total", 0)) == ledger.states()[0]
    assert ledger.state(("b", "other", "total", 0)) == BucketState("b", "other", "total", 0)


def test_only_leases_of_the_dead_are_swept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one process all, of one that lives elsewhere those that expired and were not renewed since."""
    mine = leased(ledger.reserve([claim("b")], Amount(CENT, 1, 1), Amount()))
    for owner in (("elsewhere", 1, "1"), (owners.place(), 1, "no such time"), (owners.place(), 1, "no such time")):
        monkeypatch.setattr(owners, "me", lambda owner=owner: owner)
        leased(ledger.reserve([claim("b")], Amount(CENT, 1, 1), Amount()))
    monkeypatch.setattr(redis_ledger, "LEASE_SECONDS", -1)
    monkeypatch.setattr(sqlite_tables, "LEASE_SECONDS", -1)
    leased(ledger.reserve([claim("b")], Amount(CENT, 1, 1), Amount()))
    monkeypatch.setattr(owners, "me", lambda: ("elsewhere", 1, "1"))
    leased(ledger.reserve([claim("b")], Amount(CENT, 1, 1), Amount()))
    assert ledger.health().dead == 4
    monkeypatch.setattr("spectra_otel.budgets.ledger.DOUBT_SECONDS", -0.5)
    assert [ledger.sweep() for _ in range(3)] == [3, 1, 0]
    assert ledger.states()[0].reserved.requests == 2
    ledger.settle(mine, Amount(CENT, 1, 1))
    assert ledger.states()[0].reserved.requests == 1


def test_a_clock_that_jumps_ends_no_lease(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of this process nor of others: they are waited for, until they would have been renewed, and were not."""
    now, b = time.time(), [claim("b", 3 * CENT)]
    mine = leased(ledger.reserve(b, Amount(CENT, 1, 1), Amount()))
    monkeypatch.setattr(owners, "me", lambda: ("elsewhere", 1, "1"))
    theirs = leased(ledger.reserve(b, Amount(CENT, 1, 1), Amount()))
    gone = leased(ledger.reserve(b, Amount(CENT, 1, 1), Amount()))
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert isinstance(ledger.reserve(b, Amount(CENT, 1, 1), Amount()), list)
    assert ledger.sweep() == 0
    monkeypatch.setattr(time, "time", lambda: now + 3600 + RENEW_SECONDS)
    ledger.renew([mine.id, theirs.id])
    assert ledger.sweep() == 0
    monkeypatch.setattr(time, "time", lambda: now + 3600 + LEASE_SECONDS)
    assert ledger.health().dead == 1
    assert ledger.sweep() == 1
    assert ledger.states()[0].reserved.requests == 2
    assert len(ledger.settle(gone, Amount(CENT, 1, 1))) == 1  # a late word, a day at most
    ledger.extend(theirs, Amount(0, 1, 0))
    ledger.settle(theirs, Amount(CENT, 2, 1))
    ledger.settle(mine, Amount(CENT, 1, 1))
    assert settled(ledger) == (3 * CENT, 4, 3, 0)
    assert ledger.states()[0].reserved == (0, 0, 0)


def test_a_ledger_has_an_identity_that_it_keeps(ledger: Ledger) -> None:
    """By which a span says where it was counted."""
    ledger.revision()
    again = type(ledger)(getattr(ledger, "path", None) or ledger.url)  # type: ignore[call-arg]
    again.revision()
    assert again.identity == ledger.identity != ""


# -- ledgers that are lost -------------------------------------------------------------------------------------------------


def test_a_file_that_is_deleted_is_not_counted_in_any_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who had it open counts in the new one, as everybody does, and the budgets of its configuration still hold."""
    book.configure([Budget("b", LimitConfig(requests=2))])
    guard.admit(CALL, BODY)
    for file in tmp_path.glob("budgets.db*"):
        file.unlink()
    book.ledger()._look_at = 0.0  # type: ignore[attr-defined]
    book.refresh()
    assert [one.name for one in book.budgets()] == ["b"]
    for _ in range(2):
        guard.admit(CALL, BODY)
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(CALL, BODY)
    assert os.path.exists(tmp_path / "budgets.db")
    assert any("begins anew" in record.getMessage() for record in caplog.records)


@pytest.mark.backend
def test_a_server_that_lost_its_data_gets_the_configured_budgets_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart without a file to restart from: the budgets hold from then on."""
    import redis

    monkeypatch.setenv("SPECTRA_BUDGETS_URL", redis_url)
    book.configure([Budget("b", LimitConfig(requests=1))])
    guard.admit(CALL, BODY)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.script_flush()
    book.refresh()
    guard.admit(CALL, BODY)
    with pytest.raises(spectra.BudgetExceededError):
        guard.admit(CALL, BODY)


def test_leases_of_calls_that_take_long_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their process, though it makes no other call meanwhile."""
    monkeypatch.setattr(ticket, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(ticket, "_tender", None)
    spectra.budgets.set("b", requests=2)
    held = guard.admit(CALL, BODY)
    ledger: Any = book.ledger()
    ledger._run(lambda db: db.execute("UPDATE leases SET expires = 1"))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and ledger._read("SELECT expires FROM leases")[0][0] == 1:
        time.sleep(0.02)
    assert ledger.sweep() == 0
    held.release()


def test_a_file_of_an_earlier_version_goes_on_with_what_it_counted(tmp_path: Path) -> None:
    """A record that was counted by an earlier program is not counted again."""
    import sqlite3

    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.count("r", [claim("b")], Amount(CENT, 1, 1))
    ledger.close()
    database = sqlite3.connect(path)
    database.executescript(
        "CREATE TABLE old (record TEXT PRIMARY KEY, at REAL NOT NULL, over TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID;"
        "INSERT INTO old SELECT record, at, over FROM counted; DROP TABLE counted; ALTER TABLE old RENAME TO counted;"
        "DELETE FROM meta; PRAGMA user_version = 2;"
    )
    database.close()
    for rev in (0, 1):
        assert ledger.count("r", [claim("b")], Amount(2 * CENT, 1, 1), rev=rev).counted in ((), [])
    assert settled(ledger) == (CENT, 1, 1, 0)
    assert ledger.identity


def test_a_user_is_any_text_there_is(ledger: Ledger) -> None:
    """Half a surrogate, a separator, a line's end: each is a bucket of its own, and stands in nobody's way."""
    names = ["u\ud800", "a\x1fb", "a\nb", "a b", "😀" * 3000, "\x00", "a,b=c", ""]
    budget = Budget("b", LimitConfig(requests=1), "total", by=["user.id"])
    for name in names:
        found = _claim(budget, {"user_id": name}, 0.0)
        leased(ledger.reserve([found], Amount(0, 0, 1), Amount()))
        assert isinstance(ledger.reserve([found], Amount(0, 0, 1), Amount()), list)
    assert len(ledger.states("b")) == len(names)


def test_two_attributes_are_never_mistaken_for_two_others() -> None:
    """A tenant cannot take another's bucket by a value that looks like two."""
    one = bucket_of({"a": "x,b=y", "b": ""})
    other = bucket_of({"a": "x", "b": "y,b="})
    assert one != other
    assert bucket_of({"a": "x", "b": "y"}) == "a=x,b=y"
