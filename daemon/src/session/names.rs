//! The names in a verified log, opened with the organisation's directory keys, and in words for
//! people.
//!
//! Decides nothing: everything comes from a `VerifiedLog`. A name that does not open is absent,
//! never guessed.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::{Author, Profile};
use parsec_protocol::chain::organisation::log::{DeviceRecord, UserRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::{NameOf, open_name};
use parsec_protocol::control::ProfileName;
use parsec_protocol::ids::{DeviceId, Label, UserId};
use parsec_protocol::name_keys::DirectoryKeys;

/// Opens the names of one log.
#[derive(Debug)]
pub struct Names<'a> {
    log: &'a VerifiedLog,
    keys: Arc<DirectoryKeys>,
}

impl<'a> Names<'a> {
    /// The names of a log, opened with the keys that are here.
    #[must_use]
    pub const fn new(keys: Arc<DirectoryKeys>, log: &'a VerifiedLog) -> Self {
        Self { log, keys }
    }

    /// The log whose names these are.
    #[must_use]
    pub const fn log(&self) -> &'a VerifiedLog {
        self.log
    }

    /// A member's name; none where it does not open.
    #[must_use]
    pub fn user(&self, record: &UserRecord) -> Option<Label> {
        open_name(&*self.keys, self.log.organisation(), NameOf::User(record.user), &record.sealed_name)
    }

    /// A device's label; none where it does not open.
    #[must_use]
    pub fn device(&self, record: &DeviceRecord) -> Option<Label> {
        open_name(&*self.keys, self.log.organisation(), NameOf::Device(record.device), &record.sealed_label)
    }

    /// Name and address; the id of a user that the log doesn't have.
    #[must_use]
    pub fn user_in_words(&self, user: &UserId) -> String {
        let Some(record) = self.log.user(user) else { return user.to_string() };
        match self.user(record) {
            Some(name) => format!("{name} <{}>", record.email),
            None => record.email.to_string(),
        }
    }

    /// Label and owner; the id of a device that the log doesn't have.
    #[must_use]
    pub fn device_in_words(&self, device: &DeviceId) -> String {
        let Some(record) = self.log.device(device) else { return device.to_string() };
        let label = self.device(record).map_or_else(|| device.to_string(), |label| label.to_string());
        format!("{label} of {}", self.user_in_words(&record.user))
    }

    /// The signing device, or the root key.
    #[must_use]
    pub fn author_in_words(&self, author: Author) -> String {
        match author {
            Author::Root => "root".to_owned(),
            Author::Device(device) => self.device_in_words(&device),
        }
    }
}

/// A profile's name in the local API.
#[must_use]
pub const fn profile(profile: Profile) -> ProfileName {
    match profile {
        Profile::Administrator => ProfileName::Administrator,
        Profile::Standard => ProfileName::Standard,
        Profile::Outsider => ProfileName::Outsider,
    }
}
