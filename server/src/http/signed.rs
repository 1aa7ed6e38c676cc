//! Who signed a request (docs/protocol.md, *Authenticated*).
//!
//! Decides from the certificate log, the head of the request and its signature, which covers the
//! hash that the body must have: nothing of a body is read for anybody who has not signed for it.
//! Refuses unknown devices and wrong signatures with one answer, requests from another time, every
//! nonce the second time, and a body that is not the declared one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::request::Parts;
use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, Token};
use parsec_protocol::limits::REQUEST_TIME_SKEW_SECONDS;
use parsec_protocol::public_keys::{Context, Hash, Signature, VerifyKey};
use parsec_protocol::relay::{
    ErrorCode, HEADER_BODY_HASH, HEADER_DEVICE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, RequestToSign,
};

use super::App;
use super::admission::{Arrived, Named};
use super::body::header;
use crate::errors::Refusal;
use crate::invitations::Member;
use crate::store::Party;

/// Nonces remembered of one device: twice the skew (600 s) at the most requests a second that the
/// default limits let a device make.
const NONCES_PER_DEVICE_MAX: usize = 131_072;
/// Below this, a memory is not searched for what has run out.
const PURGE_FROM: usize = 1_024;

/// A request whose head is signed by a member's device. Its body has not been read.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The member and device that signed, as the log had them when the head was checked.
    pub(crate) member: Member,
    /// Whether the device is a recovery kit.
    pub(crate) kind: DeviceKind,
    /// Key that the request's signature is by.
    pub(crate) key: VerifyKey,
    body: Hash,
}

/// Charges the address, looks the device up and checks signature, time and nonce; then the request
/// is the member's, who pays. So neither strangers nor the revoked can make the server read bodies.
pub(crate) async fn open(
    app: &App,
    organisation: &OrganisationId,
    address: IpAddr,
    parts: &Parts,
) -> Result<Signed, Refusal> {
    let refused = || Refusal::from(ErrorCode::NotAuthenticated);
    let arrived = Arrived::at(&app.quota, address, Instant::now())?;
    let device: DeviceId = header(&parts.headers, HEADER_DEVICE).ok_or_else(refused)?;
    let time = header::<u64>(&parts.headers, HEADER_TIME).map(Timestamp).ok_or_else(refused)?;
    let nonce = header(&parts.headers, HEADER_NONCE).ok_or_else(refused)?;
    let body: Hash = header(&parts.headers, HEADER_BODY_HASH).ok_or_else(refused)?;
    let signature: Signature = header(&parts.headers, HEADER_SIGNATURE).ok_or_else(refused)?;
    let target = parts.uri.path_and_query().map(|target| target.as_str().to_owned()).ok_or_else(refused)?;

    let signer = app.store.of(Party::address(address)).signer(organisation, device).await?;
    let named = arrived.named(&app.quota, organisation, signer, Instant::now())?;
    let request = RequestToSign {
        organisation: organisation.clone(),
        device,
        method: parts.method.as_str().to_owned(),
        target,
        time,
        nonce,
        body,
    };
    proved(app, named, &request, &signature)
}

/// Checks the signature over the whole head, its time and nonce.
fn proved(
    app: &App,
    named: Named,
    request: &RequestToSign,
    signature: &Signature,
) -> Result<Signed, Refusal> {
    named
        .signer()
        .verify_key
        .verify(Context::Request, &request.bytes(), signature)
        .map_err(|_| ErrorCode::NotAuthenticated)?;
    let (place, now) = ((request.organisation.clone(), request.device), app.clock.now());
    // Whoever repeats what a member once said must not spend the member's share either.
    app.nonces.look(&place, request.nonce, request.time, now)?;
    let signer = named.proved(&app.quota, Instant::now())?;
    // Only what was paid for is remembered: that bounds the memory.
    app.nonces.accept(&place, request.nonce, request.time, now)?;
    Ok(Signed { member: signer.member, key: signer.verify_key, kind: signer.kind, body: request.body })
}

impl Signed {
    /// Refuses a body that is not the one that was signed for.
    pub(crate) fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        self.check_hash(&Hash::of(&[body]))
    }

    /// Refuses a body of which another hash was signed.
    pub(crate) fn check_hash(&self, hash: &Hash) -> Result<(), Refusal> {
        if *hash == self.body { Ok(()) } else { Err(ErrorCode::NotAuthenticated.into()) }
    }
}

/// The nonces that were used within the window. Forgotten at a restart: within 300 seconds of one,
/// a request could be repeated by whoever can read the connection, and repeating any call of this
/// protocol changes nothing that it hasn't changed already.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<Memory>);

type Device = (OrganisationId, DeviceId);

#[derive(Debug, Default)]
struct Memory {
    devices: HashMap<Device, Used>,
    purge_at: usize,
}

#[derive(Debug, Default)]
struct Used {
    nonces: HashMap<Token, Timestamp>,
    purge_at: usize,
}

impl Used {
    fn purge(&mut self, now: Timestamp) {
        self.nonces.retain(|_, time| time.plus_seconds(REQUEST_TIME_SKEW_SECONDS) >= now);
        self.purge_at = (2 * self.nonces.len()).max(PURGE_FROM);
    }
}

/// Refuses requests from another time.
fn in_time(time: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    let early = time > now.plus_seconds(REQUEST_TIME_SKEW_SECONDS);
    let late = now > time.plus_seconds(REQUEST_TIME_SKEW_SECONDS);
    if early || late { Err(ErrorCode::ClockSkew.into()) } else { Ok(()) }
}

impl Nonces {
    /// Whether it would be accepted; remembers nothing.
    fn look(&self, device: &Device, nonce: Token, time: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        in_time(time, now)?;
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = memory.devices.get(device).is_some_and(|used| used.nonces.contains_key(&nonce));
        if used { Err(ErrorCode::Replayed.into()) } else { Ok(()) }
    }

    fn accept(&self, device: &Device, nonce: Token, time: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        in_time(time, now)?;
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.devices.len() >= memory.purge_at.max(PURGE_FROM) {
            memory.devices.retain(|_, used| {
                used.purge(now);
                !used.nonces.is_empty()
            });
            memory.purge_at = 2 * memory.devices.len();
        }
        let used = memory.devices.entry(device.clone()).or_default();
        if used.nonces.len() >= used.purge_at.max(PURGE_FROM) {
            used.purge(now);
        }
        if used.nonces.contains_key(&nonce) {
            return Err(ErrorCode::Replayed.into());
        }
        if used.nonces.len() >= NONCES_PER_DEVICE_MAX {
            return Err(Refusal::rate_limited(60));
        }
        used.nonces.insert(nonce, time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn accept(nonces: &Nonces, nonce: u8, time: Timestamp, now: Timestamp) -> Result<(), ErrorCode> {
        let device = ("acme".parse().unwrap(), DeviceId::from_bytes([1; 16]));
        nonces.accept(&device, Token::from_bytes([nonce; 16]), time, now).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_nonce_counts_once_as_long_as_its_time_is_accepted() {
        let nonces = Nonces::default();
        let later = NOW.plus_seconds(REQUEST_TIME_SKEW_SECONDS);
        assert_eq!(accept(&nonces, 1, NOW, NOW), Ok(()));
        assert_eq!(accept(&nonces, 1, NOW, later), Err(ErrorCode::Replayed));
        assert_eq!(accept(&nonces, 1, NOW, Timestamp(later.0 + 1)), Err(ErrorCode::ClockSkew));
        assert_eq!(accept(&nonces, 2, Timestamp(later.0 + 1), NOW), Err(ErrorCode::ClockSkew));
        assert_eq!(accept(&nonces, 2, later, NOW), Ok(()));
    }

    #[test]
    fn what_has_run_out_is_forgotten_and_nothing_else() {
        let mut used = Used::default();
        used.nonces.insert(Token::from_bytes([1; 16]), NOW);
        used.nonces.insert(Token::from_bytes([2; 16]), NOW.plus_seconds(1));
        used.purge(Timestamp(NOW.plus_seconds(REQUEST_TIME_SKEW_SECONDS).0 + 1));
        assert_eq!(used.nonces.keys().copied().collect::<Vec<_>>(), [Token::from_bytes([2; 16])]);
    }
}
