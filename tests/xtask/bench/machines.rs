//! Figure `ceremony machines`: both machines through a whole ceremony, beside the Noise handshake
//! and the signatures that it can't do without; and `ceremony work`, the same beside those and the
//! keys and boxes of X-Wing, which are most of it.
//!
//! Decides that messages travel in no time and people answer at once. What is not here: the
//! newcomer's scrypt, disks, networks.

use std::collections::VecDeque;
use std::time::Instant;

use parsec_protocol::enrol::claimer::Claimer;
use parsec_protocol::enrol::greeter::Greeter;
use parsec_protocol::enrol::io::{ClaimerInput, ClaimerOutput, CodeAnswer, GreeterInput, GreeterOutput};
use parsec_protocol::ids::Label;
use parsec_protocol::keys::{Entropy as _, UserSeed};
use parsec_protocol::lab::{Organisation, START as NOW};
use parsec_protocol::public_keys::Context;
use parsec_protocol::sealing::{Randomness, seal};
use parsecd::os::entropy::System;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash as SnowHash, Random};

use super::{Figure, Goal, percentile, said};

/// Rounds, and ceremonies in one.
const ROUNDS: usize = 15;
const CEREMONIES: usize = 40;
/// Milliseconds that a ceremony's machines may take, both together.
const GOAL_MS: f64 = 4.0;
/// Signatures made: two certificates, the proof of possession, the receipt, the statement.
const SIGNED: usize = 5;
/// Signatures checked: the founding certificates and the new ones by the newcomer, the new ones by
/// the greeter, possession, receipt.
const CHECKED: usize = 8;
/// Keys made, the user's and the device's; and boxes sealed and opened: message 7, and 32 bytes to
/// each key as a proof that it is had.
const KEYS: usize = 2;
const BOXES: usize = 3;
/// What the machines may take beyond all that they can't do without: a quarter more than a quiet
/// machine shows (1.2), so that what makes them slower shows, whatever the machine.
const GOAL_WORK: f64 = 1.5;
/// Noise, as docs/protocol.md has it.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

pub(super) fn figures() -> Vec<Figure> {
    match measure() {
        Ok(figures) => figures.into(),
        Err(why) => {
            eprintln!("cargo xtask bench: ceremony machines: {why}");
            Vec::new()
        }
    }
}

fn measure() -> Result<[Figure; 2], String> {
    let org = Organisation::found(&"acme".parse().map_err(said)?, NOW, &mut System).map_err(said)?;
    let (mut ours, mut theirs, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        (0..CEREMONIES).try_for_each(|_| ceremony(&org))?;
        ours.push(begun.elapsed().as_secs_f64() * 1e3 / CEREMONIES as f64);
        let begun = Instant::now();
        (0..CEREMONIES).try_for_each(|_| least(&org))?;
        theirs.push(begun.elapsed().as_secs_f64() * 1e3 / CEREMONIES as f64);
        let begun = Instant::now();
        (0..CEREMONIES).try_for_each(|_| least(&org).and_then(|()| boxes()))?;
        all.push(begun.elapsed().as_secs_f64() * 1e3 / CEREMONIES as f64);
    }
    let [value, bare, work] = [&mut ours, &mut theirs, &mut all].map(|round| percentile(round, 0.5));
    let of = |name, reference, reference_value, goal| Figure {
        goal: Some(goal),
        rounds: ROUNDS,
        ..Figure::beside(name, "ms", value, reference, reference_value)
    };
    Ok([
        of("ceremony machines", "its Noise and signatures", bare, Goal::value_at_most(GOAL_MS)),
        of("ceremony work", "its boxes, too", work, Goal::ratio_at_most(GOAL_WORK)),
    ])
}

/// As many keys, and boxes sealed and opened.
fn boxes() -> Result<(), String> {
    let entropy = &mut System;
    let mut seed = UserSeed::random(entropy).map_err(said)?;
    for _ in 1..KEYS {
        seed = UserSeed::random(entropy).map_err(said)?;
        std::hint::black_box(seed.encryption_key());
    }
    let to = seed.encryption_key();
    for _ in 0..BOXES {
        let randomness = Randomness::random(entropy).map_err(said)?;
        let sealed = seal(&to, b"bench", &[], &[7; 32], randomness).map_err(said)?;
        let opened = seed.open(&sealed, b"bench", &[]).map_err(said)?;
        std::hint::black_box(opened.expose().len());
    }
    Ok(())
}

/// Both sides, from message 0 to the greeter's word that all can be published.
fn ceremony(org: &Organisation) -> Result<(), String> {
    let secret = Organisation::link_secret();
    let entropy = &mut System;
    let (mut claimer, first) = Claimer::start(org.bob(), &secret, NOW, entropy).map_err(said)?;
    let (mut greeter, second) =
        Greeter::start(org.bob(), &secret, org.root, false, NOW, entropy).map_err(said)?;
    let (mut from_claimer, mut from_greeter) = (VecDeque::from(first), VecDeque::from(second));
    let (mut claimer_says, mut greeter_says) = (None, None);
    // A side is asked for a code before the other person may have read theirs out.
    let mut claimer_listens = false;
    loop {
        if let Some(output) = from_claimer.pop_front() {
            match output {
                ClaimerOutput::Send { step, bytes } => {
                    let input = GreeterInput::Message { step, bytes };
                    from_greeter.extend(greeter.step(input, NOW, entropy).map_err(said)?);
                }
                ClaimerOutput::Show(code) => claimer_says = Some(code),
                ClaimerOutput::AskCode(_) => claimer_listens = true,
                ClaimerOutput::AskIdentity => {
                    let label: Label = "Bob".parse().map_err(said)?;
                    let (name, device_label) = (Some(label.clone()), label);
                    let input = ClaimerInput::Identity { name, device_label };
                    from_claimer.extend(claimer.step(input, NOW, entropy).map_err(said)?);
                }
                ClaimerOutput::NeedLog { .. } => {
                    let input = ClaimerInput::Log(org.envelopes.clone());
                    from_claimer.extend(claimer.step(input, NOW, entropy).map_err(said)?);
                }
                ClaimerOutput::Keep(_) => {
                    from_claimer.extend(claimer.step(ClaimerInput::Saved, NOW, entropy).map_err(said)?);
                }
                ClaimerOutput::Closed(why) => return Err(format!("the claimer closed: {why:?}")),
                ClaimerOutput::KeepShare(_) | ClaimerOutput::WakeAt(_) | ClaimerOutput::Done => {}
            }
        } else if let Some(output) = from_greeter.pop_front() {
            match output {
                GreeterOutput::Send { step, bytes } => {
                    let input = ClaimerInput::Message { step, bytes };
                    from_claimer.extend(claimer.step(input, NOW, entropy).map_err(said)?);
                }
                GreeterOutput::Show(code) => greeter_says = Some(code),
                GreeterOutput::AskCode(_) => {
                    let heard = CodeAnswer::Picked(claimer_says.ok_or("no code to say")?);
                    from_greeter.extend(greeter.step(GreeterInput::Code(heard), NOW, entropy).map_err(said)?);
                }
                GreeterOutput::AskApproval(_) => {
                    let input = GreeterInput::Approve(org.approval());
                    from_greeter.extend(greeter.step(input, NOW, entropy).map_err(said)?);
                }
                GreeterOutput::Publish(_) => return Ok(()),
                GreeterOutput::Closed(why) => return Err(format!("the greeter closed: {why:?}")),
                GreeterOutput::Given(_) | GreeterOutput::WakeAt(_) | GreeterOutput::Persist(_) => {}
            }
        } else if let Some(heard) = greeter_says.take_if(|_| claimer_listens) {
            let input = ClaimerInput::Code(CodeAnswer::Picked(heard));
            from_claimer.extend(claimer.step(input, NOW, entropy).map_err(said)?);
        } else {
            return Err("both wait for the other".to_owned());
        }
    }
}

/// The library's own primitives, and the system's randomness, which our feature set of it leaves
/// out.
struct Resolver;

struct SystemRandomness;

impl Random for SystemRandomness {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        System.fill(bytes).map_err(|_| snow::Error::Rng)
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SystemRandomness))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn SnowHash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// The same handshake between two, six messages in the channel, and as many signatures made and
/// checked.
fn least(org: &Organisation) -> Result<(), String> {
    let side = || {
        let params = PATTERN.parse().map_err(|error: snow::Error| error.to_string())?;
        let builder =
            snow::Builder::with_resolver(params, Box::new(Resolver)).psk(0, &[9; 32]).map_err(said)?;
        builder.prologue(&[7; 100]).map_err(said)
    };
    let mut one = side()?.build_initiator().map_err(said)?;
    let mut other = side()?.build_responder().map_err(said)?;
    let (mut sent, mut got) = ([0; 2_048], [0; 2_048]);
    let length = one.write_message(&[], &mut sent).map_err(said)?;
    other.read_message(sent.get(..length).unwrap_or_default(), &mut got).map_err(said)?;
    let length = other.write_message(&[], &mut sent).map_err(said)?;
    one.read_message(sent.get(..length).unwrap_or_default(), &mut got).map_err(said)?;
    let mut one = one.into_transport_mode().map_err(said)?;
    let mut other = other.into_transport_mode().map_err(said)?;
    for _ in 0..3 {
        let length = one.write_message(&[1; 200], &mut sent).map_err(said)?;
        other.read_message(sent.get(..length).unwrap_or_default(), &mut got).map_err(said)?;
        let length = other.write_message(&[1; 200], &mut sent).map_err(said)?;
        one.read_message(sent.get(..length).unwrap_or_default(), &mut got).map_err(said)?;
    }
    let key = org.signing_key.verify_key();
    let mut signature = None;
    for _ in 0..SIGNED {
        signature = Some(org.signing_key.sign(Context::Certificate, &[1; 300]));
    }
    let signature = signature.ok_or("nothing signed")?;
    (0..CHECKED).try_for_each(|_| key.verify(Context::Certificate, &[1; 300], &signature)).map_err(said)
}
