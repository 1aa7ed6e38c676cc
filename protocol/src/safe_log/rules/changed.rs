//! Rules 7 to 9: who may change whose role, who may or must bring a key, and to whom it goes.
//!
//! Decides about one *changed*. Refuses a leaver's key, a removal without one, and every other way
//! by which somebody without a role could have the next key.

use std::collections::BTreeMap;

use super::Fault;
use super::here::{Author, Checked, Here, apply};
use crate::chain::head::Head;
use crate::chain::organisation::at::MembersAt;
use crate::chain::organisation::certificate::Profile;
use crate::chain::view::NotAccepted;
use crate::ids::UserId;
use crate::limits::{
    EPOCHS_MAX, SAFE_CHANGES_MAX, SAFE_LOG_KEPT_CERTIFICATES, SAFE_LOG_MAX_CERTIFICATES, SAFE_MEMBERS_MAX,
};
use crate::public_keys::Hash;
use crate::safe_log::certificate::{Change, Key};
use crate::safe_log::effects::{By, Effects, Holders};
use crate::safe_log::ring::RingList;
use crate::safe_log::roles::Role;
use crate::safe_log::view::{Present, SafeView};

/// One *changed*, and who says it.
pub(super) struct Changed<'a, S, M> {
    pub here: &'a Here<'a, S, M>,
    pub by: By,
    pub author: &'a Author,
    pub before: &'a Present,
    pub changes: &'a [Change],
    pub key: Option<&'a Key>,
    pub boxes: Option<&'a Hash>,
}

/// How a *changed* is meant, by its changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its author leaves, and nothing else.
    Leaving,
    /// Its author becomes the owner that nobody is.
    TakeOver,
    /// Nothing changes: a witness, or a key alone.
    Unchanged,
    /// Roles change.
    Sharing,
}

impl<S: SafeView, M: MembersAt<Error = S::Error>> Changed<'_, S, M> {
    /// All of it. `log` is where the safe's log ends with it.
    pub(super) fn judge(&self, log: Head) -> Checked<S, Effects> {
        let ascending = self.changes.is_sorted_by(|a, b| a.user < b.user);
        if self.changes.len() > SAFE_CHANGES_MAX || !ascending {
            return Err(Fault::Changes.into());
        }
        let before = self.here.safe.roles().map_err(NotAccepted::View)?;
        let kind = self.kind(&before)?;
        if self.author.at.suspended && kind != Kind::Leaving {
            return Err(Fault::Suspended.into());
        }
        let due = self.here.due(self.before).map_err(NotAccepted::View)?;
        self.room(kind, due)?;
        let boxes_for = self.subjects(kind, &before)?;
        let mut after = before.clone();
        apply(&mut after, self.changes);
        if after.len() > SAFE_MEMBERS_MAX {
            return Err(Fault::TooManyMembers.into());
        }
        let loses_owner = self.changes.iter().any(|change| before.get(&change.user) == Some(&Role::Owner));
        if loses_owner && self.has_owner(&before)? && !self.has_owner(&after)? {
            return Err(Fault::LastOwner.into());
        }
        let list = self.key(kind, due, &after)?;
        let boxes_for = if self.key.is_some() { Vec::new() } else { boxes_for };
        if self.boxes.is_some() == boxes_for.is_empty() {
            return Err(Fault::Boxes.into());
        }
        let holders = match list {
            Some(list) => Holders::Replaced(list),
            None => Holders::Joined(self.here.joined_of(&after).map_err(NotAccepted::View)?),
        };
        Ok(Effects {
            by: self.by,
            roles: self.changes.to_vec(),
            holders,
            key: self.key.copied(),
            boxes_for,
            present: Present {
                log,
                seen: self.here.n,
                key: self.key.copied().unwrap_or(self.before.key),
                due: self.key.is_none() && (due || kind == Kind::Leaving),
                ..*self.before
            },
        })
    }

    fn kind(&self, before: &BTreeMap<UserId, Role>) -> Checked<S, Kind> {
        let me = self.by.user;
        match self.changes {
            [] => return Ok(Kind::Unchanged),
            // A key of the leaver's own making would be one that the leaver knows.
            [Change { user, role: None }] if *user == me && self.key.is_none() => return Ok(Kind::Leaving),
            [Change { user, role: Some(Role::Owner) }] if *user == me && self.by.role != Role::Owner => {}
            changes => {
                let leaves = changes.iter().any(|change| change.user == me && change.role.is_none());
                return if leaves { Err(Fault::LeavesAlone.into()) } else { Ok(Kind::Sharing) };
            }
        }
        match self.here.successors(before).map_err(NotAccepted::View)? {
            Some(first) if first.contains(&me) => Ok(Kind::TakeOver),
            Some(_) | None => Err(Fault::TakeOver.into()),
        }
    }

    /// The last tenth of a log is for owners, for who takes over, and for keys that are due.
    fn room(&self, kind: Kind, due: bool) -> Checked<S> {
        let kept = self.before.log.count >= SAFE_LOG_MAX_CERTIFICATES - SAFE_LOG_KEPT_CERTIFICATES;
        let entitled = self.by.role == Role::Owner || kind == Kind::TakeOver || (due && self.key.is_some());
        if kept && !entitled { Err(Fault::LogKept.into()) } else { Ok(()) }
    }

    /// Rule 7, of each change. Who needs a box comes back, if no key comes with it.
    fn subjects(&self, kind: Kind, before: &BTreeMap<UserId, Role>) -> Checked<S, Vec<UserId>> {
        let mut boxes_for = Vec::new();
        for change in self.changes {
            let at = self.here.user(&change.user).map_err(NotAccepted::View)?;
            let at = at.ok_or(Fault::SubjectUnknown)?;
            if change.role.is_some() && at.revoked {
                return Err(Fault::SubjectRevoked.into());
            }
            let high = change.role.is_some_and(Role::manages);
            if high && at.profile == Profile::Outsider {
                return Err(Fault::OutsiderRole.into());
            }
            let old = before.get(&change.user).copied();
            if old == change.role {
                return Err(Fault::SameRole.into());
            }
            if kind == Kind::Sharing {
                self.entitled(change, old)?;
            }
            if old.is_none() && !at.suspended {
                boxes_for.push(change.user);
            }
        }
        Ok(boxes_for)
    }

    /// Who may make which change. The old role is what the safe's log gives: an owner who is an
    /// outsider for a minute can't be removed by a manager.
    fn entitled(&self, change: &Change, old: Option<Role>) -> Checked<S> {
        let raises = change.role.is_some_and(|new| old.is_none_or(|old| new < old));
        if change.user == self.by.user && raises {
            return Err(Fault::OwnRole.into());
        }
        match self.by.role {
            Role::Owner => Ok(()),
            Role::Manager if ![old, change.role].into_iter().flatten().any(Role::manages) => Ok(()),
            Role::Manager => Err(Fault::NotOwner.into()),
            Role::Contributor | Role::Reader => Err(Fault::NotManager.into()),
        }
    }

    fn has_owner(&self, roles: &BTreeMap<UserId, Role>) -> Checked<S, bool> {
        let mut owners = roles.clone();
        owners.retain(|_, role| *role == Role::Owner);
        let standing = self.here.standing(&owners).map_err(NotAccepted::View)?;
        Ok(standing.iter().any(|(_, role, _)| *role == Role::Owner))
    }

    /// Whether it brings a key where it must and none where it mustn't; the list of the key.
    fn key(&self, kind: Kind, due: bool, after: &BTreeMap<UserId, Role>) -> Checked<S, Option<RingList>> {
        // Who takes over brings what is due, as a writer does. Where nothing is, keys are for who
        // was an owner or a manager before.
        let brings_due = due && (kind == Kind::TakeOver || self.by.role.writes());
        let may = self.by.role.manages() || brings_due;
        let Some(key) = self.key else {
            let removes = |change: &Change| change.role.is_none() && change.user != self.by.user;
            if self.changes.iter().any(removes) {
                return Err(Fault::KeyMissing.into());
            }
            if due && kind != Kind::Leaving && (may || kind != Kind::Unchanged) {
                return Err(Fault::Due.into());
            }
            let is_news = self.here.is_news(self.before.seen).map_err(NotAccepted::View)?;
            if kind == Kind::Unchanged && !is_news {
                return Err(Fault::NothingNew.into());
            }
            return Ok(None);
        };
        if !may {
            return Err(Fault::NotManager.into());
        }
        if key.lost > 0 && self.by.role != Role::Owner {
            return Err(Fault::NotOwner.into());
        }
        let next = self.before.key.epoch.saturating_add(1);
        if key.epoch != next {
            return Err(Fault::WrongEpoch.into());
        }
        if next >= EPOCHS_MAX {
            return Err(Fault::TooManyKeys.into());
        }
        // As many as there were: 0 to the present one.
        if key.lost > next {
            return Err(Fault::LostTooMany.into());
        }
        let list = self.here.list(after).map_err(NotAccepted::View)?;
        if list.hash() == key.list { Ok(Some(list)) } else { Err(Fault::WrongList.into()) }
    }
}
