//! What goes into the two machines and what comes out: the whole contract between them and their
//! driver.
//!
//! A driver carries out outputs in order and stops at the first that fails. `Persist` and `Keep`
//! are durable before the next output is touched; that order is what makes a crash at any moment
//! harmless.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::sas::SasCode;
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{ManifestMark, Profile};
use crate::chain::organisation::log::VerifiedLog;
use crate::claim_receipt::ClaimReceipt;
use crate::evidence::receipt::SignedStatement;
use crate::ids::{DeviceId, Email, Invited, Label, OrganisationId, Timestamp, Token, UserId};
use crate::keys::{DeviceSeed, DeviceSigningKey, LocalStoreKey, UserSeed};
use crate::name_keys::DirectoryKeys;
use crate::public_keys::{Hash, PeerKey, VerifyKey};
use crate::sealing::EncryptionKey;
use crate::shares::Share;

/// The transport an attempt runs on. Bound by the prologue, so that nobody can move a ceremony
/// unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// The metadata server's relay.
    Relay,
    /// A direct libp2p stream.
    PeerToPeer {
        /// Public key of the greeter's node.
        peer: PeerKey,
    },
}

/// What both sides must agree on before the first message (the prologue).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prologue {
    /// The organisation that is joined.
    pub organisation: OrganisationId,
    /// Token of the invitation.
    pub token: Token,
    /// The person or member who was invited.
    pub invited: Invited,
    /// User id of the greeter.
    pub greeter_user: UserId,
    /// Device id of the greeter.
    pub greeter_device: DeviceId,
    /// The transport, with the greeter's end of it.
    pub transport: TransportKind,
}

/// A person's answer to "which code did you hear?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeAnswer {
    /// Picked among those proposed.
    Picked(SasCode),
    /// The code as it was heard and typed.
    Typed(SasCode),
    /// None of those proposed.
    NoneFits,
}

/// What a machine asks when it wants a code: four proposals in random order, or typing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeQuestion {
    /// Pick one, type one, or say that none fits.
    PickOrType([SasCode; 4]),
    /// The organisation requires typing.
    TypeOnly,
}

/// A person's or driver's input that doesn't fit now. Nothing has changed; the caller may try
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The machine awaits something else.
    #[error("not at this step")]
    NotNow,
    /// Picked a code that was not proposed.
    #[error("not one of the proposed codes")]
    NotProposed,
    /// Picked where the organisation requires typing.
    #[error("the code must be typed")]
    TypingRequired,
    /// Typed the code that this side reads out itself.
    #[error("that is this side's own code")]
    OwnCode,
    /// The greeter has not heard the claimer say that the code was found.
    #[error("the claimer's spoken confirmation is missing")]
    NotConfirmed,
    /// A name is needed for a new user, and must be absent for a new device.
    #[error("a name is given for a new user, and for nobody else")]
    WrongIdentity,
    /// The greeter's view of the log doesn't let it certify this (unknown to the log, wrong
    /// profile, address taken).
    #[error("the greeter may not certify this")]
    MayNotCertify,
    /// A device of the greeter's user was revoked since the user's key was certified: who has that
    /// device has the key, and a new device must not be given it.
    #[error("the user's key must be changed first")]
    KeyChangeDue,
    /// The greeter has no share of this kit that may be given now.
    #[error("there is no share of this kit to give")]
    NoShare,
    /// The random source failed.
    #[error("the system's random source failed")]
    NoEntropy,
}

/// Why a machine is over. Final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The person here chose a wrong code or none.
    #[error("the code chosen here is not the one that belongs to this channel")]
    CodeMismatch,
    /// The person here cancelled.
    #[error("cancelled here")]
    Cancelled,
    /// No message for [`crate::limits::MESSAGE_WAIT_SECONDS`].
    #[error("no message for too long")]
    TimedOut,
    /// The first encrypted message does not open: another link secret, or another idea of the
    /// prologue.
    #[error("the two sides do not share link and prologue")]
    WrongLink,
    /// A message is not what it must be at this step: length, encoding, authentication.
    #[error("message {step} fails verification")]
    BadMessage {
        /// Number of the message that was bad.
        step: u8,
    },
    /// A low-order or non-canonical X25519 key, or an all-zero result.
    #[error("the other side's key is not acceptable")]
    BadKey,
    /// The claimer's nonce does not open its commitment.
    #[error("the commitment does not open")]
    CommitmentBroken,
    /// The root key handed over is not the one the codes covered.
    #[error("the root key is not the one the codes covered")]
    RootMismatch,
    /// The log or the new certificates don't verify up to the root key.
    #[error("the certificates do not verify up to the root key")]
    ChainInvalid,
    /// All that the greeter gave is right but the share, which is not the one that the plan of the
    /// kit names for this member.
    #[error("the share is not the one that this member was given")]
    FalseShare(UserId),
    /// The receipt is not the new device's, or not over these certificates.
    #[error("the receipt does not verify")]
    BadReceipt,
}

/// What happened, for the claimer.
#[derive(Debug)]
pub enum ClaimerInput {
    /// The other side deposited this step: 1, 3, 5 or 7. A step that was already taken is passed
    /// over silently.
    Message {
        /// Number of the step, 0 to 8.
        step: u8,
        /// Its bytes as received.
        bytes: Vec<u8>,
    },
    /// The person's answer to [`ClaimerOutput::AskCode`].
    Code(CodeAnswer),
    /// The person's answer to [`ClaimerOutput::AskIdentity`].
    Identity {
        /// The person's name; for a new user only.
        name: Option<Label>,
        /// What the device is called.
        device_label: Label,
    },
    /// The answer to [`ClaimerOutput::NeedLog`]: exactly that many envelopes from position 0.
    Log(Vec<Vec<u8>>),
    /// [`ClaimerOutput::Keep`] or [`ClaimerOutput::KeepShare`] has been carried out: password set,
    /// keys durable.
    Saved,
    /// Time passed; deadlines may have.
    Tick,
    /// The person ends the attempt.
    Cancel,
}

/// What the claimer's driver is to do.
#[derive(Debug)]
pub enum ClaimerOutput {
    /// Deposit this step: 0, 2, 4, 6 or 8.
    Send {
        /// Number of the step, 0 to 8.
        step: u8,
        /// The message, to be carried unchanged.
        bytes: Vec<u8>,
    },
    /// Show the code the person reads out.
    Show(SasCode),
    /// Ask which code was heard.
    AskCode(CodeQuestion),
    /// Tell the person to say that the code was found; ask who they are.
    AskIdentity,
    /// Fetch the first `count` envelopes of the log and give them as [`ClaimerInput::Log`].
    NeedLog {
        /// Number of certificates to fetch.
        count: u64,
    },
    /// Everything is verified. Ask for a password, make the keys durable, then give
    /// [`ClaimerInput::Saved`].
    Keep(Box<NewDevice>),
    /// A share is verified. Make it durable, then give [`ClaimerInput::Saved`].
    KeepShare(Box<ReceivedShare>),
    /// Call again with [`ClaimerInput::Tick`] at this time if nothing else happened.
    WakeAt(Timestamp),
    /// Message 8 was handed out; the ceremony is over for the claimer.
    Done,
    /// Over. Tell the other side and the person.
    Closed(Closed),
}

/// What happened, for the greeter.
#[derive(Debug)]
pub enum GreeterInput<'a> {
    /// The other side deposited this step: 0, 2, 4, 6 or 8. A step that was already taken is passed
    /// over silently.
    Message {
        /// Number of the step, 0 to 8.
        step: u8,
        /// Its bytes as received.
        bytes: Vec<u8>,
    },
    /// The person's answer to [`GreeterOutput::AskCode`].
    Code(CodeAnswer),
    /// The person's answer to [`GreeterOutput::AskApproval`].
    Approve(Approval<'a>),
    /// Time passed; deadlines may have.
    Tick,
    /// The person ends the attempt.
    Cancel,
}

/// What the greeter vouches with, and for whom.
#[derive(Debug)]
pub struct Approval<'a> {
    /// The greeter heard the claimer say that the code was found. Without it nothing is signed.
    pub claimer_confirmed: bool,
    /// Replaces the claimed name.
    pub name: Option<Label>,
    /// Replaces the claimed label.
    pub device_label: Option<Label>,
    /// What the new user may do. Ignored for a new device, which shares its user's profile.
    pub profile: Profile,
    /// Key that signs the certificates.
    pub signing_key: &'a DeviceSigningKey,
    /// The newest seals the names; all are handed over.
    pub directory_keys: &'a DirectoryKeys,
    /// The greeter's own user seed: handed over to a new device, not touched for a new user.
    pub user_seed: &'a UserSeed,
    /// Newest version of the user's manifest that the greeter has verified, for another device of
    /// theirs.
    pub manifest: Option<ManifestMark>,
    /// The greeter's verified view of the log: `seen` of the certificates.
    pub log: &'a VerifiedLog,
    /// Attempts of the invitation that the greeter's device took part in, this one included: for
    /// the receipt alone.
    pub attempts: u64,
    /// The greeter's own share of the kit that is asked for; for nothing else.
    pub share: Option<&'a HeldShare>,
}

/// A share as its member holds it, with the plan that names it.
#[derive(Debug)]
pub struct HeldShare {
    /// The plan's envelope, as its kit signed it.
    pub plan: Vec<u8>,
    /// The share of the plan's member.
    pub share: Share,
}

/// What the claimer says in message 6. Hearsay until approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The person's name; for a new user only.
    pub name: Option<Label>,
    /// What the device is called.
    pub device_label: Label,
    /// What is sealed to the user with; for a new user only. Message 8 proves possession.
    pub encryption_key: Option<EncryptionKey>,
    /// The device's public key. Possession has been proved.
    pub verify_key: VerifyKey,
    /// What is sealed to the device with. Message 8 proves possession.
    pub device_key: EncryptionKey,
}

/// What the greeter's driver is to do.
#[derive(Debug)]
pub enum GreeterOutput {
    /// Deposit this step: 1, 3, 5 or 7.
    Send {
        /// Number of the step, 0 to 8.
        step: u8,
        /// The message, to be carried unchanged.
        bytes: Vec<u8>,
    },
    /// Ask which code was heard.
    AskCode(CodeQuestion),
    /// Show the code the person reads out.
    Show(SasCode),
    /// Show what the claimer says and ask the person to vouch.
    AskApproval(Claim),
    /// Make this durable before message 7 goes out: from it alone the enrolment can be finished.
    Persist(Box<SealedEnrolment>),
    /// Hand certificates and receipt to the server, in one request.
    Publish(Box<Publication>),
    /// The claimer holds the share, says its receipt: complete the attempt with it.
    Given(Box<ClaimReceipt>),
    /// Call again with [`GreeterInput::Tick`] at this time if nothing else happened.
    WakeAt(Timestamp),
    /// Over. Tell the other side and the person.
    Closed(Closed),
}

/// A share as the claimer got it, verified up to the root key. Holds a secret.
#[derive(Debug)]
pub struct ReceivedShare {
    /// The organisation that the kit is of.
    pub organisation: OrganisationId,
    /// User id of whom the kit brings back.
    pub user: UserId,
    /// E-mail of that user, as certified.
    pub email: Email,
    /// Device id of the kit.
    pub kit: DeviceId,
    /// The root key that this ceremony gave.
    pub root: VerifyKey,
    /// The log's head when the greeter gave the share.
    pub seen: Head,
    /// User id of the member who gave it.
    pub giver: UserId,
    /// The plan's envelope, verified.
    pub plan: Vec<u8>,
    /// How many shares the plan needs.
    pub threshold: u8,
    /// The share, as the plan names it.
    pub share: Share,
    /// What the claimer calls the device.
    pub device_label: Label,
}

/// A claimer's keys and everything else its key file and store need. Holds secrets.
#[derive(Debug)]
pub struct NewDevice {
    /// The organisation that was joined.
    pub organisation: OrganisationId,
    /// User id of the newcomer.
    pub user: UserId,
    /// Id of the new device.
    pub device: DeviceId,
    /// The e-mail address that was certified.
    pub email: Email,
    /// The person's name, as certified.
    pub name: Label,
    /// The device's label, as certified.
    pub device_label: Label,
    /// What the user may do.
    pub profile: Profile,
    /// The pinned root key.
    pub root: VerifyKey,
    /// Whether this organisation requires codes to be typed.
    pub typed_codes: bool,
    /// Opens what is sealed to the user.
    pub user_seed: UserSeed,
    /// Opens what is sealed to this device.
    pub device_seed: DeviceSeed,
    /// Newest version of the user's manifest that the greeter had verified: older ones are not
    /// taken.
    pub manifest: Option<ManifestMark>,
    /// This device's signing key.
    pub signing_key: DeviceSigningKey,
    /// This device's store key.
    pub store_key: LocalStoreKey,
    /// Opens the members' names.
    pub directory_keys: DirectoryKeys,
    /// The log's head when the greeter signed.
    pub seen: Head,
    /// The log's envelopes up to `seen`, verified.
    pub log: Vec<Vec<u8>>,
    /// The certificates of this enrolment; not in the log yet.
    pub certificates: Vec<Vec<u8>>,
    /// Message 8, to be deposited once the keys are durable, also after a restart.
    pub receipt: ClaimReceipt,
    /// Whether the user is new, so that this device is to make the first manifest.
    pub first_device: bool,
}

/// What the greeter signed, kept in its outbox until it is published or void. Its form on disk is
/// this struct's encoding.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SealedEnrolment {
    /// The new or extended user.
    #[n(0)]
    pub user: UserId,
    /// Id of the new device.
    #[n(1)]
    pub device: DeviceId,
    /// Its key: what message 8 must verify under.
    #[n(2)]
    pub verify_key: VerifyKey,
    /// The ceremony's handshake hash.
    #[n(3)]
    pub handshake: Hash,
    /// The root key handed over.
    #[n(4)]
    pub root: VerifyKey,
    /// The certificates' envelopes, in the log's order.
    #[n(5)]
    pub certificates: Vec<ByteVec>,
    /// How the ceremony went, for the receipt file.
    #[n(6)]
    pub statement: SignedStatement,
    /// The keys that the certificates name, in that order.
    #[n(7)]
    pub keys: Vec<EncryptionKey>,
    /// What message 8 must show: that the boxes of message 7 were opened.
    #[n(8)]
    pub opened: Hash,
}

/// What goes to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The certificates' envelopes, in the log's order.
    pub certificates: Vec<Vec<u8>>,
    /// The claimer's receipt, message 8, verified.
    pub receipt: ClaimReceipt,
    /// The keys that the certificates name, in that order.
    pub keys: Vec<EncryptionKey>,
}
