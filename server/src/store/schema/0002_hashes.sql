-- Frozen, as is the code that fills the new columns (filling.rs). Databases with this schema exist.

ALTER TABLE certificate ADD COLUMN hash BLOB;            -- SHA-256 of the envelope; filled by code, never NULL afterwards
CREATE UNIQUE INDEX certificate_hash ON certificate (organisation, hash);

-- Positions in the log, whose certificates say the rest: a time is any number up to 2^64, more than a column takes.
ALTER TABLE user ADD COLUMN profile_position INTEGER;    -- of what gave the present profile; filled by code, never NULL afterwards
ALTER TABLE device ADD COLUMN last_word INTEGER;         -- of the newest profile change or revocation by it

ALTER TABLE invitation ADD COLUMN receipt BLOB;          -- of an enrolment whose ceremony was not relayed here

-- What a revoked greeter leaves open.
CREATE INDEX attempt_open ON attempt (greeter_user) WHERE ended IS NULL;
