//! `recovery.use`: a user whose devices are all gone comes back.
//!
//! The order that survives a crash at any moment is that of a founding: the new device becomes
//! durable, then the kit certifies it, then it is marked as registered. Repeating the command with
//! the same password goes on with the device that is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Author, Body, DeviceKind};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::members::{NameOf, seal_name};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::control::{Problem, ProblemKind, RecoveryUse, Registration, SecretText};
use parsec_protocol::enrol::io::NewDevice;
use parsec_protocol::ids::{DeviceId, Label, OrganisationId};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, KitSeed, LocalStoreKey, UserSeed, random};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::{ErrorCode, NewOwnDevice, path};
use parsec_protocol::sealing::KeyHash;
use reqwest::Method;
use zeroize::Zeroizing;

use super::opening::{self, Kit};
use crate::os::{blocking, clock, entropy};
use crate::problems;
use crate::session::names::Names;
use crate::store::{Collection, DeviceSummary, Devices, OpenDevice, StoreError};
use crate::transport::TransportError;
use crate::transport::http::{Call, Client, Server};
use crate::transport::retry::{ANSWER_WAIT, within};

/// Certificates signed for one request: each refusal means that there is something new in the log,
/// or another key of the user.
const TRIES: u32 = 3;

/// What this machine's devices need of the loop.
pub trait Passwords {
    /// Opens the device with a password that somebody gave; each waits for its turn.
    ///
    /// # Errors
    /// `wrong_password`, and whatever else stands in the way.
    fn unlock(
        &self,
        device: DeviceId,
        work: impl FnOnce() -> Result<OpenDevice, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<OpenDevice, Problem>> + Send;

    /// Opens the shares of a kit that were collected; by the same delays as a device.
    ///
    /// # Errors
    /// As [`Self::unlock`].
    fn open(
        &self,
        kit: DeviceId,
        work: impl FnOnce() -> Result<Option<Collection>, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<Option<Collection>, Problem>> + Send;
}

/// The device that is to be made, and where.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) server: String,
    pub(super) organisation: OrganisationId,
    pub(super) device_label: Label,
    pub(super) password: Arc<SecretText>,
    pub(super) typed_codes: bool,
}

/// What there is to make the device with.
#[derive(Debug)]
pub struct Machine {
    /// The folders of this machine's devices.
    pub devices: Arc<Devices>,
    /// Every call to a server.
    pub client: Client,
    /// Devices that are unlocked: their folders can't be opened a second time.
    pub unlocked: BTreeSet<DeviceId>,
}

/// Brings the user of a kit back, on a device that is made for this.
///
/// # Errors
/// The problem. A device that was made stays, not registered, and the same command goes on with it.
pub async fn run(
    machine: Machine,
    passwords: &impl Passwords,
    request: RecoveryUse,
) -> Result<OpenDevice, Problem> {
    let words = KitSeed::from_words(request.words.expose()).map_err(problems::not_words)?;
    let RecoveryUse { server, organisation, words: _, device_label, password, typed_codes } = request;
    let password = Arc::new(password);
    let wanted = Wanted { server, organisation, device_label, password, typed_codes };
    come_back(machine, passwords, wanted, &words, |_| Ok(())).await
}

/// The same with a kit that was put together, once `check` has nothing against what it opens.
pub(super) async fn come_back(
    machine: Machine,
    passwords: &impl Passwords,
    request: Wanted,
    words: &KitSeed,
    check: impl Fn(&Kit) -> Result<(), Problem>,
) -> Result<OpenDevice, Problem> {
    let server = Server::new(machine.client.clone(), &request.server)?;
    // A mistyped address is told before anything is asked with the kit's keys.
    server.call(Call::new(Method::GET, path::HEALTH.to_owned())).await?;
    let (request, mut made) = (Arc::new(request), None);
    for left in (0..TRIES).rev() {
        let kit = Arc::new(opening::open(&server, &request.organisation, words).await?);
        check(&kit)?;
        let open = match made.take() {
            Some(open) => open,
            None => here(&machine, passwords, &request, &kit, &server.address()).await?,
        };
        match vouched(&kit, &open, &request.device_label).await {
            Ok(()) => return registered(&machine.devices, open, kit.keys().device).await,
            Err(error)
                if left > 0
                    && matches!(
                        error.code(),
                        Some(ErrorCode::BoxesRefused | ErrorCode::CertificateRefused)
                    ) =>
            {
                made = Some(open);
            }
            Err(error) => return Err(error.into_problem()),
        }
    }
    Err(TransportError::Misbehaved("it refuses every device of the kit").into())
}

/// The device that an earlier try left, or a new one.
async fn here(
    machine: &Machine,
    passwords: &impl Passwords,
    request: &Arc<Wanted>,
    kit: &Arc<Kit>,
    server: &str,
) -> Result<OpenDevice, Problem> {
    if let Some(open) = existing(machine, passwords, request, kit, server).await? {
        return Ok(open);
    }
    let (kit, request, server) = (Arc::clone(kit), Arc::clone(request), server.to_owned());
    let devices = Arc::clone(&machine.devices);
    blocking(move || make(&devices, &kit, &request, &server)).await
}

/// It is in the log. That the kit brought it back is as good as a drill.
async fn registered(
    devices: &Arc<Devices>,
    mut open: OpenDevice,
    kit: DeviceId,
) -> Result<OpenDevice, Problem> {
    let devices = Arc::clone(devices);
    blocking(move || {
        devices.set_registration(open.summary.device, Registration::Registered, false)?;
        open.store.put_drill(kit, clock::now())?;
        (open.summary.registration, open.summary.restored) = (Registration::Registered, false);
        Ok::<_, StoreError>(open)
    })
    .await
}

/// Why a device was not taken.
enum NotVouched {
    /// Before anything went out.
    Here(Problem),
    Refused(TransportError),
    /// No answer came in time.
    Unanswered(TransportError),
}

impl NotVouched {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => error.code(),
            Self::Here(_) | Self::Unanswered(_) => None,
        }
    }

    fn into_problem(self) -> Problem {
        match self {
            Self::Here(problem) => problem,
            Self::Refused(error) => error.into(),
            Self::Unanswered(last) => {
                let name = Problem::from(last.clone()).name;
                let text = format!(
                    "The server did not confirm the new device: {last}. The same command goes on with it."
                );
                Problem::new(name, text)
            }
        }
    }
}

/// Certifies the device as the kit, unless it is in the log: an earlier try worked, and its answer
/// was lost.
async fn vouched(kit: &Arc<Kit>, open: &OpenDevice, label: &Label) -> Result<(), NotVouched> {
    let device = open.summary.device;
    if kit.log.device(&device).is_some() {
        return Ok(());
    }
    let (of, label) = (Arc::clone(kit), label.clone());
    let (verify_key, key) = (open.keys.signing_key.verify_key(), open.keys.device_seed.encryption_key());
    let new = blocking(move || {
        let body = body(&of, device, &label, verify_key, key.hash())?;
        let kit = of.keys();
        let certificate = certify(&of.log, kit.device, &kit.signing_key, body, clock::now())
            .map_err(problems::not_signed)?;
        let user_key = of.user.encryption_key;
        let sealed = of
            .user_key(user_key)
            .seal_to_device(&of.seed, device, &key, &mut entropy::System)
            .map_err(problems::no_entropy)?;
        Ok::<_, Problem>(NewOwnDevice {
            certificate: certificate.into(),
            key,
            user_key,
            sealed: sealed.into(),
            shares: None,
        })
    })
    .await
    .map_err(NotVouched::Here)?;
    match within(ANSWER_WAIT, || kit.member.add_device(&new)).await {
        Ok(added) => added.map(drop).map_err(NotVouched::Refused),
        Err(last) => Err(NotVouched::Unanswered(last)),
    }
}

fn body(
    kit: &Kit,
    device: DeviceId,
    label: &Label,
    verify_key: VerifyKey,
    encryption_key: KeyHash,
) -> Result<Body, Problem> {
    let (organisation, whose) = (kit.log.organisation(), NameOf::Device(device));
    let sealed = seal_name(&*kit.directory_keys, organisation, whose, label, &mut entropy::System)
        .map_err(problems::no_entropy)?;
    Ok(Body::Device {
        device,
        user: kit.user.user,
        sealed_label: sealed.into(),
        verify_key,
        encryption_key,
        kind: DeviceKind::Device,
    })
}

/// A device that an earlier try left: not registered yet, or by this very kit.
async fn existing(
    machine: &Machine,
    passwords: &impl Passwords,
    request: &Arc<Wanted>,
    kit: &Arc<Kit>,
    server: &str,
) -> Result<Option<OpenDevice>, Problem> {
    let (its_devices, its_request, server) =
        (Arc::clone(&machine.devices), Arc::clone(request), server.to_owned());
    let of = Arc::clone(kit);
    let begun = blocking(move || {
        // A claimed device has a receipt; one that a kit brought has none.
        let receipts = its_devices.pending()?;
        let fits = |summary: &DeviceSummary| {
            let claimed = receipts.iter().any(|(claimed, _)| *claimed == summary.device);
            let known = of.log.device(&summary.device);
            let by_kit = known.is_some_and(|device| device.author == Author::Device(of.keys().device));
            let revoked = known.is_some_and(|device| device.revoked.is_some());
            summary.organisation == its_request.organisation
                && summary.server == server
                && summary.user == of.user.user
                && !revoked
                && (by_kit || summary.registration == Registration::Pending && !claimed)
        };
        let begun = its_devices.list()?.into_iter().filter(fits).map(|summary| summary.device);
        Ok::<_, StoreError>(begun.collect::<Vec<_>>())
    });
    let mut refused = false;
    for device in begun.await? {
        if machine.unlocked.contains(&device) {
            let text = format!("A device that this kit was used for, {device}, is here and unlocked.");
            let hint = "If it is the one you want, nothing is to do. Otherwise lock it (`parsecctl device lock`), and repeat the command.";
            return Err(Problem { hint: hint.to_owned(), ..Problem::new(ProblemKind::DeviceBusy, text) });
        }
        let (devices, request) = (Arc::clone(&machine.devices), Arc::clone(request));
        match passwords.unlock(device, move || devices.unlock(device, &request.password)).await {
            Ok(open) => return Ok(Some(open)),
            Err(problem) if problem.name == ProblemKind::WrongPassword => refused = true,
            Err(problem) => return Err(problem),
        }
    }
    if refused {
        let text = "Coming back with this kit was begun here before, with another password. Give that one, or remove what is there with `parsecctl device forget ID --force`.";
        return Err(Problem::new(ProblemKind::WrongPassword, text));
    }
    Ok(None)
}

/// Draws the device's keys and makes it durable, not registered yet.
fn make(devices: &Devices, kit: &Kit, request: &Wanted, server: &str) -> Result<OpenDevice, Problem> {
    let source = &mut entropy::System;
    let dry = problems::no_entropy;
    let signing_key = DeviceSigningKey::random(source).map_err(dry)?;
    let organisation = kit.log.organisation();
    let root = *kit.log.root();
    // There was no ceremony, so there is no receipt; the field is for message 8 alone.
    let hash = Hash::of(&[b"recovered"]);
    let receipt = ClaimReceipt::sign(&signing_key, hash, Vec::new(), root, hash);
    let copy = |secret: &[u8; 32]| Zeroizing::new(*secret);
    let new = NewDevice {
        organisation: organisation.clone(),
        user: kit.user.user,
        device: DeviceId::from_bytes(random(source).map_err(dry)?),
        email: kit.user.email.clone(),
        name: kit.name.clone(),
        device_label: request.device_label.clone(),
        profile: kit.user.profile,
        root,
        typed_codes: request.typed_codes,
        user_seed: UserSeed::from_bytes(&mut copy(kit.seed.expose())),
        device_seed: DeviceSeed::random(source).map_err(dry)?,
        manifest: kit.manifest,
        signing_key,
        store_key: LocalStoreKey::random(source).map_err(dry)?,
        directory_keys: kit.directory_keys.copied(),
        seen: kit.log.head(),
        log: kit.envelopes.clone(),
        certificates: Vec::new(),
        receipt,
        first_device: false,
    };
    Ok(devices.create(&new, server, None, &request.password)?)
}

/// Who came back, in words, for the daemon's log.
pub(super) fn in_words(kit: &Kit) -> String {
    Names::new(Arc::clone(&kit.directory_keys), &kit.log).user_in_words(&kit.user.user)
}
