//! Everything the daemon keeps on disk: one folder for each device, with its keys and its local
//! store.
//!
//! Decides what is durable when, and under which modes. Refuses folders that others could write to,
//! files it did not write, formats newer than itself, and key files that would take too much work
//! to open. All calls block: callers off the loop's thread run them with `spawn_blocking`.

mod alarms;
pub(crate) mod atomic;
mod chain;
mod collections;
mod database;
mod device;
mod directory;
mod drills;
mod evidence;
mod inspect;
mod integers;
mod invitations;
mod keyfile;
mod layout;
mod memory;
mod migrations;
mod mount_marks;
mod outbox;
mod pieces;
mod safes;
#[cfg(test)]
mod tests;
mod tokens;
mod user_keys;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parsec_protocol::chain::checkpoint::CheckpointKey;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::Profile;
pub use parsec_protocol::control::Registration;
use parsec_protocol::ids::{
    AttemptId, DeviceId, Email, Invited, Label, OrganisationId, Timestamp, Token, UserId,
};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, LinkSecret, PeerSecret, UserSeed};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::attempt::is_exhausted;
use zeroize::Zeroizing;

pub use alarms::StoredAlarm;
pub use collections::{CollectedShare, Collection};
pub use database::Store;
pub use device::Devices;
use directory::Directory;
pub use directory::OwnDirectoryChange;
pub use inspect::Inspected;
pub use keyfile::{WorkFactor, check_strength, opens as key_file_opens};
pub use mount_marks::MountMark;
pub use outbox::{DirectStep, Sealed};
pub(crate) use pieces::PINNED_MAX;
pub(crate) use pieces::packs::SMALL_MAX_BYTES;
pub use safes::{
    Folded, Halt, Here, KeptTotals, PINS_MAX, PieceHere, Requeued, SafeSize, StagedObject, Standing,
    StoredRecord, StoredSafe, TakenItems, ToSend, WaitingPiece, Word,
};
pub use tokens::{TokenRecord, TokenStore};
pub use user_keys::PendingChange;

/// Why something could not be kept or found. Nothing has changed on disk, unless the variant says
/// otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon uses this data folder.
    #[error("another daemon uses {}", .0.display())]
    InUse(PathBuf),
    /// A folder or file that is a link, belongs to somebody else, or that others may enter.
    #[error("{} {why}", path.display())]
    UnsafePath {
        /// The folder or file that is refused.
        path: PathBuf,
        /// What is wrong, completing the sentence.
        why: &'static str,
    },
    /// No such device on this machine.
    #[error("no such device on this machine")]
    NoSuchDevice,
    /// This device has a folder already.
    #[error("this device has a folder already")]
    Exists,
    /// The password has fewer than [`PASSWORD_MIN_CHARACTERS`] characters.
    #[error("the password has fewer than {PASSWORD_MIN_CHARACTERS} characters")]
    WeakPassword,
    /// The password holds control or unassigned characters, or nothing.
    #[error(
        "the password holds characters that a password can't have: control characters, or ones that this version doesn't know"
    )]
    UnfitPassword,
    /// The key file does not open with this password.
    #[error("the key file does not open with this password")]
    WrongPassword,
    /// The key file asks for more memory and time than this program ever writes.
    #[error("the key file asks for scrypt work factor {0}")]
    TooMuchWork(u8),
    /// The key file is not what was written.
    #[error("the key file is damaged: {0}")]
    KeyFileDamaged(&'static str),
    /// The store, or another file beside the key file, is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer Parsec.
    #[error("written by a newer Parsec (format {found}, this one reads up to {known})")]
    TooNew {
        /// Version of the format that was found.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// Written by a Parsec before the first release.
    #[error("written by a Parsec that was never released (format {found}, this one reads from {oldest} on)")]
    TooOld {
        /// Version of the format that was found.
        found: u32,
        /// The oldest this program knows.
        oldest: u32,
    },
    /// A log can only grow at its end, by one gapless piece.
    #[error("the stored log has {have} certificates, so none can be added at {from}")]
    Gap {
        /// Number of certificates that are stored.
        have: u64,
        /// Position at which some were to be added.
        from: u64,
    },
    /// Kept already, with other contents.
    #[error("kept already, with other contents")]
    Conflict,
    /// The manifest kept is as new as this one, or newer.
    #[error("the manifest kept has version {have}, so {version} is none to keep")]
    ManifestNotNewer {
        /// Version of the manifest that is kept.
        have: u64,
        /// Version of the manifest that was offered.
        version: u64,
    },
    /// More than a bound allows, of something that is to be kept: a bug in who asks for it.
    #[error("{0} is larger than allowed")]
    TooLarge(&'static str),
    /// Something that is kept is larger than any this program writes: the disk, or somebody else,
    /// has made it so.
    #[error("`{0}` is larger than any that Parsec writes")]
    Oversized(String),
    /// No space, or no quota.
    #[error("the disk is full")]
    DiskFull,
    /// The disk failed in another way.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed in another way.
    #[error("the store's database failed: {0}")]
    Database(rusqlite::Error),
    /// The machine has less memory than a password's work takes.
    #[error("it takes {needed_mib} MiB of memory to open or make a key file, and {free_mib} are to be had")]
    NoMemory {
        /// Memory that scrypt takes, in MiB.
        needed_mib: u64,
        /// Memory that is free, in MiB.
        free_mib: u64,
    },
}

/// Fewest characters of a password. What scrypt costs an attacker times 26^8 guesses is years of a
/// data centre; less is not worth encrypting with.
pub const PASSWORD_MIN_CHARACTERS: usize = 8;

/// What is known of a device without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSummary {
    /// Id of the device.
    pub device: DeviceId,
    /// Id of its user.
    pub user: UserId,
    /// The organisation that it belongs to.
    pub organisation: OrganisationId,
    /// The metadata server's address.
    pub server: String,
    /// Whether it is certified.
    pub registration: Registration,
    /// Whether its person has taken it back after somebody's word had set it aside.
    pub restored: bool,
}

/// Message 8 and what depositing it takes. Kept readable without the password, so that it goes out
/// after a restart; the secret in it ends with the attempt and opens nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingReceipt {
    /// The organisation that was joined.
    pub organisation: OrganisationId,
    /// The metadata server's address.
    pub server: String,
    /// Which run of the ceremony.
    pub attempt: AttemptId,
    /// Proves to the server that the attempt is ours.
    pub attempt_secret: Zeroizing<[u8; 32]>,
    /// Token of the invitation that was claimed.
    pub token: Token,
    /// Message 8, encoded: the claimer's receipt.
    pub message: Vec<u8>,
    /// Where the ceremony ran without the server.
    pub direct: Option<DirectReceipt>,
}

impl fmt::Debug for PendingReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingReceipt({} {:?})", self.organisation, self.attempt)
    }
}

/// A device's keys and what was true when they were saved. From the key file alone, so as good as
/// its password.
#[derive(Debug)]
pub struct DeviceKeys {
    /// Opens what was sealed to the user when the device was enrolled. Later seeds are in the
    /// store.
    pub user_seed: Arc<UserSeed>,
    /// Opens what is sealed to this device.
    pub device_seed: DeviceSeed,
    /// Signs for this device.
    pub signing_key: DeviceSigningKey,
    /// Opens names that were sealed with the organisation's first key. Later keys are in the store.
    pub directory_key: DirectoryKey,
    /// The pinned root key.
    pub root: VerifyKey,
    /// The user's e-mail address.
    pub email: Email,
    /// Name of the user, as given in the ceremony.
    pub name: Label,
    /// What the device is called.
    pub device_label: Label,
    /// What the user might do when the keys were saved; the log says what they may do now.
    pub profile: Profile,
    /// Whether the organisation requires codes to be typed.
    pub typed_codes: bool,
    /// The metadata server's address.
    pub server: String,
    /// The log's head when the keys were saved: no log that does not contain it is believed.
    pub head: Head,
}

/// A device whose password was right.
#[derive(Debug)]
pub struct OpenDevice {
    /// What is known without the password.
    pub summary: DeviceSummary,
    /// The keys. Dropping them locks the device.
    pub keys: DeviceKeys,
    /// The device's encrypted store.
    pub store: Store,
    /// What names are sealed and opened with.
    directory: Directory,
    /// Makes and recognises the notes of how far the log has been verified.
    pub checkpoint_key: CheckpointKey,
}

/// An invitation made on this device.
#[derive(Debug)]
pub struct StoredInvitation {
    /// The part of the link that the server doesn't know.
    pub link_secret: LinkSecret,
    /// The person or member who is invited.
    pub invited: Invited,
    /// When it was made; 0 where an earlier version made it.
    pub created: Timestamp,
    /// When the invitation ends.
    pub expires: Timestamp,
    /// Whether the server has it.
    pub posted: Posting,
    /// This device's end of the peer-to-peer transport, if there is one for it.
    pub direct: Option<DirectEnd>,
    /// How often it was tried.
    pub tally: Tally,
}

/// Whether the server has an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posting {
    /// It shall, as soon as it can be reached.
    Wanted,
    /// The server has the invitation.
    Done,
    /// It is not told of it before the enrolment.
    Never,
}

/// Where a device can be met for one invitation.
#[derive(Debug)]
pub struct DirectEnd {
    /// Who it is there.
    pub secret: PeerSecret,
    /// The port that the link names.
    pub port: u16,
}

/// How often an invitation was tried, over both transports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs of the ceremony.
    pub attempts: u32,
    /// Those that ended by a wrong code.
    pub mismatches: u32,
}

impl Tally {
    /// Whether the invitation takes no further attempt.
    #[must_use]
    pub const fn is_exhausted(self) -> bool {
        is_exhausted(self.attempts, self.mismatches)
    }
}

/// What an enrolment in the outbox has beside it where its ceremony runs directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectAttempt {
    /// SHA-256 of the secret by which the claimer proves that the attempt is theirs.
    pub secret_hash: Hash,
    /// Message 7, from when it may be fetched.
    pub step_7: Option<Vec<u8>>,
    /// Message 8, from when the claimer's keys are durable.
    pub step_8: Option<Vec<u8>>,
}

/// What a receipt needs beside it where the ceremony ran directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectReceipt {
    /// Where the greeter's device is met, as in the link.
    pub hints: Vec<String>,
    /// Id of the greeter's device.
    pub greeter: DeviceId,
    /// SHA-256 of the first certificate: by it the server finds the enrolment.
    pub certificate: Hash,
}
