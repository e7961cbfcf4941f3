-- How far each journal of a gateway was told (ledger/journal_continuity.py), written in the
-- transaction that stores the records.
CREATE TABLE kintsugi.journal_series (
    series text COLLATE "C" NOT NULL,
    last_seq bigint NOT NULL,
    last_chain text COLLATE "C" NOT NULL,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (series)
);

-- Lines that have not come, though later ones have. "key" is that of the signal.
CREATE TABLE kintsugi.journal_gaps (
    series text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    chain_before text COLLATE "C" NOT NULL,
    chain_after text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (series, first_seq)
);
