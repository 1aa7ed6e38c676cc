//! Why is this key trusted? The chain of certificates from a member or device up to the root key.
//!
//! Decides which statements a person has to believe, in which order. Takes them from a
//! [`VerifiedLog`] alone, so nothing here can be unverified; refuses (with an empty chain) only
//! subjects that the log doesn't name.

use super::certificate::Author;
use super::log::VerifiedLog;
use crate::ids::{DeviceId, Timestamp, UserId};
use crate::public_keys::VerifyKey;
use crate::sealing::KeyHash;

/// Whom a link is about, with the key it vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A person, with the user's id and first key.
    User(UserId, KeyHash),
    /// The present key of a person who has changed it, with the user's id.
    UserKey(UserId, KeyHash),
    /// A device, with its id.
    Device(DeviceId, VerifyKey),
}

/// One certificate of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Position of the certificate; 0 is the first.
    pub position: u64,
    /// User or device that it certifies.
    pub subject: Subject,
    /// Root key or device that signed.
    pub author: Author,
    /// Key under which the signature was checked.
    pub author_key: VerifyKey,
    /// Time by the author's clock.
    pub time: Timestamp,
    /// Time of the subject's revocation, if there is one.
    pub revoked: Option<Timestamp>,
}

/// From whom a chain starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A person, with the user's id.
    User(UserId),
    /// A device, with its id.
    Device(DeviceId),
}

/// The chain, from `start` to a certificate by the root key; empty for a subject the log doesn't
/// name. For a person whose key was changed it begins with the present key, which a device of
/// theirs certified, and goes on from that device. A device that somebody else certified is
/// followed by its person, who was certified by the same author. As long as the log at most: every
/// author stands before what it signed, so positions only fall.
#[must_use]
pub fn chain(log: &VerifiedLog, start: Start) -> Vec<Link> {
    let present = match start {
        Start::User(user) => present_key(log, user),
        Start::Device(_) => None,
    };
    let mut next = match present {
        Some(Link { author: Author::Device(device), .. }) => Some(Start::Device(device)),
        Some(_) | None => Some(start),
    };
    let mut links: Vec<_> = present.into_iter().collect();
    while let Some(subject) = next {
        let Some(link) = link(log, subject) else { break };
        links.push(link);
        next = match (subject, link.author) {
            (Start::Device(device), author) => person_or_author(log, &device, author),
            (Start::User(_), Author::Device(author)) => Some(Start::Device(author)),
            (Start::User(_), Author::Root) => None,
        };
    }
    links
}

/// What comes after a device: the device of the same person that certified it, or else its
/// person.
fn person_or_author(log: &VerifiedLog, device: &DeviceId, author: Author) -> Option<Start> {
    let user = log.device(device)?.user;
    match author {
        Author::Device(author) if log.device(&author)?.user == user => Some(Start::Device(author)),
        Author::Device(_) | Author::Root => Some(Start::User(user)),
    }
}

/// The certificate that gave a person the present key, where that is not the one about the person.
fn present_key(log: &VerifiedLog, user: UserId) -> Option<Link> {
    let record = log.user(&user)?;
    let (present, earlier) = record.keys.split_last()?;
    let author = present.author;
    let Author::Device(device) = author else { return None };
    let author_key = log.device(&device)?.verify_key;
    (!earlier.is_empty()).then_some(Link {
        position: present.position,
        subject: Subject::UserKey(user, present.key),
        author,
        author_key,
        time: present.certified,
        revoked: record.revoked,
    })
}

/// The certificate about one subject.
fn link(log: &VerifiedLog, subject: Start) -> Option<Link> {
    let (position, subject, author, time, revoked) = match subject {
        Start::User(user) => {
            let record = log.user(&user)?;
            // What this certificate vouches for. Later keys are by a device of the user
            // ([`present_key`]), and this author never said a word about them.
            let subject = Subject::User(user, record.keys.first()?.key);
            (record.position, subject, record.author, record.certified, record.revoked)
        }
        Start::Device(device) => {
            let record = log.device(&device)?;
            let subject = Subject::Device(device, record.verify_key);
            (record.position, subject, record.author, record.certified, record.revoked)
        }
    };
    let author_key = match author {
        Author::Root => *log.root(),
        Author::Device(device) => log.device(&device)?.verify_key,
    };
    Some(Link { position, subject, author, author_key, time, revoked })
}
