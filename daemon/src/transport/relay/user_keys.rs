//! The calls about encryption keys: public keys by their hashes, a change of the user's key, and
//! the boxes in which a user's devices get it.
//!
//! Decides nothing: each is one try, and idempotent. Whether a key or a box is right, whoever asked
//! checks.

use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::relay::{Completed, KeyBox, KeyBoxUpload, UserKeyChange, path};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};
use reqwest::Method;

use super::Member;
use crate::transport::TransportError;
use crate::transport::http::Call;

impl Member {
    /// Changes the key of this device's user.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn change_user_key(&self, change: &UserKeyChange) -> Result<Completed, TransportError> {
        self.ask(Call::new(Method::POST, path::user_key(&self.organisation)).with(change)).await
    }

    /// The public key that the server has under a hash.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn encryption_key(&self, hash: &KeyHash) -> Result<EncryptionKey, TransportError> {
        let key: EncryptionKey =
            self.ask(Call::new(Method::GET, path::key(&self.organisation, hash))).await?;
        if key.hash() == *hash {
            Ok(key)
        } else {
            Err(TransportError::Misbehaved("a key is another one than its hash names"))
        }
    }

    /// Gives back a public key that the server lost.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_encryption_key(&self, key: &EncryptionKey) -> Result<(), TransportError> {
        let target = path::key(&self.organisation, &key.hash());
        self.tell(Call::new(Method::PUT, target).with(key)).await
    }

    /// The box in which a device of this user gets a key of this user.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn key_box(
        &self,
        user: UserId,
        key: &KeyHash,
        device: DeviceId,
    ) -> Result<KeyBox, TransportError> {
        self.ask(Call::new(Method::GET, path::key_box(&self.organisation, &user, key, &device))).await
    }

    /// Gives a device of this user a box, where it has none.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_key_box(
        &self,
        user: UserId,
        key: &KeyHash,
        device: DeviceId,
        upload: &KeyBoxUpload,
    ) -> Result<(), TransportError> {
        let target = path::key_box(&self.organisation, &user, key, &device);
        self.tell(Call::new(Method::PUT, target).with(upload)).await
    }

    /// Puts the box with the key before there, in the place of the one that was seen.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_past_box(
        &self,
        user: UserId,
        key: &KeyHash,
        upload: &KeyBoxUpload,
    ) -> Result<(), TransportError> {
        let target = path::past_box(&self.organisation, &user, key);
        self.tell(Call::new(Method::PUT, target).with(upload)).await
    }
}
