//! The greeter's driver, up to the moment when message 7 is out.
//!
//! Decides nothing about trust: it carries the machine's outputs out, in order. Refuses to send
//! message 7 before the record of it is durable, by the order of the outputs; what comes after is
//! the outbox's.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::organisation::certificate::{ManifestMark, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::control::{Action, CeremonyApprove, Problem, ProblemKind, ProfileName, Stage};
use parsec_protocol::enrol::greeter::Greeter;
use parsec_protocol::enrol::io::{
    Approval, GreeterInput, GreeterOutput, HeldShare, Prologue, Refused, SealedEnrolment,
};
use parsec_protocol::ids::{DeviceId, Invited, Timestamp, UserId};
use parsec_protocol::keys::{LinkSecret, UserSeed};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::relay::AttemptView;
use tokio::sync::watch;

use super::{Act, CeremonyContext, End, Request, answer, next_state, not_now};
use crate::os::{clock, entropy};
use crate::problems;
use crate::store::DeviceKeys;
use crate::transport::Transport;

/// What vouching takes from the unlocked device.
pub trait Issuer: Send + Sync {
    /// Its keys.
    fn keys(&self) -> &DeviceKeys;
    /// What names are sealed with.
    fn directory(&self) -> Arc<DirectoryKeys>;
    /// The log as it is now, verified. Where a key for names is due, it was made.
    ///
    /// # Errors
    /// The problem; nothing was signed.
    fn fresh_log(&self) -> impl Future<Output = Result<Arc<VerifiedLog>, Problem>> + Send;
    /// What another device of the same user is handed. The key is changed first where a device of
    /// the user was revoked; the log that it returns is then the newer one.
    ///
    /// # Errors
    /// `key_change_due` where it can't be changed now; another problem; nothing was signed.
    fn handed(
        &self,
        log: Arc<VerifiedLog>,
    ) -> impl Future<Output = Result<(Arc<VerifiedLog>, Handed), Problem>> + Send;
    /// This device's user's own share of a kit, by a verified log.
    ///
    /// # Errors
    /// `share_unknown`, `share_false`; nothing was given.
    fn share(
        &self,
        log: Arc<VerifiedLog>,
        user: UserId,
        kit: DeviceId,
    ) -> impl Future<Output = Result<HeldShare, Problem>> + Send;
    /// Attempts of the invitation that this device took part in, this one included.
    ///
    /// # Errors
    /// The problem; nothing was signed.
    fn attempts(&self) -> impl Future<Output = Result<u64, Problem>> + Send;
    /// Returns once the record is on disk.
    ///
    /// # Errors
    /// The problem; message 7 is not sent.
    fn persist(&self, sealed: &SealedEnrolment) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// What another device of the greeter's user gets from this one.
#[derive(Debug)]
pub struct Handed {
    /// Opens what is sealed to the user now.
    pub user_seed: Arc<UserSeed>,
    /// Newest version of the user's manifest that this device knows.
    pub manifest: Option<ManifestMark>,
}

/// How a greeting has come to its end on this side.
#[derive(Debug)]
pub enum Greeted {
    /// Message 7 is out: what follows is the outbox's.
    Signed(Box<SealedEnrolment>),
    /// The claimer holds the share.
    Given(Box<ClaimReceipt>),
}

/// What vouching rests on, beside this device's keys.
struct Ground {
    log: Arc<VerifiedLog>,
    handed: Handed,
    share: Option<HeldShare>,
    attempts: u64,
}

/// A machine and what its driver remembers beside it.
struct Driver<'a, R, V> {
    context: &'a mut CeremonyContext,
    transport: &'a R,
    issuer: &'a V,
    invited: Invited,
    machine: Greeter,
    outputs: VecDeque<GreeterOutput>,
    wake: Option<Timestamp>,
    /// What its deadlines go by.
    clock: clock::Steady,
    /// The next message of the other side.
    next: u8,
    /// Durable; message 7 may go out.
    sealed: Option<SealedEnrolment>,
    /// Message 7 is out.
    sent: bool,
    /// Message 8 of a share.
    given: Option<Box<ClaimReceipt>>,
}

/// Runs the greeter's side until message 7 is out, and returns what was signed; where a share is
/// given, until the claimer has it.
///
/// # Errors
/// [`End`]: the caller shows it and tells the relay.
pub async fn run<R: Transport, V: Issuer>(
    context: &mut CeremonyContext,
    transport: &R,
    prologue: Prologue,
    link_secret: &LinkSecret,
    issuer: &V,
) -> Result<Greeted, End> {
    let (tell, mut seen) = watch::channel(None);
    let follow = transport.follow(tell);
    tokio::pin!(follow);
    context.shown.stage(Stage::Handshake, &[Action::Cancel]);
    let invited = prologue.invited.clone();
    let keys = issuer.keys();
    let clock = clock::Steady::start();
    let (machine, outputs) =
        Greeter::start(prologue, link_secret, keys.root, keys.typed_codes, clock.now(), &mut entropy::System)
            .map_err(|error| End::Here(problems::refused(error)))?;
    let mut driver = Driver {
        context,
        transport,
        issuer,
        invited,
        machine,
        outputs: outputs.into(),
        wake: None,
        clock,
        next: 0,
        sealed: None,
        sent: false,
        given: None,
    };
    driver.carry_out().await?;
    let mut newest = None;
    let mut trouble = transport.trouble();
    // What is so already is noted, too.
    trouble.mark_changed();
    loop {
        if driver.sent
            && let Some(sealed) = driver.sealed.take()
        {
            return Ok(Greeted::Signed(Box::new(sealed)));
        }
        if let Some(receipt) = driver.given.take() {
            return Ok(Greeted::Given(receipt));
        }
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
                let outputs = driver.step(GreeterInput::Tick).map_err(|error| End::Here(problems::refused(error)))?;
                driver.outputs.extend(outputs);
                driver.carry_out().await?;
            }
            Ok(()) = trouble.changed() => driver.context.shown.note(trouble.borrow_and_update().clone()),
        }
    }
}

impl<R: Transport, V: Issuer> Driver<'_, R, V> {
    fn step(&mut self, input: GreeterInput<'_>) -> Result<Vec<GreeterOutput>, Refused> {
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
        match self.step(GreeterInput::Message { step, bytes }) {
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
                GreeterOutput::Send { step, bytes } => {
                    self.context.carry(self.transport, self.transport.deposit(step, bytes)).await?;
                    if self.sealed.is_some() {
                        self.sent = true;
                        return Ok(());
                    }
                }
                GreeterOutput::Show(code) => self.context.shown.say(code),
                GreeterOutput::AskCode(question) => self.context.shown.ask_code(&question),
                GreeterOutput::AskApproval(claim) => self.context.shown.ask_approval(claim),
                GreeterOutput::Persist(sealed) => {
                    self.issuer.persist(&sealed).await.map_err(End::Here)?;
                    self.sealed = Some(*sealed);
                }
                // Message 8 is the outbox's to take, from the record alone; the machine never sees
                // it here.
                GreeterOutput::Publish(_) => {}
                GreeterOutput::Given(receipt) => self.given = Some(receipt),
                GreeterOutput::WakeAt(moment) => self.wake = Some(moment),
                GreeterOutput::Closed(closed) => return Err(End::Machine(closed)),
            }
        }
        Ok(())
    }

    /// What the person asks. The answer goes out as soon as the machine has taken it.
    async fn person(&mut self, request: Request) -> Result<(), End> {
        let Request { act, reply, .. } = request;
        let stepped = match act {
            Act::Choose(choose) => answer(&choose)
                .and_then(|code| self.step(GreeterInput::Code(code)).map_err(problems::refused)),
            Act::Approve(approve) => match self.approve(approve).await {
                Ok(stepped) => stepped,
                // Nothing was signed.
                Err(end) => {
                    let _ = reply.send(Err(not_now_any_more(&end)));
                    return Err(end);
                }
            },
            Act::Identify(_) | Act::Finish(_) | Act::Cancel => Err(not_now()),
        };
        match stepped {
            Ok(outputs) => {
                if let Some(GreeterOutput::Closed(closed)) = outputs.first() {
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

    /// Vouches, on the log as it is now. A failure leaves the question open; the person may stop
    /// while the log is fetched, however long a server takes, and so does locking.
    async fn approve(
        &mut self,
        approve: CeremonyApprove,
    ) -> Result<Result<Vec<GreeterOutput>, Problem>, End> {
        if let Err(problem) = self.may_approve(&approve) {
            return Ok(Err(problem));
        }
        let (issuer, invited) = (self.issuer, self.invited.clone());
        let basis = async {
            let log = issuer.fresh_log().await?;
            // Not touched for anybody but a device of one's own.
            let present = || Handed { user_seed: Arc::clone(&issuer.keys().user_seed), manifest: None };
            let (log, handed, share) = match invited {
                Invited::Device(_) => {
                    let (log, handed) = issuer.handed(log).await?;
                    (log, handed, None)
                }
                Invited::User(_) => (log, present(), None),
                Invited::Share(user, kit) => {
                    let share = issuer.share(Arc::clone(&log), user, kit).await?;
                    (log, present(), Some(share))
                }
            };
            Ok::<_, Problem>(Ground { log, handed, share, attempts: issuer.attempts().await? })
        };
        Ok(match self.context.wait(basis).await? {
            Ok(ground) => self.sign(approve, &ground),
            Err(problem) => Err(problem),
        })
    }

    /// What is looked at before any network: the statement is what a person forgets, and nothing is
    /// to be done without it.
    fn may_approve(&self, approve: &CeremonyApprove) -> Result<(), Problem> {
        if !matches!(self.context.shown.now().stage, Stage::Approve) {
            return Err(not_now());
        }
        if approve.profile.is_some() && !matches!(self.invited, Invited::User(_)) {
            let text =
                "A profile is for a new member: a further device has its user's, and a share has none.";
            return Err(Problem::new(ProblemKind::InvalidRequest, text));
        }
        if approve.claimer_confirmed { Ok(()) } else { Err(problems::refused(Refused::NotConfirmed)) }
    }

    fn sign(&mut self, approve: CeremonyApprove, ground: &Ground) -> Result<Vec<GreeterOutput>, Problem> {
        let Ground { log, handed, share, attempts } = ground;
        let keys = self.issuer.keys();
        let directory = self.issuer.directory();
        let approval = Approval {
            claimer_confirmed: approve.claimer_confirmed,
            name: approve.name,
            device_label: approve.device_label,
            profile: profile(approve.profile),
            signing_key: &keys.signing_key,
            directory_keys: &directory,
            user_seed: &handed.user_seed,
            manifest: handed.manifest,
            log,
            attempts: *attempts,
            share: share.as_ref(),
        };
        // By the world's clock, which the certificates carry to others.
        let outputs = self.machine.step(GreeterInput::Approve(approval), clock::now(), &mut entropy::System);
        let outputs = outputs.map_err(|error| match (error, &self.invited) {
            (Refused::MayNotCertify, Invited::User(email))
                if log.users().any(|user| user.revoked.is_none() && user.email == *email) =>
            {
                Problem::new(ProblemKind::AlreadyMember, "The address belongs to a member already.")
            }
            (error, _) => problems::refused(error),
        })?;
        if !matches!(outputs.first(), Some(GreeterOutput::Closed(_))) {
            self.context.shown.stage(Stage::WaitingForPassword, &[Action::Cancel]);
        }
        Ok(outputs)
    }
}

/// What whoever asked to vouch is told where the ceremony ended while the log was fetched.
fn not_now_any_more(end: &End) -> Problem {
    match end {
        End::Stopped(problem) => problem.clone(),
        End::Machine(_) | End::Person(_) | End::Peer(_) | End::Transport(_) | End::Here(_) => {
            Problem::new(ProblemKind::Cancelled, "The ceremony was ended before anything was signed.")
        }
    }
}

/// The profile a new member gets.
const fn profile(name: Option<ProfileName>) -> Profile {
    match name {
        Some(ProfileName::Administrator) => Profile::Administrator,
        Some(ProfileName::Standard) | None => Profile::Standard,
        Some(ProfileName::Outsider) => Profile::Outsider,
    }
}
