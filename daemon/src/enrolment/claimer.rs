//! The claimer's driver.
//!
//! Decides nothing about trust: it carries the machine's outputs out, in order, and stops at the
//! first that fails. Refuses to hand out message 8 before the keys are durable, by doing nothing
//! between `Keep` and `Saved` but that.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::organisation::certificate::{Body, Envelope};
use parsec_protocol::control::{Action, Outcome, Problem, ProblemKind, SecretText, Stage};
use parsec_protocol::enrol::claimer::Claimer;
use parsec_protocol::enrol::io::{
    ClaimerInput, ClaimerOutput, Closed, NewDevice, Prologue, ReceivedShare, Refused, TransportKind,
};
use parsec_protocol::ids::{Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, Least};
use tokio::sync::watch;

use super::{Act, CeremonyContext, End, Request, answer, next_state, not_now};
use crate::os::caller::CallerSession;
use crate::os::{clock, entropy};
use crate::problems;
use crate::recovery::Progress;
use crate::transport::{Transport, TransportError};

/// Makes a claimer's keys durable, under a password.
pub trait SaveKeys: Send + Sync {
    /// Returns once everything needed after a power cut is on disk. `by` is the session that gave
    /// the password.
    ///
    /// # Errors
    /// The problem; nothing was kept, and the person may try again.
    fn keep(
        &self,
        new: Arc<NewDevice>,
        password: SecretText,
        by: Option<CallerSession>,
    ) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Makes a share durable under a password, beside those that were collected before.
    ///
    /// # Errors
    /// The problem; nothing was kept, and the person may try again.
    fn keep_share(
        &self,
        share: Arc<ReceivedShare>,
        password: SecretText,
    ) -> impl Future<Output = Result<Progress, Problem>> + Send;
}

/// What is verified, and waits for a password.
#[derive(Debug, Clone)]
enum ToKeep {
    Device(Arc<NewDevice>),
    Share(Arc<ReceivedShare>),
}

/// How long a person is kept waiting until the receipt is with the greeter: a transport that broke
/// is mostly whole again by then.
const RECEIPT_WAIT: Duration = Duration::from_secs(30);

/// What the link and the server said.
#[derive(Debug)]
pub struct Invitation {
    /// The organisation that is joined.
    pub organisation: OrganisationId,
    /// Token of the invitation that is claimed.
    pub token: Token,
    /// For whom, as the server says; the prologue binds it.
    pub invited: Invited,
    /// Secret of the link, which keys the channel.
    pub link_secret: LinkSecret,
    /// The transport; the prologue binds it.
    pub transport: TransportKind,
    /// How long the person is kept waiting for the registration at the end.
    pub registration_wait: Duration,
}

/// A machine and what its driver remembers beside it.
struct Driver<'a, R, K> {
    context: &'a mut CeremonyContext,
    transport: &'a R,
    save: &'a K,
    machine: Claimer,
    outputs: VecDeque<ClaimerOutput>,
    /// Verified, and waiting for a password.
    to_keep: Option<ToKeep>,
    /// Of a share: how many are here.
    progress: Option<Progress>,
    wake: Option<Timestamp>,
    /// What its deadlines go by.
    clock: clock::Steady,
    /// The next message of the other side.
    next: u8,
    /// Whether the keys are durable.
    kept: bool,
    /// Whether the greeter has said that this device is in the log.
    registered: bool,
    done: bool,
}

/// Runs the claimer's side from the start of the attempt to the end of the ceremony.
///
/// # Errors
/// [`End`]: the caller shows it and tells the relay.
pub async fn run<R: Transport, K: SaveKeys>(
    context: &mut CeremonyContext,
    transport: &R,
    invitation: &Invitation,
    save: &K,
) -> Result<(), End> {
    let (tell, mut seen) = watch::channel(None);
    let follow = transport.follow(tell);
    tokio::pin!(follow);
    context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
    // What is so already is noted, too, and nothing is lost between the two loops.
    let mut trouble = transport.trouble();
    trouble.mark_changed();
    let greeter = loop {
        let view = tokio::select! {
            view = next_state(&mut seen, &mut follow) => view?,
            request = context.request() => {
                let _ = request?.reply.send(Err(not_now()));
                continue;
            }
            Ok(()) = trouble.changed() => {
                context.shown.note(trouble.borrow_and_update().clone());
                continue;
            }
        };
        if let Some(reason) = view.ended {
            return Err(End::Peer(reason));
        }
        if let Some(greeter) = view.greeter {
            break greeter;
        }
    };
    context.shown.stage(Stage::Handshake, &[Action::Cancel]);
    let prologue = Prologue {
        organisation: invitation.organisation.clone(),
        token: invitation.token,
        invited: invitation.invited.clone(),
        greeter_user: greeter.user,
        greeter_device: greeter.device,
        transport: invitation.transport,
    };
    let clock = clock::Steady::start();
    let (machine, outputs) =
        Claimer::start(prologue, &invitation.link_secret, clock.now(), &mut entropy::System)
            .map_err(|error| End::Here(problems::refused(error)))?;
    let mut driver = Driver {
        context,
        transport,
        save,
        machine,
        outputs: outputs.into(),
        to_keep: None,
        progress: None,
        wake: None,
        clock,
        next: 1,
        kept: false,
        registered: false,
        done: false,
    };
    driver.carry_out().await?;
    let mut newest = None;
    while !driver.done {
        // A state may announce several steps; each is taken before the next state is waited for.
        if let Some(view) = newest.take() {
            newest = driver.take_step(view).await?;
            continue;
        }
        let sleep =
            tokio::time::sleep(driver.wake.map_or(Duration::MAX, |moment| driver.clock.until(moment)));
        tokio::select! {
            view = next_state(&mut seen, &mut follow) => newest = Some(view?),
            request = driver.context.request() => driver.person(request?).await?,
            () = sleep => {
                driver.wake = None;
                let outputs = driver.step(ClaimerInput::Tick).map_err(|error| End::Here(problems::refused(error)))?;
                driver.outputs.extend(outputs);
                driver.carry_out().await?;
            }
            Ok(()) = trouble.changed() => driver.context.shown.note(trouble.borrow_and_update().clone()),
        }
    }
    let without = || End::Here(Problem::new(ProblemKind::Internal, "The ceremony ended without keys."));
    let new = match (driver.to_keep, driver.progress) {
        (Some(ToKeep::Device(new)), _) => new,
        // It is here, and durable: whether its giver has heard changes nothing.
        (Some(ToKeep::Share(share)), Some(Progress { collected, needed })) => {
            let root_fingerprint = share.root.fingerprint().to_string();
            let (user, kit) = (share.user, share.kit);
            let outcome = Outcome::ShareCollected { user, kit, collected, needed, root_fingerprint };
            context.shown.shared(outcome);
            return Ok(());
        }
        (Some(ToKeep::Share(_)) | None, _) => return Err(without()),
    };
    let known = driver.registered;
    // The keys are here and the receipt is out: from now on everything happens by itself, also
    // without this task.
    let give_up = tokio::time::sleep(invitation.registration_wait);
    tokio::pin!(give_up);
    let registered = loop {
        if known {
            break true;
        }
        let view = tokio::select! {
            () = &mut give_up => break false,
            view = next_state(&mut seen, &mut follow) => view,
            request = context.request() => match request {
                Ok(request) => {
                    let _ = request.reply.send(Err(not_now()));
                    continue;
                }
                // Stopping changes nothing any more: the receipt is followed again at the next
                // start.
                Err(_) => break false,
            },
        };
        match view {
            Ok(AttemptView { ended: Some(EndReason::Completed), .. }) => break true,
            Ok(AttemptView { ended: Some(reason), .. }) => return Err(End::Peer(reason)),
            Ok(AttemptView { ended: None, .. }) => {}
            Err(_) => break false,
        }
    };
    context.shown.done(new.user, new.device, &new.root, registered);
    Ok(())
}

impl<R: Transport, K: SaveKeys> Driver<'_, R, K> {
    fn step(&mut self, input: ClaimerInput) -> Result<Vec<ClaimerOutput>, Refused> {
        self.machine.step(input, self.clock.now(), &mut entropy::System)
    }

    /// Takes the next step if this state announces it; returns the state if there may be more in
    /// it.
    async fn take_step(&mut self, view: AttemptView) -> Result<Option<AttemptView>, End> {
        if let Some(reason) = view.ended {
            return Err(End::Peer(reason));
        }
        if view.steps.checked_shr(u32::from(self.next)).unwrap_or(0) & 1 == 0 {
            return Ok(None);
        }
        let step = self.next;
        let bytes = self.context.carry(self.transport, self.transport.fetch(step)).await?;
        self.next = step.saturating_add(2);
        match self.step(ClaimerInput::Message { step, bytes }) {
            Ok(outputs) => {
                self.outputs.extend(outputs);
                self.carry_out().await?;
            }
            Err(error) => return Err(End::Here(problems::refused(error))),
        }
        Ok(Some(view))
    }

    /// Carries the outputs out, in order.
    async fn carry_out(&mut self) -> Result<(), End> {
        while let Some(output) = self.outputs.pop_front() {
            match output {
                ClaimerOutput::Send { step, bytes } => {
                    let sent = self.context.carry(self.transport, self.transport.deposit(step, bytes));
                    if !self.kept {
                        sent.await?;
                        continue;
                    }
                    match tokio::time::timeout(RECEIPT_WAIT, sent).await {
                        Ok(Ok(())) => {}
                        // The greeter had it before, and the answer was lost on the way.
                        Ok(Err(End::Peer(EndReason::Completed))) => self.registered = true,
                        // It lies beside the keys, and is followed from there, whatever the
                        // transport says: the greeter may have it, and be gone; the server may have
                        // lost the run, which is being opened again meanwhile.
                        Err(_) | Ok(Err(End::Transport(_))) => self.done = true,
                        Ok(Err(end)) => return Err(end),
                    }
                }
                ClaimerOutput::Show(code) => self.context.shown.say(code),
                ClaimerOutput::AskCode(question) => self.context.shown.ask_code(&question),
                ClaimerOutput::AskIdentity => {
                    self.context.shown.stage(Stage::Identify, &[Action::Identify, Action::Cancel]);
                }
                ClaimerOutput::NeedLog { count } => {
                    let log = self.context.carry(self.transport, first(self.transport, count)).await?;
                    let certified = Arc::new(log);
                    let outputs = self
                        .step(ClaimerInput::Log(certified.to_vec()))
                        .map_err(|error| End::Here(problems::refused(error)))?;
                    if let Some(ClaimerOutput::Closed(Closed::FalseShare(giver))) = outputs.first() {
                        return Err(End::Here(false_share(&certified, *giver)));
                    }
                    self.outputs.extend(outputs);
                }
                ClaimerOutput::Keep(new) => {
                    self.to_keep = Some(ToKeep::Device(Arc::new(*new)));
                    self.context.shown.stage(Stage::SetPassword, &[Action::Finish, Action::Cancel]);
                }
                ClaimerOutput::KeepShare(share) => {
                    self.to_keep = Some(ToKeep::Share(Arc::new(*share)));
                    self.context.shown.stage(Stage::SetPassword, &[Action::Finish, Action::Cancel]);
                }
                ClaimerOutput::WakeAt(moment) => self.wake = Some(moment),
                ClaimerOutput::Done => self.done = true,
                ClaimerOutput::Closed(closed) => return Err(End::Machine(closed)),
            }
        }
        Ok(())
    }

    /// What the person asks. The answer goes out as soon as the machine has taken it; the network
    /// comes after.
    async fn person(&mut self, request: Request) -> Result<(), End> {
        let Request { act, by, reply } = request;
        let stepped = match act {
            Act::Choose(choose) => answer(&choose)
                .and_then(|code| self.step(ClaimerInput::Code(code)).map_err(problems::refused)),
            Act::Identify(identify) => self
                .step(ClaimerInput::Identity { name: identify.name, device_label: identify.device_label })
                .inspect(|_| self.context.shown.stage(Stage::WaitingForApproval, &[Action::Cancel]))
                .map_err(problems::refused),
            Act::Finish(finish) => self.keep(finish.password, by).await,
            Act::Approve(_) | Act::Cancel => Err(not_now()),
        };
        match stepped {
            Ok(outputs) => {
                // A closed machine is shown before the answer, so that the asker sees the outcome
                // at once.
                if let Some(ClaimerOutput::Closed(closed)) = outputs.first() {
                    let closed = *closed;
                    End::Machine(closed).show(&self.context.shown);
                    let _ = reply.send(Ok(self.context.shown.now()));
                    return Err(End::Machine(closed));
                }
                if matches!(self.context.shown.now().stage, Stage::ChooseCode) {
                    self.context.shown.stage(Stage::Handshake, &[Action::Cancel]);
                }
                self.outputs.extend(outputs);
                let _ = reply.send(Ok(self.context.shown.now()));
                self.carry_out().await
            }
            Err(problem) => {
                let _ = reply.send(Err(problem));
                Ok(())
            }
        }
    }

    /// Makes the keys durable; from then on the person can't stop it any more.
    async fn keep(
        &mut self,
        password: SecretText,
        by: Option<CallerSession>,
    ) -> Result<Vec<ClaimerOutput>, Problem> {
        let new = self.to_keep.clone().filter(|_| self.context.may_cancel).ok_or_else(not_now)?;
        let note = match new {
            ToKeep::Device(new) => {
                self.save.keep(new, password, by).await?;
                "The keys are kept. The greeter's device registers this device now."
            }
            ToKeep::Share(share) => {
                self.progress = Some(self.save.keep_share(share, password).await?);
                "The share is kept. Its giver is told."
            }
        };
        self.context.may_cancel = false;
        self.kept = true;
        self.context.shown.stage(Stage::Registering, &[]);
        self.context.shown.note(Some(note.into()));
        self.step(ClaimerInput::Saved).map_err(problems::refused)
    }
}

/// Who gave a share that is not theirs, by the address that the verified log has for them: a
/// server's word would let it blame whom it likes.
fn false_share(log: &[Vec<u8>], giver: UserId) -> Problem {
    let email = log.iter().find_map(|envelope| match Envelope::decode(envelope).ok()?.payload().ok()?.body {
        Body::User { user, email, .. } if user == giver => Some(email),
        _ => None,
    });
    let who = email.map_or_else(|| giver.to_string(), |email| email.to_string());
    let text = format!(
        "{who} gave a share that is not the one which the kit was split into for them: they, or their device, lie."
    );
    Problem::new(ProblemKind::ShareFalse, text)
}

/// The first `count` envelopes of the log.
async fn first<R: Transport>(transport: &R, count: u64) -> Result<Vec<Vec<u8>>, TransportError> {
    let shorter = || TransportError::Misbehaved("the log is shorter than the greeter saw it");
    let mut log: Vec<Vec<u8>> = Vec::new();
    let wanted = usize::try_from(count).map_err(|_| TransportError::Misbehaved("a log is too long"))?;
    while log.len() < wanted {
        let page = match transport.log_page(log.len() as u64, Least(count)).await {
            Err(error) if error.code() == Some(ErrorCode::Behind) => return Err(shorter()),
            page => page?,
        };
        if page.certificates.is_empty() {
            return Err(shorter());
        }
        log.extend(page.certificates.into_iter().map(Vec::from));
    }
    log.truncate(wanted);
    Ok(log)
}
