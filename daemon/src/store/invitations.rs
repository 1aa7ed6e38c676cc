//! Link secrets of invitations made on this device.
//!
//! Decides that a link secret is in the encrypted store and nowhere else, and is overwritten when its invitation ends
//! (`secure_delete`). Refuses a second secret for one invitation.

use parsec_protocol::codec;
use parsec_protocol::ids::{Invited, Timestamp, Token};
use parsec_protocol::keys::LinkSecret;
use rusqlite::OptionalExtension as _;
use zeroize::Zeroizing;

use super::chain::{integer, natural};
use super::{Store, StoreError, StoredInvitation};

/// Longest encoding of [`Invited`]: an address of 254 bytes and three heads.
const INVITED_MAX_BYTES: usize = 300;

impl Store {
    /// Keeps an invitation; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is one of this token; [`StoreError::DiskFull`], the disk's.
    pub fn put_invitation(
        &self,
        token: Token,
        link_secret: &LinkSecret,
        invited: &Invited,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let inner = self.inner()?;
        let added = inner.connection.execute(
            "INSERT INTO invitation (token, link_secret, invited, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (token) DO NOTHING",
            (token.as_bytes(), link_secret.expose(), codec::encode(invited), integer(expires.0)?),
        )?;
        if added == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// An invitation made here.
    ///
    /// # Errors
    /// The disk's.
    pub fn invitation(&self, token: Token) -> Result<Option<StoredInvitation>, StoreError> {
        let inner = self.inner()?;
        let row = inner
            .connection
            .query_row(
                "SELECT link_secret, invited, expires FROM invitation WHERE token = ?1",
                [token.as_bytes()],
                |row| {
                    Ok((Zeroizing::new(row.get::<_, [u8; 32]>(0)?), row.get::<_, Vec<u8>>(1)?, row.get(2)?))
                },
            )
            .optional()?;
        row.map(|(mut secret, invited, expires)| {
            Ok(StoredInvitation {
                link_secret: LinkSecret::from_bytes(&mut secret),
                invited: codec::decode(&invited, INVITED_MAX_BYTES)
                    .map_err(|_| StoreError::Damaged("an invitation in it is malformed"))?,
                expires: Timestamp(natural(expires)?),
            })
        })
        .transpose()
    }

    /// All invitations made here.
    ///
    /// # Errors
    /// The disk's.
    pub fn invitation_tokens(&self) -> Result<Vec<Token>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT token FROM invitation ORDER BY token")?;
        let rows = select.query_map([], |row| row.get(0).map(Token::from_bytes))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets one, if it is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_invitation(&self, token: Token) -> Result<(), StoreError> {
        self.inner()?.connection.execute("DELETE FROM invitation WHERE token = ?1", [token.as_bytes()])?;
        Ok(())
    }
}
