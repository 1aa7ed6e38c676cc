//! `org.bootstrap`: founds an organisation.
//!
//! The order that survives a crash at any moment: the device becomes durable, is marked as not
//! registered, then the server is asked, then it is marked as registered. The server takes the same
//! bytes twice; so repeating the command with the same password goes on with the device that is
//! there. No refusal removes it: that is for a person, with `device forget`.

use std::sync::Arc;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::control::{OrgBootstrap, Problem, ProblemKind, Registration};
use parsec_protocol::enrol::io::NewDevice;
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, LocalStoreKey, UserSeed};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{BootstrapRequest, path};
use reqwest::Method;

use super::backoff::Backoff;
use crate::enrolment::finality;
use crate::enrolment::finality::{Heard, Standing};
use crate::os::blocking;
use crate::os::{clock, entropy};
use crate::problems;
use crate::store::{DeviceSummary, Devices, OpenDevice, StoreError};
use crate::transport::http::{Call, Client, Server};
use crate::transport::relay;
use crate::transport::retry::{ANSWER_WAIT, within};

/// Founds, or goes on founding.
///
/// # Errors
/// The problem; the device that was made stays, not registered, and the same command goes on with
/// it.
pub async fn run(
    devices: &Arc<Devices>,
    backoff: &Backoff,
    client: Client,
    request: OrgBootstrap,
) -> Result<OpenDevice, Problem> {
    let server = Server::new(client, &request.server)?;
    if request.token.expose().parse::<Hash>().is_err() {
        return Err(Problem::new(ProblemKind::InvalidRequest, "A bootstrap token is 64 hexadecimal digits."));
    }
    // Nothing is made for a server that isn't there: a mistyped address must not leave keys behind.
    server.call(Call::new(Method::GET, path::HEALTH.to_owned())).await?;
    let request = Arc::new(request);
    let address = server.address();
    let (keys_of, its_devices) = (Arc::clone(&request), Arc::clone(devices));
    let open = match existing(devices, backoff, &request, &address).await? {
        Some(open) => open,
        None => blocking(move || make(&its_devices, &keys_of, &address)).await?,
    };
    let device = open.summary.device;
    let open = Arc::new(open);
    let for_log = Arc::clone(&open);
    let certificates = blocking(move || for_log.store.certificates()).await?;
    let body = BootstrapRequest {
        root: open.keys.root,
        certificates: certificates.into_iter().take(2).map(ByteVec::from).collect(),
        keys: vec![open.keys.user_seed.encryption_key(), open.keys.device_seed.encryption_key()],
    };
    let post = || relay::bootstrap(&server, &request.organisation, request.token.expose(), &body);
    let its_devices = Arc::clone(devices);
    match within(ANSWER_WAIT, post).await {
        Ok(Ok(())) => {
            blocking(move || its_devices.set_registration(device, Registration::Registered, false)).await?;
            let mut open = Arc::into_inner(open)
                .ok_or_else(|| Problem::new(ProblemKind::Internal, "The new device is in use elsewhere."))?;
            (open.summary.registration, open.summary.restored) = (Registration::Registered, false);
            Ok(open)
        }
        Ok(Err(error)) => {
            // A refusal is an unsigned word: an earlier try may have worked and its answer be lost,
            // and any server can refuse. The keys may be the only ones of an organisation that
            // exists, so they stay, and the same command goes on with them; until then they are set
            // aside, and not among the devices in use.
            if let Some(said) = error.code().and_then(finality::founding_refused) {
                let DeviceSummary { registration, restored, .. } = open.summary;
                let Standing { registration, restored } =
                    finality::next(Standing { registration, restored }, Heard::Word(said));
                blocking(move || its_devices.set_registration(device, registration, restored)).await?;
            }
            Err(error.into())
        }
        Err(last) => {
            let name = Problem::from(last.clone()).name;
            Err(Problem::new(name, format!("The server did not confirm: {last}.")))
        }
    }
}

/// A device that an earlier, interrupted founding left.
async fn existing(
    devices: &Arc<Devices>,
    backoff: &Backoff,
    request: &Arc<OrgBootstrap>,
    server: &str,
) -> Result<Option<OpenDevice>, Problem> {
    let (its_devices, its_request, server) = (Arc::clone(devices), Arc::clone(request), server.to_owned());
    let begun = blocking(move || {
        let fits = |summary: &DeviceSummary| {
            summary.organisation == its_request.organisation
                && summary.server == server
                && matches!(summary.registration, Registration::Pending | Registration::Void)
        };
        // A claimed device has a receipt; one that is being founded has none.
        let receipts = its_devices.pending()?;
        let claimed = |device| receipts.iter().any(|(claimed, _)| *claimed == device);
        let begun = its_devices.list()?.into_iter().filter(fits).map(|summary| summary.device);
        Ok::<_, StoreError>(begun.filter(|device| !claimed(*device)).collect::<Vec<_>>())
    });
    let mut refused = false;
    for device in begun.await? {
        let (devices, request) = (Arc::clone(devices), Arc::clone(request));
        let email = request.email.clone();
        // As every password of keys that are there: whoever repeats a founding may be guessing.
        match backoff.attempt(device, move || devices.unlock(device, &request.password)).await {
            Ok(open) if open.keys.email == email => return Ok(Some(open)),
            Ok(_) => refused = true,
            Err(problem) if problem.name == ProblemKind::WrongPassword => refused = true,
            Err(problem) => return Err(problem),
        }
    }
    if refused {
        let text = "Founding this organisation was begun here before, with another password or address. Give those, or remove what is there with `parsecctl device forget`.";
        return Err(Problem::new(ProblemKind::WrongPassword, text));
    }
    Ok(None)
}

/// Draws all keys and makes the device durable, not registered yet.
fn make(devices: &Devices, request: &OrgBootstrap, server: &str) -> Result<OpenDevice, Problem> {
    let source = &mut entropy::System;
    let dry = problems::no_entropy;
    let user_seed = UserSeed::random(source).map_err(dry)?;
    let device_seed = DeviceSeed::random(source).map_err(dry)?;
    let signing_key = DeviceSigningKey::random(source).map_err(dry)?;
    let directory_key = DirectoryKey::random(source).map_err(dry)?;
    let founder = Founder {
        organisation: &request.organisation,
        email: &request.email,
        name: &request.name,
        device_label: &request.device_label,
        user_seed: &user_seed,
        device_seed: &device_seed,
        signing_key: &signing_key,
        directory_key: &directory_key,
    };
    let founded = found(&founder, clock::now(), source).map_err(dry)?;
    let mut seen = Head::empty(&request.organisation, &founded.root);
    for envelope in &founded.certificates {
        seen = seen.after(envelope);
    }
    // There was no ceremony, so there is no receipt; the field is for message 8 alone.
    let hash = Hash::of(&[b"founded"]);
    let receipt = ClaimReceipt::sign(&signing_key, hash, Vec::new(), founded.root, hash);
    let new = NewDevice {
        organisation: request.organisation.clone(),
        user: founded.user,
        device: founded.device,
        email: request.email.clone(),
        name: request.name.clone(),
        device_label: request.device_label.clone(),
        profile: Profile::Administrator,
        root: founded.root,
        typed_codes: request.typed_codes,
        user_seed,
        device_seed,
        manifest: None,
        signing_key,
        store_key: LocalStoreKey::random(source).map_err(dry)?,
        directory_keys: DirectoryKeys::first(directory_key),
        seen,
        log: founded.certificates,
        certificates: Vec::new(),
        receipt,
        first_device: true,
    };
    Ok(devices.create(&new, server, None, &request.password)?)
}
