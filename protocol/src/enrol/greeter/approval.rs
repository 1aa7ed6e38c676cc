//! The moment of certification: who may be certified, and what exactly is signed.
//!
//! Decides by the greeter's verified log, before a signature exists, whether the certificates would
//! stand in it; signs the keys of the claim as they came out of the channel and nothing that anyone
//! typed or a server said. Refuses without the proofs of both recognitions: they are arguments.

use minicbor::bytes::ByteVec;

use crate::chain::head::Head;
use crate::chain::organisation::certificate::{Author, Body, DeviceKind, Payload, Profile};
use crate::chain::organisation::log::UserRecord;
use crate::chain::organisation::members::{NameOf, open_name, seal_name, sealed_with};
use crate::directory::named;
use crate::enrol::boxes::{self, HandedOver};
use crate::enrol::io::{Approval, Prologue, Refused, SealedEnrolment, TransportKind};
use crate::enrol::messages::{ClaimRecord, Handover};
use crate::enrol::proofs::{HeardConfirmation, PossessionProved};
use crate::enrol::sas::CodeRecognised;
use crate::evidence::receipt::{CODE_BITS, SignedStatement, Statement, Transport};
use crate::ids::{DeviceId, Email, Invited, Label, Timestamp, UserId};
use crate::keys::{Entropy, random};
use crate::public_keys::{Hash, VerifyKey};
use crate::sealing::EncryptionKey;

/// All that a certification rests on.
pub(super) struct Basis<'a> {
    pub(super) prologue: &'a Prologue,
    /// The root key that message 3 committed to.
    pub(super) root: &'a VerifyKey,
    pub(super) claim: &'a ClaimRecord,
    pub(super) approval: &'a Approval<'a>,
    pub(super) handshake: &'a Hash,
}

/// Without these nothing is signed: the code was found here, the claimer said aloud that it was
/// found there, and the claim's key is its sender's.
pub(super) type Proofs<'a> = (&'a CodeRecognised, &'a HeardConfirmation, &'a PossessionProved);

/// What is to be certified, with whatever the two kinds differ in.
enum Subject<'a> {
    User { email: Email, name: Label, encryption_key: &'a EncryptionKey },
    Device { email: Email, name: Label, profile: Profile },
}

/// Signs the new user and device, or the new device, and makes the greeter's record and message
/// 7.
///
/// # Errors
/// [`Refused::WrongIdentity`], [`Refused::MayNotCertify`], [`Refused::KeyChangeDue`],
/// [`Refused::NoEntropy`]: nothing has left this function then.
pub(super) fn sign(
    basis: &Basis<'_>,
    (recognised, _, _): Proofs<'_>,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Result<(SealedEnrolment, Handover), Refused> {
    let Basis { prologue, root, claim, approval, handshake } = *basis;
    let greeter = greeter(basis)?;
    let subject = subject(basis, greeter)?;
    let device_label = approval.device_label.as_ref().unwrap_or(&claim.device_label).clone();
    let device = DeviceId::from_bytes(random(entropy)?);
    let user = match &subject {
        Subject::User { .. } => UserId::from_bytes(random(entropy)?),
        Subject::Device { .. } => prologue.greeter_user,
    };

    // What the log does not name, nobody else would have: neither seals it, nor is it handed over.
    let directory_keys = named(approval.log, approval.directory_keys);
    let own_name = match subject {
        Subject::User { .. } => None,
        Subject::Device { .. } => sealed_with(&greeter.sealed_name),
    };
    let seal = |whose: NameOf, name: &Label, entropy: &mut dyn Entropy| {
        let sealed = seal_name(&directory_keys, &prologue.organisation, whose, name, entropy)?;
        Ok::<_, Refused>(ByteVec::from(sealed))
    };
    let mut bodies = Vec::new();
    let mut keys = Vec::new();
    let (email, name, profile, manifest, user_seed) = match subject {
        Subject::User { email, name, encryption_key } => {
            keys.push(encryption_key.clone());
            bodies.push(Body::User {
                user,
                email: email.clone(),
                sealed_name: seal(NameOf::User(user), &name, entropy)?,
                encryption_key: encryption_key.hash(),
                profile: approval.profile,
            });
            (email, name, approval.profile, None, None)
        }
        Subject::Device { email, name, profile } => {
            (email, name, profile, approval.manifest, Some(approval.user_seed))
        }
    };
    keys.push(claim.device_key.clone());
    bodies.push(Body::Device {
        device,
        user,
        sealed_label: seal(NameOf::Device(device), &device_label, entropy)?,
        verify_key: claim.verify_key,
        encryption_key: claim.device_key.hash(),
        kind: DeviceKind::Device,
    });

    let seen = approval.log.head();
    let certificates: Vec<Vec<u8>> = bodies.into_iter().map(|body| certify(basis, seen, now, body)).collect();
    // The reader's own judgement, before anything leaves: a certificate that others would refuse
    // would break their logs.
    approval.log.extended(certificates.iter().map(Vec::as_slice)).map_err(|_| Refused::MayNotCertify)?;

    let certificates: Vec<ByteVec> = certificates.into_iter().map(ByteVec::from).collect();
    let handed = HandedOver { directory_keys: &directory_keys, own_name, user_seed };
    let boxes = boxes::make(handshake, &handed, &claim.device_key, claim.encryption_key.as_ref(), entropy)?;
    let statement = statement(basis, recognised, (seen, boxes.opened), device, now);
    let sealed = SealedEnrolment {
        user,
        device,
        verify_key: claim.verify_key,
        handshake: *handshake,
        root: *root,
        certificates: certificates.clone(),
        statement,
        keys,
        opened: boxes.opened,
    };
    let handover = Handover {
        user,
        device,
        email,
        name,
        device_label,
        profile,
        root: *root,
        seen,
        certificates,
        manifest,
        secrets: boxes.secrets,
        challenges: boxes.challenges,
    };
    Ok((sealed, handover))
}

/// How the ceremony went, for the receipt: signed with the certificates, on the same proofs.
fn statement(
    basis: &Basis<'_>,
    recognised: &CodeRecognised,
    (seen, opened): (Head, Hash),
    device: DeviceId,
    time: Timestamp,
) -> SignedStatement {
    let Basis { prologue, root, approval, handshake, .. } = *basis;
    let statement = Statement {
        organisation: prologue.organisation.clone(),
        root: *root,
        greeter: prologue.greeter_device,
        greeter_key: approval.signing_key.verify_key(),
        transport: match prologue.transport {
            TransportKind::Relay => Transport::Relay,
            TransportKind::PeerToPeer { .. } => Transport::PeerToPeer,
        },
        attempts: approval.attempts,
        method: recognised.method(),
        bits: CODE_BITS,
        heard: true,
        seen,
        handshake: *handshake,
        device,
        time,
        opened,
    };
    SignedStatement::of(&statement, |context, message| approval.signing_key.sign(context, message))
}

/// One envelope.
fn certify(basis: &Basis<'_>, seen: Head, now: Timestamp, body: Body) -> Vec<u8> {
    let Prologue { organisation, greeter_device, .. } = basis.prologue;
    let author = Author::Device(*greeter_device);
    let payload = Payload { organisation: organisation.clone(), author, time: now, seen, body };
    payload.sign_with(|context, message| basis.approval.signing_key.sign(context, message))
}

/// The greeter as the log has it: the device of the prologue, with this key, neither it nor its
/// user revoked, under the root key that the codes cover.
pub(super) fn greeter<'a>(basis: &Basis<'a>) -> Result<&'a UserRecord, Refused> {
    let Basis { prologue, root, approval, .. } = *basis;
    let log = approval.log;
    let device = log.device(&prologue.greeter_device).ok_or(Refused::MayNotCertify)?;
    let user = log.user(&prologue.greeter_user).ok_or(Refused::MayNotCertify)?;
    let fits = log.organisation() == &prologue.organisation
        && log.root() == root
        && device.user == prologue.greeter_user
        && device.verify_key == approval.signing_key.verify_key()
        && device.revoked.is_none()
        && user.revoked.is_none();
    if fits { Ok(user) } else { Err(Refused::MayNotCertify) }
}

/// Whether this greeter may certify this claim, and as what.
fn subject<'a>(basis: &Basis<'a>, greeter: &UserRecord) -> Result<Subject<'a>, Refused> {
    let Basis { prologue, claim, approval, .. } = *basis;
    let log = approval.log;
    if log.devices().any(|other| other.verify_key == claim.verify_key) || log.root() == &claim.verify_key {
        return Err(Refused::MayNotCertify);
    }
    match (&prologue.invited, &claim.name, &claim.encryption_key) {
        (Invited::User(email), Some(claimed), Some(encryption_key)) => {
            let taken = log.users().any(|other| other.revoked.is_none() && other.email == *email);
            if taken || greeter.profile != Profile::Administrator {
                return Err(Refused::MayNotCertify);
            }
            let name = approval.name.as_ref().unwrap_or(claimed).clone();
            Ok(Subject::User { email: email.clone(), name, encryption_key })
        }
        (Invited::Device(user), None, None) => {
            if approval.name.is_some() {
                return Err(Refused::WrongIdentity);
            }
            // A key that a thief has must not go to a new device as the user's own.
            if log.is_suspended(user) {
                return Err(Refused::KeyChangeDue);
            }
            // Only one's own: nobody else has the user's private keys to hand over.
            let present = approval.user_seed.encryption_key().hash() == greeter.encryption_key;
            if *user != greeter.user || !present {
                return Err(Refused::MayNotCertify);
            }
            let whose = NameOf::User(greeter.user);
            let name =
                open_name(approval.directory_keys, &prologue.organisation, whose, &greeter.sealed_name)
                    .ok_or(Refused::MayNotCertify)?;
            Ok(Subject::Device { email: greeter.email.clone(), name, profile: greeter.profile })
        }
        // Checked when message 6 came.
        (Invited::User(_) | Invited::Device(_) | Invited::Share(..), _, _) => Err(Refused::WrongIdentity),
    }
}
