-- The organisation's present directory key: its number, its certificate, the head of its ring. No
-- row before somebody is revoked: number 1, without a ring.
CREATE TABLE directory (
    organisation TEXT PRIMARY KEY REFERENCES organisation (id),
    number       INTEGER NOT NULL,
    somebody_left INTEGER NOT NULL,          -- whether a user or device was revoked since
    author       BLOB,                       -- device that signed; NULL for the first
    ring         BLOB,                       -- hash of the head; NULL for the first
    head         BLOB                        -- NULL: lost, until its author puts it back
) STRICT, WITHOUT ROWID;
INSERT INTO directory (organisation, number, somebody_left)
    SELECT id, 1, EXISTS (SELECT 1 FROM device d WHERE d.organisation = id AND d.revoked <> 0)
        OR EXISTS (SELECT 1 FROM user u WHERE u.organisation = id AND u.revoked <> 0)
    FROM organisation WHERE root IS NOT NULL;
CREATE TRIGGER count_directory_head AFTER UPDATE OF head ON directory BEGIN
    UPDATE organisation SET key_bytes = key_bytes + ifnull(length(new.head), 0) - ifnull(length(old.head), 0)
    WHERE id = new.organisation;
END;

-- Parts of the present ring, and for a day those that no ring has named.
CREATE TABLE directory_part (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    hash         BLOB NOT NULL,
    put          INTEGER,                    -- when; NULL: the present ring names it
    bytes        BLOB NOT NULL,
    PRIMARY KEY (organisation, hash)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_directory_part AFTER INSERT ON directory_part BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.bytes) WHERE id = new.organisation;
END;
CREATE TRIGGER count_directory_part_gone AFTER DELETE ON directory_part BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.bytes) WHERE id = old.organisation;
END;

-- Boxes with the present key for members whom its ring has none for.
CREATE TABLE directory_box (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    user         BLOB NOT NULL,
    author       BLOB NOT NULL,
    posted       INTEGER NOT NULL,
    sealed       BLOB NOT NULL,
    PRIMARY KEY (organisation, user, author)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_directory_box AFTER INSERT ON directory_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.sealed) WHERE id = new.organisation;
END;
CREATE TRIGGER count_directory_box_gone AFTER DELETE ON directory_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.sealed) WHERE id = old.organisation;
END;
