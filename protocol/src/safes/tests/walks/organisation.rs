//! The organisation of the walks: who is in it, and what happens to it, in a fixed order.
//!
//! Decides the certificates, and beside them, without the log's own rules, what each of them means
//! for whom. Refuses a second history: what devices know is always a beginning of this one.

use crate::chain::organisation::certificate::{
    Author, Body, DeviceKind, Payload, Profile, SEALED_NAME_BYTES,
};
use crate::chain::organisation::log::VerifiedLog;
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use crate::keys::{DeviceSigningKey, RootSigningKey};
use crate::public_keys::{Context, Hash, Signature};
use crate::sealing::KeyHash;

/// People are numbers; their device has the same.
pub(super) const OWNER: u64 = 1;
pub(super) const CONTRIBUTOR: u64 = 2;
/// Who is removed, revoked, or means harm.
pub(super) const THIRD: u64 = 3;
/// The other device of [`THIRD`].
pub(super) const THIRD_OTHER: u64 = 30;
/// All who are, or may become, members.
pub(super) const PEOPLE: [u64; 3] = [OWNER, CONTRIBUTOR, THIRD];

/// One moment for everything: nothing that is walked asks for the time.
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

/// What happens in the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Somebody is there no more.
    Revoked(u64),
    /// A device was lost.
    Lost(u64),
    /// A user has another key, says this device of theirs.
    Changed(u64, u64),
    /// A user is an outsider from here on.
    Outsider(u64),
    /// Somebody comes: the only kind that nothing follows from.
    Newcomer,
}

pub(super) fn organisation() -> OrganisationId {
    "acme".parse().unwrap()
}

fn id(what: &str, number: u64) -> [u8; 16] {
    Hash::of(&[what.as_bytes(), &number.to_be_bytes()]).as_bytes()[..16].try_into().unwrap()
}

pub(super) fn user(number: u64) -> UserId {
    UserId::from_bytes(id("user", number))
}

pub(super) fn device(number: u64) -> DeviceId {
    DeviceId::from_bytes(id("device", number))
}

/// Whose device it is.
pub(super) const fn user_of(device: u64) -> u64 {
    if device == THIRD_OTHER { THIRD } else { device }
}

pub(super) fn sign(device: u64, context: Context, message: &[u8]) -> Signature {
    key_of(device).sign(context, message)
}

fn key_of(device: u64) -> DeviceSigningKey {
    let mut seed = *Hash::of(&[b"device", &device.to_be_bytes()]).as_bytes();
    DeviceSigningKey::from_bytes(&mut seed)
}

/// The hash of a key, by number. A log has hashes alone: nothing is behind these.
fn encryption_key(number: u64) -> KeyHash {
    KeyHash::from_bytes(*Hash::of(&[b"user key", &number.to_be_bytes()]).as_bytes())
}

fn new_user(number: u64) -> Body {
    let email: Email = format!("member{number}@acme.test").parse().unwrap();
    let profile = if number == 0 { Profile::Administrator } else { Profile::Standard };
    let sealed_name = vec![7; SEALED_NAME_BYTES].into();
    Body::User { user: user(number), email, sealed_name, encryption_key: encryption_key(number), profile }
}

fn new_device(number: u64, owner: u64) -> Body {
    Body::Device {
        device: device(number),
        user: user(owner),
        sealed_label: vec![8; SEALED_NAME_BYTES].into(),
        verify_key: key_of(number).verify_key(),
        encryption_key: encryption_key(1_000 + number),
        kind: DeviceKind::Device,
    }
}

/// The organisation's log at each of its places that anybody can know.
pub(super) struct Organisation {
    logs: Vec<VerifiedLog>,
    events: &'static [Event],
}

impl Organisation {
    pub(super) fn new(events: &'static [Event]) -> Self {
        let mut seed = *Hash::of(&[b"root"]).as_bytes();
        let root = RootSigningKey::from_bytes(&mut seed);
        let mut log = VerifiedLog::empty(organisation(), root.verify_key());
        let push = |log: &mut VerifiedLog, by: Option<u64>, body: Body| {
            let author = by.map_or(Author::Root, |by| Author::Device(device(by)));
            let payload = Payload { organisation: organisation(), author, time: NOW, seen: log.head(), body };
            let envelope = payload.sign_with(|context, message| match by {
                Some(by) => sign(by, context, message),
                None => root.sign(context, message),
            });
            log.push(&envelope).unwrap();
        };
        push(&mut log, None, new_user(0));
        push(&mut log, None, new_device(0, 0));
        for number in PEOPLE {
            push(&mut log, Some(0), new_user(number));
            push(&mut log, Some(0), new_device(number, number));
        }
        push(&mut log, Some(THIRD), new_device(THIRD_OTHER, THIRD));
        let mut logs = vec![log.clone()];
        for event in events {
            let (by, body) = match *event {
                Event::Revoked(number) => (0, Body::UserRevoked { user: user(number) }),
                Event::Lost(number) => (0, Body::DeviceRevoked { device: device(number) }),
                Event::Changed(number, by) => {
                    let (previous, next) = (encryption_key(number), encryption_key(number + 100));
                    let change = Body::UserKeyChanged {
                        user: user(number),
                        previous,
                        encryption_key: next,
                        manifest: None,
                        abandoned: Vec::new(),
                    };
                    (by, change)
                }
                Event::Outsider(number) => {
                    (0, Body::ProfileChange { user: user(number), profile: Profile::Outsider })
                }
                Event::Newcomer => (0, new_user(9)),
            };
            push(&mut log, Some(by), body);
            logs.push(log.clone());
        }
        Self { logs, events }
    }

    /// How many things happen.
    pub(super) fn last(&self) -> u8 {
        u8::try_from(self.events.len()).unwrap()
    }

    /// The log as whoever knows of so many of them has it.
    pub(super) fn known(&self, known: u8) -> &VerifiedLog {
        &self.logs[usize::from(known)]
    }

    /// The same as a count of certificates.
    pub(super) fn count(&self, known: u8) -> u64 {
        self.known(known).count()
    }

    fn until(&self, known: u8) -> impl Iterator<Item = Event> {
        self.events.iter().take(usize::from(known)).copied()
    }

    /// The newest place that an honest server lets an author be at: that of the newest event which
    /// is no enrolment.
    pub(super) fn newest(&self, known: u8) -> u8 {
        let newest = self.until(known).enumerate().filter(|(_, event)| *event != Event::Newcomer).last();
        newest.map_or(0, |(at, _)| u8::try_from(at).unwrap() + 1)
    }

    /// Whether the device, or its user, was revoked.
    pub(super) fn is_revoked(&self, device: u64, known: u8) -> bool {
        self.until(known)
            .any(|event| event == Event::Lost(device) || event == Event::Revoked(user_of(device)))
    }

    /// Whether a user has a device, and was not revoked.
    pub(super) fn counts(&self, number: u64, known: u8) -> bool {
        let devices = if number == THIRD { vec![THIRD, THIRD_OTHER] } else { vec![number] };
        devices.into_iter().any(|device| !self.is_revoked(device, known))
    }

    /// Whether a lost device of a user has the user's key.
    pub(super) fn is_suspended(&self, number: u64, known: u8) -> bool {
        self.until(known).fold(false, |suspended, event| match event {
            Event::Lost(device) if user_of(device) == number => true,
            Event::Changed(user, _) if user == number => false,
            _ => suspended,
        })
    }

    pub(super) fn is_outsider(&self, number: u64, known: u8) -> bool {
        self.until(known).any(|event| event == Event::Outsider(number))
    }

    /// How often a user's key has changed.
    pub(super) fn key(&self, number: u64, known: u8) -> u8 {
        let changes =
            self.until(known).filter(|event| matches!(event, Event::Changed(user, _) if *user == number));
        u8::try_from(changes.count()).unwrap()
    }
}
