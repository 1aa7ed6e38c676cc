-- The organisation's present directory key, as rules ask for it. No row before somebody is revoked:
-- number 1, without a ring.
CREATE TABLE directory (
    organisation TEXT PRIMARY KEY REFERENCES organisation (id),
    number       INTEGER NOT NULL,
    somebody_left INTEGER NOT NULL           -- whether a user or device was revoked since
) STRICT, WITHOUT ROWID;
INSERT INTO directory (organisation, number, somebody_left)
    SELECT id, 1, EXISTS (SELECT 1 FROM device d WHERE d.organisation = id AND d.revoked <> 0)
        OR EXISTS (SELECT 1 FROM user u WHERE u.organisation = id AND u.revoked <> 0)
    FROM organisation WHERE root IS NOT NULL;

-- Heads of rings, the present key's and earlier ones, as far as they are here.
CREATE TABLE directory_ring (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    number       INTEGER NOT NULL,
    ring         BLOB NOT NULL,              -- hash of the head
    head         BLOB NOT NULL,
    PRIMARY KEY (organisation, number)
) STRICT;
CREATE TRIGGER count_directory_ring AFTER INSERT ON directory_ring BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.head) WHERE id = new.organisation;
END;
CREATE TRIGGER count_directory_ring_gone AFTER DELETE ON directory_ring BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.head) WHERE id = old.organisation;
END;

-- Parts of these rings.
CREATE TABLE directory_part (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    number       INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    bytes        BLOB NOT NULL,
    PRIMARY KEY (organisation, number, hash)
) STRICT;
CREATE TRIGGER count_directory_part AFTER INSERT ON directory_part BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.bytes) WHERE id = new.organisation;
END;
CREATE TRIGGER count_directory_part_gone AFTER DELETE ON directory_part BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.bytes) WHERE id = old.organisation;
END;

-- Parts that no ring has named: each is its author's alone, and goes after a day.
CREATE TABLE directory_loose (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    device       BLOB NOT NULL,
    hash         BLOB NOT NULL,
    put          INTEGER NOT NULL,
    bytes        BLOB NOT NULL,
    PRIMARY KEY (organisation, device, hash)
) STRICT;
CREATE INDEX directory_loose_put ON directory_loose (put);
CREATE TRIGGER count_directory_loose AFTER INSERT ON directory_loose BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.bytes) WHERE id = new.organisation;
END;
CREATE TRIGGER count_directory_loose_gone AFTER DELETE ON directory_loose BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.bytes) WHERE id = old.organisation;
END;

-- Boxes for members whom a ring has no right one for.
CREATE TABLE directory_box (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    number       INTEGER NOT NULL,
    user         BLOB NOT NULL,
    author       BLOB NOT NULL,
    posted       INTEGER NOT NULL,
    sealed       BLOB NOT NULL,
    PRIMARY KEY (organisation, number, user, author)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_directory_box AFTER INSERT ON directory_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.sealed) WHERE id = new.organisation;
END;
CREATE TRIGGER count_directory_box_gone AFTER DELETE ON directory_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.sealed) WHERE id = old.organisation;
END;
