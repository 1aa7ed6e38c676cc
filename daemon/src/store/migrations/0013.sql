-- When a person last tried a recovery kit on this device (microseconds since 1970), by the kit's id.
CREATE TABLE recovery_drill (
    device BLOB PRIMARY KEY,
    drilled INTEGER NOT NULL
) WITHOUT ROWID;
