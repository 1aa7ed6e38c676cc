-- What a server knows of having been put back from a backup.

-- Up to where an organisation's log was here without a gap when that was noticed last.
CREATE TABLE restored (
    organisation TEXT PRIMARY KEY REFERENCES organisation (id),
    certificates INTEGER NOT NULL,
    since        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Objects of records that were put back, as far as their bytes are not here or came from somebody
-- who gives way: to whoever added them, and to those who manage the safe.
CREATE TABLE safe_awaited (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    object       BLOB NOT NULL,
    adder        BLOB NOT NULL,              -- user of the record that adds it
    PRIMARY KEY (organisation, safe, object),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT, WITHOUT ROWID;
