//! What the server checks of certificates before they enter a log (docs/protocol.md, *The log*, *Completing*), without any I/O.
//!
//! Decides whether a founding or an enrolment fits the log as the server knows it. Nobody believes the server; this keeps an honest
//! server's log free of what every member would refuse, so that one bad member can't make the log unreadable for all.

pub(crate) mod changes;
pub(crate) mod repair;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::certificate::{
    Author, Body, Envelope, Head, Payload, Profile, SEALED_NAME_BYTES,
};
use parsec_protocol::ids::{DeviceId, Email, Invited, OrganisationId, UserId};
use parsec_protocol::limits::{DEVICES_PER_USER_MAX, LOG_MAX_CERTIFICATES};
use parsec_protocol::public::{EncryptionKey, Hash, VerifyKey};
use parsec_protocol::receipt::Receipt;
use parsec_protocol::relay::{Completion, ErrorCode};

/// Why certificates are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogFault {
    #[error("a certificate can't be read, or is of another organisation")]
    Unreadable,
    #[error("the certificates are not the kinds this call takes")]
    WrongKinds,
    #[error("the author is not the signing device, or not the root")]
    WrongAuthor,
    #[error("the author is unknown or revoked at this place")]
    AuthorGone,
    #[error("a signature does not verify")]
    BadSignature,
    #[error("the author saw another log")]
    OtherLog,
    #[error("the author may not certify this")]
    NotAllowed,
    #[error("it is not what the invitation says")]
    NotInvited,
    #[error("the e-mail belongs to a member")]
    EmailTaken,
    #[error("an id or key was used before")]
    Taken,
    #[error("a key or a sealed name is not well formed")]
    Malformed,
    #[error("the user is not a member, or has all the devices one may have")]
    BadOwner,
    #[error("the receipt does not fit")]
    BadReceipt,
    #[error("only an administrator may say this")]
    NotAdministrator,
    #[error("its author has seen more, or has a later time, in its previous certificate")]
    WentBack,
    #[error(
        "it is about somebody unknown, revoked, or whom the author may not say this about, or it changes nothing"
    )]
    BadSubject,
    #[error("its author had not seen the user's present profile")]
    StaleProfile,
    #[error("the log is full")]
    Full,
}

impl From<LogFault> for ErrorCode {
    fn from(fault: LogFault) -> Self {
        match fault {
            LogFault::Unreadable
            | LogFault::WrongKinds
            | LogFault::WrongAuthor
            | LogFault::AuthorGone
            | LogFault::BadSignature
            | LogFault::OtherLog
            | LogFault::NotAllowed
            | LogFault::NotInvited
            | LogFault::Taken
            | LogFault::Malformed
            | LogFault::BadOwner
            | LogFault::BadReceipt
            | LogFault::WentBack
            | LogFault::BadSubject
            | LogFault::StaleProfile => Self::CertificateRefused,
            LogFault::NotAdministrator => Self::NotAllowed,
            LogFault::EmailTaken => Self::AlreadyMember,
            LogFault::Full => Self::QuotaReached,
        }
    }
}

/// A new person, as certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewUser {
    pub(crate) user: UserId,
    pub(crate) email: Email,
    pub(crate) encryption_key: EncryptionKey,
    pub(crate) profile: Profile,
}

/// A new terminal, as certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewDevice {
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
    pub(crate) verify_key: VerifyKey,
}

/// One certificate that was read but not believed yet.
#[derive(Debug)]
struct Statement {
    bytes: Vec<u8>,
    envelope: Envelope,
    payload: Payload,
}

/// Reads one envelope of this organisation.
fn statement(organisation: &OrganisationId, bytes: &[u8]) -> Result<Statement, LogFault> {
    let envelope = Envelope::decode(bytes).map_err(|_| LogFault::Unreadable)?;
    let payload = envelope.payload().map_err(|_| LogFault::Unreadable)?;
    let ours = payload.organisation == *organisation;
    let statement = Statement { bytes: bytes.to_vec(), envelope, payload };
    if ours { Ok(statement) } else { Err(LogFault::Unreadable) }
}

/// What the certificates of a founding or an enrolment say. Nothing of it counts before `check_*`.
#[derive(Debug)]
pub(crate) struct Proposal {
    statements: Vec<Statement>,
    pub(crate) user: Option<NewUser>,
    pub(crate) device: NewDevice,
}

impl Proposal {
    /// The envelopes in order.
    pub(crate) fn envelopes(&self) -> impl Iterator<Item = &[u8]> {
        self.statements.iter().map(|statement| statement.bytes.as_slice())
    }

    /// The counts of the log at which the authors say they saw it.
    pub(crate) fn seen_counts(&self) -> impl Iterator<Item = u64> {
        self.statements.iter().map(|statement| statement.payload.seen.count)
    }
}

/// What the log says about the ids and keys of a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) user_id_taken: bool,
    pub(crate) email_taken: bool,
    pub(crate) encryption_key_taken: bool,
    pub(crate) device_id_taken: bool,
    pub(crate) verify_key_taken: bool,
    /// The owner is a member already: whether revoked, and how many devices they ever had.
    pub(crate) owner: Option<Owner>,
}

/// The user a new device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) revoked: bool,
    pub(crate) devices: usize,
}

/// Who certifies, by the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Certifier {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) profile: Profile,
    pub(crate) verify_key: VerifyKey,
}

/// Reads one or two envelopes: a device, or a user and then its device.
pub(crate) fn read(organisation: &OrganisationId, envelopes: &[ByteVec]) -> Result<Proposal, LogFault> {
    let statements: Vec<Statement> =
        envelopes.iter().take(3).map(|bytes| statement(organisation, bytes)).collect::<Result<_, _>>()?;
    let (user, device) = match statements.as_slice() {
        [device] => (None, device_of(device)?),
        [user, device] => (Some(user_of(user)?), device_of(device)?),
        _ => return Err(LogFault::WrongKinds),
    };
    if user.as_ref().is_some_and(|user| user.user != device.user) {
        return Err(LogFault::WrongKinds);
    }
    Ok(Proposal { statements, user, device })
}

fn user_of(statement: &Statement) -> Result<NewUser, LogFault> {
    match &statement.payload.body {
        Body::User { user, email, sealed_name, encryption_key, profile } => {
            if sealed_name.len() != SEALED_NAME_BYTES || !encryption_key.is_sound() {
                return Err(LogFault::Malformed);
            }
            Ok(NewUser {
                user: *user,
                email: email.clone(),
                encryption_key: *encryption_key,
                profile: *profile,
            })
        }
        Body::Device { .. }
        | Body::ProfileChange { .. }
        | Body::UserRevoked { .. }
        | Body::DeviceRevoked { .. } => Err(LogFault::WrongKinds),
    }
}

fn device_of(statement: &Statement) -> Result<NewDevice, LogFault> {
    match &statement.payload.body {
        Body::Device { device, user, sealed_label, verify_key } => {
            if sealed_label.len() != SEALED_NAME_BYTES || !verify_key.is_sound() {
                return Err(LogFault::Malformed);
            }
            Ok(NewDevice { device: *device, user: *user, verify_key: *verify_key })
        }
        Body::User { .. }
        | Body::ProfileChange { .. }
        | Body::UserRevoked { .. }
        | Body::DeviceRevoked { .. } => Err(LogFault::WrongKinds),
    }
}

/// Author, signature and view of the log of every statement. `heads` are the log's heads, the present one among them, at the counts
/// the statements name. Returns the heads after each statement.
fn check_statements(
    statements: &[Statement],
    author: Author,
    key: &VerifyKey,
    present: Head,
    heads: &[Head],
) -> Result<Vec<Head>, LogFault> {
    let mut known = heads.to_vec();
    let mut head = present;
    let mut after = Vec::new();
    for statement in statements {
        if statement.payload.author != author {
            return Err(LogFault::WrongAuthor);
        }
        statement.envelope.verify(key).map_err(|_| LogFault::BadSignature)?;
        let seen = statement.payload.seen;
        if seen.count > head.count || (seen != head && !known.contains(&seen)) {
            return Err(LogFault::OtherLog);
        }
        if head.count >= LOG_MAX_CERTIFICATES {
            return Err(LogFault::Full);
        }
        known.push(head);
        head = head.after(&statement.bytes);
        after.push(head);
    }
    Ok(after)
}

/// Checks a founding: both certificates by the root key, an administrator and their terminal, over an empty log.
pub(crate) fn check_founding(
    organisation: &OrganisationId,
    proposal: &Proposal,
    root: &VerifyKey,
) -> Result<Vec<Head>, LogFault> {
    if !root.is_sound() {
        return Err(LogFault::Malformed);
    }
    if proposal.user.as_ref().map(|user| user.profile) != Some(Profile::Administrator) {
        return Err(LogFault::WrongKinds);
    }
    if proposal.device.verify_key == *root {
        return Err(LogFault::Taken);
    }
    check_statements(&proposal.statements, Author::Root, root, Head::empty(organisation, root), &[])
}

/// The log around an enrolment.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) root: VerifyKey,
    /// Where the log ends.
    pub(crate) present: Head,
    /// The heads at [`Proposal::seen_counts`], as far as the log has them.
    pub(crate) heads: &'a [Head],
    pub(crate) known: &'a Known,
}

/// Checks an enrolment by `certifier` under an invitation, with the claimer's receipt.
pub(crate) fn check_enrolment(
    proposal: &Proposal,
    invited: &Invited,
    certifier: &Certifier,
    receipt: &Receipt,
    log: &Surroundings<'_>,
) -> Result<Vec<Head>, LogFault> {
    let author = Author::Device(certifier.device);
    let after =
        check_statements(&proposal.statements, author, &certifier.verify_key, log.present, log.heads)?;
    check_invited(proposal, invited)?;
    check_newcomer(proposal, certifier, log)?;

    let hashes: Vec<Hash> = proposal.envelopes().map(|envelope| Hash::of(&[envelope])).collect();
    if receipt.certificates != hashes
        || receipt.root != log.root
        || receipt.verify(&proposal.device.verify_key).is_err()
    {
        return Err(LogFault::BadReceipt);
    }
    Ok(after)
}

/// Whether it is what the invitation was for.
fn check_invited(proposal: &Proposal, invited: &Invited) -> Result<(), LogFault> {
    let meant = match (invited, &proposal.user) {
        (Invited::User(email), Some(user)) => user.email == *email,
        (Invited::Device(user), None) => proposal.device.user == *user,
        (Invited::User(_), None) | (Invited::Device(_), Some(_)) => false,
    };
    if meant { Ok(()) } else { Err(LogFault::NotInvited) }
}

/// Whether `certifier` may let them in, and nothing of theirs is taken.
fn check_newcomer(
    proposal: &Proposal,
    certifier: &Certifier,
    log: &Surroundings<'_>,
) -> Result<(), LogFault> {
    let known = log.known;
    match &proposal.user {
        Some(_) => {
            match certifier.profile {
                Profile::Administrator => {}
                Profile::Standard | Profile::Outsider => return Err(LogFault::NotAllowed),
            }
            if known.email_taken {
                return Err(LogFault::EmailTaken);
            }
            if known.user_id_taken || known.encryption_key_taken {
                return Err(LogFault::Taken);
            }
        }
        None => {
            if certifier.user != proposal.device.user {
                return Err(LogFault::NotAllowed);
            }
            match known.owner {
                Some(owner) if !owner.revoked && owner.devices < DEVICES_PER_USER_MAX => {}
                Some(_) | None => return Err(LogFault::BadOwner),
            }
        }
    }
    if known.device_id_taken || known.verify_key_taken || proposal.device.verify_key == log.root {
        return Err(LogFault::Taken);
    }
    Ok(())
}

/// Names a completion, to answer the same one again.
pub(crate) fn fingerprint(completion: &Completion) -> Hash {
    Hash::of(&[&parsec_protocol::codec::encode(completion)])
}

#[cfg(test)]
mod agreement;
