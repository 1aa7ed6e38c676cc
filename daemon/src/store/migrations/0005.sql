-- Whether somebody says that the enrolment is over without its certificates. It stays, and is tried again after each unlocking.
ALTER TABLE outbox ADD COLUMN set_aside INTEGER NOT NULL DEFAULT 0;
