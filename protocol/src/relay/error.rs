//! Why the metadata server refused: one table of codes, HTTP statuses and stable names
//! (docs/protocol.md, *Errors*).
//!
//! Decides the whole vocabulary. A reader treats an unknown code as `internal`.

use minicbor::{Decode, Encode};

use crate::ids::Timestamp;

/// Body of every answer that is not 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ErrorBody {
    /// Number of the error, from the table.
    #[n(0)]
    pub code: ErrorCode,
    /// The server's clock, so that a wrong one on either side can be named.
    #[n(1)]
    pub server_time: Timestamp,
    /// Seconds after which to try again; 0 where trying again won't help.
    #[n(2)]
    pub retry_after: u32,
}

/// Defines the error codes: CBOR number, HTTP status, stable name.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $text:literal;)+) => {
        /// Why the server refused. The name is stable; docs/protocol.md lists all with their
        /// meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
        #[cbor(index_only)]
        pub enum ErrorCode { $($(#[$doc])* #[n($number)] $name,)+ }

        impl ErrorCode {
            /// All of them, for tests and tables.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// The HTTP status it travels under.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }
            /// Stable name of the error, such as `rate_limited`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

error_codes! {
    /// The body, a header or the path is not what the call takes.
    BadRequest = 0, 400, "bad_request";
    /// The body is larger than the call takes.
    TooLarge = 1, 413, "too_large";
    /// The server has no such call.
    UnknownCall = 2, 404, "unknown_call";
    /// No such organisation, or it isn't founded yet.
    OrganisationUnknown = 3, 404, "organisation_unknown";
    /// The organisation has been founded already, with another root key.
    OrganisationExists = 4, 409, "organisation_exists";
    /// The bootstrap token is not this organisation's.
    BootstrapRefused = 5, 403, "bootstrap_refused";
    /// Unknown device, or a signature that doesn't verify.
    NotAuthenticated = 6, 401, "not_authenticated";
    /// The request's time is too far from the server's.
    ClockSkew = 7, 401, "clock_skew";
    /// This nonce was used before: a replay.
    Replayed = 8, 401, "replayed";
    /// The device or its user has been revoked.
    Revoked = 9, 403, "revoked";
    /// The member may not do this.
    NotAllowed = 10, 403, "not_allowed";
    /// No invitation has this token, or it has been over for so long that it has gone.
    InvitationUnknown = 11, 404, "invitation_unknown";
    /// Somebody else is using it.
    InvitationInUse = 12, 409, "invitation_in_use";
    /// A member cancelled it.
    InvitationCancelled = 13, 410, "invitation_cancelled";
    /// Its time is over.
    InvitationExpired = 14, 410, "invitation_expired";
    /// Too many wrong codes or attempts.
    InvitationExhausted = 15, 410, "invitation_exhausted";
    /// The enrolment is done.
    InvitationCompleted = 16, 410, "invitation_completed";
    /// The token is taken by an invitation that differs.
    InvitationConflict = 17, 409, "invitation_conflict";
    /// The e-mail belongs to a member already.
    AlreadyMember = 18, 409, "already_member";
    /// No such attempt, or its secret is another.
    AttemptUnknown = 19, 404, "attempt_unknown";
    /// The attempt is over.
    AttemptEnded = 20, 410, "attempt_ended";
    /// Another member's device greets in this attempt.
    GreeterTaken = 21, 409, "greeter_taken";
    /// The step is not there yet.
    NotYet = 22, 404, "not_yet";
    /// Other bytes were deposited for this step.
    StepConflict = 23, 409, "step_conflict";
    /// Not this side's step, or out of order.
    StepRefused = 24, 409, "step_refused";
    /// The claimer holds its keys: the attempt can only be completed now.
    AttemptSealed = 25, 409, "attempt_sealed";
    /// The certificates or the receipt do not check, or don't fit the invitation.
    CertificateRefused = 26, 422, "certificate_refused";
    /// The manifest's version is not the next one.
    ManifestConflict = 27, 409, "manifest_conflict";
    /// Too many requests in a while.
    RateLimited = 28, 429, "rate_limited";
    /// The organisation's log, or the server's disk, is full.
    QuotaReached = 29, 507, "quota_reached";
    /// The server failed; nothing was changed.
    Internal = 30, 500, "internal";
    /// The server is stopping or overloaded.
    Unavailable = 31, 503, "unavailable";
    /// The server's log does not pass through this head, or has another certificate at one of these
    /// positions.
    LogConflict = 32, 409, "log_conflict";
    /// After a restore the server takes repairs of its logs alone, until its operator says
    /// otherwise.
    LogHeld = 33, 503, "log_held";
    /// The member who made the invitation, or would make it, has taken up what one member may.
    MemberBudgetSpent = 34, 507, "member_budget_spent";
    /// The organisation's administrators together, or all its other members, have taken up what
    /// they may.
    OrganisationBudgetSpent = 35, 507, "organisation_budget_spent";
    /// What is read does not reach as far here as its reader says to have seen it.
    Behind = 36, 409, "behind";
    /// No key of this hash is here, or the log names none.
    KeyUnknown = 37, 404, "key_unknown";
    /// The key boxes are not one for each device of the user that is not revoked.
    BoxesRefused = 38, 422, "boxes_refused";
    /// Another key box is there than the one that the call names.
    BoxConflict = 39, 409, "box_conflict";
    /// No key box is there for this key and device.
    BoxUnknown = 40, 404, "box_unknown";
    /// No such safe, or none of the caller's.
    SafeUnknown = 41, 404, "safe_unknown";
    /// The safe has gone on: the certificate does not stand next.
    SafeConflict = 42, 409, "safe_conflict";
    /// The safe's key is due: somebody who has it may not have it any more.
    RekeyNeeded = 43, 409, "rekey_needed";
    /// The safe is read-only or deleted.
    SafeNotOpen = 44, 409, "safe_not_open";
    /// The record adds objects that are not here.
    ObjectMissing = 45, 409, "object_missing";
    /// Another object has this id.
    ObjectConflict = 46, 409, "object_conflict";
    /// No such ring or part is here.
    RingMissing = 47, 404, "ring_missing";
    /// The ring does not fit its certificate.
    RingRefused = 48, 422, "ring_refused";
    /// The record breaks a rule of its safe.
    RecordRefused = 49, 422, "record_refused";
}
