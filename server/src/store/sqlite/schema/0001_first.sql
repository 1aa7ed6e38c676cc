-- Not frozen before 0.1.0 is released. From then on databases with this schema exist, and changes
-- go into a new file. Times are microseconds since 1970. Status, reason and profile are the numbers
-- they have on the wire. All rows are keyed by their organisation first: no row of one refers to,
-- or is numbered with, those of another.

-- An organisation, and what is counted of it: triggers change the counts in the statement that
-- changes what they count.
CREATE TABLE organisation (
    id             TEXT PRIMARY KEY,
    bootstrap_hash BLOB NOT NULL,            -- SHA-256 of the bootstrap token; the token itself is not kept
    created        INTEGER NOT NULL,
    root           BLOB,                     -- NULL until founded
    founding_hash  BLOB,                     -- SHA-256 of the founding request, to answer the same one again
    certificates   INTEGER NOT NULL DEFAULT 0,
    head           BLOB,                     -- after the last certificate; NULL while there is none
    users          INTEGER NOT NULL DEFAULT 0, -- who are not revoked
    devices        INTEGER NOT NULL DEFAULT 0, -- that are not revoked themselves, whatever their users are
    log_bytes      INTEGER NOT NULL DEFAULT 0, -- of certificates and receipts
    manifest_bytes INTEGER NOT NULL DEFAULT 0,
    key_bytes      INTEGER NOT NULL DEFAULT 0, -- of encryption keys and of boxes
    changed        INTEGER NOT NULL DEFAULT 0, -- position after the newest certificate that is no enrolment
    safes          INTEGER NOT NULL DEFAULT 0,
    safe_bytes     INTEGER NOT NULL DEFAULT 0  -- of all safes
) STRICT, WITHOUT ROWID;

CREATE TABLE certificate (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    position     INTEGER NOT NULL,
    envelope     BLOB NOT NULL,
    head         BLOB NOT NULL,              -- after this certificate
    hash         BLOB NOT NULL,              -- SHA-256 of the envelope
    PRIMARY KEY (organisation, position),
    UNIQUE (organisation, hash)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_certificate AFTER INSERT ON certificate BEGIN
    UPDATE organisation SET
        certificates = certificates + 1, head = new.head, log_bytes = log_bytes + length(new.envelope)
    WHERE id = new.organisation;
END;

-- The receipts of enrolments: evidence beside the log, as many as it has devices; they outlive
-- their invitations.
CREATE TABLE receipt (
    organisation TEXT NOT NULL,
    position     INTEGER NOT NULL,           -- of the enrolment's first certificate
    receipt      BLOB NOT NULL,
    PRIMARY KEY (organisation, position),
    FOREIGN KEY (organisation, position) REFERENCES certificate (organisation, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_receipt AFTER INSERT ON receipt BEGIN
    UPDATE organisation SET log_bytes = log_bytes + length(new.receipt) WHERE id = new.organisation;
END;

CREATE TABLE user (
    organisation     TEXT NOT NULL REFERENCES organisation (id),
    user             BLOB NOT NULL,
    email            TEXT NOT NULL,
    encryption_key   BLOB NOT NULL,          -- hash of the present one
    profile          INTEGER NOT NULL,
    profile_position INTEGER NOT NULL,       -- position of the certificate that gave the present profile
    revoked          INTEGER NOT NULL DEFAULT 0,
    devices          INTEGER NOT NULL DEFAULT 0, -- that the user ever had
    devices_revoked  INTEGER NOT NULL DEFAULT 0, -- of these, by themselves
    abandoned        INTEGER NOT NULL DEFAULT 0, -- named as abandoned, and not come into the log since
    key_changes      INTEGER NOT NULL DEFAULT 0, -- in which nothing was named as abandoned
    suspended        INTEGER NOT NULL DEFAULT 0, -- a device was revoked since the present key was certified
    PRIMARY KEY (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_email ON user (organisation, email) WHERE revoked = 0;
CREATE TRIGGER count_user AFTER INSERT ON user BEGIN
    UPDATE organisation SET users = users + (new.revoked = 0) WHERE id = new.organisation;
END;
CREATE TRIGGER count_user_revoked AFTER UPDATE OF revoked ON user WHEN new.revoked <> old.revoked BEGIN
    UPDATE organisation SET users = users + (new.revoked = 0) - (old.revoked = 0) WHERE id = new.organisation;
END;

CREATE TABLE device (
    organisation TEXT NOT NULL,
    device       BLOB NOT NULL,
    user         BLOB NOT NULL,
    verify_key   BLOB NOT NULL,
    kind         INTEGER NOT NULL,
    position     INTEGER NOT NULL,           -- of its certificate
    revoked      INTEGER NOT NULL DEFAULT 0,
    last_change  INTEGER,                    -- position of the newest certificate that it signed, enrolments aside
    PRIMARY KEY (organisation, device),
    UNIQUE (organisation, verify_key),
    FOREIGN KEY (organisation, user) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_user ON device (organisation, user);
CREATE TRIGGER count_device AFTER INSERT ON device BEGIN
    UPDATE organisation SET devices = devices + (new.revoked = 0) WHERE id = new.organisation;
    UPDATE user SET devices = devices + 1, devices_revoked = devices_revoked + (new.revoked <> 0),
        abandoned = abandoned - EXISTS (
            SELECT 1 FROM abandoned a
            WHERE a.organisation = new.organisation AND a.device = new.device AND a.user = new.user)
    WHERE organisation = new.organisation AND user = new.user;
END;
CREATE TRIGGER count_device_revoked AFTER UPDATE OF revoked ON device WHEN new.revoked <> old.revoked BEGIN
    UPDATE organisation SET devices = devices + (new.revoked = 0) - (old.revoked = 0) WHERE id = new.organisation;
    UPDATE user SET devices_revoked = devices_revoked + (new.revoked <> 0) - (old.revoked <> 0), suspended = 1
    WHERE organisation = new.organisation AND user = new.user;
END;
CREATE TRIGGER note_change AFTER UPDATE OF last_change ON device WHEN new.last_change IS NOT NULL BEGIN
    UPDATE organisation SET changed = max(changed, new.last_change + 1) WHERE id = new.organisation;
END;
CREATE TRIGGER suspended_until_changed AFTER UPDATE OF encryption_key ON user BEGIN
    UPDATE user SET suspended = 0 WHERE organisation = new.organisation AND user = new.user;
END;

-- Devices that a change of a user's key has named as handed the key before and given up. They count
-- among the user's devices; one that comes into the log all the same counts once.
CREATE TABLE abandoned (
    organisation TEXT NOT NULL,
    device       BLOB NOT NULL,
    user         BLOB NOT NULL,              -- whose it was to be
    PRIMARY KEY (organisation, device),
    FOREIGN KEY (organisation, user) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_abandoned AFTER INSERT ON abandoned BEGIN
    UPDATE user SET abandoned = abandoned + 1 WHERE organisation = new.organisation AND user = new.user;
END;

-- Every encryption key that was ever certified, by its hash, and the key itself, which the log
-- doesn't have.
CREATE TABLE encryption_key (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    hash         BLOB NOT NULL,
    user         BLOB,                       -- whose; NULL: a device's
    key          BLOB,                       -- the record; NULL: lost, until somebody puts it back
    PRIMARY KEY (organisation, hash),
    FOREIGN KEY (organisation, user) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_key AFTER UPDATE OF key ON encryption_key BEGIN
    UPDATE organisation SET key_bytes = key_bytes + ifnull(length(new.key), 0) - ifnull(length(old.key), 0)
    WHERE id = new.organisation;
END;

-- The seed of a user's key, sealed to one device of the user.
CREATE TABLE key_box (
    organisation TEXT NOT NULL,
    user         BLOB NOT NULL,
    key          BLOB NOT NULL,              -- hash of the user's key
    device       BLOB NOT NULL,
    sealed       BLOB NOT NULL,
    PRIMARY KEY (organisation, user, key, device),
    FOREIGN KEY (organisation, key) REFERENCES encryption_key (organisation, hash),
    FOREIGN KEY (organisation, device) REFERENCES device (organisation, device)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_box AFTER INSERT ON key_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.sealed) WHERE id = new.organisation;
END;
CREATE TRIGGER count_box_replaced AFTER UPDATE OF sealed ON key_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.sealed) - length(old.sealed)
    WHERE id = new.organisation;
END;
CREATE TRIGGER count_box_gone AFTER DELETE ON key_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.sealed) WHERE id = old.organisation;
END;

-- The seed before a user's key, sealed to that key: kept for good, since with the present seed all
-- earlier ones are opened by these, one after the other.
CREATE TABLE past_box (
    organisation TEXT NOT NULL,
    user         BLOB NOT NULL,
    key          BLOB NOT NULL,              -- hash of the key to which it is sealed
    sealed       BLOB NOT NULL,
    PRIMARY KEY (organisation, user, key),
    FOREIGN KEY (organisation, key) REFERENCES encryption_key (organisation, hash)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_past AFTER INSERT ON past_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.sealed) WHERE id = new.organisation;
END;
CREATE TRIGGER count_past_gone AFTER DELETE ON past_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.sealed) WHERE id = old.organisation;
END;

-- Nobody is given the boxes of whoever is revoked.
CREATE TRIGGER boxes_of_revoked_device AFTER UPDATE OF revoked ON device WHEN new.revoked <> 0 BEGIN
    DELETE FROM key_box
    WHERE organisation = new.organisation AND user = new.user AND device = new.device;
END;
CREATE TRIGGER boxes_of_revoked_user AFTER UPDATE OF revoked ON user WHEN new.revoked <> 0 BEGIN
    DELETE FROM key_box WHERE organisation = new.organisation AND user = new.user;
    DELETE FROM past_box WHERE organisation = new.organisation AND user = new.user;
END;

CREATE TABLE manifest (
    organisation TEXT NOT NULL,
    user         BLOB NOT NULL,
    version      INTEGER NOT NULL,
    envelope     BLOB NOT NULL,
    PRIMARY KEY (organisation, user),
    FOREIGN KEY (organisation, user) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_manifest AFTER INSERT ON manifest BEGIN
    UPDATE organisation SET manifest_bytes = manifest_bytes + length(new.envelope) WHERE id = new.organisation;
END;
CREATE TRIGGER count_manifest_replaced AFTER UPDATE OF envelope ON manifest BEGIN
    UPDATE organisation SET manifest_bytes = manifest_bytes + length(new.envelope) - length(old.envelope)
    WHERE id = new.organisation;
END;

CREATE TABLE invitation (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    token        BLOB NOT NULL,
    handle       BLOB NOT NULL,              -- SHA-256 of the token
    listed       INTEGER NOT NULL,           -- place in lists: a time, and no other of the organisation has the same
    email        TEXT,                       -- a new person's, or
    user         BLOB,                       -- whose new device
    created_by   BLOB NOT NULL,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    mismatches   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,           -- how many there were: the number of the newest one
    pool         INTEGER NOT NULL,           -- whose share it takes: 0 the administrators', 1 everybody else's, by its maker then
    due          INTEGER NOT NULL,           -- when it is looked at next: its end, or the end of the time for which it is kept
    mail         INTEGER,                    -- what became of the mail, once that is known
    mail_starts  INTEGER NOT NULL DEFAULT 0, -- how often its mail was begun to be sent
    PRIMARY KEY (organisation, token),
    CHECK ((email IS NULL) <> (user IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX invitation_handle ON invitation (organisation, handle);
CREATE UNIQUE INDEX invitation_listed ON invitation (organisation, listed);
CREATE INDEX invitation_listed_user ON invitation (organisation, user, listed);
CREATE INDEX invitation_due ON invitation (due);
-- What may have run out, and what may go, of one member and of one pool.
CREATE INDEX invitation_live_member ON invitation (organisation, created_by, pool, due) WHERE status < 2;
CREATE INDEX invitation_over_member ON invitation (organisation, created_by, pool, due) WHERE status >= 2;
CREATE INDEX invitation_live_pool ON invitation (organisation, pool, due) WHERE status < 2;
CREATE INDEX invitation_over_pool ON invitation (organisation, pool, due) WHERE status >= 2;

CREATE TABLE attempt (
    organisation   TEXT NOT NULL,
    token          BLOB NOT NULL,
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
    PRIMARY KEY (organisation, token, number),
    UNIQUE (organisation, token, attempt),
    FOREIGN KEY (organisation, token) REFERENCES invitation (organisation, token)
) STRICT, WITHOUT ROWID;
-- What a revoked greeter leaves open.
CREATE INDEX attempt_open ON attempt (organisation, greeter_user) WHERE ended IS NULL;

CREATE TABLE step (
    organisation TEXT NOT NULL,
    token        BLOB NOT NULL,
    attempt      INTEGER NOT NULL,
    step         INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    bytes        BLOB,                       -- NULL once the attempt is over
    PRIMARY KEY (organisation, token, attempt, step),
    FOREIGN KEY (organisation, token, attempt) REFERENCES attempt (organisation, token, number)
) STRICT, WITHOUT ROWID;

-- What everybody takes up, kept by triggers in the statement of each change: nothing is ever
-- counted over the rows. `bytes`: 256 for an invitation and its e-mail, 192 for an attempt, 64 for
-- a step and its bytes.
CREATE TABLE usage (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    member       BLOB NOT NULL,              -- who made the invitations; of no bytes: the whole pool
    pool         INTEGER NOT NULL,
    live         INTEGER NOT NULL,           -- invitations that can be used
    stored       INTEGER NOT NULL,           -- those, and the ones that are over and not pruned yet
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (organisation, member, pool)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER usage_invitation_made AFTER INSERT ON invitation BEGIN
    INSERT INTO usage (organisation, member, pool, live, stored, bytes) VALUES
        (new.organisation, new.created_by, new.pool, new.status < 2, 1, 256 + ifnull(length(new.email), 16)),
        (new.organisation, x'', new.pool, new.status < 2, 1, 256 + ifnull(length(new.email), 16))
    ON CONFLICT DO UPDATE SET
        live = live + excluded.live, stored = stored + excluded.stored, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER usage_invitation_changed AFTER UPDATE OF status ON invitation
WHEN (new.status < 2) <> (old.status < 2) BEGIN
    UPDATE usage SET live = live + (new.status < 2) - (old.status < 2)
    WHERE organisation = new.organisation AND pool = new.pool AND member IN (x'', new.created_by);
END;
CREATE TRIGGER usage_invitation_gone AFTER DELETE ON invitation BEGIN
    UPDATE usage SET
        live = live - (old.status < 2), stored = stored - 1, bytes = bytes - 256 - ifnull(length(old.email), 16)
    WHERE organisation = old.organisation AND pool = old.pool AND member IN (x'', old.created_by);
    DELETE FROM usage
    WHERE organisation = old.organisation AND pool = old.pool AND member IN (x'', old.created_by) AND stored <= 0;
END;
CREATE TRIGGER usage_attempt_made AFTER INSERT ON attempt BEGIN
    UPDATE usage SET bytes = usage.bytes + 192
    FROM invitation i WHERE i.organisation = new.organisation AND i.token = new.token
      AND usage.organisation = new.organisation AND usage.pool = i.pool AND usage.member IN (x'', i.created_by);
END;
CREATE TRIGGER usage_attempt_gone AFTER DELETE ON attempt BEGIN
    UPDATE usage SET bytes = usage.bytes - 192
    FROM invitation i WHERE i.organisation = old.organisation AND i.token = old.token
      AND usage.organisation = old.organisation AND usage.pool = i.pool AND usage.member IN (x'', i.created_by);
END;
CREATE TRIGGER usage_step_made AFTER INSERT ON step BEGIN
    UPDATE usage SET bytes = usage.bytes + 64 + ifnull(length(new.bytes), 0)
    FROM invitation i WHERE i.organisation = new.organisation AND i.token = new.token
      AND usage.organisation = new.organisation AND usage.pool = i.pool AND usage.member IN (x'', i.created_by);
END;
CREATE TRIGGER usage_step_changed AFTER UPDATE OF bytes ON step BEGIN
    UPDATE usage SET bytes = usage.bytes + ifnull(length(new.bytes), 0) - ifnull(length(old.bytes), 0)
    FROM invitation i WHERE i.organisation = new.organisation AND i.token = new.token
      AND usage.organisation = new.organisation AND usage.pool = i.pool AND usage.member IN (x'', i.created_by);
END;
CREATE TRIGGER usage_step_gone AFTER DELETE ON step BEGIN
    UPDATE usage SET bytes = usage.bytes - 64 - ifnull(length(old.bytes), 0)
    FROM invitation i WHERE i.organisation = old.organisation AND i.token = old.token
      AND usage.organisation = old.organisation AND usage.pool = i.pool AND usage.member IN (x'', i.created_by);
END;

-- The budgets that the server was last started with, for the commands beside it.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
