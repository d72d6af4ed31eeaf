"""The tables of the cache `postgresql`, and the statements on them. Knows no connection and no response.

A request is kept once, each of its samples in a row of its own. Documents are JSON as text, not `jsonb`, which can hold
neither NUL nor lone surrogates; ask for a field with `record::json ->> 'content'`.
"""

from __future__ import annotations

FORMAT = 1
"""Number of this layout. A database with a later one is left alone."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS rollouts_format (format integer PRIMARY KEY)",
    """
    CREATE TABLE IF NOT EXISTS rollouts_requests (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        fingerprint text NOT NULL,
        adapter text NOT NULL,
        service text NOT NULL,
        model text NOT NULL,
        document text NOT NULL,
        context text NOT NULL
    )
    """,
    # Not the fingerprint alone: a row whose document is another's must not stand in the way.
    """
    CREATE UNIQUE INDEX IF NOT EXISTS rollouts_requests_by_fingerprint
    ON rollouts_requests (fingerprint, md5(document))
    """,
    """
    CREATE TABLE IF NOT EXISTS rollouts_samples (
        request bigint NOT NULL REFERENCES rollouts_requests (id),
        number bigint NOT NULL,
        record text NOT NULL,
        raw bytea,
        stored timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (request, number)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS rollouts_damaged (
        request bigint NOT NULL,
        number bigint NOT NULL,
        record text NOT NULL,
        raw bytea,
        stored timestamptz NOT NULL,
        moved timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    f"INSERT INTO rollouts_format VALUES ({FORMAT}) ON CONFLICT DO NOTHING",
)

LOCK = "SELECT pg_advisory_xact_lock(7814112031)"
"""Two processes that make the same table at once would fail."""

READ_FORMAT = "SELECT max(format) FROM rollouts_format"

LOAD = """
WITH keys AS (
    SELECT * FROM unnest(CAST(:fingerprints AS text[]), CAST(:numbers AS bigint[])) WITH ORDINALITY
    AS asked (fingerprint, number, at)
), found AS MATERIALIZED (
    SELECT id, fingerprint FROM rollouts_requests
    WHERE fingerprint = ANY (CAST(:distinct AS text[]))
    AND encode(sha256(convert_to(document, 'UTF8')), 'hex') = fingerprint
)
SELECT keys.at, s.request, s.record, s.raw IS NOT NULL
FROM keys JOIN found ON found.fingerprint = keys.fingerprint
JOIN rollouts_samples AS s ON s.request = found.id AND s.number = keys.number
"""
"""One round trip for a chunk of keys. A document that does not give its fingerprint was tampered with: no answer."""

ADD_REQUESTS = """
INSERT INTO rollouts_requests (fingerprint, adapter, service, model, document, context)
SELECT * FROM unnest(
    CAST(:fingerprints AS text[]), CAST(:adapters AS text[]), CAST(:services AS text[]), CAST(:models AS text[]),
    CAST(:documents AS text[]), CAST(:contexts AS text[])
)
ON CONFLICT DO NOTHING
"""

FIND_REQUESTS = """
SELECT fingerprint, id FROM rollouts_requests
WHERE fingerprint = ANY (CAST(:fingerprints AS text[]))
AND encode(sha256(convert_to(document, 'UTF8')), 'hex') = fingerprint
"""

ADD_SAMPLES = """
INSERT INTO rollouts_samples (request, number, record, raw)
SELECT * FROM unnest(
    CAST(:requests AS bigint[]), CAST(:numbers AS bigint[]), CAST(:records AS text[]), CAST(:raws AS bytea[])
)
ON CONFLICT DO NOTHING RETURNING request, number
"""

READ_THESE = """
SELECT s.request, s.number, s.record FROM rollouts_samples AS s
JOIN unnest(CAST(:requests AS bigint[]), CAST(:numbers AS bigint[])) AS asked (request, number) USING (request, number)
"""

SET_ASIDE = """
WITH gone AS (
    DELETE FROM rollouts_samples AS s USING
    unnest(CAST(:requests AS bigint[]), CAST(:numbers AS bigint[])) AS bad (request, number)
    WHERE s.request = bad.request AND s.number = bad.number
    RETURNING s.request, s.number, s.record, s.raw, s.stored
)
INSERT INTO rollouts_damaged (request, number, record, raw, stored) SELECT * FROM gone
"""

READ_RAW = "SELECT raw FROM rollouts_samples WHERE request = :request AND number = :number"

LIST_REQUESTS = "SELECT id, fingerprint, document, context FROM rollouts_requests ORDER BY fingerprint, id"

LIST_SAMPLES = """
SELECT number, record, raw IS NOT NULL, octet_length(record) + coalesce(octet_length(raw), 0)
FROM rollouts_samples WHERE request = :request AND number > :after ORDER BY number LIMIT :most
"""

READ_WHOLE = """
SELECT s.request, s.number, s.record, q.fingerprint, q.document, q.context
FROM rollouts_samples AS s JOIN rollouts_requests AS q ON q.id = s.request
JOIN unnest(CAST(:requests AS bigint[]), CAST(:numbers AS bigint[])) AS asked (request, number)
ON s.request = asked.request AND s.number = asked.number
"""

SET_THESE_ASIDE = """
WITH gone AS (
    DELETE FROM rollouts_samples AS s USING
    unnest(CAST(:requests AS bigint[]), CAST(:numbers AS bigint[]), CAST(:records AS text[]))
    AS bad (request, number, record)
    WHERE s.request = bad.request AND s.number = bad.number AND s.record = bad.record
    RETURNING s.request, s.number, s.record, s.raw, s.stored
), kept AS (
    INSERT INTO rollouts_damaged (request, number, record, raw, stored) SELECT * FROM gone
)
SELECT request, number FROM gone
"""
"""The record that was seen, no other: a sound one may have taken its place. A lock would need the right to UPDATE."""

DELETE_SAMPLES = """
DELETE FROM rollouts_samples AS s USING
unnest(CAST(:requests AS bigint[]), CAST(:numbers AS bigint[])) AS asked (request, number)
WHERE s.request = asked.request AND s.number = asked.number
"""

DELETE_UNUSED = """
DELETE FROM rollouts_requests AS q WHERE q.id = ANY (CAST(:requests AS bigint[]))
AND NOT EXISTS (SELECT 1 FROM rollouts_samples WHERE request = q.id)
AND NOT EXISTS (SELECT 1 FROM rollouts_damaged WHERE request = q.id)
"""
