//! A greeting: waits for the newcomer, vouches for them, and follows what was signed.
//!
//! Decides how often an invitation may be tried, by this device's own count. Refuses an invitation
//! that was signed for.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::control::{Outcome, Problem, ProblemKind, TransportChoice};
use parsec_protocol::enrol::io::{HeldShare, Prologue, SealedEnrolment, TransportKind};
use parsec_protocol::ids::{AttemptId, DeviceId, Invited, Token, UserId};
use parsec_protocol::limits::ATTEMPTS_MAX;
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::relay::Completion;

use super::follow::follow;
use super::greeter::{Greeted, Handed};
use super::pending::{self, PendingEnrolment};
use super::wait_for_claimer::{Joined, join};
use super::{CeremonyContext, End, finish, greeter, handed, outbox, p2p, tally, until_farewell};
use crate::recovery;
use crate::session::Session;
use crate::store::{DeviceKeys, Store, StoredInvitation, Tally};
use crate::transport::relay::GreeterTransport;
use crate::transport::retry::ANSWER_WAIT;

/// Vouches with an unlocked device.
struct DeviceIssuer {
    session: Arc<Session>,
    attempt: AttemptId,
    token: Token,
}

impl greeter::Issuer for DeviceIssuer {
    fn keys(&self) -> &DeviceKeys {
        &self.session.open.keys
    }

    fn directory(&self) -> Arc<DirectoryKeys> {
        self.session.open.directory()
    }

    async fn fresh_log(&self) -> Result<Arc<VerifiedLog>, Problem> {
        let log = self.session.sync_apart().await?;
        self.session.fresh_directory_apart(log).await
    }

    async fn handed(&self, log: Arc<VerifiedLog>) -> Result<(Arc<VerifiedLog>, Handed), Problem> {
        handed::own(&self.session, log).await
    }

    async fn share(&self, log: Arc<VerifiedLog>, user: UserId, kit: DeviceId) -> Result<HeldShare, Problem> {
        recovery::held(&self.session, &log, user, kit).await
    }

    async fn attempts(&self) -> Result<u64, Problem> {
        tally::attempts(&self.session, self.token).await
    }

    async fn persist(&self, sealed: &SealedEnrolment) -> Result<(), Problem> {
        let (attempt, token, sealed) = (self.attempt, self.token, sealed.clone());
        self.session.store(move |store| store.put_sealed(attempt, token, &sealed)).await
    }
}

/// Runs a greeting to its end.
pub async fn greet(
    mut context: CeremonyContext,
    session: Arc<Session>,
    invitation: StoredInvitation,
    token: Token,
    choice: TransportChoice,
) {
    context.shown.invited(&invitation.invited, None);
    let of_share = match invitation.invited {
        Invited::User(_) | Invited::Device(_) => None,
        Invited::Share(user, kit) => Some((user, kit)),
    };
    if let Some((user, _)) = of_share {
        context.shown.owner(session.log().user(&user).map(|user| user.email.clone()));
    }
    // Whoever gets it needs the server for everything that follows.
    let choice = if of_share.is_some() { TransportChoice::Server } else { choice };
    // A server that is against its members would let an invitation be tried for ever: this device
    // counts, too.
    if invitation.tally.is_exhausted() {
        let text = "The invitation was tried too often.";
        return context.shown.closed(Problem::new(ProblemKind::InvitationExhausted, text));
    }
    match session.store(move |store| store.is_sealed(token)).await {
        Ok(false) => {}
        Ok(true) => {
            let text = "The newcomer holds the keys already; the enrolment waits for the server.";
            return context.shown.closed(Problem::new(ProblemKind::InvitationCompleted, text));
        }
        Err(problem) => return context.shown.closed(problem),
    }
    let joined = match join(&mut context, &session, &invitation, token, choice).await {
        Ok(joined) => joined,
        Err(end) => return end.show(&context.shown),
    };
    let (attempt, transport) = match joined {
        Joined::Relay(attempt, transport) => (attempt, transport),
        Joined::P2p(arrived) => {
            let ask_server = choice == TransportChoice::Auto;
            return p2p::greet(context, session, invitation, token, arrived, ask_server).await;
        }
    };
    context.shown.attempt(attempt);
    let summary = &session.open.summary;
    let prologue = Prologue {
        organisation: summary.organisation.clone(),
        token,
        invited: invitation.invited,
        greeter_user: summary.user,
        greeter_device: summary.device,
        transport: TransportKind::Relay,
    };
    let issuer = DeviceIssuer { session: Arc::clone(&session), attempt, token };
    match pending::of_attempt(&session, attempt).await {
        Ok(Some(enrolment)) => return follow(context, &session, &transport, enrolment).await,
        Ok(None) => {}
        Err(problem) => return context.shown.closed(problem),
    }
    let count = move |store: &Store| store.count(token, Tally { attempts: 1, mismatches: 0 });
    match session.store(count).await {
        Ok(tally) if tally.attempts <= ATTEMPTS_MAX => {}
        Ok(_) => {
            let end = Problem::new(ProblemKind::InvitationExhausted, "The invitation was tried too often.");
            until_farewell(&session.stop, finish(End::Here(end), &context, &transport)).await;
            return;
        }
        Err(problem) => return context.shown.closed(problem),
    }
    let run = greeter::run(&mut context, &transport, prologue, &invitation.link_secret, &issuer);
    // It has the keys of a whole ceremony in it: too large for the stack of whoever waits.
    match Box::pin(run).await {
        Ok(Greeted::Signed(sealed)) => {
            follow(context, &session, &transport, PendingEnrolment::new(attempt, token, *sealed)).await
        }
        Ok(Greeted::Given(receipt)) => {
            let whose = of_share.unwrap_or((session.open.summary.user, session.open.summary.device));
            given(&context, &session, &transport, (token, whose), *receipt).await;
        }
        Err(end) => {
            tally::note_end(&session, token, &end).await;
            // Whatever was signed is void once the relay has heard; the outbox sees to it if it was
            // not.
            until_farewell(&session.stop, finish(end, &context, &transport)).await;
            if let Ok(Some(enrolment)) = pending::of_attempt(&session, attempt).await {
                outbox::finish(&session, enrolment);
            }
        }
    }
}

/// The claimer holds the share: the invitation has done its work. That is told the person, whether
/// or not the server hears of it now; it lets the invitation run out otherwise.
async fn given(
    context: &CeremonyContext,
    session: &Session,
    transport: &GreeterTransport,
    (token, (user, kit)): (Token, (UserId, DeviceId)),
    receipt: ClaimReceipt,
) {
    let completion = Completion { certificates: Vec::new(), receipt, keys: Vec::new() };
    match tokio::time::timeout(ANSWER_WAIT, transport.complete(&completion)).await {
        Ok(Ok(_)) => {
            if let Err(problem) = session.store(move |store| store.drop_invitation(token)).await {
                tracing::info!(%problem, "the link of an invitation that is over could not be dropped");
            }
        }
        Ok(Err(error)) => tracing::info!(%error, "the server does not complete an invitation"),
        Err(_) => tracing::info!("the server did not complete an invitation in time"),
    }
    context.shown.shared(Outcome::ShareGiven { user, kit });
}
