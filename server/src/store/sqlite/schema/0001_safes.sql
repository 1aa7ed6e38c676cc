-- The second half of the first schema: safes, their logs, journals, rings, boxes and objects. As
-- everything here, keyed by their organisation first. What a certificate or record changes (roles, holders, the present key), the
-- protocol's rules say; these rows hold it. Tables with large values have a rowid: without one a
-- value stands beside its key, and every comparison on the way to a row reads values of others.

CREATE TABLE safe (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    safe         BLOB NOT NULL,
    founder      BLOB NOT NULL,              -- device of the first certificate
    founded_by   BLOB NOT NULL,              -- its user
    present      BLOB NOT NULL,              -- what the rules go on from: ends of both chains, key, state
    bytes        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation, safe)
) STRICT, WITHOUT ROWID;
CREATE INDEX safe_founder ON safe (organisation, founded_by);
CREATE TRIGGER count_safe AFTER INSERT ON safe BEGIN
    UPDATE organisation SET safes = safes + 1 WHERE id = new.organisation;
END;

CREATE TABLE safe_certificate (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    position     INTEGER NOT NULL,
    author       BLOB NOT NULL,              -- user
    head         BLOB NOT NULL,              -- after it
    envelope     BLOB NOT NULL,
    PRIMARY KEY (organisation, safe, position),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT;

-- Whom the log gives a role, and whom it gave one.
CREATE TABLE safe_member (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    user         BLOB NOT NULL,
    role         INTEGER,                    -- NULL: taken away, or left
    PRIMARY KEY (organisation, safe, user),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT, WITHOUT ROWID;
CREATE INDEX safe_member_user ON safe_member (organisation, user, safe);

-- Who has the present key or may have it, and under which encryption key.
CREATE TABLE safe_holder (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    user         BLOB NOT NULL,
    key          BLOB NOT NULL,              -- hash of the encryption key that counts
    PRIMARY KEY (organisation, safe, user),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT, WITHOUT ROWID;

CREATE TABLE safe_ring (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    hash         BLOB NOT NULL,
    author       BLOB NOT NULL,              -- user
    head         BLOB NOT NULL,              -- the ring's head, as it came
    PRIMARY KEY (organisation, safe, hash),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT;

-- Parts of rings, and blocks of past keys: put before the certificate that needs them.
CREATE TABLE safe_part (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    hash         BLOB NOT NULL,
    author       BLOB NOT NULL,              -- user
    due          INTEGER,                    -- when it goes; NULL: a ring has named it
    bytes        BLOB NOT NULL,
    PRIMARY KEY (organisation, safe, hash),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT;
CREATE INDEX safe_part_due ON safe_part (due) WHERE due IS NOT NULL;

CREATE TABLE safe_box (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    user         BLOB NOT NULL,              -- for whom
    author       BLOB NOT NULL,              -- user
    posted       INTEGER NOT NULL,
    sealed       BLOB NOT NULL,
    PRIMARY KEY (organisation, safe, epoch, user, author),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT;

CREATE TABLE safe_record (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    author       BLOB NOT NULL,              -- user
    head         BLOB NOT NULL,              -- of the journal after it
    envelope     BLOB NOT NULL,
    PRIMARY KEY (organisation, safe, seq),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT;

-- Whose items alone are put into a safe at the moment.
CREATE TABLE safe_turn (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    user         BLOB NOT NULL,
    began        INTEGER NOT NULL,
    ends         INTEGER NOT NULL,
    PRIMARY KEY (organisation, safe),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT, WITHOUT ROWID;

-- Who has lost races for a safe's end, and who has to wait for the next turn.
CREATE TABLE safe_race (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    user         BLOB NOT NULL,
    lost         INTEGER NOT NULL,           -- in a row
    lost_last    INTEGER NOT NULL,
    urgency      INTEGER NOT NULL,           -- of what lost the last one, the most urgent first
    due          INTEGER,                    -- since when a turn is due; NULL: none is
    lapsed       INTEGER NOT NULL,           -- turns in a row that were not used
    not_before   INTEGER NOT NULL,           -- no turn begins sooner
    PRIMARY KEY (organisation, safe, user),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT, WITHOUT ROWID;

-- Objects by id. Those up to 32 KiB have their bytes in the table below, larger ones in a file.
CREATE TABLE safe_object (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    object       BLOB NOT NULL,
    hash         BLOB NOT NULL,              -- BLAKE3-256 of its bytes
    length       INTEGER NOT NULL,
    author       BLOB NOT NULL,              -- user who put it
    state        INTEGER NOT NULL,           -- 0 uploaded, 1 added by a record, 2 dropped
    due          INTEGER,                    -- when it goes, if no record adds it before
    PRIMARY KEY (organisation, safe, object),
    FOREIGN KEY (organisation, safe) REFERENCES safe (organisation, safe)
) STRICT, WITHOUT ROWID;
CREATE INDEX safe_object_due ON safe_object (due) WHERE due IS NOT NULL;
CREATE TABLE safe_object_bytes (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    object       BLOB NOT NULL,
    bytes        BLOB NOT NULL,
    PRIMARY KEY (organisation, safe, object),
    FOREIGN KEY (organisation, safe, object) REFERENCES safe_object (organisation, safe, object) ON DELETE CASCADE
) STRICT;

-- Bytes of each safe by who brought them, kept in the statement of each change; safe and
-- organisation follow.
CREATE TABLE safe_usage (
    organisation TEXT NOT NULL,
    safe         BLOB NOT NULL,
    user         BLOB NOT NULL,
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (organisation, safe, user)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER sum_usage_new AFTER INSERT ON safe_usage BEGIN
    UPDATE safe SET bytes = bytes + new.bytes WHERE organisation = new.organisation AND safe = new.safe;
    UPDATE organisation SET safe_bytes = safe_bytes + new.bytes WHERE id = new.organisation;
END;
CREATE TRIGGER sum_usage AFTER UPDATE OF bytes ON safe_usage BEGIN
    UPDATE safe SET bytes = bytes + new.bytes - old.bytes
    WHERE organisation = new.organisation AND safe = new.safe;
    UPDATE organisation SET safe_bytes = safe_bytes + new.bytes - old.bytes WHERE id = new.organisation;
END;
CREATE TRIGGER safe_bytes_certificate AFTER INSERT ON safe_certificate BEGIN
    INSERT INTO safe_usage VALUES (new.organisation, new.safe, new.author, length(new.envelope))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER safe_bytes_ring AFTER INSERT ON safe_ring BEGIN
    INSERT INTO safe_usage VALUES (new.organisation, new.safe, new.author, length(new.head))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER safe_bytes_part AFTER INSERT ON safe_part BEGIN
    INSERT INTO safe_usage VALUES (new.organisation, new.safe, new.author, length(new.bytes))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER safe_bytes_part_gone AFTER DELETE ON safe_part BEGIN
    UPDATE safe_usage SET bytes = bytes - length(old.bytes)
    WHERE organisation = old.organisation AND safe = old.safe AND user = old.author;
END;
CREATE TRIGGER safe_bytes_box AFTER INSERT ON safe_box BEGIN
    INSERT INTO safe_usage VALUES (new.organisation, new.safe, new.author, length(new.sealed))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER safe_bytes_record AFTER INSERT ON safe_record BEGIN
    INSERT INTO safe_usage VALUES (new.organisation, new.safe, new.author, length(new.envelope))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER safe_bytes_object AFTER INSERT ON safe_object BEGIN
    INSERT INTO safe_usage VALUES (new.organisation, new.safe, new.author, new.length)
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER safe_bytes_object_gone AFTER DELETE ON safe_object BEGIN
    UPDATE safe_usage SET bytes = bytes - old.length
    WHERE organisation = old.organisation AND safe = old.safe AND user = old.author;
END;
