-- How each newcomer was let in, as a file that others can check (docs/protocol.md, Evidence files).
CREATE TABLE receipt (
    attempt BLOB PRIMARY KEY,
    -- The device that was let in.
    device BLOB NOT NULL,
    time INTEGER NOT NULL,
    -- Whether its certificates have been seen in the log. Without that it is of something that may never have come about.
    registered INTEGER NOT NULL DEFAULT 0,
    file BLOB NOT NULL
) STRICT;

-- Proofs of a fork, as such files.
CREATE TABLE fork (
    -- The alarm's number. The proof outlives it.
    alarm INTEGER PRIMARY KEY,
    file BLOB NOT NULL
) STRICT;

-- Up to where the log has been looked through for what concerns this device's own user.
CREATE TABLE noticed (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    count INTEGER NOT NULL
) STRICT;

-- This device's note that it has verified its log up to a head (docs/protocol.md has no part in it: nobody else reads it).
CREATE TABLE checkpoint (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    note BLOB NOT NULL
) STRICT;
