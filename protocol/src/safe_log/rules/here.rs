//! Who counts at one place of the organisation's log: authors, role\*, holders, due.
//!
//! Decides what an item's `seen` means. Refuses an author who doesn't count there.

use std::collections::BTreeMap;

use super::Fault;
use crate::chain::head::Head;
use crate::chain::organisation::at::{MembersAt, UserAt};
use crate::chain::organisation::certificate::{DeviceKind, Profile};
use crate::chain::view::NotAccepted;
use crate::ids::{DeviceId, UserId};
use crate::public_keys::VerifyKey;
use crate::safe_log::certificate::Change;
use crate::safe_log::ring::{Recipient, RingList};
use crate::safe_log::roles::Role;
use crate::safe_log::view::{Present, SafeView};

/// What a check gives: nothing, or why the item is not accepted.
pub(super) type Checked<S, T = ()> = Result<T, NotAccepted<Fault, <S as SafeView>::Error>>;

/// What a look-up gives.
type Asked<S, T> = Result<T, <S as SafeView>::Error>;

/// A safe, seen with the first `n` certificates of its organisation's log.
pub(super) struct Here<'a, S, M> {
    pub safe: &'a S,
    pub members: &'a M,
    pub n: u64,
}

/// An author's device, an ordinary one, and its user, neither of them revoked.
pub(super) struct Author {
    pub key: VerifyKey,
    pub user: UserId,
    pub at: UserAt,
}

/// The roles after some changes.
pub(super) fn apply(roles: &mut BTreeMap<UserId, Role>, changes: &[Change]) {
    for change in changes {
        match change.role {
            Some(role) => roles.insert(change.user, role),
            None => roles.remove(&change.user),
        };
    }
}

impl<S: SafeView, M: MembersAt<Error = S::Error>> Here<'_, S, M> {
    /// Rule 4.
    pub(super) fn seen(&self, seen: &Head, before: Option<&Present>) -> Checked<S> {
        let here = self.members.head_at(seen.count).map_err(NotAccepted::View)?;
        if here.ok_or(Fault::SeenAhead)?.hash != seen.hash {
            return Err(Fault::ForkedView.into());
        }
        match before {
            Some(before) if seen.count < before.seen => Err(Fault::SeenWentBack.into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Rule 3, without the signature.
    pub(super) fn author(&self, device: &DeviceId) -> Checked<S, Author> {
        let known = self.members.device_at(device, self.n).map_err(NotAccepted::View)?;
        let known = known.ok_or(Fault::AuthorUnknown)?;
        let at = self.user(&known.user).map_err(NotAccepted::View)?.ok_or(Fault::AuthorUnknown)?;
        if known.revoked || at.revoked {
            return Err(Fault::AuthorRevoked.into());
        }
        match known.kind {
            DeviceKind::Device => Ok(Author { key: known.verify_key, user: known.user, at }),
            DeviceKind::Recovery => Err(Fault::RecoveryDevice.into()),
        }
    }

    pub(super) fn user(&self, user: &UserId) -> Asked<S, Option<UserAt>> {
        self.members.user_at(user, self.n)
    }

    /// Rule 6, without suspension.
    pub(super) fn role_of(&self, author: &Author) -> Checked<S, Role> {
        let role = self.safe.role(&author.user).map_err(NotAccepted::View)?;
        let role = role.and_then(|role| role.at(&author.at));
        role.ok_or_else(|| Fault::NoRole.into())
    }

    /// Everybody with role\* of these: user, role\* and what the organisation's log says of them.
    pub(super) fn standing(&self, roles: &BTreeMap<UserId, Role>) -> Asked<S, Vec<(UserId, Role, UserAt)>> {
        let mut standing = Vec::with_capacity(roles.len());
        for (user, role) in roles {
            if let Some(at) = self.user(user)?
                && let Some(role) = role.at(&at)
            {
                standing.push((*user, role, at));
            }
        }
        Ok(standing)
    }

    /// Who may take the safe over: of those who are no outsiders, all with the highest role\*. None
    /// while one of them is an owner. An outsider, who can't be one, keeps nobody from it.
    pub(super) fn successors(&self, roles: &BTreeMap<UserId, Role>) -> Asked<S, Option<Vec<UserId>>> {
        let mut standing = self.standing(roles)?;
        standing.retain(|(_, _, at)| at.profile != Profile::Outsider);
        let highest = standing.iter().map(|(_, role, _)| *role).min();
        if highest == Some(Role::Owner) {
            return Ok(None);
        }
        let first = standing.into_iter().filter(|(_, role, _)| Some(*role) == highest);
        Ok(Some(first.map(|(user, ..)| user).collect()))
    }

    /// Everybody with role\* of these who is not suspended: to whom a key goes.
    pub(super) fn list(&self, roles: &BTreeMap<UserId, Role>) -> Asked<S, RingList> {
        let unsuspended = self.standing(roles)?.into_iter().filter(|(_, _, at)| !at.suspended);
        Ok(RingList(unsuspended.map(|(user, _, at)| Recipient { user, key: at.encryption_key }).collect()))
    }

    /// Whether the organisation's log has here a certificate that is no enrolment, and that whoever
    /// had seen `before` had not.
    pub(super) fn is_news(&self, before: u64) -> Asked<S, bool> {
        Ok(self.members.changed_before(self.n)?.is_some_and(|newest| newest >= before))
    }

    /// Whether a new key is due. Once it is, nothing but a key ends that: who is revoked stays so,
    /// and who is suspended ends that with another encryption key.
    pub(super) fn due(&self, before: &Present) -> Asked<S, bool> {
        if before.due {
            return Ok(true);
        }
        // An enrolment takes nothing from anybody.
        if !self.is_news(before.seen)? {
            return Ok(false);
        }
        let roles = self.safe.roles()?;
        for (user, key) in self.safe.holders()? {
            let Some(at) = self.user(&user)? else { return Ok(true) };
            let role = roles.get(&user).and_then(|role| role.at(&at));
            if role.is_none() || at.suspended || at.encryption_key != key {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who has the present key from here on, or may have, and had not, after an item that changes
    /// no role; `before` is how much the item before had seen.
    pub(super) fn joined(&self, before: u64) -> Asked<S, RingList> {
        if self.n == before { Ok(RingList(Vec::new())) } else { self.joined_of(&self.safe.roles()?) }
    }

    /// The same with the roles as they are after an item.
    pub(super) fn joined_of(&self, roles: &BTreeMap<UserId, Role>) -> Asked<S, RingList> {
        let holders = self.safe.holders()?;
        let mut others = roles.clone();
        others.retain(|user, _| !holders.contains_key(user));
        self.list(&others)
    }
}
