//! Invitations as of now, with the attempt that a request is about.
//!
//! Decides nothing: rules are in `crate::invitations`. Every read applies the passing of time, so
//! that nobody sees a state that has silently run out.

use std::sync::Arc;

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::{AttemptId, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::limits::INVITATION_PAGE_MAX;
use parsec_protocol::relay::{self, InvitationList, InvitationStatus};

use super::rows::Stored;
use super::{StoreError, Tx};
use crate::invitations::{Attempt, Invitation, Member, settle};
use crate::watchers::{Change, Topic};

/// An invitation with its newest attempt, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) organisation: OrganisationId,
    pub(crate) invitation: Invitation,
    pub(crate) newest: Option<Attempt>,
    /// As of when.
    pub(crate) now: Timestamp,
    written: Written,
}

/// What the row of an invitation has of what rules change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    status: InvitationStatus,
    mismatches: u32,
    attempts: u32,
    /// Of one that is over, the date stays whatever is written.
    due: Option<Timestamp>,
}

impl Written {
    fn of(invitation: &Invitation, newest: Option<&Attempt>, now: Timestamp) -> Self {
        Self {
            status: invitation.status,
            mismatches: invitation.mismatches,
            attempts: invitation.attempts,
            due: (!invitation.is_final()).then(|| invitation.due(newest, now)),
        }
    }
}

impl Loaded {
    /// Applies the passing of time to what was stored.
    pub(crate) fn new(organisation: &OrganisationId, stored: Stored, now: Timestamp) -> Self {
        let Stored { mut invitation, mut newest } = stored;
        let written = Written::of(&invitation, newest.as_ref(), now);
        settle(&mut invitation, newest.as_mut(), now);
        Self { organisation: organisation.clone(), invitation, newest, now, written }
    }

    pub(crate) fn view(&self) -> relay::InvitationView {
        self.invitation.view(self.newest.as_ref())
    }

    /// Turns to one attempt of it. Only the newest can be open; older ones are there to be answered
    /// about.
    pub(crate) fn with_attempt(self, tx: &dyn Tx, id: &AttemptId) -> Result<Option<Chosen>, StoreError> {
        let attempt = match self.newest {
            Some(newest) if newest.id() == *id => Some(newest),
            Some(_) | None => tx.attempt(&self.organisation, &self.invitation.token, id)?,
        };
        Ok(attempt.map(|attempt| Chosen {
            organisation: self.organisation,
            invitation: self.invitation,
            attempt,
            now: self.now,
            written: self.written,
        }))
    }

    /// Writes back what rules changed, on the invitation and its newest attempt.
    pub(crate) fn save(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let due = self.invitation.due(self.newest.as_ref(), self.now);
        tx.update_invitation(&self.organisation, &self.invitation, due)?;
        match &self.newest {
            Some(newest) => tx.update_attempt(&self.organisation, &self.invitation.token, newest),
            None => Ok(()),
        }
    }

    /// What to tell of a change that was saved.
    pub(crate) fn into_change(self) -> Change {
        let topic =
            Topic::Invitation { organisation: self.organisation.clone(), token: self.invitation.token };
        Change::of_invitation(topic, Arc::new(self))
    }
}

/// An invitation with the attempt that a request is about, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) organisation: OrganisationId,
    pub(crate) invitation: Invitation,
    pub(crate) attempt: Attempt,
    /// As of when.
    pub(crate) now: Timestamp,
    written: Written,
}

impl Chosen {
    /// What to tell of a change that was saved. Only the newest attempt can have changed.
    pub(crate) fn into_change(self) -> Change {
        let Self { organisation, invitation, attempt, now, written } = self;
        Loaded { organisation, invitation, newest: Some(attempt), now, written }.into_change()
    }

    /// Writes back what rules changed: most steps change nothing of the invitation.
    pub(crate) fn save(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        // An older attempt is over: as none. Where the newest one is sealed, the date is then too
        // early, and put right when it comes.
        if Written::of(&self.invitation, Some(&self.attempt), self.now) != self.written {
            let due = self.invitation.due(Some(&self.attempt), self.now);
            tx.update_invitation(&self.organisation, &self.invitation, due)?;
        }
        tx.update_attempt(&self.organisation, &self.invitation.token, &self.attempt)
    }
}

/// Reads one.
pub(crate) fn load(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
) -> Result<Option<Loaded>, StoreError> {
    let stored = tx.invitation(organisation, token)?;
    Ok(stored.map(|stored| Loaded::new(organisation, stored, now)))
}

/// Reads one to change it: nobody else changes it before this transaction has ended.
pub(crate) fn load_to_change(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
) -> Result<Option<Loaded>, StoreError> {
    tx.lock_invitation(organisation, token)?;
    load(tx, organisation, token, now)
}

/// Stores a new one.
pub(crate) fn insert(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    invitation: &Invitation,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.insert_invitation(organisation, invitation, invitation.due(None, now), now)
}

/// Those with an open attempt that a device of this user has joined.
pub(crate) fn greeted_by(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    user: &UserId,
    now: Timestamp,
) -> Result<Vec<Loaded>, StoreError> {
    let rows = tx.greeted_by(organisation, user)?;
    Ok(rows.into_iter().map(|stored| Loaded::new(organisation, stored, now)).collect())
}

/// Those for devices of this user that can be used.
pub(crate) fn usable_for_devices_of(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    user: &UserId,
    now: Timestamp,
) -> Result<Vec<Loaded>, StoreError> {
    let rows = tx.usable_for_devices_of(organisation, user)?;
    let loaded = rows.into_iter().map(|stored| Loaded::new(organisation, stored, now));
    // Those whose time is over are final without their row's saying so.
    Ok(loaded.filter(|loaded| !loaded.invitation.is_final()).collect())
}

/// A page of those a member may see, newest first: those listed before `before`, and where the next
/// page begins.
pub(crate) fn list(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    member: &Member,
    before: Option<u64>,
    now: Timestamp,
) -> Result<InvitationList, StoreError> {
    let device_of = match member.profile {
        Profile::Administrator => None,
        Profile::Standard | Profile::Outsider => Some(&member.user),
    };
    // One more than a page has: whether there is another page.
    let most = INVITATION_PAGE_MAX.saturating_add(1);
    let rows = tx.invitations(organisation, device_of, before.unwrap_or(u64::MAX), most)?;
    let more = rows.len() > INVITATION_PAGE_MAX;
    let next = rows.get(INVITATION_PAGE_MAX.saturating_sub(1)).filter(|_| more).map(|row| row.0);
    let invitations = rows.into_iter().take(INVITATION_PAGE_MAX);
    let invitations = invitations.map(|(_, stored)| Loaded::new(organisation, stored, now).view()).collect();
    Ok(InvitationList { invitations, next })
}
