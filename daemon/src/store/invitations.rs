//! Invitations made on this device: their secrets, and how often each was tried.
//!
//! Decides that a link secret is in the encrypted store and nowhere else, and is overwritten when
//! its invitation ends (`secure_delete`): used, by the verified log; taken back by a person; over
//! by its own date. No server's word ends one. Refuses a second secret for one invitation. A count
//! is durable before the attempt that it counts.

use parsec_protocol::codec;
use parsec_protocol::ids::{Timestamp, Token};
use parsec_protocol::keys::{LinkSecret, PeerSecret};
use rusqlite::OptionalExtension as _;

use super::integers::{integer, natural};
use super::{DirectEnd, Posting, Store, StoreError, StoredInvitation, Tally};

/// Longest encoding of [`Invited`]: an address of 254 bytes and three heads.
const INVITED_MAX_BYTES: usize = 300;

/// As the store has it.
const fn number_of(posting: Posting) -> u8 {
    match posting {
        Posting::Wanted => 0,
        Posting::Done => 1,
        Posting::Never => 2,
    }
}

fn posting_of(number: u8) -> Result<Posting, StoreError> {
    match number {
        0 => Ok(Posting::Wanted),
        1 => Ok(Posting::Done),
        2 => Ok(Posting::Never),
        _ => Err(StoreError::Damaged("an invitation in it is malformed")),
    }
}

impl Store {
    /// Keeps an invitation; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is one of this token; [`StoreError::DiskFull`], the
    /// disk's.
    pub fn put_invitation(&self, token: Token, invitation: &StoredInvitation) -> Result<(), StoreError> {
        let StoredInvitation { link_secret, invited, created, expires, posted, direct, tally: _ } =
            invitation;
        let inner = self.inner()?;
        let added = inner.connection.execute(
            "INSERT INTO invitation (token, link_secret, invited, created, expires, posted, peer_key, port)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (token) DO NOTHING",
            (
                token.as_bytes(),
                link_secret.expose(),
                codec::encode(invited),
                integer(created.0)?,
                integer(expires.0)?,
                number_of(*posted),
                direct.as_ref().map(|direct| direct.secret.expose()),
                direct.as_ref().map(|direct| direct.port),
            ),
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
                "SELECT link_secret, invited, created, expires, posted, peer_key, port, attempts, mismatches
                 FROM invitation WHERE token = ?1",
                [token.as_bytes()],
                |row| {
                    // To the heap at once: an array would leave copies of a link's secret on this
                    // thread's stack.
                    let link_secret = LinkSecret::from_slice(row.get_ref(0)?.as_blob()?);
                    let secret = row.get_ref(5)?.as_blob_or_null()?.and_then(PeerSecret::from_slice);
                    let direct = secret.zip(row.get(6)?).map(|(secret, port)| DirectEnd { secret, port });
                    let times = (row.get(2)?, row.get(3)?);
                    let tally = Tally { attempts: row.get(7)?, mismatches: row.get(8)? };
                    let invited: Vec<u8> = row.get(1)?;
                    Ok((link_secret, invited, times, row.get::<_, u8>(4)?, direct, tally))
                },
            )
            .optional()?;
        row.map(|(link_secret, invited, (created, expires), posted, direct, tally)| {
            let link_secret = link_secret.ok_or(StoreError::Damaged("an invitation in it is malformed"))?;
            Ok(StoredInvitation {
                link_secret,
                invited: codec::decode(&invited, INVITED_MAX_BYTES)
                    .map_err(|_| StoreError::Damaged("an invitation in it is malformed"))?,
                created: Timestamp(natural(created)?),
                expires: Timestamp(natural(expires)?),
                posted: posting_of(posted)?,
                direct,
                tally,
            })
        })
        .transpose()
    }

    /// All invitations made here.
    ///
    /// # Errors
    /// The disk's.
    pub fn invitations(&self) -> Result<Vec<(Token, StoredInvitation)>, StoreError> {
        let mut found = Vec::new();
        for token in self.invitation_tokens()? {
            found.extend(self.invitation(token)?.map(|invitation| (token, invitation)));
        }
        Ok(found)
    }

    /// Notes that the server has an invitation.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_posted(&self, token: Token) -> Result<(), StoreError> {
        let inner = self.inner()?;
        inner.connection.execute("UPDATE invitation SET posted = 1 WHERE token = ?1", [token.as_bytes()])?;
        Ok(())
    }

    /// Counts an attempt, or a wrong code in one. Durable when it returns; the counts afterwards.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if there is no such invitation; the disk's.
    pub fn count(&self, token: Token, more: Tally) -> Result<Tally, StoreError> {
        let inner = self.inner()?;
        let counted = inner
            .connection
            .query_row(
                "UPDATE invitation SET attempts = attempts + ?2, mismatches = mismatches + ?3 WHERE token = ?1
                 RETURNING attempts, mismatches",
                (token.as_bytes(), more.attempts, more.mismatches),
                |row| Ok(Tally { attempts: row.get(0)?, mismatches: row.get(1)? }),
            )
            .optional()?;
        counted.ok_or(StoreError::Damaged("an invitation is missing"))
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

    /// Forgets those whose own date is over. Not one for which something was signed that is not in
    /// the log yet: finishing it takes what is kept here.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "DELETE FROM invitation WHERE expires <= ?1 AND token NOT IN (SELECT token FROM outbox WHERE NOT set_aside)",
            [integer(now.0)?],
        )?;
        Ok(())
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
