-- Sealed pieces of contents: the larger ones are files in a folder of their safe, beside this
-- database.

-- Name of the folder of a safe's files; none before the first.
ALTER TABLE safe ADD COLUMN folder BLOB CHECK (length(folder) = 16);

-- What waits to be shared. A small piece is here, a large one in a file.
CREATE TABLE safe_waiting (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    object BLOB NOT NULL CHECK (length(object) = 16),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- Whether the server has it, as far as it is known here.
    uploaded INTEGER NOT NULL DEFAULT 0,
    length INTEGER NOT NULL,
    sealed BLOB,
    file BLOB CHECK (length(file) = 16),
    CHECK ((sealed IS NULL) <> (file IS NULL)),
    PRIMARY KEY (safe, object)
) STRICT;
INSERT INTO safe_waiting (safe, object, hash, uploaded, length, sealed)
    SELECT safe, object, hash, uploaded, length(sealed), sealed FROM safe_object;
DROP TABLE safe_object;

-- What the server has, kept to save the way: always in a file. May say less than there is, and
-- more: the files are looked through at each opening.
CREATE TABLE safe_kept (
    safe BLOB NOT NULL REFERENCES safe (id) ON DELETE CASCADE,
    object BLOB NOT NULL CHECK (length(object) = 16),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    length INTEGER NOT NULL,
    file BLOB NOT NULL CHECK (length(file) = 16),
    -- Grows with each use.
    used INTEGER NOT NULL,
    PRIMARY KEY (safe, object)
) STRICT;
