//! Link secrets of invitations made on this device.

use parsec_protocol::ids::{Invited, Timestamp, Token};
use parsec_protocol::keys::LinkSecret;

use super::{Store, StoreError, StoredInvitation};

#[expect(clippy::todo, unused_variables, clippy::missing_errors_doc, reason = "signatures first; bodies follow")]
impl Store {
    /// Keeps an invitation.
    pub fn put_invitation(
        &self,
        token: Token,
        link_secret: &LinkSecret,
        invited: &Invited,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// An invitation made here.
    pub fn invitation(&self, token: Token) -> Result<Option<StoredInvitation>, StoreError> {
        todo!()
    }

    /// All invitations made here.
    pub fn invitation_tokens(&self) -> Result<Vec<Token>, StoreError> {
        todo!()
    }

    /// Forgets one.
    pub fn drop_invitation(&self, token: Token) -> Result<(), StoreError> {
        todo!()
    }
}
