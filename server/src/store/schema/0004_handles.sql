-- Frozen, as is the code that fills the new column (handles.rs). Databases with this schema exist.

ALTER TABLE invitation ADD COLUMN handle BLOB;           -- SHA-256 of the token; filled by code, never NULL afterwards
CREATE UNIQUE INDEX invitation_handle ON invitation (organisation, handle);
ALTER TABLE invitation ADD COLUMN mail_starts INTEGER NOT NULL DEFAULT 0; -- how often its mail was begun to be sent
