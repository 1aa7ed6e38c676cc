-- The log's envelopes as they were signed; position 0 is the founder's.
CREATE TABLE log (
    position INTEGER PRIMARY KEY CHECK (position >= 0),
    envelope BLOB NOT NULL
) STRICT;

-- Invitations made on this device. invited: canonical CBOR; expires: microseconds since 1970.
CREATE TABLE invitation (
    token BLOB PRIMARY KEY CHECK (length(token) = 16),
    link_secret BLOB NOT NULL CHECK (length(link_secret) = 32),
    invited BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Enrolments signed here and not yet seen in the log. sealed: canonical CBOR.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    attempt BLOB NOT NULL UNIQUE CHECK (length(attempt) = 16),
    token BLOB NOT NULL CHECK (length(token) = 16),
    sealed BLOB NOT NULL
) STRICT;

-- The newest envelope of the user's manifest.
CREATE TABLE manifest (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL CHECK (version > 0),
    envelope BLOB NOT NULL
) STRICT;
