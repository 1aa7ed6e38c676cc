//! Who signed a request (docs/protocol.md, *Authenticated*).
//!
//! Decides from the certificate log and the signature alone. Refuses unknown devices and wrong signatures with one answer, requests
//! from another time, and every nonce the second time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::request::Parts;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, Token};
use parsec_protocol::limits::REQUEST_TIME_SKEW_SECONDS;
use parsec_protocol::public::{Context, Hash, Signature};
use parsec_protocol::relay::{
    ErrorCode, HEADER_DEVICE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, RequestToSign,
};

use super::App;
use super::admission::{Arrived, Named};
use super::body::header;
use crate::errors::Refusal;
use crate::invitations::Member;
use crate::store::{Party, members};

/// Nonces remembered of one device: twice the skew (600 s) at the most requests a second that the default limits let a device make.
const NONCES_PER_DEVICE_MAX: usize = 131_072;
/// Below this, a memory is not searched for what has run out.
const PURGE_FROM: usize = 1_024;

/// A request whose signer is known by name, before its body has been read.
#[derive(Debug)]
pub(crate) struct Claimed {
    organisation: OrganisationId,
    named: Named,
    time: Timestamp,
    nonce: Token,
    signature: Signature,
    method: String,
    target: String,
}

/// Charges the address, reads the headers and looks the device up, so that neither strangers nor the revoked can make the server read bodies.
pub(crate) async fn open(
    app: &App,
    organisation: &OrganisationId,
    address: IpAddr,
    parts: &Parts,
) -> Result<Claimed, Refusal> {
    let refused = || Refusal::from(ErrorCode::NotAuthenticated);
    let arrived = Arrived::at(&app.quota, address, Instant::now())?;
    let device: DeviceId = header(&parts.headers, HEADER_DEVICE).ok_or_else(refused)?;
    let time = header::<u64>(&parts.headers, HEADER_TIME).map(Timestamp).ok_or_else(refused)?;
    let nonce = header(&parts.headers, HEADER_NONCE).ok_or_else(refused)?;
    let signature = header(&parts.headers, HEADER_SIGNATURE).ok_or_else(refused)?;
    let target = parts.uri.path_and_query().map(|target| target.as_str().to_owned()).ok_or_else(refused)?;

    let org = organisation.clone();
    let store = app.store.of(Party::address(address));
    let signer = store.read(move |sql| members::signer(sql, &org, &device)).await?;
    Ok(Claimed {
        organisation: organisation.clone(),
        named: arrived.named(&app.quota, organisation, signer, Instant::now())?,
        time,
        nonce,
        signature,
        method: parts.method.as_str().to_owned(),
        target,
    })
}

impl Claimed {
    /// Checks the signature over the whole request, its time and nonce; then it is the member's, who pays.
    pub(crate) fn check(self, app: &App, body: &[u8]) -> Result<Member, Refusal> {
        let signer = *self.named.signer();
        let device = signer.member.device;
        let signed = RequestToSign {
            organisation: self.organisation.clone(),
            device,
            method: self.method,
            target: self.target,
            time: self.time,
            nonce: self.nonce,
            body: Hash::of(&[body]),
        };
        signer
            .verify_key
            .verify(Context::Request, &signed.bytes(), &self.signature)
            .map_err(|_| ErrorCode::NotAuthenticated)?;
        let (place, now) = ((self.organisation, device), app.clock.now());
        // Whoever repeats what a member once said must not spend the member's share either.
        app.nonces.look(&place, self.nonce, self.time, now)?;
        let signer = self.named.proved(&app.quota, Instant::now())?;
        // Only what was paid for is remembered: that bounds the memory.
        app.nonces.accept(&place, self.nonce, self.time, now)?;
        Ok(signer.member)
    }
}

/// The nonces that were used within the window. Forgotten at a restart: within 300 seconds of one, a request could be repeated by
/// whoever can read the connection, and repeating any call of this protocol changes nothing that it hasn't changed already.
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
