//! What this server asks of certificates beside the rules of the log (docs/protocol.md,
//! *Completing*, *Repair*).
//!
//! Decides which kinds a call takes, whether an enrolment is what its invitation and receipt say,
//! and which code a refusal gets. Whether a certificate may stand in the log, the protocol's rules
//! decide, which are every member's, over this server's tables ([`OpenLog`]). Reads certificates
//! and checks signatures ahead, outside of any transaction; nothing of that counts before the rules
//! have looked again.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::organisation::Organisation;
use parsec_protocol::chain::organisation::certificate::{Author, Body};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::chain::view::NotAccepted;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{DeviceId, Email, Invited, UserId};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::{Completion, ErrorCode};

use crate::errors::Refusal;
use crate::store::Tx;
use crate::store::log::{Appended, NotAppended, OpenLog};

/// Why certificates are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IntakeFault {
    #[error("{0}")]
    Log(#[from] Fault),
    #[error("the certificates are not the kinds this call takes")]
    WrongKinds,
    #[error("the author is not the signing device")]
    WrongAuthor,
    #[error("it is not what the invitation says")]
    NotInvited,
    #[error("the receipt does not fit")]
    BadReceipt,
}

impl From<IntakeFault> for ErrorCode {
    fn from(fault: IntakeFault) -> Self {
        match fault {
            IntakeFault::Log(fault) => code_of(fault),
            IntakeFault::WrongKinds
            | IntakeFault::WrongAuthor
            | IntakeFault::NotInvited
            | IntakeFault::BadReceipt => Self::CertificateRefused,
        }
    }
}

/// What a member is told whose certificate breaks a rule of the log.
const fn code_of(fault: Fault) -> ErrorCode {
    match fault {
        Fault::NotAdministrator => ErrorCode::NotAllowed,
        Fault::EmailTaken => ErrorCode::AlreadyMember,
        Fault::LogFull => ErrorCode::QuotaReached,
        Fault::Malformed
        | Fault::WrongOrganisation
        | Fault::NotByRoot
        | Fault::RootTooLate
        | Fault::AuthorUnknown
        | Fault::AuthorRevoked
        | Fault::BadSignature
        | Fault::SeenAhead
        | Fault::ForkedView
        | Fault::SeenWentBack
        | Fault::TimeWentBack
        | Fault::NotAFounding
        | Fault::UserIdTaken
        | Fault::EncryptionKeyTaken
        | Fault::WeakEncryptionKey
        | Fault::SealedNameLength
        | Fault::DeviceIdTaken
        | Fault::VerifyKeyTaken
        | Fault::WeakVerifyKey
        | Fault::NotOwnUser
        | Fault::TooManyDevices
        | Fault::SubjectUnknown
        | Fault::SubjectRevoked
        | Fault::AboutOneself
        | Fault::SameProfile
        | Fault::StaleProfile
        | Fault::OwnDevice => ErrorCode::CertificateRefused,
    }
}

/// Notes why, and tells the caller the code.
pub(crate) fn refused(fault: IntakeFault) -> Refusal {
    tracing::warn!(%fault, "certificates were refused");
    ErrorCode::from(fault).into()
}

/// The same for what the log did not accept.
pub(crate) fn not_appended(error: NotAppended) -> Refusal {
    match error {
        NotAccepted::Fault(fault) => refused(fault.into()),
        NotAccepted::View(error) => error.into(),
    }
}

/// A certificate that came in.
pub(crate) type Incoming = Candidate<'static, Organisation>;

/// Reads one certificate, and checks its signature ahead under the key that its author is expected
/// to have.
fn incoming(bytes: &[u8], expected: Option<&VerifyKey>) -> Result<Incoming, IntakeFault> {
    let mut certificate = Incoming::read(bytes.to_vec()).ok_or(Fault::Malformed)?;
    if let Some(key) = expected {
        certificate.verify(key);
    }
    Ok(certificate)
}

/// The certificates of a founding: two, by the root key. What they have to be, the rules say.
pub(crate) fn read_founding(
    certificates: &[ByteVec],
    root: &VerifyKey,
) -> Result<[Incoming; 2], IntakeFault> {
    let [user, device] = certificates else { return Err(IntakeFault::WrongKinds) };
    Ok([incoming(user, Some(root))?, incoming(device, Some(root))?])
}

/// A new device, or a new user with the first one.
#[derive(Debug)]
pub(crate) struct Enrolment {
    user: Option<(Incoming, UserId, Email)>,
    device: Incoming,
    owner: UserId,
    key: VerifyKey,
}

impl Enrolment {
    /// Reads one or two certificates, signed by the caller's key as far as the caller is honest.
    pub(crate) fn read(certificates: &[ByteVec], caller: &VerifyKey) -> Result<Self, IntakeFault> {
        match certificates {
            [device] => Self::of(None, incoming(device, Some(caller))?),
            [user, device] => Self::of(Some(incoming(user, Some(caller))?), incoming(device, Some(caller))?),
            _ => Err(IntakeFault::WrongKinds),
        }
    }

    /// A device's certificate, and its user's if that is new, too.
    fn of(user: Option<Incoming>, device: Incoming) -> Result<Self, IntakeFault> {
        let Body::Device { user: owner, verify_key: key, .. } = device.payload().body else {
            return Err(IntakeFault::WrongKinds);
        };
        let user = match user {
            None => None,
            Some(certificate) => match &certificate.payload().body {
                Body::User { user, email, .. } if *user == owner => {
                    let (user, email) = (*user, email.clone());
                    Some((certificate, user, email))
                }
                Body::User { .. }
                | Body::Device { .. }
                | Body::ProfileChange { .. }
                | Body::UserRevoked { .. }
                | Body::DeviceRevoked { .. } => return Err(IntakeFault::WrongKinds),
            },
        };
        Ok(Self { user, device, owner, key })
    }

    /// The certificates in order.
    fn certificates(&self) -> impl Iterator<Item = &Incoming> {
        self.user.iter().map(|(certificate, ..)| certificate).chain([&self.device])
    }

    /// Refuses what is not by the calling device, or not what the invitation was for.
    pub(crate) fn check_call(&self, caller: DeviceId, invited: &Invited) -> Result<(), IntakeFault> {
        self.certificates().try_for_each(|certificate| is_by(certificate, caller))?;
        let meant = match (invited, &self.user) {
            (Invited::User(invited), Some((_, _, email))) => email == invited,
            (Invited::Device(user), None) => self.owner == *user,
            (Invited::User(_), None) | (Invited::Device(_), Some(_)) => false,
        };
        if meant { Ok(()) } else { Err(IntakeFault::NotInvited) }
    }

    /// Refuses a receipt that is not by the new device, or not for these certificates and this
    /// root.
    pub(crate) fn check_receipt(&self, receipt: &ClaimReceipt, root: &VerifyKey) -> Result<(), IntakeFault> {
        let hashes = self.certificates().map(|certificate| Hash::of(&[certificate.bytes()]));
        let fits = receipt.certificates.iter().copied().eq(hashes)
            && receipt.root == *root
            && receipt.verify(&self.key).is_ok();
        if fits { Ok(()) } else { Err(IntakeFault::BadReceipt) }
    }

    /// Puts them into the log, one after the other. Returns the first one's position.
    pub(crate) fn append(self, tx: &mut dyn Tx, log: &mut OpenLog) -> Result<u64, NotAppended> {
        let user = self.user.map(|(certificate, ..)| log.append(tx, certificate)).transpose()?;
        let device = log.append(tx, self.device)?;
        Ok(user.unwrap_or(device).position)
    }
}

fn is_by(certificate: &Incoming, device: DeviceId) -> Result<(), IntakeFault> {
    if certificate.payload().author == Author::Device(device) {
        Ok(())
    } else {
        Err(IntakeFault::WrongAuthor)
    }
}

/// A profile change or a revocation.
#[derive(Debug)]
pub(crate) struct Change(Incoming);

impl Change {
    /// Reads exactly one certificate, signed by the caller's key as far as the caller is honest.
    pub(crate) fn read(certificates: &[ByteVec], caller: &VerifyKey) -> Result<Self, IntakeFault> {
        let [certificate] = certificates else { return Err(IntakeFault::WrongKinds) };
        Self::of(incoming(certificate, Some(caller))?)
    }

    fn of(certificate: Incoming) -> Result<Self, IntakeFault> {
        if certificate.payload().body.is_enrolment() {
            Err(IntakeFault::WrongKinds)
        } else {
            Ok(Self(certificate))
        }
    }

    /// SHA-256 of the envelope.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of(&[self.0.bytes()])
    }

    /// Refuses what is not by the calling device.
    pub(crate) fn check_call(&self, caller: DeviceId) -> Result<(), IntakeFault> {
        is_by(&self.0, caller)
    }

    /// Puts it into the log.
    pub(crate) fn append(self, tx: &mut dyn Tx, log: &mut OpenLog) -> Result<Appended, NotAppended> {
        log.append(tx, self.0)
    }
}

/// Certificates that stand or fall together where a log is put back.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A device, or a user and their first one.
    Enrolment(Box<Enrolment>),
    /// A profile change or a revocation.
    Change(Box<Change>),
}

/// Reads certificates that a restore took off the end of a log. Refuses a user without the first
/// device: no honest server's log has one.
pub(crate) fn pieces(certificates: &[ByteVec]) -> Result<Vec<Piece>, IntakeFault> {
    let mut rest = certificates.iter();
    let mut pieces = Vec::new();
    while let Some(first) = rest.next() {
        // Any member may have signed them: whose keys these are, the log says as it grows.
        let first = incoming(first, None)?;
        pieces.push(match first.payload().body {
            Body::User { .. } => {
                let device = incoming(rest.next().ok_or(IntakeFault::WrongKinds)?, None)?;
                Piece::Enrolment(Box::new(Enrolment::of(Some(first), device)?))
            }
            Body::Device { .. } => Piece::Enrolment(Box::new(Enrolment::of(None, first)?)),
            Body::ProfileChange { .. } | Body::UserRevoked { .. } | Body::DeviceRevoked { .. } => {
                Piece::Change(Box::new(Change::of(first)?))
            }
        });
    }
    Ok(pieces)
}

/// Names a completion, to answer the same one again.
pub(crate) fn fingerprint(completion: &Completion) -> Hash {
    Hash::of(&[&parsec_protocol::codec::encode(completion)])
}

#[cfg(test)]
mod tests;
