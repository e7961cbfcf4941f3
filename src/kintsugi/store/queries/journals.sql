-- How far the journals were told. Whoever changes one holds the lock of ingest.

-- name: series
SELECT series, last_seq, last_chain FROM kintsugi.journal_series WHERE series = ANY(%s)

-- name: gaps
SELECT series, first_seq, last_seq, chain_before, chain_after, key
FROM kintsugi.journal_gaps
WHERE series = ANY(%s)
ORDER BY series, first_seq

-- name: save_series
INSERT INTO kintsugi.journal_series (series, last_seq, last_chain, told_at)
VALUES (%s, %s, %s, %s)
ON CONFLICT (series) DO UPDATE
SET
    last_seq = excluded.last_seq, last_chain = excluded.last_chain, told_at = excluded.told_at

-- name: drop_gaps
DELETE FROM kintsugi.journal_gaps WHERE series = %s

-- name: add_gap
INSERT INTO kintsugi.journal_gaps (series, first_seq, last_seq, chain_before, chain_after, key)
VALUES (%s, %s, %s, %s, %s, %s)
