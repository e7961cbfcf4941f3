-- Which counters of a gateway do not agree, and since when: {"NAME": TIME}, JSON.
ALTER TABLE kintsugi.gateways ADD COLUMN differs text NOT NULL DEFAULT '{}';

-- The hash of every record of a batch, in order, 32 bytes each: tells which one was changed. Their
-- Merkle root is in the leaf. Null for batches from before there was this column.
ALTER TABLE kintsugi.log_batches ADD COLUMN hashes bytea;
