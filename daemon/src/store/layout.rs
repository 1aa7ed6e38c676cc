//! What lies in the data folder and in a device's folder, and the two records readable without the
//! password.
//!
//! Decides names and encodings. Refuses records that are not canonical, and records of another
//! device than their folder's. No name, label or address of a person is in them: those are in the
//! key file.

use minicbor::{Decode, Encode};
use parsec_protocol::codec;
use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, Token, UserId};
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use zeroize::Zeroizing;

use super::{DeviceSummary, DirectReceipt, PendingReceipt, Registration, StoreError};

/// Held while a daemon uses the data folder.
pub(super) const LOCK: &str = "lock";
/// The folder of devices.
pub(super) const DEVICES: &str = "devices";
/// Prefix of a device's folder that is not complete yet.
pub(super) const NEW: &str = ".new-";
/// Prefix of a device's folder that is being removed.
pub(super) const GONE: &str = ".gone-";
/// The key file.
pub(super) const KEY_FILE: &str = "key.age";
/// [`About`].
pub(super) const ABOUT: &str = "about";
/// [`Pending`].
pub(super) const PENDING: &str = "pending";
/// The local store, and what SQLite may put beside it.
pub(super) const STORE: &str = "store.db";
/// The write-ahead log, a rollback journal, and shared memory (which exclusive locking does
/// without).
pub(super) const BESIDE_STORE: [&str; 3] = ["store.db-wal", "store.db-journal", "store.db-shm"];

/// Largest `about`: two short identifiers and a server's address.
pub(super) const ABOUT_MAX_BYTES: usize = 4 * 1024;
/// Largest `pending`: message 8 and as much as an `about`.
pub(super) const PENDING_MAX_BYTES: usize = STEP_MAX_BYTES + ABOUT_MAX_BYTES;
/// Longest server address: what fits an `about` with room to spare.
const SERVER_MAX_BYTES: usize = 2 * 1024;
/// The version of both records.
const FORMAT: u32 = 1;

/// The name of a device's folder.
pub(super) fn folder_name(organisation: &OrganisationId, device: DeviceId) -> String {
    format!("{organisation}.{device}")
}

/// Reads the name of a device's folder; nothing if it isn't one.
pub(super) fn parse_folder_name(name: &str) -> Option<(OrganisationId, DeviceId)> {
    let (organisation, device) = name.split_once('.')?;
    Some((organisation.parse().ok()?, device.parse().ok()?))
}

/// [`Registration`] as written. Not the API's type, whose spelling may change without the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
enum Standing {
    #[n(0)]
    Registered,
    #[n(1)]
    Pending,
    #[n(2)]
    Void,
    #[n(3)]
    Revoked,
    /// Pending, and taken back by its person.
    #[n(4)]
    Restored,
}

/// What is known of a device without its password.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct About {
    #[n(0)]
    format: u32,
    #[n(1)]
    organisation: OrganisationId,
    #[n(2)]
    user: UserId,
    #[n(3)]
    device: DeviceId,
    #[n(4)]
    server: String,
    #[n(5)]
    standing: Standing,
    /// SHA-256 of the key file; of both during a change of password. Tells a damaged file from a
    /// wrong password, and is asked only where the password did not open it.
    #[n(6)]
    pub(super) key_files: Vec<Hash>,
}

impl About {
    pub(super) fn new(summary: &DeviceSummary, key_file: Hash) -> Result<Self, StoreError> {
        if summary.server.len() > SERVER_MAX_BYTES {
            return Err(StoreError::TooLarge("the server's address"));
        }
        let mut about = Self {
            format: FORMAT,
            organisation: summary.organisation.clone(),
            user: summary.user,
            device: summary.device,
            server: summary.server.clone(),
            standing: Standing::Registered,
            key_files: vec![key_file],
        };
        about.set_registration(summary.registration, summary.restored);
        Ok(about)
    }

    /// Reads the record in the folder of this name.
    pub(super) fn decode(bytes: &[u8], folder: &str) -> Result<Self, StoreError> {
        check_format(bytes)?;
        let about: Self = codec::decode(bytes, ABOUT_MAX_BYTES)
            .map_err(|_| StoreError::Damaged("its `about` is malformed"))?;
        if folder == folder_name(&about.organisation, about.device) {
            Ok(about)
        } else {
            Err(StoreError::Damaged("its `about` is another device's"))
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn set_server(&mut self, server: &str) -> Result<(), StoreError> {
        if server.len() > SERVER_MAX_BYTES {
            return Err(StoreError::TooLarge("the server's address"));
        }
        server.clone_into(&mut self.server);
        Ok(())
    }

    pub(super) fn set_registration(&mut self, registration: Registration, restored: bool) {
        self.standing = match registration {
            Registration::Registered => Standing::Registered,
            Registration::Pending if restored => Standing::Restored,
            Registration::Pending => Standing::Pending,
            Registration::Void => Standing::Void,
            Registration::Revoked => Standing::Revoked,
            // Never made here: it stands for what a newer daemon says.
            Registration::Unknown => return,
        };
    }

    pub(super) fn summary(&self) -> DeviceSummary {
        DeviceSummary {
            device: self.device,
            user: self.user,
            organisation: self.organisation.clone(),
            server: self.server.clone(),
            registration: match self.standing {
                Standing::Registered => Registration::Registered,
                Standing::Pending | Standing::Restored => Registration::Pending,
                Standing::Void => Registration::Void,
                Standing::Revoked => Registration::Revoked,
            },
            restored: matches!(self.standing, Standing::Restored),
        }
    }
}

/// [`PendingReceipt`] as written.
#[derive(Encode, Decode)]
struct Pending {
    #[n(0)]
    format: u32,
    #[n(1)]
    organisation: OrganisationId,
    #[n(2)]
    server: String,
    #[n(3)]
    attempt: AttemptId,
    #[cbor(n(4), with = "minicbor::bytes")]
    attempt_secret: [u8; 32],
    #[n(5)]
    token: Token,
    #[cbor(n(6), with = "minicbor::bytes")]
    message: Vec<u8>,
    #[n(7)]
    direct: Option<Direct>,
}

/// [`DirectReceipt`] as written.
#[derive(Encode, Decode)]
struct Direct {
    #[n(0)]
    hints: Vec<String>,
    #[n(1)]
    greeter: DeviceId,
    #[n(2)]
    certificate: Hash,
}

pub(super) fn encode_pending(pending: &PendingReceipt) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    if pending.message.len() > STEP_MAX_BYTES || pending.server.len() > SERVER_MAX_BYTES {
        return Err(StoreError::TooLarge("the receipt"));
    }
    Ok(Zeroizing::new(codec::encode(&Pending {
        format: FORMAT,
        organisation: pending.organisation.clone(),
        server: pending.server.clone(),
        attempt: pending.attempt,
        attempt_secret: *pending.attempt_secret,
        token: pending.token,
        message: pending.message.clone(),
        direct: pending.direct.clone().map(|DirectReceipt { hints, greeter, certificate }| Direct {
            hints,
            greeter,
            certificate,
        }),
    })))
}

pub(super) fn decode_pending(bytes: &[u8]) -> Result<PendingReceipt, StoreError> {
    check_format(bytes)?;
    let pending: Pending = codec::decode(bytes, PENDING_MAX_BYTES)
        .map_err(|_| StoreError::Damaged("its `pending` is malformed"))?;
    Ok(PendingReceipt {
        organisation: pending.organisation,
        server: pending.server,
        attempt: pending.attempt,
        attempt_secret: Zeroizing::new(pending.attempt_secret),
        token: pending.token,
        message: pending.message,
        direct: pending.direct.map(|Direct { hints, greeter, certificate }| DirectReceipt {
            hints,
            greeter,
            certificate,
        }),
    })
}

/// Looks at the version alone: what follows it may be of any later shape.
fn check_format(bytes: &[u8]) -> Result<(), StoreError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    match decoder.array().and_then(|_| decoder.u32()) {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(StoreError::TooNew { found, known: FORMAT }),
        Ok(_) | Err(_) => Err(StoreError::Damaged("a record without a version")),
    }
}
