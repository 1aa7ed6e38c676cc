//! What the rules ask of a safe's items before the next one.
//!
//! Decides the look-ups. A safe in memory is one view, the tables of a server are another; the
//! rules are written once, against this. Refuses nothing.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::certificate::{Key, State};
use super::roles::Role;
use crate::chain::head::Head;
use crate::ids::{OrganisationId, SafeId, UserId};
use crate::sealing::KeyHash;

/// A safe after its last item, members aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Present {
    /// Where the safe's log ends.
    #[n(0)]
    pub log: Head,
    /// Where the journal ends; the count is the newest record's seq.
    #[n(1)]
    pub journal: Head,
    /// How much of the organisation's log the last item's author had seen.
    #[n(2)]
    pub seen: u64,
    /// The present key, by the certificate that brought it; `lost` is 0 for epoch 0.
    #[n(3)]
    pub key: Key,
    /// Whether the key was due at [`Self::seen`], after the last item: also where somebody left
    /// by themselves since it was made.
    #[n(4)]
    pub due: bool,
    /// What the safe as a whole is.
    #[n(5)]
    pub state: State,
    /// Kinds of changes that it knows.
    #[n(6)]
    pub format: u32,
    /// Suite of its keys and boxes.
    #[n(7)]
    pub suite: u32,
}

/// A safe as the rules see it. Every look-up is about one moment: the caller holds the safe still
/// meanwhile.
pub trait SafeView {
    /// Why a look-up failed; [`std::convert::Infallible`] where it can't.
    type Error;

    /// The organisation of the safe.
    fn organisation(&self) -> &OrganisationId;

    /// Id of the safe, and of its root folder.
    fn safe(&self) -> &SafeId;

    /// What it is after its last item; none before its first.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn present(&self) -> Result<Option<Present>, Self::Error>;

    /// The role that the safe's log gives a user, whatever the organisation's log says.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn role(&self, user: &UserId) -> Result<Option<Role>, Self::Error>;

    /// All roles that the safe's log gives.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn roles(&self) -> Result<BTreeMap<UserId, Role>, Self::Error>;

    /// All who have the present key, or may have, and the encryption key that counts for each.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn holders(&self) -> Result<BTreeMap<UserId, KeyHash>, Self::Error>;
}
