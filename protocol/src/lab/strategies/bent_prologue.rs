//! What a server or a link tells the two sides before the first message, with one thing bent for
//! one side.
//!
//! Decides which field and which side. Refuses to bend two: where one is enough to be noticed, two
//! are.

use super::Adversary;
use crate::enrol::io::{Prologue, TransportKind};
use crate::ids::{DeviceId, Invited, Token, UserId};
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;
use crate::public_keys::PeerKey;

/// The fields of a prologue that a server tells, and the kinds of ending them.
const FIELDS: u64 = 8;
/// Those that are about the transport.
const TRANSPORTS: u64 = 3;

/// Any field.
pub(super) fn bent(rng: &mut SeededRng) -> Bent {
    let field = rng.below(FIELDS);
    Bent { field, claimer: rng.below(2) == 0, noise: rng.block() }
}

/// The transport's own.
pub(super) fn transports(rng: &mut SeededRng) -> Bent {
    let field = FIELDS - TRANSPORTS + rng.below(TRANSPORTS);
    Bent { field, claimer: rng.below(2) == 0, noise: rng.block() }
}

/// One lie.
pub(super) struct Bent {
    field: u64,
    claimer: bool,
    noise: [u8; 32],
}

/// The prologue with one field bent, and what the other side has: the same as before, but for two
/// direct transports.
pub(crate) fn bend(honest: Prologue, field: u64, noise: &[u8; 32]) -> (Prologue, Prologue) {
    let mut short = [0; 16];
    short.iter_mut().zip(noise).for_each(|(slot, byte)| *slot = *byte);
    let peer = |key: [u8; 32]| TransportKind::PeerToPeer { peer: PeerKey::from_bytes(key) };
    let mut other = noise.map(|byte| !byte);
    let mut bent = honest.clone();
    let mut straight = honest;
    match field {
        0 => {
            let name = format!(
                "a{:02x}{:02x}",
                short.first().copied().unwrap_or(0),
                short.last().copied().unwrap_or(0)
            );
            if let Ok(organisation) = name.parse() {
                bent.organisation = organisation;
            }
        }
        1 => bent.token = Token::from_bytes(short),
        2 => {
            if let Ok(email) = format!("b{:02x}@acme.example", short.first().copied().unwrap_or(0)).parse() {
                bent.invited = Invited::User(email);
            }
        }
        3 => bent.greeter_user = UserId::from_bytes(short),
        4 => bent.greeter_device = DeviceId::from_bytes(short),
        // Relay on one side, direct on the other.
        5 => bent.transport = peer(*noise),
        // Two direct transports, with another device at the end of one.
        6 => {
            bent.transport = peer(*noise);
            straight.transport = peer(other);
        }
        // One bit of the peer's key.
        _ => {
            other = *noise;
            other.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            bent.transport = peer(*noise);
            straight.transport = peer(other);
        }
    }
    (bent, straight)
}

impl Adversary for Bent {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        simulation.pass_on(from, step, bytes);
    }

    fn settings(&mut self, honest: Prologue) -> (Prologue, Prologue) {
        let (bent, straight) = bend(honest, self.field, &self.noise);
        if self.claimer { (bent, straight) } else { (straight, bent) }
    }
}
