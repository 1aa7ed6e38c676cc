//! The calls about devices that come into the log without a ceremony.
//!
//! Decides nothing: each is one try, and idempotent. Whether a root key is the right one, whoever
//! asked checks.

use parsec_protocol::ids::DeviceId;
use parsec_protocol::relay::{Completed, NewOwnDevice, RootKey, SharesView, SplitKits, path};
use reqwest::Method;

use super::Member;
use crate::transport::TransportError;
use crate::transport::http::Call;

impl Member {
    /// The device that signs.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.signer.device()
    }

    /// The root key that the server says the organisation has.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn root(&self) -> Result<RootKey, TransportError> {
        self.ask(Call::new(Method::GET, path::root(&self.organisation))).await
    }

    /// Puts a kit into the log, or as a kit a device.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn add_device(&self, new: &NewOwnDevice) -> Result<Completed, TransportError> {
        self.ask(Call::new(Method::POST, path::devices(&self.organisation)).with(new)).await
    }

    /// The kits that were split and concern this device's user.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn split_kits(&self) -> Result<SplitKits, TransportError> {
        self.ask(Call::new(Method::GET, path::shares(&self.organisation))).await
    }

    /// The plan of a kit, and this device's user's own share of it.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn shares_of(&self, kit: &DeviceId) -> Result<SharesView, TransportError> {
        self.ask(Call::new(Method::GET, path::shares_of(&self.organisation, kit))).await
    }
}
