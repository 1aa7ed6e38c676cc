//! The calls about the directory key: another one with its ring, and what members get it by.
//!
//! Decides nothing: each is one try, and idempotent. Refuses bytes that are not those of the hash
//! that was asked for; whether what is in them is right, whoever asked checks.

use parsec_protocol::ids::UserId;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{Completed, DirectoryKeyChange, MEDIA_TYPE, PostedBoxes, path};
use reqwest::Method;

use super::Member;
use crate::transport::TransportError;
use crate::transport::http::Call;

impl Member {
    /// Changes the organisation's directory key.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn change_directory_key(
        &self,
        change: &DirectoryKeyChange,
    ) -> Result<Completed, TransportError> {
        self.ask(Call::new(Method::POST, path::directory_key(self.organisation())).with(change)).await
    }

    /// The encoded head of a directory key's ring.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn directory_ring(&self, ring: &Hash) -> Result<Vec<u8>, TransportError> {
        self.named(path::directory_ring(self.organisation(), ring), ring).await
    }

    /// An encoded part of it.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn directory_part(&self, part: &Hash) -> Result<Vec<u8>, TransportError> {
        self.named(path::directory_part(self.organisation(), part), part).await
    }

    /// Puts an encoded part of a ring.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_directory_part(&self, part: Vec<u8>) -> Result<(), TransportError> {
        let target = path::directory_part(self.organisation(), &Hash::of(&[&part]));
        self.tell(Call { body: Some((MEDIA_TYPE, part)), ..Call::new(Method::PUT, target) }).await
    }

    /// The boxes that were posted for a member beside the ring's own.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn directory_boxes(&self, number: u32, user: UserId) -> Result<PostedBoxes, TransportError> {
        self.ask(Call::new(Method::GET, path::directory_box(self.organisation(), number, &user))).await
    }

    /// Posts a box for a member who lacks one.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_directory_box(
        &self,
        number: u32,
        user: UserId,
        sealed: Vec<u8>,
    ) -> Result<(), TransportError> {
        let target = path::directory_box(self.organisation(), number, &user);
        self.tell(Call { body: Some((MEDIA_TYPE, sealed)), ..Call::new(Method::PUT, target) }).await
    }
}
