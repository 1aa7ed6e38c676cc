-- Safes that this device knows. Removing a row removes all that is kept of its safe, and secure_delete overwrites it.
CREATE TABLE safe (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- The device that founded it.
    founder BLOB NOT NULL CHECK (length(founder) = 16),
    -- 0 offered, 1 accepted, 2 left.
    standing INTEGER NOT NULL,
    -- What founds it, as it goes to the server; absent once the server has it. founding: canonical CBOR.
    founding BLOB,
    -- What was verified of its two logs, and how much of the organisation's log was when they were last asked for. verified: canonical CBOR.
    verified BLOB,
    floor INTEGER NOT NULL DEFAULT 0,
    -- Where both end, and the user's role by them, by its number. heads: canonical CBOR.
    heads BLOB,
    role INTEGER,
    -- Records on top of which the queue stands.
    folded INTEGER NOT NULL DEFAULT 0,
    -- The heads that another device of this user has seen, out of the manifest. canonical CBOR.
    marked BLOB,
    -- The record that is being posted.
    posting BLOB,
    -- Why nothing of it is taken any more, until a person has looked.
    halted TEXT
) STRICT;

-- The folded tree after so many records: those behind are folded anew. In a table of its own, since it is large. state: canonical CBOR.
CREATE TABLE safe_state (
    safe BLOB PRIMARY KEY REFERENCES safe (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL CHECK (seq >= 0),
    state BLOB NOT NULL
) STRICT;

-- Certificates of a safe as they were signed; position 0 is the founding one.
CREATE TABLE safe_certificate (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position >= 0),
    envelope BLOB NOT NULL,
    PRIMARY KEY (safe, position)
) STRICT;

-- Records of a safe's journal as they were signed, from 1 on; and who wrote each, in which role.
CREATE TABLE safe_record (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL CHECK (seq > 0),
    author BLOB NOT NULL CHECK (length(author) = 16),
    role INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (safe, seq)
) STRICT;

CREATE TABLE safe_key (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    key BLOB NOT NULL CHECK (length(key) = 32),
    PRIMARY KEY (safe, epoch)
) STRICT, WITHOUT ROWID;

-- What was saved here and is not shared yet, in order. change: canonical CBOR.
CREATE TABLE safe_change (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    place INTEGER NOT NULL CHECK (place >= 0),
    change BLOB NOT NULL,
    PRIMARY KEY (safe, place)
) STRICT;

-- Sealed objects of changes that wait, as they go to the server: none is sealed a second time under its id.
CREATE TABLE safe_object (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    object BLOB NOT NULL CHECK (length(object) = 16),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- Whether the server has it, as far as it is known here.
    uploaded INTEGER NOT NULL DEFAULT 0,
    sealed BLOB NOT NULL,
    PRIMARY KEY (safe, object)
) STRICT;
