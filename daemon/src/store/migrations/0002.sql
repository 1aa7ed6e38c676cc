-- The peer-to-peer transport. An invitation of before has none.
-- peer_key: secret of the node that runs for this invitation alone; port: where it listened when the link was made.
-- posted: 0 the server shall have the invitation, 1 it has, 2 it is not told. attempts, mismatches: over both transports. created: microseconds since 1970; 0 is unknown.
ALTER TABLE invitation ADD COLUMN peer_key BLOB CHECK (peer_key IS NULL OR length(peer_key) = 32);
ALTER TABLE invitation ADD COLUMN port INTEGER;
ALTER TABLE invitation ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invitation ADD COLUMN posted INTEGER NOT NULL DEFAULT 1;
ALTER TABLE invitation ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invitation ADD COLUMN mismatches INTEGER NOT NULL DEFAULT 0;

-- What an enrolment in the outbox needs beside its row where its ceremony runs directly. step7: absent until it may be fetched;
-- step8: absent until the newcomer's keys are durable.
CREATE TABLE direct (
    attempt BLOB PRIMARY KEY CHECK (length(attempt) = 16) REFERENCES outbox (attempt) ON DELETE CASCADE,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    step7 BLOB,
    step8 BLOB
) STRICT, WITHOUT ROWID;
