-- Frozen. Databases with this schema exist.

-- When this row is looked at next: the end of one that is open, or of the time for which one that is over is kept.
ALTER TABLE invitation ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
-- Whose share it takes: 0 the administrators', 1 everybody else's, as its maker was when making it.
ALTER TABLE invitation ADD COLUMN pool INTEGER NOT NULL DEFAULT 0;
-- Its place in lists: a time of the server's, and no other of the organisation has the same.
ALTER TABLE invitation ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
UPDATE invitation SET
    due = CASE WHEN status < 2 THEN expires ELSE min(expires, 9000000000000000000) + 604800000000 END,
    pool = CASE
        WHEN email IS NOT NULL THEN 0
        WHEN (SELECT profile FROM user
              WHERE user.organisation = invitation.organisation AND user.user = invitation.user) = 0 THEN 0
        ELSE 1
    END,
    listed = number;

DROP INDEX invitation_alive;
DROP INDEX invitation_user;
CREATE INDEX invitation_due ON invitation (due);
CREATE UNIQUE INDEX invitation_listed ON invitation (organisation, listed);
CREATE INDEX invitation_listed_user ON invitation (organisation, user, listed);
-- What may have run out, and what may go, of one member and of one pool.
CREATE INDEX invitation_live_member ON invitation (organisation, created_by, pool, due) WHERE status < 2;
CREATE INDEX invitation_over_member ON invitation (organisation, created_by, pool, due) WHERE status >= 2;
CREATE INDEX invitation_live_pool ON invitation (organisation, pool, due) WHERE status < 2;
CREATE INDEX invitation_over_pool ON invitation (organisation, pool, due) WHERE status >= 2;

-- The receipts of enrolments: evidence beside the log, as many as it has devices; they outlive their invitations.
CREATE TABLE receipt (
    organisation TEXT NOT NULL,
    position     INTEGER NOT NULL,           -- of the enrolment's first certificate
    receipt      BLOB NOT NULL,
    PRIMARY KEY (organisation, position),
    FOREIGN KEY (organisation, position) REFERENCES certificate (organisation, position)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO receipt
    SELECT i.organisation, a.position, a.receipt FROM attempt a JOIN invitation i ON i.number = a.invitation
    WHERE a.receipt IS NOT NULL AND a.position IS NOT NULL;
ALTER TABLE attempt DROP COLUMN receipt;
ALTER TABLE invitation DROP COLUMN receipt;  -- those of direct enrolments stay with the terminals that have them

-- What everybody takes up, kept by triggers in the transaction of each change: nothing is ever counted over the rows.
-- `bytes`: 256 for an invitation and its e-mail, 192 for an attempt, 64 for a step and its bytes.
CREATE TABLE usage (
    organisation TEXT NOT NULL REFERENCES organisation (id),
    member       BLOB NOT NULL,              -- who made the invitations; of no bytes: the whole pool
    pool         INTEGER NOT NULL,
    live         INTEGER NOT NULL,           -- invitations that can be used
    stored       INTEGER NOT NULL,           -- those, and the ones that are over and not pruned yet
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (organisation, member, pool)
) STRICT, WITHOUT ROWID;
INSERT INTO usage
    SELECT i.organisation, i.created_by, i.pool, sum(i.status < 2), count(*), sum(
        256 + ifnull(length(i.email), 16)
        + (SELECT count(*) * 192 FROM attempt a WHERE a.invitation = i.number)
        + (SELECT ifnull(sum(64 + ifnull(length(s.bytes), 0)), 0) FROM step s WHERE s.invitation = i.number))
    FROM invitation i GROUP BY i.organisation, i.created_by, i.pool;
INSERT INTO usage
    SELECT organisation, x'', pool, sum(live), sum(stored), sum(bytes) FROM usage GROUP BY organisation, pool;

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
    UPDATE usage SET bytes = bytes + 192
    WHERE organisation = (SELECT organisation FROM invitation WHERE number = new.invitation)
      AND pool = (SELECT pool FROM invitation WHERE number = new.invitation)
      AND member IN (x'', (SELECT created_by FROM invitation WHERE number = new.invitation));
END;
CREATE TRIGGER usage_attempt_gone AFTER DELETE ON attempt BEGIN
    UPDATE usage SET bytes = bytes - 192
    WHERE organisation = (SELECT organisation FROM invitation WHERE number = old.invitation)
      AND pool = (SELECT pool FROM invitation WHERE number = old.invitation)
      AND member IN (x'', (SELECT created_by FROM invitation WHERE number = old.invitation));
END;
CREATE TRIGGER usage_step_made AFTER INSERT ON step BEGIN
    UPDATE usage SET bytes = bytes + 64 + ifnull(length(new.bytes), 0)
    WHERE organisation = (SELECT organisation FROM invitation WHERE number = new.invitation)
      AND pool = (SELECT pool FROM invitation WHERE number = new.invitation)
      AND member IN (x'', (SELECT created_by FROM invitation WHERE number = new.invitation));
END;
CREATE TRIGGER usage_step_changed AFTER UPDATE OF bytes ON step BEGIN
    UPDATE usage SET bytes = bytes + ifnull(length(new.bytes), 0) - ifnull(length(old.bytes), 0)
    WHERE organisation = (SELECT organisation FROM invitation WHERE number = new.invitation)
      AND pool = (SELECT pool FROM invitation WHERE number = new.invitation)
      AND member IN (x'', (SELECT created_by FROM invitation WHERE number = new.invitation));
END;
CREATE TRIGGER usage_step_gone AFTER DELETE ON step BEGIN
    UPDATE usage SET bytes = bytes - 64 - ifnull(length(old.bytes), 0)
    WHERE organisation = (SELECT organisation FROM invitation WHERE number = old.invitation)
      AND pool = (SELECT pool FROM invitation WHERE number = old.invitation)
      AND member IN (x'', (SELECT created_by FROM invitation WHERE number = old.invitation));
END;

-- The budgets that the server was last started with, for the commands beside it.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
