//! Both drivers against each other, in one process, over a transport in memory.

use std::sync::{Arc, Mutex};

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{
    CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyId, CeremonyIdentify, CeremonyView, ChoiceMode,
    Outcome, Problem, ProblemKind, Role, SecretText, Stage,
};
use parsec_protocol::enrol::io::{HeldShare, NewDevice, ReceivedShare, SealedEnrolment, TransportKind};
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::DirectoryKey;
use parsec_protocol::lab::{EMAIL, LABEL, NAME, Organisation};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::relay::{EndReason, GreeterIds};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::greeter::{Greeted, Handed};
use super::view::ViewPublisher;
use super::{Act, CeremonyContext, REQUESTS_MAX, Request, claimer, finish, greeter};
use crate::os::caller::CallerSession;
use crate::os::{clock, entropy};
use crate::recovery::Progress;
use crate::store::DeviceKeys;
use crate::transport::memory::MemoryTransport;

/// Remembers, in order, what became durable.
#[derive(Default)]
struct Disk(Mutex<Vec<String>>);

struct Saves(Arc<Disk>, MemoryTransport);

impl claimer::SaveKeys for Saves {
    async fn keep(
        &self,
        new: Arc<NewDevice>,
        password: SecretText,
        _: Option<CallerSession>,
    ) -> Result<(), Problem> {
        if password.expose().len() < 8 {
            return Err(Problem::new(ProblemKind::WeakPassword, "weak"));
        }
        self.0.0.lock().unwrap().push(format!("kept {} after {} steps", new.name, self.1.steps()));
        Ok(())
    }
    async fn keep_share(&self, _: Arc<ReceivedShare>, _: SecretText) -> Result<Progress, Problem> {
        unreachable!("nobody is given a share here")
    }
}

struct Signs(Arc<Disk>, MemoryTransport, DeviceKeys, Arc<VerifiedLog>);

impl greeter::Issuer for Signs {
    fn keys(&self) -> &DeviceKeys {
        &self.2
    }
    fn directory(&self) -> Arc<DirectoryKeys> {
        Arc::new(DirectoryKeys::first(DirectoryKey::from_bytes(&mut { *self.keys().directory_key.expose() })))
    }
    async fn fresh_log(&self) -> Result<Arc<VerifiedLog>, Problem> {
        Ok(Arc::clone(&self.3))
    }
    async fn handed(&self, _: Arc<VerifiedLog>) -> Result<(Arc<VerifiedLog>, Handed), Problem> {
        unreachable!("nobody greets a device of their own here")
    }
    async fn share(&self, _: Arc<VerifiedLog>, _: UserId, _: DeviceId) -> Result<HeldShare, Problem> {
        unreachable!("nobody gives a share here")
    }
    async fn attempts(&self) -> Result<u64, Problem> {
        Ok(1)
    }
    async fn persist(&self, _: &SealedEnrolment) -> Result<(), Problem> {
        self.0.0.lock().unwrap().push(format!("sealed after {} steps", self.1.steps()));
        Ok(())
    }
}

/// A person with a program that shows the view.
struct Person {
    view: watch::Receiver<CeremonyView>,
    requests: mpsc::Sender<Request>,
}

impl Person {
    async fn at(&mut self, stage: Stage) -> CeremonyView {
        let seen =
            self.view.wait_for(|view| view.stage == stage || view.outcome.is_some()).await.unwrap().clone();
        assert_eq!(seen.stage, stage, "{:?}", seen.outcome);
        seen
    }

    async fn asks(&self, act: Act) -> Result<CeremonyView, ProblemKind> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { act, by: None, reply }).await.unwrap();
        answer.await.unwrap().map_err(|problem| problem.name)
    }

    async fn chooses(&self, code: Option<&str>, mode: ChoiceMode) -> Result<CeremonyView, ProblemKind> {
        let code = code.map(str::to_owned);
        self.asks(Act::Choose(CeremonyChoose { ceremony: CeremonyId(1), code, mode })).await
    }

    async fn approves(&self, claimer_confirmed: bool) -> Result<CeremonyView, ProblemKind> {
        let ceremony = CeremonyId(1);
        let approve =
            CeremonyApprove { ceremony, claimer_confirmed, name: None, device_label: None, profile: None };
        self.asks(Act::Approve(approve)).await
    }

    async fn finishes(&self, password: &str) -> Result<CeremonyView, ProblemKind> {
        let password = SecretText::new(Zeroizing::new(password.into()));
        self.asks(Act::Finish(CeremonyFinish { ceremony: CeremonyId(1), password })).await
    }

    async fn problem(&mut self) -> ProblemKind {
        let view = self.view.wait_for(|view| view.outcome.is_some()).await.unwrap();
        match view.outcome.clone().unwrap() {
            Outcome::Failed { problem } => problem.name,
            other => panic!("{other:?}"),
        }
    }
}

/// Alice, Bob, the transport between them and their disks. The tasks end with it.
struct Fixture {
    alice: Person,
    bob: Person,
    transport: MemoryTransport,
    disk: Arc<Disk>,
    tasks: JoinSet<()>,
}

fn context(role: Role) -> (CeremonyContext, Person) {
    let publisher = ViewPublisher::new(CeremonyId(1), role, "acme".parse().unwrap(), None);
    let (requests, queue) = mpsc::channel(REQUESTS_MAX);
    let person = Person { view: publisher.watch(), requests };
    (CeremonyContext::new(publisher, queue, CancellationToken::new(), ProblemKind::ShuttingDown), person)
}

fn fixture(typed_codes: bool) -> Fixture {
    let organisation = "acme".parse().unwrap();
    let org = Organisation::found(&organisation, clock::now(), &mut entropy::System).unwrap();
    let prologue = org.bob();
    let ids = GreeterIds { user: org.user, device: org.device };
    let transport = MemoryTransport::new(ids, org.envelopes);
    let keys = DeviceKeys {
        user_seed: Arc::new(org.user_seed),
        device_seed: org.device_seed,
        signing_key: org.signing_key,
        directory_key: org.directory_keys.copy_of_first(),
        root: org.root,
        email: EMAIL.parse().unwrap(),
        name: NAME.parse().unwrap(),
        device_label: LABEL.parse().unwrap(),
        profile: Profile::Administrator,
        typed_codes,
        server: "https://a.test".into(),
        head: org.log.head(),
    };
    let invitation = claimer::Invitation {
        organisation,
        token: prologue.token,
        invited: prologue.invited.clone(),
        link_secret: Organisation::link_secret(),
        transport: TransportKind::Relay,
        registration_wait: std::time::Duration::from_secs(30),
    };
    let disk = Arc::new(Disk::default());
    let (mut alices, alice) = context(Role::Greeter);
    let (mut bobs, bob) = context(Role::Claimer);
    let mut tasks = JoinSet::new();
    let (signs, greeter_transport) =
        (Signs(Arc::clone(&disk), transport.clone(), keys, Arc::new(org.log)), transport.clone());
    tasks.spawn(async move {
        match greeter::run(&mut alices, &greeter_transport, prologue, &Organisation::link_secret(), &signs)
            .await
        {
            Ok(Greeted::Signed(sealed)) => alices.shown.done(sealed.user, sealed.device, &sealed.root, false),
            Ok(Greeted::Given(_)) => unreachable!("nobody gives a share here"),
            Err(end) => finish(end, &alices, &greeter_transport).await,
        }
    });
    let (saves, claimer_transport) = (Saves(Arc::clone(&disk), transport.clone()), transport.clone());
    tasks.spawn(async move {
        if let Err(end) = claimer::run(&mut bobs, &claimer_transport, &invitation, &saves).await {
            finish(end, &bobs, &claimer_transport).await;
        }
    });
    Fixture { alice, bob, transport, disk, tasks }
}

impl Fixture {
    /// Both codes are found, and Bob says who he is.
    async fn until_approval(&mut self, mode: ChoiceMode) {
        let code = self.bob.at(Stage::SayCode).await.say.unwrap().code;
        self.alice.at(Stage::ChooseCode).await;
        self.alice.chooses(Some(&code), mode).await.unwrap();
        let code = self.alice.at(Stage::SayCode).await.say.unwrap().code;
        self.bob.at(Stage::ChooseCode).await;
        self.bob.chooses(Some(&code), mode).await.unwrap();
        self.bob.at(Stage::Identify).await;
        let identify = CeremonyIdentify {
            ceremony: CeremonyId(1),
            name: Some("Bob".parse().unwrap()),
            device_label: "context".parse().unwrap(),
        };
        self.bob.asks(Act::Identify(identify)).await.unwrap();
        self.alice.at(Stage::Approve).await;
    }
}

#[tokio::test]
async fn a_ceremony_goes_through_and_its_durable_points_hold() {
    for (typed, mode) in [(false, ChoiceMode::Picked), (true, ChoiceMode::Typed)] {
        let mut fixture = fixture(typed);
        fixture.until_approval(mode).await;
        assert_eq!(fixture.alice.approves(false).await, Err(ProblemKind::NotConfirmed));
        assert_eq!(fixture.transport.steps(), 7, "nothing went out without the statement");
        fixture.alice.approves(true).await.unwrap();
        fixture.alice.at(Stage::Done).await;
        fixture.bob.at(Stage::SetPassword).await;
        assert_eq!(fixture.bob.finishes("short").await, Err(ProblemKind::WeakPassword));
        assert_eq!(fixture.transport.steps(), 8, "no receipt without keys");
        assert_eq!(fixture.bob.finishes("long enough").await.unwrap().stage, Stage::Registering);
        assert_eq!(fixture.bob.asks(Act::Cancel).await, Err(ProblemKind::NotNow), "the keys are durable");
        fixture.transport.state_completed();
        let done = fixture.bob.at(Stage::Done).await;
        assert!(matches!(done.outcome, Some(Outcome::Enrolled { registered: true, .. })));
        assert_eq!(*fixture.disk.0.lock().unwrap(), ["sealed after 7 steps", "kept Bob after 8 steps"]);
    }
}

#[tokio::test]
async fn a_wrong_code_or_none_ends_both_sides() {
    for none in [false, true] {
        let mut fixture = fixture(false);
        let right = fixture.bob.at(Stage::SayCode).await.say.unwrap().code;
        let choices = fixture.alice.at(Stage::ChooseCode).await.choices;
        let wrong = choices.iter().find(|choice| choice.code != right).unwrap();
        let code = if none { None } else { Some(wrong.code.as_str()) };
        let view = fixture.alice.chooses(code, ChoiceMode::Picked).await.unwrap();
        assert_eq!(view.stage, Stage::Closed, "the asker sees the end at once");
        assert_eq!(fixture.alice.problem().await, ProblemKind::CodeMismatch);
        assert_eq!(fixture.bob.problem().await, ProblemKind::PeerMismatch);
        assert_eq!(fixture.transport.ended(), Some(EndReason::CodeMismatch));
        assert_eq!(fixture.transport.steps(), 5, "no step goes out after a wrong code");
    }
}

#[tokio::test]
async fn slips_change_nothing() {
    let mut fixture = fixture(false);
    let bobs = fixture.bob.at(Stage::SayCode).await.say.unwrap().code;
    fixture.alice.at(Stage::ChooseCode).await;
    assert_eq!(fixture.alice.chooses(Some("0000"), ChoiceMode::Typed).await, Err(ProblemKind::CodeMalformed));
    assert_eq!(fixture.alice.approves(true).await, Err(ProblemKind::NotNow));
    assert_eq!(fixture.bob.chooses(Some(&bobs), ChoiceMode::Typed).await, Err(ProblemKind::NotNow));
    fixture.alice.chooses(Some(&bobs), ChoiceMode::Typed).await.unwrap();
    fixture.bob.at(Stage::ChooseCode).await;
    let own = fixture.bob.chooses(Some(&bobs), ChoiceMode::Typed).await;
    assert_eq!(own, Err(ProblemKind::CodeOfWrongDirection));
    assert_eq!(fixture.bob.at(Stage::ChooseCode).await.choices.len(), 4);
}

#[tokio::test]
async fn either_person_may_stop() {
    for by_alice in [true, false] {
        let mut fixture = fixture(false);
        fixture.bob.at(Stage::SayCode).await;
        fixture.alice.at(Stage::ChooseCode).await;
        let (one, other) = if by_alice {
            (&mut fixture.alice, &mut fixture.bob)
        } else {
            (&mut fixture.bob, &mut fixture.alice)
        };
        assert_eq!(one.asks(Act::Cancel).await.unwrap().stage, Stage::Closed);
        assert_eq!(one.problem().await, ProblemKind::Cancelled);
        assert_eq!(other.problem().await, ProblemKind::PeerCancelled);
    }
}

#[tokio::test]
async fn picking_is_refused_where_typing_is_required() {
    let mut fixture = fixture(true);
    let right = fixture.bob.at(Stage::SayCode).await.say.unwrap().code;
    let view = fixture.alice.at(Stage::ChooseCode).await;
    assert!(view.choices.is_empty());
    assert_eq!(
        fixture.alice.chooses(Some(&right), ChoiceMode::Picked).await,
        Err(ProblemKind::TypingRequired)
    );
    fixture.alice.chooses(Some(&right), ChoiceMode::Typed).await.unwrap();
    fixture.alice.at(Stage::SayCode).await;
}

/// A relay that cuts ceremonies off after the commitment, to get another try at the codes. Each try
/// costs it a person's new start: a machine that is cut off says so, ends, and never speaks again
/// by itself.
#[tokio::test]
async fn a_relay_gets_no_silent_restart() {
    let reasons = [
        EndReason::CodeMismatch,
        EndReason::Cancelled,
        EndReason::BadMessage,
        EndReason::TimedOut,
        EndReason::InvitationEnded,
        EndReason::Completed,
        EndReason::Abandoned,
    ];
    let mut first_messages = std::collections::BTreeSet::new();
    for (round, reason) in (0..1_000).zip(reasons.into_iter().cycle()) {
        let mut fixture = fixture(false);
        let code = fixture.bob.at(Stage::SayCode).await.say;
        fixture.alice.at(Stage::ChooseCode).await;
        let forgotten = fixture.transport.forget_steps();
        assert!(first_messages.insert(forgotten[0].clone()), "round {round}: a key was used twice");
        assert_eq!(fixture.bob.view.borrow().say, code, "round {round}: another code without a person");
        fixture.transport.end(reason);
        // Both people are told, and both tasks end: nothing is left that could begin again.
        fixture.bob.problem().await;
        fixture.alice.problem().await;
        while fixture.tasks.join_next().await.is_some() {}
        assert_eq!(fixture.transport.steps(), 0, "round {round}: a machine began again by itself");
        assert!(fixture.disk.0.lock().unwrap().is_empty());
    }
}
