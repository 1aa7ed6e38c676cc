-- What a person has to look at: another past, a log that does not check. Stays until a person has dealt with it.
CREATE TABLE alarm (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- chain_invalid or rolled_back
    kind TEXT NOT NULL,
    -- What was found. The same words are the same finding.
    found TEXT NOT NULL,
    since INTEGER NOT NULL,
    acknowledged INTEGER
) STRICT;
