//! What an accepted item changes: the same for a safe in memory and for the tables of a server.
//!
//! Decides nothing: `rules` computes it while it judges, and whoever keeps a safe carries it out.

use super::certificate::{Change, Key};
use super::ring::RingList;
use super::roles::Role;
use super::view::Present;
use crate::chain::candidate::Accepted;
use crate::chain::rules::Signed;
use crate::ids::{DeviceId, UserId};

/// Who made an item, as it was at the item's `seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Device whose key signed it.
    pub device: DeviceId,
    /// User to whom it belongs.
    pub user: UserId,
    /// Role\* of the user before the item; owner for the first certificate.
    pub role: Role,
}

/// How the holders of the present key change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// These as well, each with the encryption key that counts.
    Joined(RingList),
    /// These and nobody else: the ring of a new key.
    Replaced(RingList),
}

/// What an accepted item changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// Who made the item.
    pub by: By,
    /// Roles from here on, ascending by user id.
    pub roles: Vec<Change>,
    /// Holders from here on.
    pub holders: Holders,
    /// The key that it brings, if it does.
    pub key: Option<Key>,
    /// Users for whom a box must come with it, ascending: those of *boxes hash*.
    pub boxes_for: Vec<UserId>,
    /// The safe after it, members aside.
    pub present: Present,
}

impl Effects {
    /// Whether its author took the safe over: nobody raises their own role otherwise.
    #[must_use]
    pub fn is_takeover(&self) -> bool {
        let mine = |change: &Change| change.user == self.by.user && change.role == Some(Role::Owner);
        self.by.role != Role::Owner && self.roles.iter().any(mine)
    }
}

/// An item that the rules have accepted as the next one of a safe. Nothing else makes one.
#[derive(Debug)]
pub struct Judged<'a, S: Signed> {
    pub(super) item: Accepted<'a, S>,
    pub(super) effects: Effects,
}

impl<'a, S: Signed> Judged<'a, S> {
    /// The certificate or record, with the heads of its own chain before and after.
    #[must_use]
    pub const fn item(&self) -> &Accepted<'a, S> {
        &self.item
    }

    /// What the item changes.
    #[must_use]
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// The item, and what it changes.
    #[must_use]
    pub fn into_parts(self) -> (Accepted<'a, S>, Effects) {
        (self.item, self.effects)
    }
}
