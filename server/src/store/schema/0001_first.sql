-- Frozen: databases with this schema exist. Changes go into a new file.
-- Times are microseconds since 1970. Status, reason and profile are the numbers they have on the wire.

CREATE TABLE organisation (
    id             TEXT PRIMARY KEY,
    bootstrap_hash BLOB NOT NULL,            -- SHA-256 of the bootstrap token; the token itself is not kept
    created        INTEGER NOT NULL,
    root           BLOB,                     -- NULL until founded
    founding_hash  BLOB                      -- SHA-256 of the founding request, to answer the same one again
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    position     INTEGER NOT NULL,
    envelope     BLOB NOT NULL,
    head         BLOB NOT NULL,              -- after this certificate
    PRIMARY KEY (organisation, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE user (
    organisation   TEXT NOT NULL REFERENCES organisation (id),
    user           BLOB NOT NULL,
    email          TEXT NOT NULL,
    encryption_key BLOB NOT NULL,
    profile        INTEGER NOT NULL,
    revoked        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation, user),
    UNIQUE (organisation, encryption_key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_email ON user (organisation, email) WHERE revoked = 0;

CREATE TABLE device (
    organisation TEXT NOT NULL,
    device       BLOB NOT NULL,
    user         BLOB NOT NULL,
    verify_key   BLOB NOT NULL,
    revoked      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation, device),
    UNIQUE (organisation, verify_key),
    FOREIGN KEY (organisation, user) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_user ON device (organisation, user);

CREATE TABLE invitation (
    number       INTEGER PRIMARY KEY,        -- order of making
    organisation TEXT NOT NULL REFERENCES organisation (id),
    token        BLOB NOT NULL,
    email        TEXT,                       -- a new person's, or
    user         BLOB,                       -- whose new terminal
    created_by   BLOB NOT NULL,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    mismatches   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    mail         INTEGER,                    -- what became of the mail, once that is known
    UNIQUE (organisation, token),
    CHECK ((email IS NULL) <> (user IS NULL))
) STRICT;
CREATE INDEX invitation_alive ON invitation (organisation, status, expires);
CREATE INDEX invitation_user ON invitation (organisation, user, number);

CREATE TABLE attempt (
    invitation     INTEGER NOT NULL REFERENCES invitation (number),
    number         INTEGER NOT NULL,
    attempt        BLOB NOT NULL,
    secret_hash    BLOB NOT NULL,
    steps          INTEGER NOT NULL,
    greeter_user   BLOB,
    greeter_device BLOB,
    ended          INTEGER,
    claimer_seen   INTEGER NOT NULL,
    completion     BLOB,                     -- SHA-256 of the completing request, to answer the same one again
    position       INTEGER,                  -- of the first certificate it added
    receipt        BLOB,
    PRIMARY KEY (invitation, number),
    UNIQUE (invitation, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE step (
    invitation INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    bytes      BLOB,                         -- NULL once the attempt is over
    PRIMARY KEY (invitation, attempt, step),
    FOREIGN KEY (invitation, attempt) REFERENCES attempt (invitation, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifest (
    organisation TEXT NOT NULL,
    user         BLOB NOT NULL,
    version      INTEGER NOT NULL,
    envelope     BLOB NOT NULL,
    PRIMARY KEY (organisation, user),
    FOREIGN KEY (organisation, user) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
