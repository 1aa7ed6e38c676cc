//! Signatures of many certificates, checked by several threads at once.
//!
//! Decides what can be done before its turn: reading a certificate, and checking its signature under the key that it will have to be
//! checked under if all goes well. Refuses to decide anything by that: the rules go through the log in order, find out for themselves whose
//! key it is, and check again whatever was not checked under exactly that key. So a crew can make verifying faster, and nothing else.

use std::collections::BTreeMap;

use super::certificate::{Author, Body, Envelope, Payload};
use super::verify::VerifiedLog;
use crate::ids::DeviceId;
use crate::public::{Context, PreparedKey, VerifyKey};

/// Certificates that are read ahead: some megabytes, and enough that two threads have some 50 ms of work each.
pub(super) const BATCH: usize = 2_048;

/// Who checks signatures. How many there are, and in which order they work, decides how long it takes and nothing else.
pub trait Crew {
    /// Calls [`Job::run`] on each, in any order, from any threads; returns when it is done. What is left out is done by the verifier.
    fn run(&self, jobs: &mut [Job<'_>]);
}

/// One after the other, on the caller's thread.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Crew for Alone {
    fn run(&self, jobs: &mut [Job<'_>]) {
        jobs.iter_mut().for_each(Job::run);
    }
}

/// One certificate: its bytes, then what they say, then whether the signature checks.
#[derive(Debug)]
pub struct Job<'a> {
    bytes: &'a [u8],
    read: Option<Read>,
    key: Option<(VerifyKey, Option<PreparedKey>)>,
    checks: Option<bool>,
}

/// An envelope and what is in it. Nothing of it is believed.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) envelope: Envelope,
    pub(super) payload: Payload,
    /// Whether the key that it certifies, if it does, is one that may be certified. A property of the key alone, and the one slow thing beside
    /// the signature: found out here, where several threads work.
    pub(super) sound: bool,
}

impl Read {
    /// Reads both; nothing if either is malformed.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let envelope = Envelope::decode(bytes).ok()?;
        let payload = envelope.payload().ok()?;
        let sound = match &payload.body {
            Body::User { encryption_key, .. } => encryption_key.is_sound(),
            Body::Device { verify_key, .. } => verify_key.is_sound(),
            Body::ProfileChange { .. } | Body::UserRevoked { .. } | Body::DeviceRevoked { .. } => true,
        };
        Some(Self { envelope, payload, sound })
    }
}

impl Job<'_> {
    /// Does what is next: reads, or checks the signature. Takes about 50 µs.
    pub fn run(&mut self) {
        match (&self.read, &self.key) {
            (None, _) => self.read = Read::of(self.bytes),
            (Some(read), Some((_, prepared))) => {
                // A key that is no point of the curve has no signatures.
                self.checks = Some(prepared.as_ref().is_some_and(|key| {
                    key.verify(Context::Certificate, &read.envelope.payload, &read.envelope.signature).is_ok()
                }));
            }
            (Some(_), None) => {}
        }
    }

    /// What was read, and under which key the signature was checked, with what result.
    pub(super) fn done(self) -> (Option<Read>, Option<(VerifyKey, bool)>) {
        let checked = self.key.zip(self.checks).map(|((key, _), checks)| (key, checks));
        // A crew may have left it out.
        (self.read.or_else(|| Read::of(self.bytes)), checked)
    }
}

/// Has a batch read and its signatures checked, under the keys that the log has or that earlier certificates of the batch name.
pub(super) fn prepare<'a, E: AsRef<[u8]>>(
    log: &VerifiedLog,
    batch: &'a [E],
    crew: &dyn Crew,
) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = batch
        .iter()
        .map(|bytes| Job { bytes: bytes.as_ref(), read: None, key: None, checks: None })
        .collect();
    crew.run(&mut jobs);
    let root = (*log.root(), log.root().prepare());
    // The first certificate that names a device is the one that counts: a second is refused.
    let mut named: BTreeMap<DeviceId, VerifyKey> = BTreeMap::new();
    let mut prepared: BTreeMap<DeviceId, (VerifyKey, Option<PreparedKey>)> = BTreeMap::new();
    for job in &mut jobs {
        let Some(Read { payload, .. }) = &job.read else { continue };
        job.key = match payload.author {
            Author::Root => Some(root.clone()),
            Author::Device(device) => prepared.get(&device).cloned().or_else(|| {
                let key = log.device(&device).map(|known| known.verify_key);
                let key = key.or_else(|| named.get(&device).copied())?;
                let ready = (key, key.prepare());
                prepared.insert(device, ready.clone());
                Some(ready)
            }),
        };
        if let Body::Device { device, verify_key, .. } = &payload.body {
            named.entry(*device).or_insert(*verify_key);
        }
    }
    crew.run(&mut jobs);
    jobs
}
