-- Seeds of the user's keys beside the one in the key file: later ones, and those of changes that were signed here.
CREATE TABLE user_seed (
    -- Hash of the key.
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    seed BLOB NOT NULL CHECK (length(seed) = 32)
) STRICT, WITHOUT ROWID;

-- A change of the user's key that was signed here and is not decided yet, as it goes to the server. change: canonical CBOR.
CREATE TABLE key_change (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    key BLOB NOT NULL CHECK (length(key) = 32),
    change BLOB NOT NULL
) STRICT;

-- Public keys that certificates name: what is sealed to, and what a server gets back that has lost them.
CREATE TABLE encryption_key (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    key BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The version of the user's manifest that this device was told of when it was enrolled.
CREATE TABLE manifest_mark (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL CHECK (version > 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
