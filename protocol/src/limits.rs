//! Every bound that more than one party must agree on, with its reason.
//!
//! A bound used by one side alone stands beside the code that enforces it.

/// Longest organisation id. It appears in URLs, file names and every certificate.
pub const ORGANISATION_ID_MAX_BYTES: usize = 32;
/// Longest e-mail address: RFC 5321's path limit of 256 less the angle brackets.
pub const EMAIL_MAX_BYTES: usize = 254;
/// Longest part before the `@` (RFC 5321 section 4.5.3.1.1).
pub const EMAIL_LOCAL_MAX_BYTES: usize = 64;
/// Longest part of a host name, between its dots (RFC 1035 section 2.3.4).
pub const HOST_LABEL_MAX_BYTES: usize = 63;
/// Longest name of a person or device, in characters as people count them: longer ones fill a
/// screen.
pub const NAME_MAX_CHARACTERS: usize = 64;
/// The same in bytes: a character of most scripts takes 8 at most, so that people meet the other
/// bound first. Sealed names are padded to this, so that length tells nothing.
pub const NAME_MAX_BYTES: usize = 512;

/// Deepest nesting of arrays in any encoding. The deepest real value is 6; the rest is room for new
/// kinds.
pub const CODEC_MAX_DEPTH: usize = 12;
/// Largest certificate envelope. A user certificate with the longest e-mail is under 1,100 bytes.
pub const CERTIFICATE_MAX_BYTES: usize = 2_048;
/// Largest user manifest envelope. One safe entry is about 100 bytes: some 2,000 safes.
pub const MANIFEST_MAX_BYTES: usize = 256 * 1024;
/// Most certificates in one answer: some 400 KiB a page and never above 1 MiB, whatever the log's
/// length.
pub const LOG_PAGE_MAX_CERTIFICATES: usize = 500;
/// Most invitations in one answer: some 60 KB a page.
pub const INVITATION_PAGE_MAX: usize = 200;
/// Most certificates one log may have: 10,000 members with 10 devices each.
pub const LOG_MAX_CERTIFICATES: u64 = 100_000;
/// Most devices a user may ever have had, revoked ones included: so that a member who may certify
/// nothing but their own devices cannot fill the log for everybody.
pub const DEVICES_PER_USER_MAX: usize = 200;

/// Changes of a user's key, beside one for each revoked device of the user: for people who change
/// it by hand. All of them count for ever, because the log is kept for ever.
pub const KEY_CHANGES_MAX: usize = 20;
/// Number of the directory key that an organisation is founded with.
pub const FIRST_DIRECTORY_KEY: u32 = 1;
/// Directory keys that message 7 and a manifest carry: 10 KB. The ring of the newest leads to all
/// others, so that nobody can use them up.
pub const DIRECTORY_KEYS_CARRIED: usize = 256;
/// Directory keys that a log can name. Before each, somebody was certified, and revoked: three
/// certificates.
pub const DIRECTORY_KEYS_EVER: usize = 33_334;
const _: () = assert!(DIRECTORY_KEYS_EVER as u64 * 3 >= LOG_MAX_CERTIFICATES, "a log names no more");
/// Bytes that an earlier directory key takes in a list: its number, the key, their heads.
pub const DIRECTORY_KEY_BYTES: usize = 40;
/// Largest head of a directory key's ring: 400 parts for as many users as a log can name take 14
/// KB, the rest are all earlier keys.
pub const DIRECTORY_RING_MAX_BYTES: usize = DIRECTORY_KEYS_EVER * DIRECTORY_KEY_BYTES + 16 * 1024;
const _: () = assert!(DIRECTORY_RING_MAX_BYTES + 2_100 < BODY_MAX_BYTES, "it fits one call");
/// Abandoned devices that one change of a user's key may name. A person has few ceremonies under
/// way at once; the next change takes what is left over.
pub const ABANDONED_MAX: usize = 16;

/// One Noise message (Noise specification section 3), hence one ceremony step.
pub const STEP_MAX_BYTES: usize = 65_535;
/// Invitations that one device's event stream follows: more ceremonies than one person has under
/// way, and few enough to be read in one look.
pub const FOLLOWED_MAX: usize = 256;
/// Largest body any request or answer may have: a manifest, or a page of certificates with the keys
/// that they name, and their framing.
pub const BODY_MAX_BYTES: usize = 1_700_000;
/// Number of ceremony messages, 0 to 8 (protocol.md, *The ceremony*).
pub const STEPS: u8 = 9;

/// How long either machine waits for the other side's next message: people talk, look for the
/// phone, type.
pub const MESSAGE_WAIT_SECONDS: u64 = 600;
/// An attempt without any request from the claimer for this long may be replaced by a new one.
pub const ATTEMPT_IDLE_SECONDS: u64 = 900;
/// Wrong codes that an invitation survives. Each is one more ticket in a lottery at 1 in 2^40.
pub const MISMATCHES_MAX: u32 = 3;
/// Ceremony runs an invitation survives, mismatches included.
pub const ATTEMPTS_MAX: u32 = 10;
/// Days an invitation can be claimed unless its maker says otherwise.
pub const INVITATION_DAYS_DEFAULT: u32 = 30;
/// Longest life of an invitation: a forgotten link must not let anybody in next year.
pub const INVITATION_DAYS_MAX: u32 = 90;
/// How far a signed request's time may be from the server's: common drift of an unsynchronised
/// clock.
pub const REQUEST_TIME_SKEW_SECONDS: u64 = 300;

/// Most members of a safe: what one program can seal to in a second, and more than share a folder.
pub const SAFE_MEMBERS_MAX: usize = 1_000;
/// Most certificates of a safe's log: 500 keys a year, with as many changes, for a century.
pub const SAFE_LOG_MAX_CERTIFICATES: u64 = 100_000;
/// Certificates of these that are kept for owners and for keys that are due: so that nobody below
/// can fill a log and keep themself from being removed.
pub const SAFE_LOG_KEPT_CERTIFICATES: u64 = SAFE_LOG_MAX_CERTIFICATES / 10;
/// Largest certificate envelope of a safe's log: 32 changes and a key are under 1,400 bytes, the
/// rest is room for new kinds.
pub const SAFE_CERTIFICATE_MAX_BYTES: usize = 4_096;
/// Changes of roles in one certificate: a group of people at once; more take more certificates.
pub const SAFE_CHANGES_MAX: usize = 32;
/// Most keys of a safe: one a day for 130 years, and their blocks still fit a ring's head.
pub const EPOCHS_MAX: u64 = 50_000;
/// Boxes in one part of a ring: 300 KB, so that parts go up one by one over a slow line.
pub const RING_PART_BOXES: usize = 256;
/// Largest part of a ring: its boxes of 1,168 bytes, each with 3 of framing, and the array's own 3.
pub const RING_PART_MAX_BYTES: usize = 3 + RING_PART_BOXES * 1_171;
/// Largest head of a ring: 1,000 members take 55 KB, the blocks of 50,000 keys 14 KB, the newest
/// 256 keys 9 KB. The rest is room.
pub const RING_HEAD_MAX_BYTES: usize = 256 * 1024;
/// Largest record envelope: hundreds of changes; what doesn't fit goes into the next one.
pub const RECORD_MAX_BYTES: usize = 256 * 1024;
/// Largest sealed object: a chunk of 512 KiB and its 16 bytes of tag.
pub const OBJECT_MAX_BYTES: usize = 512 * 1024 + 16;
