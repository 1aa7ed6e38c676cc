//! Calls signed by a member's device.
//!
//! Decides which invitations a member sees and which a device may greet, and puts checks and
//! changes of a call into one transaction. What gets into the log is `registering`'s part.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::response::Response;
use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::ids::{AttemptId, DeviceId, Email, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::limits::{BODY_MAX_BYTES, FOLLOWED_MAX, MANIFEST_MAX_BYTES, STEP_MAX_BYTES};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::relay::attempt::Side;
use parsec_protocol::relay::{
    CancelAttempt, ErrorCode, InvitationMade, MailOutcome, ManifestUpload, NewInvitation, REPAIR_MAX_BYTES,
};

use super::invited::{deposit, read_step};
use super::route::MemberCall;
use super::safes::{OneSafe, SafeCall};
use super::{
    App, body, device_events, directory, recovery, registering, repairing, safes, shares, signed, user_keys,
};
use crate::budgets::Wish;
use crate::errors::Refusal;
use crate::invitations::{self, Member};
use crate::mail::OutgoingMail;
use crate::mail_queue;
use crate::quota::Key;
use crate::store::invitations::{Chosen, Loaded};
use crate::store::rows::Signer;
use crate::store::{Party, Store, Tx, invitations as rows, log, manifests, usage};
use crate::watchers::{Change, Topic};

/// A reason, or a new invitation with the longest link (2,048) and e-mail.
const SMALL_MAX_BYTES: usize = 4_096;
/// The most invitations a stream follows, 17 bytes each, and their framing.
const FOLLOW_MAX_BYTES: usize = 17 * FOLLOWED_MAX + 16;
/// A manifest, its version, their framing.
const UPLOAD_MAX_BYTES: usize = MANIFEST_MAX_BYTES + 64;
const _: () = assert!(UPLOAD_MAX_BYTES <= BODY_MAX_BYTES, "no call takes more than the protocol allows");
const _: () =
    assert!(user_keys::KEY_CHANGE_MAX_BYTES <= BODY_MAX_BYTES, "no call takes more than the protocol allows");
const _: () = assert!(REPAIR_MAX_BYTES <= BODY_MAX_BYTES, "no call takes more than the protocol allows");

/// The signer of a request whose signature was checked.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) organisation: OrganisationId,
    pub(super) device: DeviceId,
    pub(super) user: UserId,
    /// Key that the device signed the request with, for what may be checked ahead.
    pub(super) key: VerifyKey,
}

impl Caller {
    /// The signer as of this transaction: a revocation may have come in between.
    pub(super) fn signer(&self, tx: &dyn Tx) -> Result<Signer, Refusal> {
        let signer = tx.signer(&self.organisation, &self.device)?.ok_or(ErrorCode::NotAuthenticated)?;
        if signer.revoked { Err(ErrorCode::Revoked.into()) } else { Ok(signer) }
    }

    pub(super) fn member(&self, tx: &dyn Tx) -> Result<Member, Refusal> {
        self.signer(tx).map(|signer| signer.member)
    }

    /// The token behind a handle.
    fn token(&self, tx: &dyn Tx, handle: &Hash) -> Result<Token, Refusal> {
        tx.token_of(&self.organisation, handle)?.ok_or_else(|| ErrorCode::InvitationUnknown.into())
    }

    /// An invitation this member may see; others don't exist for them.
    pub(super) fn see(
        &self,
        tx: &dyn Tx,
        member: Member,
        token: &Token,
        now: Timestamp,
    ) -> Result<(Member, Loaded), Refusal> {
        let loaded = rows::load(tx, &self.organisation, token, now)?
            .filter(|loaded| loaded.invitation.may_see(&member))
            .ok_or(ErrorCode::InvitationUnknown)?;
        Ok((member, loaded))
    }

    /// The same by its handle. A device that was revoked is told so, and not whether there is one.
    fn load(&self, tx: &dyn Tx, handle: &Hash, now: Timestamp) -> Result<(Member, Loaded), Refusal> {
        let member = self.member(tx)?;
        let token = self.token(tx, handle)?;
        self.see(tx, member, &token, now)
    }

    /// The same for work that changes it: no other does until this transaction has ended.
    fn load_to_change(
        &self,
        tx: &mut dyn Tx,
        handle: &Hash,
        now: Timestamp,
    ) -> Result<(Member, Loaded), Refusal> {
        let member = self.member(tx)?;
        let token = self.token(tx, handle)?;
        tx.lock_invitation(&self.organisation, &token)?;
        self.see(tx, member, &token, now)
    }

    /// The database, in this member's turn.
    pub(super) fn store(&self, app: &App) -> Store {
        app.store.of(Party::Member(self.organisation.clone(), self.user))
    }

    pub(super) fn topic(&self, token: Token) -> Topic {
        Topic::Invitation { organisation: self.organisation.clone(), token }
    }

    /// Tells that the log has grown, to where it ends now.
    pub(super) fn log_grew(&self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        let count = log::end(tx, &self.organisation)?.head.count;
        tx.changed(Change::of_log(Topic::Log { organisation: self.organisation.clone() }, count));
        Ok(())
    }

    pub(super) fn rights(&self) -> Topic {
        Topic::Rights { organisation: self.organisation.clone(), user: self.user }
    }
}

/// Turns to one attempt of an invitation.
fn choose(
    tx: &dyn Tx,
    (member, loaded): (Member, Loaded),
    attempt: &AttemptId,
) -> Result<(Member, Chosen), Refusal> {
    let chosen = loaded.with_attempt(tx, attempt)?.ok_or(ErrorCode::AttemptUnknown)?;
    Ok((member, chosen))
}

/// The same, for what greeting takes: an administrator sees other members' devices' invitations and
/// greets them not.
fn greet(tx: &dyn Tx, found: (Member, Loaded), attempt: &AttemptId) -> Result<(Member, Chosen), Refusal> {
    let (member, chosen) = choose(tx, found, attempt)?;
    if chosen.invitation.may_greet(&member) {
        Ok((member, chosen))
    } else {
        Err(ErrorCode::NotAllowed.into())
    }
}

/// An attempt for work of its greeter: no other changes it until this transaction has ended.
pub(super) fn greet_to_change(
    tx: &mut dyn Tx,
    caller: &Caller,
    (handle, attempt): &(Hash, AttemptId),
    now: Timestamp,
) -> Result<(Member, Chosen), Refusal> {
    let found = caller.load_to_change(tx, handle, now)?;
    greet(tx, found, attempt)
}

/// The most a call's body may have.
const fn body_max(call: &MemberCall) -> usize {
    match call {
        MemberCall::Invite | MemberCall::CancelAttempt(..) => SMALL_MAX_BYTES,
        MemberCall::PutStep(..) => STEP_MAX_BYTES,
        MemberCall::Follow => FOLLOW_MAX_BYTES,
        MemberCall::Complete(..) => registering::COMPLETION_MAX_BYTES,
        MemberCall::Enrol => registering::DIRECT_MAX_BYTES,
        MemberCall::Publish => registering::CHANGE_MAX_BYTES,
        MemberCall::PutManifest => UPLOAD_MAX_BYTES,
        MemberCall::Repair => REPAIR_MAX_BYTES,
        MemberCall::ChangeKey => user_keys::KEY_CHANGE_MAX_BYTES,
        MemberCall::AddDevice => recovery::NEW_DEVICE_MAX_BYTES,
        MemberCall::PutKey(_) => user_keys::KEY_MAX_BYTES,
        MemberCall::PutBox(..) | MemberCall::PutPast(..) => user_keys::BOX_MAX_BYTES,
        MemberCall::Directory(call) => call.body_max(),
        MemberCall::Safe(call) => call.body_max(),
        MemberCall::Invitations { .. }
        | MemberCall::Invitation(_)
        | MemberCall::Cancel(_)
        | MemberCall::Attempt(..)
        | MemberCall::Join(..)
        | MemberCall::GetStep(..)
        | MemberCall::Log { .. }
        | MemberCall::Root
        | MemberCall::Shares
        | MemberCall::SharesOf(_)
        | MemberCall::Key(_)
        | MemberCall::GetBox(..)
        | MemberCall::Manifest { .. } => 0,
    }
}

/// Whether a call would put something new at the end of a log, where a restore may have left no
/// room for it. Keys and boxes are beside the log, and may be put back meanwhile.
const fn enters_a_log(call: &MemberCall) -> bool {
    match call {
        MemberCall::Complete(..)
        | MemberCall::Enrol
        | MemberCall::Publish
        | MemberCall::ChangeKey
        | MemberCall::AddDevice => true,
        MemberCall::Directory(call) => call.enters_a_log(),
        MemberCall::Safe(call) => call.enters_a_log(),
        MemberCall::Invitations { .. }
        | MemberCall::Invite
        | MemberCall::Invitation(_)
        | MemberCall::Follow
        | MemberCall::Cancel(_)
        | MemberCall::Attempt(..)
        | MemberCall::Join(..)
        | MemberCall::PutStep(..)
        | MemberCall::GetStep(..)
        | MemberCall::CancelAttempt(..)
        | MemberCall::Log { .. }
        | MemberCall::Root
        | MemberCall::Shares
        | MemberCall::SharesOf(_)
        | MemberCall::Repair
        | MemberCall::Key(_)
        | MemberCall::PutKey(_)
        | MemberCall::GetBox(..)
        | MemberCall::PutBox(..)
        | MemberCall::PutPast(..)
        | MemberCall::Manifest { .. }
        | MemberCall::PutManifest => false,
    }
}

/// Answers a call of this family.
pub(crate) async fn answer(
    app: Arc<App>,
    organisation: OrganisationId,
    call: MemberCall,
    address: IpAddr,
    parts: &Parts,
    content: Body,
) -> Result<Response, Refusal> {
    let signed = signed::open(&app, &organisation, address, parts).await?;
    if signed.kind == DeviceKind::Recovery && !recovery::is_for_kits(&call) {
        return Err(ErrorCode::NotAllowed.into());
    }
    let (member, key) = (signed.member, signed.key);
    let caller = Caller { organisation, device: member.device, user: member.user, key };
    if let MemberCall::Safe(SafeCall::One(safe, OneSafe::PutObjects)) = call {
        // Read as it comes; what was signed for are its heads.
        body::check_length(&content, body_max(&call))?;
        let now = app.clock.now();
        return safes::put_objects(&app, caller, safe, &signed, content, now).await;
    }
    let content = body::read(content, body_max(&call)).await?;
    signed.check(&content)?;
    let (now, store) = (app.clock.now(), caller.store(&app));
    if app.repairs_only && enters_a_log(&call) {
        return Err(Refusal::HELD);
    }
    match call {
        MemberCall::Invitations { before } => list(&app, caller, before, now).await,
        MemberCall::Invite => invite(&app, caller, body::decode(&content)?, now).await,
        MemberCall::Invitation(handle) => {
            let load = move |tx: &dyn Tx| caller.load(tx, &handle, now).map(|(_, loaded)| loaded.view());
            Ok(body::record(&store.read(load).await?))
        }
        MemberCall::Follow => device_events::open(app.clone(), caller, body::decode(&content)?).await,
        MemberCall::Cancel(handle) => cancel(&app, caller, handle, now).await,
        MemberCall::Attempt(handle, attempt) => {
            let load = move |tx: &dyn Tx| choose(tx, caller.load(tx, &handle, now)?, &attempt);
            Ok(body::record(&store.read(load).await?.1.attempt.view()))
        }
        MemberCall::Join(handle, attempt) => join(&app, caller, (handle, attempt), now).await,
        MemberCall::PutStep(handle, attempt, step) => {
            let budgets = app.budgets;
            store
                .write(move |tx| {
                    let (member, chosen) = greet_to_change(tx, &caller, &(handle, attempt), now)?;
                    chosen.attempt.state.greets(&member.device)?;
                    deposit(tx, chosen, Side::Greeter, (step, &content), &budgets)
                })
                .await?;
            Ok(body::done())
        }
        MemberCall::GetStep(handle, attempt, step) => {
            let load = move |tx: &dyn Tx| {
                let (member, chosen) = greet(tx, caller.load(tx, &handle, now)?, &attempt)?;
                chosen.attempt.state.greets(&member.device)?;
                read_step(tx, &chosen, Side::Greeter, step)
            };
            Ok(body::octets(store.read(load).await?))
        }
        MemberCall::CancelAttempt(handle, attempt) => {
            let asked: CancelAttempt = body::decode(&content)?;
            cancel_attempt(&app, caller, (handle, attempt), asked, now).await
        }
        MemberCall::Complete(handle, attempt) => {
            registering::complete(&app, caller, (handle, attempt), body::decode(&content)?, now).await
        }
        MemberCall::Enrol => registering::enrol(&app, caller, body::decode(&content)?, now).await,
        MemberCall::Publish => registering::publish(&app, caller, body::decode(&content)?, now).await,
        MemberCall::Log { from, least } => {
            let load = move |tx: &dyn Tx| {
                caller.member(tx)?;
                Ok(tx.page(&caller.organisation, from)?)
            };
            body::reaching(least, &store.read(load).await?)
        }
        MemberCall::Repair => {
            app.quota.take(&Key::Repair(caller.organisation.clone(), caller.device))?;
            repairing::repair(&app, caller, body::decode(&content)?, now).await
        }
        MemberCall::ChangeKey => user_keys::change(&app, caller, body::decode(&content)?).await,
        MemberCall::Root => recovery::root(&app, caller).await,
        MemberCall::AddDevice => recovery::add_device(&app, caller, body::decode(&content)?).await,
        MemberCall::Shares => shares::list(&app, caller).await,
        MemberCall::SharesOf(kit) => shares::of_kit(&app, caller, kit).await,
        MemberCall::Key(named) => user_keys::key(&app, caller, named).await,
        MemberCall::PutKey(named) => user_keys::put_key(&app, caller, named, body::decode(&content)?).await,
        MemberCall::GetBox(user, key, device) => user_keys::get_box(&app, caller, (user, key, device)).await,
        MemberCall::PutBox(user, key, device) => {
            user_keys::put_box(&app, caller, (user, key, device), body::decode(&content)?).await
        }
        MemberCall::PutPast(user, key) => {
            user_keys::put_past(&app, caller, (user, key), body::decode(&content)?).await
        }
        MemberCall::Directory(call) => directory::answer(&app, caller, call, content, now).await,
        MemberCall::Safe(call) => safes::answer(&app, caller, call, content, now).await,
        MemberCall::Manifest { least } => {
            let load = move |tx: &dyn Tx| {
                let member = caller.member(tx)?;
                Ok(tx.manifest(&caller.organisation, &member.user)?)
            };
            body::reaching(least, &store.read(load).await?)
        }
        MemberCall::PutManifest => {
            let upload: ManifestUpload = body::decode(&content)?;
            if upload.envelope.is_empty() || upload.envelope.len() > MANIFEST_MAX_BYTES {
                return Err(ErrorCode::TooLarge.into());
            }
            store
                .write(move |tx| {
                    let member = caller.member(tx)?;
                    manifests::put(tx, &caller.organisation, &member.user, &upload)
                })
                .await?;
            Ok(body::done())
        }
    }
}

async fn list(app: &App, caller: Caller, before: Option<u64>, now: Timestamp) -> Result<Response, Refusal> {
    let page = caller
        .store(app)
        .read(move |tx| {
            let member = caller.member(tx)?;
            Ok(rows::list(tx, &caller.organisation, &member, before, now)?)
        })
        .await?;
    Ok(body::record(&page))
}

/// What making an invitation left to do.
struct Made {
    /// What became of the mail before, where this was asked for before.
    mail: Option<MailOutcome>,
    to: Email,
    by: Email,
}

async fn invite(
    app: &Arc<App>,
    caller: Caller,
    asked: NewInvitation,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let link = match &asked.mail_link {
        // Only this invitation's link, of this server and organisation: nobody can mail anything
        // else through here.
        Some(link) => Some(
            app.mailer.get().check_link(&caller.organisation, &asked, link).ok_or(ErrorCode::BadRequest)?,
        ),
        None => None,
    };
    let (organisation, token) = (caller.organisation.clone(), asked.token);
    let budgets = app.budgets;
    let made = caller
        .store(app)
        .write(move |tx| {
            let org = &caller.organisation;
            tx.lock_invitation(org, &asked.token)?;
            let member = caller.member(tx)?;
            let by = tx.user(org, &member.user)?.ok_or(ErrorCode::Internal)?.email;
            let to = match &asked.invited {
                Invited::User(email) => email.clone(),
                Invited::Device(_) | Invited::Share(..) => by.clone(),
            };
            if let Some(present) = rows::load(tx, org, &asked.token, now)? {
                let old = &present.invitation;
                let same = old.created_by == member.user
                    && old.invited == asked.invited
                    && old.expires == asked.expires;
                if !same {
                    return Err(ErrorCode::InvitationConflict.into());
                }
                return Ok(Made { mail: tx.mail_outcome(org, &asked.token)?, to, by });
            }
            let invitation = invitations::make(&member, &asked, now)?;
            if let Invited::User(email) = &asked.invited
                && tx.email_in_use(org, email)?
            {
                return Err(ErrorCode::AlreadyMember.into());
            }
            shares::may_give(tx, org, &member.user, &asked.invited)?;
            usage::admit(tx, org, &invitation, Wish::Invitation, &budgets, now)?;
            rows::insert(tx, org, &invitation, now)?;
            tx.changed(caller.topic(asked.token).into());
            Ok(Made { mail: None, to, by })
        })
        .await?;
    let mail = match (link, made.mail) {
        (None, before) => before.unwrap_or(MailOutcome::NotAsked),
        // It was sent before: asking again must not send again.
        (Some(_), Some(before @ (MailOutcome::Sent | MailOutcome::Written))) => before,
        (Some(link), _) => {
            let outgoing =
                OutgoingMail { organisation: organisation.clone(), to: made.to, by: made.by, link };
            mail_queue::send(app, organisation, token, outgoing).await
        }
    };
    Ok(body::record(&InvitationMade { mail }))
}

async fn cancel(app: &App, caller: Caller, handle: Hash, now: Timestamp) -> Result<Response, Refusal> {
    caller
        .store(app)
        .write(move |tx| {
            let (_, mut loaded) = caller.load_to_change(tx, &handle, now)?;
            if invitations::cancel(&mut loaded.invitation, loaded.newest.as_mut())? {
                loaded.save(tx)?;
                tx.changed(loaded.into_change());
            }
            Ok(())
        })
        .await?;
    Ok(body::done())
}

async fn join(
    app: &App,
    caller: Caller,
    place: (Hash, AttemptId),
    now: Timestamp,
) -> Result<Response, Refusal> {
    let view = caller
        .store(app)
        .write(move |tx| {
            let (member, mut chosen) = greet_to_change(tx, &caller, &place, now)?;
            chosen.attempt.state.join(member.greeter())?;
            chosen.save(tx)?;
            let view = chosen.attempt.view();
            tx.changed(chosen.into_change());
            Ok(view)
        })
        .await?;
    Ok(body::record(&view))
}

async fn cancel_attempt(
    app: &App,
    caller: Caller,
    place: (Hash, AttemptId),
    asked: CancelAttempt,
    now: Timestamp,
) -> Result<Response, Refusal> {
    caller
        .store(app)
        .write(move |tx| {
            let found = caller.load_to_change(tx, &place.0, now)?;
            let (_, mut chosen) = choose(tx, found, &place.1)?;
            if invitations::cancel_attempt(&mut chosen.invitation, &mut chosen.attempt, asked.reason)? {
                chosen.save(tx)?;
                tx.changed(chosen.into_change());
            }
            Ok(())
        })
        .await?;
    Ok(body::done())
}
