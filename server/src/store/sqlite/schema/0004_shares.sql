-- Recovery kits that were split among members.

-- An invitation by which a share is given: whose kit it is of. Who gives it stands in `user`.
ALTER TABLE invitation ADD COLUMN kit_user BLOB;
ALTER TABLE invitation ADD COLUMN kit BLOB;

CREATE TABLE share_plan (
    organisation TEXT NOT NULL,
    kit          BLOB NOT NULL,              -- the kit's device
    user         BLOB NOT NULL,              -- whom it brings back
    plan         BLOB NOT NULL,              -- signed by the kit
    PRIMARY KEY (organisation, kit),
    FOREIGN KEY (organisation, kit) REFERENCES device (organisation, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX share_plan_user ON share_plan (organisation, user);
CREATE TRIGGER count_plan AFTER INSERT ON share_plan BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.plan) WHERE id = new.organisation;
END;
CREATE TRIGGER count_plan_gone AFTER DELETE ON share_plan BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.plan) WHERE id = old.organisation;
END;

-- A member's share, sealed to the key that the member had then.
CREATE TABLE share_box (
    organisation TEXT NOT NULL,
    kit          BLOB NOT NULL,
    member       BLOB NOT NULL,
    key          BLOB NOT NULL,              -- hash of the member's key
    sealed       BLOB NOT NULL,
    PRIMARY KEY (organisation, kit, member),
    FOREIGN KEY (organisation, kit) REFERENCES share_plan (organisation, kit),
    FOREIGN KEY (organisation, member) REFERENCES user (organisation, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX share_box_member ON share_box (organisation, member);
CREATE TRIGGER count_share AFTER INSERT ON share_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes + length(new.sealed) WHERE id = new.organisation;
END;
CREATE TRIGGER count_share_gone AFTER DELETE ON share_box BEGIN
    UPDATE organisation SET key_bytes = key_bytes - length(old.sealed) WHERE id = old.organisation;
END;

-- A revoked kit opens nothing any more, and takes its shares along. Somebody who is revoked gives
-- none, and is brought back by none.
CREATE TRIGGER shares_of_revoked_kit AFTER UPDATE OF revoked ON device WHEN new.revoked <> 0 BEGIN
    DELETE FROM share_box WHERE organisation = new.organisation AND kit = new.device;
    DELETE FROM share_plan WHERE organisation = new.organisation AND kit = new.device;
END;
CREATE TRIGGER shares_of_revoked_user AFTER UPDATE OF revoked ON user WHEN new.revoked <> 0 BEGIN
    DELETE FROM share_box WHERE organisation = new.organisation AND member = new.user;
    DELETE FROM share_box WHERE organisation = new.organisation AND kit IN
        (SELECT kit FROM share_plan WHERE organisation = new.organisation AND user = new.user);
    DELETE FROM share_plan WHERE organisation = new.organisation AND user = new.user;
END;
