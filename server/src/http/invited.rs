//! Calls of somebody who holds an invitation's token.
//!
//! Decides that the token, and for an attempt its secret, were shown; an unknown organisation, an
//! unknown token and a wrong one get the same answer, as do an unknown attempt and a wrong secret.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::response::Response;
use parsec_protocol::ids::{AttemptId, OrganisationId, Timestamp, Token};
use parsec_protocol::limits::STEP_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::attempt::{self, Earlier, RECEIPT_STEP, Side};
use parsec_protocol::relay::{
    CancelAttempt, ErrorCode, HEADER_ATTEMPT_SECRET, HEADER_TOKEN, InvitedInfo, Least, STEP_TOLD_MAX_BYTES,
    StartAttempt, StepTold,
};

use super::events;
use super::route::InvitedCall;
use super::{App, body};
use crate::budgets::{Budgets, RECEIPT_ROOM, Wish};
use crate::errors::Refusal;
use crate::invitations::{self, Attempt, Start};
use crate::quota::Key;
use crate::store::invitations::{Chosen, Loaded};
use crate::store::{Party, Store, Tx, invitations as rows, usage};
use crate::watchers::{Holder, Topic};

/// A step that is read before the attempt's secret is checked: as long as steps are, and far from
/// the longest.
const SMALL_STEP_BYTES: u64 = 4_096;
/// An id and a hash, or a reason, with their framing.
const SMALL_MAX_BYTES: usize = 256;

/// What the headers show.
#[derive(Clone)]
struct Bearer {
    organisation: OrganisationId,
    token: Token,
    /// Where they ask from: in whose turn they are answered.
    address: IpAddr,
}

impl Bearer {
    fn load(&self, tx: &dyn Tx, now: Timestamp) -> Result<Loaded, Refusal> {
        let loaded = rows::load(tx, &self.organisation, &self.token, now)?;
        loaded.ok_or_else(|| ErrorCode::InvitationUnknown.into())
    }

    /// Keeps others from the invitation until this transaction has ended.
    fn lock(&self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        Ok(tx.lock_invitation(&self.organisation, &self.token)?)
    }

    fn topic(&self) -> Topic {
        Topic::Invitation { organisation: self.organisation.clone(), token: self.token }
    }

    /// The database, in their turn.
    fn store(&self, app: &App) -> Store {
        app.store.of(Party::address(self.address))
    }
}

/// A bearer who also shows an attempt's secret.
#[derive(Clone)]
pub(super) struct Claimer {
    bearer: Bearer,
    pub(super) attempt: AttemptId,
    secret_hash: Hash,
}

impl Claimer {
    fn load(&self, tx: &dyn Tx, now: Timestamp) -> Result<Chosen, Refusal> {
        let chosen = self.bearer.load(tx, now)?.with_attempt(tx, &self.attempt)?;
        let chosen =
            chosen.filter(|chosen| attempt::is_secret(&chosen.attempt.secret_hash, &self.secret_hash));
        chosen.ok_or_else(|| ErrorCode::AttemptUnknown.into())
    }
}

/// Answers a call of this family.
pub(crate) async fn answer(
    app: Arc<App>,
    organisation: OrganisationId,
    call: InvitedCall,
    address: IpAddr,
    parts: &Parts,
    content: Body,
) -> Result<Response, Refusal> {
    let token: Token = body::header(&parts.headers, HEADER_TOKEN).ok_or(ErrorCode::InvitationUnknown)?;
    app.quota.take(&Key::Token(token))?;
    let bearer = Bearer { organisation, token, address };
    let claimer = |attempt| -> Result<Claimer, Refusal> {
        let secret: Hash =
            body::header(&parts.headers, HEADER_ATTEMPT_SECRET).ok_or(ErrorCode::AttemptUnknown)?;
        let secret_hash = Hash::of(&[secret.as_bytes()]);
        Ok(Claimer { bearer: bearer.clone(), attempt, secret_hash })
    };
    match call {
        InvitedCall::Info => info(&app, bearer).await,
        InvitedCall::Log { from, least } => log(&app, bearer, from, least).await,
        InvitedCall::Start => start(&app, bearer, content).await,
        InvitedCall::Attempt(attempt) => view(&app, claimer(attempt)?).await,
        InvitedCall::Events(attempt) => events(app.clone(), claimer(attempt)?).await,
        InvitedCall::PutStep(attempt, step) => {
            let length = body::header(&parts.headers, CONTENT_LENGTH.as_str());
            put_step(&app, claimer(attempt)?, step, (length, content)).await
        }
        InvitedCall::GetStep(attempt, step) => get_step(&app, claimer(attempt)?, step).await,
        InvitedCall::Cancel(attempt) => cancel(&app, claimer(attempt)?, content).await,
    }
}

async fn info(app: &App, bearer: Bearer) -> Result<Response, Refusal> {
    let now = app.clock.now();
    let info = bearer
        .store(app)
        .read(move |tx| {
            let invitation = bearer.load(tx, now)?.invitation;
            let maker = tx.user(&bearer.organisation, &invitation.created_by)?;
            let invited_by = maker.ok_or(ErrorCode::Internal)?.email;
            Ok(InvitedInfo {
                invited: invitation.invited,
                invited_by,
                expires: invitation.expires,
                status: invitation.status,
            })
        })
        .await?;
    Ok(body::record(&info))
}

async fn log(app: &App, bearer: Bearer, from: u64, least: Least) -> Result<Response, Refusal> {
    let now = app.clock.now();
    let page = bearer
        .store(app)
        .read(move |tx| {
            let loaded = bearer.load(tx, now)?;
            if !loaded.newest.as_ref().is_some_and(|newest| newest.state.may_see_log()) {
                return Err(ErrorCode::NotYet.into());
            }
            Ok(tx.page(&bearer.organisation, from)?)
        })
        .await?;
    body::reaching(least, &page)
}

async fn start(app: &Arc<App>, bearer: Bearer, content: Body) -> Result<Response, Refusal> {
    let content = body::read(content, SMALL_MAX_BYTES).await?;
    let asked: StartAttempt = body::decode(&content)?;
    let now = app.clock.now();
    let shared = Arc::clone(app);
    let started = bearer
        .store(app)
        .write(move |tx| {
            bearer.lock(tx)?;
            let mut loaded = bearer.load(tx, now)?;
            let named = tx.attempt(&bearer.organisation, &bearer.token, &asked.attempt)?;
            let newest = loaded.newest.as_mut();
            let seen =
                newest.as_ref().map_or(now, |newest| shared.presence.last(&newest.id(), newest.claimer_seen));
            let asked = (asked.attempt, asked.secret_hash);
            let start = invitations::start(&mut loaded.invitation, named.as_ref(), newest, seen, asked, now)?;
            match start {
                Start::Known => {
                    let known = loaded.with_attempt(tx, &asked.0)?.ok_or(ErrorCode::Internal)?;
                    Ok(Ok(known.attempt.view()))
                }
                Start::New(attempt) => {
                    loaded.save(tx)?;
                    tx.insert_attempt(&bearer.organisation, &bearer.token, &attempt)?;
                    let view = attempt.view();
                    loaded.newest = Some(attempt);
                    tx.changed(loaded.into_change());
                    Ok(Ok(view))
                }
                // Refused, and yet something changed: the idle attempt is over.
                Start::Exhausted => {
                    loaded.save(tx)?;
                    tx.changed(loaded.into_change());
                    Ok(Err(Refusal::from(ErrorCode::InvitationExhausted)))
                }
            }
        })
        .await??;
    app.presence.touch(started.attempt, now);
    Ok(body::record(&started))
}

pub(super) async fn load(app: &App, claimer: Claimer) -> Result<Chosen, Refusal> {
    let now = app.clock.now();
    let chosen = claimer.bearer.store(app).read(move |tx| claimer.load(tx, now)).await?;
    app.presence.touch(chosen.attempt.id(), now);
    Ok(chosen)
}

/// The same for a stream that begins: with the step that is to be read next, if there is one.
pub(super) async fn begin(app: &App, claimer: Claimer) -> Result<(Chosen, Option<StepTold>), Refusal> {
    let (now, attempt) = (app.clock.now(), claimer.attempt);
    let began = claimer
        .bearer
        .store(app)
        .read(move |tx| {
            let chosen = claimer.load(tx, now)?;
            let of = (&chosen.organisation, &chosen.invitation.token);
            let step = last_step(tx, of, &chosen.attempt, Side::Claimer)?;
            Ok((chosen, step))
        })
        .await?;
    app.presence.touch(attempt, now);
    Ok(began)
}

async fn view(app: &App, claimer: Claimer) -> Result<Response, Refusal> {
    Ok(body::record(&load(app, claimer).await?.attempt.view()))
}

async fn events(app: Arc<App>, claimer: Claimer) -> Result<Response, Refusal> {
    let (topic, attempt) = (claimer.bearer.topic(), claimer.attempt);
    let holder = Holder::Claimer {
        organisation: claimer.bearer.organisation.clone(),
        token: claimer.bearer.token,
        attempt,
    };
    // Whoever doesn't know the attempt's secret must not take a place from who does.
    load(&app, claimer.clone()).await?;
    let watcher = app.watchers.watch(vec![holder], vec![topic]);
    events::open(app, claimer, watcher).await
}

async fn put_step(
    app: &App,
    claimer: Claimer,
    step: u8,
    (length, content): (Option<u64>, Body),
) -> Result<Response, Refusal> {
    let now = app.clock.now();
    let store = claimer.bearer.store(app);
    if length.is_none_or(|length| length > SMALL_STEP_BYTES) {
        // Before the body: who doesn't know the secret can't make the server read 64 KiB.
        let early = claimer.clone();
        store.read(move |tx| early.load(tx, now).map(|_| ())).await?;
    }
    let content = body::read(content, STEP_MAX_BYTES).await?;
    let (attempt, budgets) = (claimer.attempt, app.budgets);
    store
        .write(move |tx| {
            claimer.bearer.lock(tx)?;
            let mut chosen = claimer.load(tx, now)?;
            chosen.attempt.claimer_seen = now;
            deposit(tx, chosen, Side::Claimer, (step, &content), &budgets)
        })
        .await?;
    app.presence.touch(attempt, now);
    Ok(body::done())
}

/// Either side's deposit, on the account of the invitation's maker. One that was there already
/// changes nothing.
pub(crate) fn deposit(
    tx: &mut dyn Tx,
    mut chosen: Chosen,
    side: Side,
    (step, content): (u8, &[u8]),
    budgets: &Budgets,
) -> Result<(), Refusal> {
    attempt::check_step(content)?;
    let hash = Hash::of(&[content]);
    let (organisation, token, number) =
        (chosen.organisation.clone(), chosen.invitation.token, chosen.attempt.number);
    let there = chosen.attempt.state.has(step);
    let present = if there { tx.step_hash(&organisation, &token, number, step)? } else { None };
    let new = chosen.attempt.state.deposit(side, step, Earlier::of(present.as_ref(), &hash))?;
    if new {
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        // The newcomer's keys are durable by now: whoever has spent the maker's budget must not
        // make them useless.
        if step != RECEIPT_STEP || bytes > RECEIPT_ROOM {
            let wish = Wish::Bytes(bytes);
            usage::admit(tx, &organisation, &chosen.invitation, wish, budgets, chosen.now)?;
        }
        tx.insert_step(&organisation, &token, number, step, (hash, content))?;
        chosen.save(tx)?;
        let attempt = chosen.attempt.id();
        let change = chosen.into_change();
        tx.changed(if content.len() <= STEP_TOLD_MAX_BYTES {
            change.by_step(StepTold { token, attempt, step, bytes: content.to_vec().into() })
        } else {
            change
        });
    }
    Ok(())
}

/// The step that was deposited last, if it is the other side's and one that is told: for a stream
/// that begins behind it.
pub(crate) fn last_step(
    tx: &dyn Tx,
    (organisation, token): (&OrganisationId, &Token),
    attempt: &Attempt,
    side: Side,
) -> Result<Option<StepTold>, Refusal> {
    let state = &attempt.state;
    let last = u8::try_from(state.steps.count_ones()).ok().and_then(|steps| steps.checked_sub(1));
    let Some(step) = last.filter(|step| state.readable(side, *step).is_ok()) else { return Ok(None) };
    let bytes = tx.step_bytes(organisation, token, attempt.number, step)?;
    let bytes = bytes.filter(|bytes| bytes.len() <= STEP_TOLD_MAX_BYTES);
    Ok(bytes.map(|bytes| StepTold { token: *token, attempt: attempt.id(), step, bytes: bytes.into() }))
}

/// Either side's reading.
pub(crate) fn read_step(tx: &dyn Tx, chosen: &Chosen, side: Side, step: u8) -> Result<Vec<u8>, Refusal> {
    chosen.attempt.state.readable(side, step)?;
    let (organisation, token) = (&chosen.organisation, &chosen.invitation.token);
    let found = tx.step_bytes(organisation, token, chosen.attempt.number, step)?;
    found.ok_or_else(|| ErrorCode::Internal.into())
}

async fn get_step(app: &App, claimer: Claimer, step: u8) -> Result<Response, Refusal> {
    let now = app.clock.now();
    let attempt = claimer.attempt;
    let found = claimer
        .bearer
        .store(app)
        .read(move |tx| {
            let chosen = claimer.load(tx, now)?;
            Ok(read_step(tx, &chosen, Side::Claimer, step))
        })
        .await?;
    app.presence.touch(attempt, now);
    Ok(body::octets(found?))
}

async fn cancel(app: &App, claimer: Claimer, content: Body) -> Result<Response, Refusal> {
    let content = body::read(content, SMALL_MAX_BYTES).await?;
    let asked: CancelAttempt = body::decode(&content)?;
    let now = app.clock.now();
    claimer
        .bearer
        .store(app)
        .write(move |tx| {
            claimer.bearer.lock(tx)?;
            let mut chosen = claimer.load(tx, now)?;
            if invitations::cancel_attempt(&mut chosen.invitation, &mut chosen.attempt, asked.reason)? {
                chosen.save(tx)?;
                tx.changed(chosen.into_change());
            }
            Ok(())
        })
        .await?;
    Ok(body::done())
}
