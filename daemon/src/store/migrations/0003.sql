-- What a person has to look at: a fork or a rollback, a log that fails verification. Stays until a person has dealt with it.
CREATE TABLE alarm (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- chain_invalid or rolled_back
    kind TEXT NOT NULL,
    -- What was found. The same words are the same finding.
    found TEXT NOT NULL,
    since INTEGER NOT NULL,
    acknowledged INTEGER
) STRICT;
