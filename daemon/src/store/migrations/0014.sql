-- Heads of rings and their parts, each by its SHA-256: what a server that was restored has lost of
-- them, nobody else can make again byte for byte.
CREATE TABLE safe_ring (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    bytes BLOB NOT NULL,
    PRIMARY KEY (safe, hash)
) STRICT;
