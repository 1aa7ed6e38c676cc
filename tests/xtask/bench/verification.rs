//! Figures `verify log`, a certificate of a long log on one core beside its bare signature; and
//! `verify log by 2`, two threads beside one.
//!
//! Decides what the log is: members that one administrator certified, each with a device, as in a
//! large organisation.

use std::time::Instant;

use parsec_protocol::chain::batch::{Executor, Sequential, Task};
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Profile, SEALED_NAME_BYTES};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, UserSeed, random};
use parsec_protocol::lab::{Organisation, START};
use parsec_protocol::public_keys::{Context, Signature};
use parsecd::os::entropy::System;

use super::{Figure, Goal, percentile, said};

/// Certificates of the log: four batches of the verifier's.
const CERTIFICATES: usize = 8_192;
const ROUNDS: usize = 7;
/// At least 0.9 of the speed of bare signatures.
const GOAL_RATIO: f64 = 1.0 / 0.9;
/// Two threads: at least 1.7 times as fast as one.
const GOAL_BY_TWO: f64 = 1.0 / 1.7;
/// Bytes of a payload, about.
const PAYLOAD: usize = 320;

/// Two threads.
struct Two;

impl Executor for Two {
    fn run<T: Task>(&self, tasks: &mut [T]) {
        let (one, other) = tasks.split_at_mut(tasks.len() / 2);
        std::thread::scope(|scope| {
            scope.spawn(|| one.iter_mut().for_each(Task::run));
            other.iter_mut().for_each(Task::run);
        });
    }
}

pub(super) fn figures() -> Vec<Figure> {
    match measure() {
        Ok(figures) => figures.into(),
        Err(why) => {
            eprintln!("cargo xtask bench: verify log: {why}");
            Vec::new()
        }
    }
}

fn measure() -> Result<[Figure; 2], String> {
    let (empty, envelopes) = log()?;
    let key = DeviceSigningKey::random(&mut System).map_err(said)?;
    let prepared = key.verify_key().prepare().ok_or("no key")?;
    let messages: Vec<([u8; PAYLOAD], Signature)> = (0..CERTIFICATES)
        .map(|number| {
            let mut message = [0; PAYLOAD];
            message.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
            (message, key.sign(Context::Certificate, &message))
        })
        .collect();
    let (mut one, mut two, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(take(&empty, &envelopes, &Sequential)?);
        let begun = Instant::now();
        for (message, signature) in &messages {
            prepared.verify(Context::Certificate, message, signature).map_err(said)?;
        }
        bare.push(begun.elapsed().as_secs_f64() * 1e6 / CERTIFICATES as f64);
        two.push(take(&empty, &envelopes, &Two)?);
    }
    let [one, two, bare] = [&mut one, &mut two, &mut bare].map(|times| percentile(times, 0.5));
    let figure = |name, value, reference, reference_value, goal| Figure {
        goal: Some(Goal::ratio_at_most(goal)),
        rounds: ROUNDS,
        ..Figure::beside(name, "µs", value, reference, reference_value)
    };
    Ok([
        figure("verify log", one, "bare signature", bare, GOAL_RATIO),
        figure("verify log by 2", two, "by one thread", one, GOAL_BY_TWO),
    ])
}

/// Microseconds for each certificate.
fn take(empty: &VerifiedLog, envelopes: &[Vec<u8>], executor: &impl Executor) -> Result<f64, String> {
    let mut log = empty.clone();
    let begun = Instant::now();
    log.extend_with(envelopes, executor).map_err(said)?;
    Ok(begun.elapsed().as_secs_f64() * 1e6 / envelopes.len() as f64)
}

fn log() -> Result<(VerifiedLog, Vec<Vec<u8>>), String> {
    let entropy = &mut System;
    let mut org = Organisation::found(&"acme".parse().map_err(said)?, START, entropy).map_err(said)?;
    for number in 1..CERTIFICATES / 2 {
        let user = UserId::from_bytes(random(entropy).map_err(said)?);
        org.state(Body::User {
            user,
            email: format!("member{number}@acme.example").parse().map_err(said)?,
            sealed_name: vec![7; SEALED_NAME_BYTES].into(),
            encryption_key: UserSeed::random(entropy).map_err(said)?.encryption_key().hash(),
            profile: Profile::Standard,
        })
        .map_err(said)?;
        org.state(Body::Device {
            device: DeviceId::from_bytes(random(entropy).map_err(said)?),
            user,
            sealed_label: vec![8; SEALED_NAME_BYTES].into(),
            verify_key: DeviceSigningKey::random(entropy).map_err(said)?.verify_key(),
            encryption_key: DeviceSeed::random(entropy).map_err(said)?.encryption_key().hash(),
            kind: DeviceKind::Device,
        })
        .map_err(said)?;
    }
    Ok((VerifiedLog::empty(org.log.organisation().clone(), org.root), org.envelopes))
}
