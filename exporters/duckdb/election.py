"""One response, one record, across processes: the election that the usage processor cannot hold because it sees one process.

An app calls a gateway, the gateway calls the provider, and both are instrumented: two records of one trace with the
provider's one response id. The record that ended first, the innermost, is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spectra_otel.exporters.duckdb.sql import one_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MARGIN_SECONDS = 600
_LARGEST_GROUP = 1_000
"""More records of one trace with one response id come from a server that answers with a constant: nothing to elect."""

_SEEN = (
    "id, trace_id, response_id, instrumentation, started_at, completed_at, "
    "concat_ws('|', coalesce(host_id, ''), coalesce(process_id, ''), coalesce(service_name, '')) AS process"
)


def hold(connection: DuckDBPyConnection) -> int:
    """Fill the temporary table ``lost`` (row, id; row is NULL for a record of ``incoming``) and return how many it has.

    Two records are of one response when trace id and response id are the same, scope and process differ, and the intervals
    overlap. Expects the temporary tables ``incoming`` and ``known`` of the intake.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE lost (row BIGINT, id VARCHAR)")
    low, high = one_row(
        connection,
        "SELECT epoch_us(min(started_at)), epoch_us(max(started_at)) FROM incoming WHERE response_id IS NOT NULL",
    )
    if low is None:
        return 0
    margin = _MARGIN_SECONDS * 1_000_000
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE rivals AS SELECT NULL::BIGINT AS row, {_SEEN} FROM incoming "
        f"WHERE response_id IS NOT NULL UNION ALL SELECT rowid, {_SEEN} FROM spectra_requests "
        f"WHERE started_at BETWEEN make_timestamptz({low - margin}) AND make_timestamptz({high + margin}) "
        "AND trace_key IN (SELECT trace_key FROM incoming) AND response_id IS NOT NULL "
        "AND id NOT IN (SELECT id FROM incoming)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE rivals AS FROM rivals SEMI JOIN (SELECT trace_id, response_id FROM rivals "
        f"GROUP BY ALL HAVING count(DISTINCT process) > 1 AND count(*) <= {_LARGEST_GROUP}) AS g "
        "USING (trace_id, response_id)"
    )
    connection.execute(
        "INSERT INTO lost SELECT later.row, later.id FROM rivals AS later SEMI JOIN rivals AS earlier ON "
        "later.trace_id = earlier.trace_id AND later.response_id = earlier.response_id "
        "AND later.process <> earlier.process AND later.instrumentation IS DISTINCT FROM earlier.instrumentation "
        "AND later.started_at <= earlier.completed_at AND earlier.started_at <= later.completed_at "
        "AND (earlier.completed_at < later.completed_at "
        "OR (earlier.completed_at = later.completed_at AND earlier.id < later.id))"
    )
    (lost,) = one_row(connection, "SELECT count(*) FROM lost")
    return int(lost)
