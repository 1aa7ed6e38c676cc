-- What this device's accepted records have removed of late, and when, by the clock that nobody sets. canonical CBOR.
ALTER TABLE safe ADD COLUMN removed BLOB;
-- What halted a safe: where its two logs would end with it, and whose it is. canonical CBOR.
ALTER TABLE safe ADD COLUMN halt BLOB;
-- Where they may end by a person's word, whatever was known here before. canonical CBOR.
ALTER TABLE safe ADD COLUMN accepted BLOB;
-- The member who offers it; absent until that is known.
ALTER TABLE safe ADD COLUMN offered_by BLOB CHECK (length(offered_by) = 16);
