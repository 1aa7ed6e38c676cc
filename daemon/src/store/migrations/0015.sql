-- Files and folders that a person wants on this device in any case, by the id of their entry.
CREATE TABLE safe_pin (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    entry BLOB NOT NULL CHECK (length(entry) = 16),
    -- Since when, in microseconds since 1970.
    since INTEGER NOT NULL,
    PRIMARY KEY (safe, entry)
) STRICT, WITHOUT ROWID;
-- Whether a pin covers a piece that is kept: it makes no room for others.
ALTER TABLE safe_kept ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- Bytes that may be kept without being pinned, by a person's word. One row at most.
CREATE TABLE kept_limit (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;
