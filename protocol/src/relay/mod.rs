//! What the daemon and the metadata server say to each other over HTTP (docs/protocol.md, *Metadata
//! server*).
//!
//! Decides paths, headers, bodies, error codes and how a request is signed. Bodies are canonical
//! CBOR; every struct below is an array of its fields in the order of their numbers. Knows nothing
//! of what the opaque bytes mean: steps, manifests and names are sealed before they come here.

pub mod attempt;
mod direct;
mod error;
mod least;
pub mod path;
mod recovery;
mod repair;
mod safes;
mod shares;
mod told;
mod user_key;

use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::ids::{AttemptId, DeviceId, Email, Invited, OrganisationId, Timestamp, Token, UserId};
use crate::public_keys::{Hash, VerifyKey};
use crate::sealing::EncryptionKey;

pub use attempt::{AttemptView, EndReason, GreeterIds};
pub use direct::{DirectEnrolment, NewCertificate, Standing, StandingQuestion};
pub use error::{ErrorBody, ErrorCode};
pub use least::{Least, Reaches};
pub use recovery::{NewOwnDevice, RootKey};
pub use repair::{LogRepair, LogRepaired, REPAIR_MAX_BYTES};
pub use safes::{
    AddedBy, EVENT_SAFE, JOURNAL_PAGE_MAX_BYTES, JournalPage, Limited, NEW_SAFE_MAX_BYTES, NewRecord,
    NewSafe, OBJECT_FETCH_MAX, OBJECT_HEADS_LENGTH_BYTES, OBJECT_HEADS_MAX_BYTES, OBJECT_MISSING_MAX,
    OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds, ObjectLengths, ObjectsFault,
    POSTED_BOXES_MAX, PostedBox, PostedBoxes, RECORD_CALL_MAX_BYTES, RecordAnswer, RepairItem, RoomWanted,
    SAFE_CERTIFICATE_CALL_MAX_BYTES, SAFE_PAGE_MAX, SAFE_REPAIR_ITEMS_MAX, SAFE_REPAIR_MAX_BYTES,
    SafeCertificate, SafeEntry, SafeHint, SafeList, SafeLogPage, SafeLogged, SafeRepair, SafeRepaired,
    SafeRoom, SafeTotals, Sum, TOTALS_USERS_MAX, UserBytes,
};
pub use shares::{
    NEW_SHARES_MAX_BYTES, NewShares, PLANS_MAX, SHARES_HELD_MAX, ShareBox, SharesView, SplitKit, SplitKits,
};
pub use told::{EVENT_STEP, STEP_TOLD_MAX_BYTES, StepTold};
pub use user_key::{DeviceBox, DirectoryKeyChange, KEY_BOXES_MAX, KeyBox, KeyBoxUpload, UserKeyChange};

/// The version in every path.
pub const API_PREFIX: &str = "/v1";
/// Media type of every body but step bytes, the landing page and event streams.
pub const MEDIA_TYPE: &str = "application/cbor";
/// Every answer of a server has it, with [`SERVER_GENERATION`]: what has not is something else's.
pub const HEADER_SERVER: &str = "parsec-server";
/// The generation of this protocol.
pub const SERVER_GENERATION: &str = "1";
/// Family *invited*: the invitation's token, 32 hexadecimal digits. A header, because paths end up
/// in logs.
pub const HEADER_TOKEN: &str = "parsec-token";
/// Family *invited*, calls about an attempt: the claimer's attempt secret, 64 hexadecimal digits.
pub const HEADER_ATTEMPT_SECRET: &str = "parsec-attempt-secret";
/// Family *authenticated*: the device's id, 32 hexadecimal digits.
pub const HEADER_DEVICE: &str = "parsec-device";
/// Family *authenticated*: microseconds since 1970, decimal.
pub const HEADER_TIME: &str = "parsec-time";
/// Family *authenticated*: 32 hexadecimal digits, never used twice by a device.
pub const HEADER_NONCE: &str = "parsec-nonce";
/// Family *authenticated*: SHA-256 of the body, 64 hexadecimal digits. Declared, so that the
/// signature can be checked before a byte of the body is read, and the body may be read as a
/// stream.
pub const HEADER_BODY_HASH: &str = "parsec-body-hash";
/// Family *authenticated*: the signature over [`RequestToSign`], 128 hexadecimal digits.
pub const HEADER_SIGNATURE: &str = "parsec-signature";
/// Family *anonymous*, bootstrap only: the bootstrap token, 64 hexadecimal digits.
pub const HEADER_BOOTSTRAP: &str = "parsec-bootstrap";

/// What a device signs for each authenticated request, under
/// [`crate::public_keys::Context::Request`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RequestToSign {
    /// The organisation in the path.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Id of the device that signs.
    #[n(1)]
    pub device: DeviceId,
    /// `GET`, `POST` or `PUT`.
    #[n(2)]
    pub method: String,
    /// Path and query exactly as sent.
    #[n(3)]
    pub target: String,
    /// Value of [`HEADER_TIME`].
    #[n(4)]
    pub time: Timestamp,
    /// Value of [`HEADER_NONCE`].
    #[n(5)]
    pub nonce: Token,
    /// Value of [`HEADER_BODY_HASH`]: SHA-256 of the body, of no bytes where there is none.
    #[n(6)]
    pub body: Hash,
}

impl RequestToSign {
    /// The bytes to sign.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

/// What names an invitation where its token may not stand: SHA-256 of the token. It admits to
/// nothing, and the token can't be told from it.
#[must_use]
pub fn handle(token: &Token) -> Hash {
    Hash::of(&[token.as_bytes()])
}

/// Founds an organisation whose name the server's administrator has reserved. Idempotent for equal
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BootstrapRequest {
    /// The root key, pinned by every member.
    #[n(0)]
    pub root: VerifyKey,
    /// Exactly two envelopes: first user, first device.
    #[n(1)]
    pub certificates: Vec<ByteVec>,
    /// The keys that they name, in that order.
    #[n(2)]
    pub keys: Vec<EncryptionKey>,
}

/// What the bearer of a token may know before the ceremony. Unauthenticated: the prologue binds it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InvitedInfo {
    /// The person or member who is invited.
    #[n(0)]
    pub invited: Invited,
    /// E-mail of the inviting member, to be shown as hearsay.
    #[n(1)]
    pub invited_by: Email,
    /// End of the invitation.
    #[n(2)]
    pub expires: Timestamp,
    /// What state it is in.
    #[n(3)]
    pub status: InvitationStatus,
}

/// The life of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum InvitationStatus {
    /// Nobody is using it.
    #[n(0)]
    Pending,
    /// An attempt is under way.
    #[n(1)]
    InUse,
    /// The certificates are in the log.
    #[n(2)]
    Completed,
    /// A member cancelled it.
    #[n(3)]
    Cancelled,
    /// Its time is over.
    #[n(4)]
    Expired,
    /// [`crate::limits::MISMATCHES_MAX`] wrong codes or [`crate::limits::ATTEMPTS_MAX`] attempts.
    #[n(5)]
    Exhausted,
}

/// Starts an attempt. The claimer draws both values, so that asking again after a lost answer is
/// harmless.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StartAttempt {
    /// Id of the attempt, drawn by the claimer.
    #[n(0)]
    pub attempt: AttemptId,
    /// SHA-256 of the 32-byte secret that later requests show in [`HEADER_ATTEMPT_SECRET`].
    #[n(1)]
    pub secret_hash: Hash,
}

/// One invitation, as members may see it. Each change is pushed, whole, to the event streams.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InvitationView {
    /// The invitation's token, which names it.
    #[n(0)]
    pub token: Token,
    /// The person or member who is invited.
    #[n(1)]
    pub invited: Invited,
    /// User id of the inviter.
    #[n(2)]
    pub created_by: UserId,
    /// When the invitation was made, by the server's clock.
    #[n(3)]
    pub created: Timestamp,
    /// When the invitation ends, by the server's clock.
    #[n(4)]
    pub expires: Timestamp,
    /// What state it is in.
    #[n(5)]
    pub status: InvitationStatus,
    /// Wrong codes so far.
    #[n(6)]
    pub mismatches: u32,
    /// Attempts so far, this one included.
    #[n(7)]
    pub attempts: u32,
    /// The newest attempt, if there was one.
    #[n(8)]
    pub attempt: Option<AttemptView>,
}

/// A page of the organisation's invitations a member may see: all for an administrator, their own
/// devices' for others.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InvitationList {
    /// Newest first, at most [`crate::limits::INVITATION_PAGE_MAX`].
    #[n(0)]
    pub invitations: Vec<InvitationView>,
    /// What to ask for the next page with, where there is one.
    #[n(1)]
    pub next: Option<u64>,
}

/// Name of the events of an attempt's stream: an [`AttemptView`].
pub const EVENT_STATE: &str = "state";
/// Name of the event that tells how long the log is: a [`LogLength`]. The first of a device's
/// stream.
pub const EVENT_LOG: &str = "log";
/// Name of the event that tells the state of a followed invitation: an [`InvitationView`].
pub const EVENT_INVITATION: &str = "invitation";
/// Name of the event for a followed invitation that the member does not see (any more): an
/// [`InvitationGone`].
pub const EVENT_GONE: &str = "gone";

/// Name of the event that tells of a new version of the member's manifest: a [`ManifestHint`].
pub const EVENT_MANIFEST: &str = "manifest";

/// Which version of the member's manifest the server has: a hint to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ManifestHint {
    /// Number of the version.
    #[n(0)]
    pub version: u64,
}

/// Opens the event stream of a device (docs/protocol.md, *Event streams*).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Follow {
    /// Tokens of the invitations to be told of, at most [`crate::limits::FOLLOWED_MAX`].
    #[n(0)]
    pub tokens: Vec<Token>,
}

/// How long the log is: a hint to read it. It says nothing about what the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct LogLength {
    /// Number of certificates, from 0.
    #[n(0)]
    pub count: u64,
}

/// An invitation that the asking member does not see: as `invitation_unknown` would be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct InvitationGone {
    /// Token of the invitation that was to be followed.
    #[n(0)]
    pub token: Token,
}

/// Makes an invitation. The token is drawn by the device; asking again with the same bytes is
/// harmless.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewInvitation {
    /// The invitation's token: 16 random bytes.
    #[n(0)]
    pub token: Token,
    /// The person or member who is invited.
    #[n(1)]
    pub invited: Invited,
    /// End of it; at most [`crate::limits::INVITATION_DAYS_MAX`] days ahead.
    #[n(2)]
    pub expires: Timestamp,
    /// The link to mail to the invited person. Never stored, never logged. Absent: no mail is sent.
    #[n(3)]
    pub mail_link: Option<String>,
}

impl fmt::Debug for NewInvitation {
    /// Without the link, in which the link secret is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, invited, expires, mail_link } = self;
        let mail_link = mail_link.as_ref().map(|_| "..");
        write!(f, "NewInvitation({token:?}, {invited:?}, {expires:?}, mail_link: {mail_link:?})")
    }
}

/// What became of the mail. A mail that failed doesn't fail the invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum MailOutcome {
    /// None was asked for.
    #[n(0)]
    NotAsked,
    /// The mail server took it.
    #[n(1)]
    Sent,
    /// Written to the mail directory.
    #[n(2)]
    Written,
    /// The mail server does not take it, and it is not tried again.
    #[n(3)]
    Failed,
    /// This server sends no mail.
    #[n(4)]
    NotConfigured,
    /// The mail server does not take mail for this address.
    #[n(5)]
    AddressRefused,
    /// The mail server did not take it, and it is tried again for a while.
    #[n(6)]
    Waiting,
}

/// An invitation was made, or already was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct InvitationMade {
    /// What became of the mail.
    #[n(0)]
    pub mail: MailOutcome,
}

/// Body of the call that ends an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct CancelAttempt {
    /// Why the attempt ends.
    #[n(0)]
    pub reason: EndReason,
}

/// A page of the log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LogPage {
    /// How many certificates the log has now.
    #[n(0)]
    pub count: u64,
    /// Envelopes from the asked position on, at most [`crate::limits::LOG_PAGE_MAX_CERTIFICATES`].
    #[n(1)]
    pub certificates: Vec<ByteVec>,
}

/// Ends an attempt well: certificates, receipt and the invitation's completion, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Completion {
    /// One envelope (a device) or two (a user, then its device).
    #[n(0)]
    pub certificates: Vec<ByteVec>,
    /// The claimer's receipt: message 8.
    #[n(1)]
    pub receipt: ClaimReceipt,
    /// The keys that the certificates name, in that order.
    #[n(2)]
    pub keys: Vec<EncryptionKey>,
}

/// The certificates are in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Completed {
    /// Position of the first of them.
    #[n(0)]
    pub position: u64,
}

/// The caller's own manifest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestView {
    /// The newest one's version; 0 while there is none.
    #[n(0)]
    pub version: u64,
    /// The newest one's envelope.
    #[n(1)]
    pub envelope: Option<ByteVec>,
}

/// Replaces the caller's manifest. Idempotent for equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestUpload {
    /// One more than the newest version.
    #[n(0)]
    pub version: u64,
    /// Opaque; at most [`crate::limits::MANIFEST_MAX_BYTES`].
    #[n(1)]
    pub envelope: ByteVec,
}
