//! What this server asks of certificates beside the rules of the log (docs/protocol.md,
//! *Completing*, *Repair*).
//!
//! Decides which kinds a call takes, whether an enrolment is what its invitation and receipt say,
//! and which code a refusal gets. Whether a certificate may stand in the log, the protocol's rules
//! decide, which are every member's, over this server's tables ([`OpenLog`]). Refuses keys that are
//! not those whose hashes the certificates name. Reads certificates
//! and checks signatures ahead, outside of any transaction; nothing of that counts before the rules
//! have looked again.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::organisation::Organisation;
use parsec_protocol::chain::organisation::certificate::{Author, Body, DeviceKind, Envelope};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::chain::view::NotAccepted;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{DeviceId, Email, Invited, UserId};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::{BootstrapRequest, Completion, ErrorCode};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};

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
    #[error("the keys are not those that the certificates name")]
    WrongKeys,
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
            | IntakeFault::WrongKeys
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
        | Fault::OwnDevice
        | Fault::RecoveryDevice
        | Fault::AnothersKey
        | Fault::StaleKey
        | Fault::TooManyKeyChanges
        | Fault::Abandoned
        | Fault::NotNext
        | Fault::StaleDirectoryKey
        | Fault::NobodyLeft => ErrorCode::CertificateRefused,
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

/// Refuses keys that are not, in this order, those whose hashes the certificates name.
fn check_keys<'a>(
    certificates: impl IntoIterator<Item = &'a Incoming>,
    keys: &[EncryptionKey],
) -> Result<(), IntakeFault> {
    let named = certificates.into_iter().filter_map(|certificate| certificate.payload().body.key_named());
    if named.eq(keys.iter().map(EncryptionKey::hash)) { Ok(()) } else { Err(IntakeFault::WrongKeys) }
}

/// The certificates of a founding: two, by the root key. What they have to be, the rules say.
pub(crate) fn read_founding(
    certificates: &[ByteVec],
    root: &VerifyKey,
) -> Result<[Incoming; 2], IntakeFault> {
    let [user, device] = certificates else { return Err(IntakeFault::WrongKinds) };
    Ok([incoming(user, Some(root))?, incoming(device, Some(root))?])
}

/// The same with the keys that they name.
pub(crate) fn read_bootstrap(request: &BootstrapRequest) -> Result<[Incoming; 2], IntakeFault> {
    let founding = read_founding(&request.certificates, &request.root)?;
    check_keys(&founding, &request.keys)?;
    Ok(founding)
}

/// Names a founding, to answer the same one again: by root and certificates alone, which an
/// exported log has, too.
pub(crate) fn founding_fingerprint(root: VerifyKey, certificates: Vec<ByteVec>) -> Hash {
    let request = BootstrapRequest { root, certificates, keys: Vec::new() };
    Hash::of(&[&parsec_protocol::codec::encode(&request)])
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
    /// Reads one or two certificates, signed by the caller's key as far as the caller is honest,
    /// and holds the keys that they name against them.
    pub(crate) fn read(
        certificates: &[ByteVec],
        keys: &[EncryptionKey],
        caller: &VerifyKey,
    ) -> Result<Self, IntakeFault> {
        let enrolment = Self::of_certificates(certificates, caller)?;
        check_keys(enrolment.certificates(), keys)?;
        Ok(enrolment)
    }

    fn of_certificates(certificates: &[ByteVec], caller: &VerifyKey) -> Result<Self, IntakeFault> {
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
                | Body::DeviceRevoked { .. }
                | Body::UserKeyChanged { .. }
                | Body::DirectoryKeyChanged { .. } => return Err(IntakeFault::WrongKinds),
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
            (Invited::User(_), None) | (Invited::Device(_), Some(_)) | (Invited::Share(..), _) => false,
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

/// A certificate that stands by itself: a profile change, a revocation, another key of a user.
#[derive(Debug)]
pub(crate) struct Change(Incoming);

impl Change {
    /// Reads exactly one profile change or revocation, signed by the caller's key as far as the
    /// caller is honest. Another key of a user comes with boxes, by a call of its own.
    pub(crate) fn read(certificates: &[ByteVec], caller: &VerifyKey) -> Result<Self, IntakeFault> {
        let [certificate] = certificates else { return Err(IntakeFault::WrongKinds) };
        let certificate = incoming(certificate, Some(caller))?;
        match certificate.payload().body {
            Body::ProfileChange { .. } | Body::UserRevoked { .. } | Body::DeviceRevoked { .. } => {
                Ok(Self(certificate))
            }
            Body::User { .. }
            | Body::Device { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => Err(IntakeFault::WrongKinds),
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

/// Another key of a user, with the key itself.
#[derive(Debug)]
pub(crate) struct KeyChange {
    pub(crate) certificate: Change,
    /// Whose key it is.
    pub(crate) user: UserId,
    /// Hash of the key before.
    pub(crate) previous: KeyHash,
    /// Hash of the key.
    pub(crate) key: KeyHash,
}

impl KeyChange {
    /// Reads the certificate, signed by the caller's key as far as the caller is honest, and holds
    /// the key against it.
    pub(crate) fn read(
        certificate: &[u8],
        key: &EncryptionKey,
        caller: &VerifyKey,
    ) -> Result<Self, IntakeFault> {
        let certificate = incoming(certificate, Some(caller))?;
        let Body::UserKeyChanged { user, previous, encryption_key, .. } = certificate.payload().body else {
            return Err(IntakeFault::WrongKinds);
        };
        check_keys([&certificate], std::slice::from_ref(key))?;
        Ok(Self { certificate: Change(certificate), user, previous, key: encryption_key })
    }
}

/// Another directory key.
#[derive(Debug)]
pub(crate) struct DirectoryChange {
    pub(crate) certificate: Change,
    /// Number of the key.
    pub(crate) number: u32,
    /// Hash of the head of its ring.
    pub(crate) ring: Hash,
}

impl DirectoryChange {
    /// Reads the certificate, signed by the caller's key as far as the caller is honest.
    pub(crate) fn read(certificate: &[u8], caller: &VerifyKey) -> Result<Self, IntakeFault> {
        let certificate = incoming(certificate, Some(caller))?;
        let Body::DirectoryKeyChanged { number, ring, key_check: _ } = certificate.payload().body else {
            return Err(IntakeFault::WrongKinds);
        };
        Ok(Self { certificate: Change(certificate), number, ring })
    }
}

/// A device of its author's user that no ceremony let in, with its key.
#[derive(Debug)]
pub(crate) struct OwnDevice {
    pub(crate) certificate: Change,
    pub(crate) device: DeviceId,
    /// Whose device it is to be.
    pub(crate) user: UserId,
    pub(crate) kind: DeviceKind,
    /// The key that it signs with.
    pub(crate) verify_key: VerifyKey,
}

impl OwnDevice {
    /// Reads the certificate, signed by the caller's key as far as the caller is honest, and holds
    /// the key against it.
    pub(crate) fn read(
        certificate: &[u8],
        key: &EncryptionKey,
        caller: &VerifyKey,
    ) -> Result<Self, IntakeFault> {
        let certificate = incoming(certificate, Some(caller))?;
        let Body::Device { device, user, kind, verify_key, .. } = certificate.payload().body else {
            return Err(IntakeFault::WrongKinds);
        };
        check_keys([&certificate], std::slice::from_ref(key))?;
        Ok(Self { certificate: Change(certificate), device, user, kind, verify_key })
    }
}

/// Certificates that stand or fall together where a log is put back.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A device, or a user and their first one.
    Enrolment(Box<Enrolment>),
    /// One that stands by itself.
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
            Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => Piece::Change(Box::new(Change(first))),
        });
    }
    Ok(pieces)
}

/// The keys that a repair brings: for each that the certificates name, in their order, the key or
/// nothing.
pub(crate) fn repaired_keys(
    certificates: &[ByteVec],
    keys: Vec<Option<EncryptionKey>>,
) -> Result<Vec<EncryptionKey>, IntakeFault> {
    let mut named = Vec::new();
    for certificate in certificates {
        let payload = Envelope::decode(certificate).and_then(|envelope| envelope.payload());
        named.extend(payload.map_err(|_| Fault::Malformed)?.body.key_named());
    }
    let fits = |(named, key): (&KeyHash, &Option<EncryptionKey>)| {
        key.as_ref().is_none_or(|key| key.hash() == *named)
    };
    if named.len() == keys.len() && named.iter().zip(&keys).all(fits) {
        Ok(keys.into_iter().flatten().collect())
    } else {
        Err(IntakeFault::WrongKeys)
    }
}

/// Names a completion, to answer the same one again.
pub(crate) fn fingerprint(completion: &Completion) -> Hash {
    Hash::of(&[&parsec_protocol::codec::encode(completion)])
}

#[cfg(test)]
mod tests;
