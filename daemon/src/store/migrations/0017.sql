-- Directory keys behind the first, which the key file has.
CREATE TABLE directory_key (
    number INTEGER PRIMARY KEY CHECK (number > 1),
    key BLOB NOT NULL CHECK (length(key) = 32)
) STRICT;
-- The newest change of the directory key that this device has made, as it goes to the server, also
-- again after a restore. One row at most.
CREATE TABLE directory_change (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    key BLOB NOT NULL CHECK (length(key) = 32),
    change BLOB NOT NULL
) STRICT;
CREATE TABLE directory_part (
    place INTEGER PRIMARY KEY,
    part BLOB NOT NULL
) STRICT;
