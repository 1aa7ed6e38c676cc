//! What a person's program sees of a ceremony, and the one place that changes it.
//!
//! Decides that every change has a higher revision and that a code is shown only at the stage it is
//! for. Holds no key.

use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::{
    Action, CeremonyId, CeremonyView, Choice, ClaimerInfo, Outcome, Problem, Role, Stage, Subject,
    TransportName,
};
use parsec_protocol::enrol::io::{Claim, CodeQuestion};
use parsec_protocol::enrol::sas::SasCode;
use parsec_protocol::ids::{AttemptId, DeviceId, Email, Invited, OrganisationId, Token, UserId};
use parsec_protocol::public_keys::VerifyKey;
use tokio::sync::watch;

use crate::events::{Hub, TransportReason};
use crate::transport::HELD_BACK;

/// Publishes a ceremony's view. Whoever watches gets the newest; none can hold the ceremony up.
#[derive(Debug)]
pub struct ViewPublisher {
    view: watch::Sender<CeremonyView>,
    events: Option<Hub>,
    standing: Mutex<Standing>,
}

/// What is noted while nothing more urgent is.
#[derive(Debug, Default)]
struct Standing {
    /// To the ceremony's end: something holds the server's stream back.
    held_back: bool,
    /// To the end of the stage: what people who wait have to compare.
    hint: Option<String>,
}

impl Standing {
    fn note(&self) -> Option<String> {
        let held_back = self.held_back.then(|| HELD_BACK.to_owned());
        match (held_back, &self.hint) {
            (Some(held), Some(hint)) => Some(format!("{held} {hint}")),
            (held, hint) => held.or_else(|| hint.clone()),
        }
    }
}

impl ViewPublisher {
    /// A ceremony that begins by reaching the server.
    #[must_use]
    pub fn new(id: CeremonyId, role: Role, organisation: OrganisationId, token: Option<Token>) -> Self {
        let view = CeremonyView {
            id,
            revision: 1,
            role,
            organisation,
            subject: None,
            token,
            invited_by: None,
            attempt: None,
            stage: Stage::Connecting,
            allowed: vec![Action::Cancel],
            say: None,
            choices: Vec::new(),
            typed_required: false,
            claimer: None,
            outcome: None,
            note: None,
            transport: None,
        };
        Self { view: watch::Sender::new(view), events: None, standing: Mutex::default() }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Two fields, each changed in one step.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, whoever follows the daemon's events is told of changes, too. In order, and
    /// before anybody sees the new view: the hub is told while the view is locked.
    #[must_use]
    pub fn told_to(mut self, events: Hub) -> Self {
        self.events = Some(events);
        self
    }

    /// For whoever wants to see it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<CeremonyView> {
        self.view.subscribe()
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> CeremonyView {
        self.view.borrow().clone()
    }

    fn change(&self, change: impl FnOnce(&mut CeremonyView)) {
        self.view.send_modify(|view| {
            change(view);
            view.revision = view.revision.saturating_add(1);
            if let Some(events) = &self.events {
                events.ceremony(view);
            }
        });
    }

    /// Another stage. What belonged to the one before is no longer shown.
    pub fn stage(&self, stage: Stage, allowed: &[Action]) {
        self.enter(stage, allowed, |_| ());
    }

    /// Another stage with what belongs to it, in one change: nobody sees a question without its
    /// proposals.
    fn enter(&self, stage: Stage, allowed: &[Action], fill: impl FnOnce(&mut CeremonyView)) {
        let note = {
            let mut standing = self.standing();
            standing.hint = None;
            standing.note()
        };
        self.change(|view| {
            view.stage = stage;
            view.allowed = allowed.to_vec();
            view.say = None;
            view.choices = Vec::new();
            view.note = note;
            fill(view);
        });
    }

    /// For whom, and by whom.
    pub fn invited(&self, invited: &Invited, by: Option<Email>) {
        self.change(|view| {
            view.subject = Some(subject(invited));
            view.invited_by = by;
        });
    }

    /// Of a share: whom the kit brings back, as this side's log has them.
    pub fn owner(&self, owner: Option<Email>) {
        self.change(|view| {
            if let Some(Subject::Share { email, .. }) = &mut view.subject {
                *email = owner;
            }
        });
    }

    /// Notes the attempt that the ceremony runs in.
    pub fn attempt(&self, attempt: AttemptId) {
        self.change(|view| view.attempt = Some(attempt));
    }

    /// Which transport it takes from now on, and why.
    pub fn transport(&self, transport: TransportName, reason: TransportReason) {
        self.view.send_if_modified(|view| {
            if view.transport == Some(transport) {
                return false;
            }
            view.transport = Some(transport);
            view.revision = view.revision.saturating_add(1);
            if let Some(events) = &self.events {
                events.transport(view.id, transport, reason);
            }
            true
        });
    }

    /// What is waited for or tried again.
    pub fn note(&self, note: Option<String>) {
        let note = {
            let mut standing = self.standing();
            let held_back = note.as_deref() == Some(HELD_BACK);
            standing.held_back |= held_back;
            note.filter(|_| !held_back).or_else(|| standing.note())
        };
        if self.view.borrow().note != note {
            self.change(|view| view.note = note);
        }
    }

    /// What people have to compare who wait at this stage, and nobody comes.
    pub fn hint(&self, hint: String) {
        self.standing().hint = Some(hint);
        self.note(None);
    }

    /// A code to read aloud.
    pub fn say(&self, code: SasCode) {
        self.enter(Stage::SayCode, &[Action::Cancel], |view| view.say = Some(choice(code)));
    }

    /// A code to be given.
    pub fn ask_code(&self, question: &CodeQuestion) {
        self.enter(Stage::ChooseCode, &[Action::Choose, Action::Cancel], |view| match question {
            CodeQuestion::PickOrType(codes) => view.choices = codes.iter().copied().map(choice).collect(),
            CodeQuestion::TypeOnly => view.typed_required = true,
        });
    }

    /// What the claimer says of themself.
    pub fn ask_approval(&self, claim: Claim) {
        self.enter(Stage::Approve, &[Action::Approve, Action::Cancel], |view| {
            view.claimer = Some(ClaimerInfo { name: claim.name, device_label: claim.device_label });
        });
    }

    /// Ends the view with an enrolment: of whom, under which root key, and whether it is
    /// registered.
    pub fn done(&self, user: UserId, device: DeviceId, root: &VerifyKey, registered: bool) {
        let root_fingerprint = root.fingerprint().to_string();
        self.enter(Stage::Done, &[], |view| {
            view.outcome = Some(Outcome::Enrolled { user, device, root_fingerprint, registered });
        });
    }

    /// Ends the view with a share that was given, or collected.
    pub fn shared(&self, outcome: Outcome) {
        self.enter(Stage::Done, &[], |view| view.outcome = Some(outcome));
    }

    /// Ends the view with a problem, and takes codes and questions off it.
    pub fn closed(&self, problem: Problem) {
        self.change(|view| {
            view.stage = Stage::Closed;
            view.allowed = Vec::new();
            view.say = None;
            view.choices = Vec::new();
            view.note = None;
            view.outcome = Some(Outcome::Failed { problem });
        });
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        is_over(&self.view.borrow())
    }
}

/// Whether a ceremony has ended.
#[must_use]
pub const fn is_over(view: &CeremonyView) -> bool {
    view.outcome.is_some()
}

/// For whom, in the words of the local API.
#[must_use]
pub fn subject(invited: &Invited) -> Subject {
    match invited {
        Invited::User(email) => Subject::User { email: email.clone() },
        Invited::Device(user) => Subject::Device { user: *user },
        Invited::Share(user, kit) => Subject::Share { user: *user, kit: *kit, email: None },
    }
}

/// A code, plain and in words that survive a bad line.
fn choice(code: SasCode) -> Choice {
    Choice { code: code.to_string(), spelled: code.spelled() }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use parsec_protocol::control::{Event, EventItem};

    use super::*;

    #[test]
    fn a_question_comes_with_its_proposals() {
        let shown = ViewPublisher::new(CeremonyId(1), Role::Greeter, "acme".parse().unwrap(), None);
        let before = shown.now().revision;
        let codes = ["AAAA", "ABBA", "ACCA", "ADDA"].map(|code| code.parse().unwrap());
        shown.ask_code(&CodeQuestion::PickOrType(codes));
        let view = shown.now();
        assert_eq!((view.revision, view.choices.len()), (before + 1, 4));
    }

    #[test]
    fn a_transport_is_told_once_with_its_reason_and_stays() {
        let hub = Hub::new(Vec::new()).unwrap();
        let shown = ViewPublisher::new(CeremonyId(1), Role::Claimer, "acme".parse().unwrap(), None);
        hub.ceremony_started(&shown.now());
        let shown = shown.told_to(hub.clone());
        assert_eq!(shown.now().transport, None);
        let mut told = hub.watch(None);
        let mut next = || told.next().now_or_never().flatten();
        let Some(EventItem::Snapshot { status, .. }) = next() else { panic!("no snapshot") };
        assert_eq!(status.ceremonies[0].transport, None);
        shown.transport(TransportName::P2p, TransportReason::ServerUnreachable);
        let view = shown.now();
        shown.transport(TransportName::P2p, TransportReason::Asked);
        assert_eq!(shown.now(), view, "the same transport again is no change");
        shown.stage(Stage::WaitingForPeer, &[]);
        assert_eq!(
            (view.transport, shown.now().transport),
            (Some(TransportName::P2p), Some(TransportName::P2p))
        );
        let Some(EventItem::Event { event: transport, .. }) = next() else {
            panic!("the transport is not told")
        };
        let reason = "server_unreachable".to_owned();
        assert_eq!(
            transport,
            Event::TransportChanged { ceremony: CeremonyId(1), transport: TransportName::P2p, reason }
        );
        let Some(EventItem::Event { event: stage, .. }) = next() else { panic!("the stage is not told") };
        assert!(matches!(stage, Event::CeremonyChanged { ceremony } if ceremony.transport == view.transport));
        assert_eq!(next(), None);
    }

    #[test]
    fn what_stands_is_noted_again_when_what_passed_is_over() {
        let shown = ViewPublisher::new(CeremonyId(1), Role::Claimer, "acme".parse().unwrap(), None);
        let note = || shown.now().note;
        shown.note(Some(HELD_BACK.to_owned()));
        shown.stage(Stage::WaitingForPeer, &[]);
        assert_eq!(note().as_deref(), Some(HELD_BACK), "a proxy stays");
        shown.hint("compare".to_owned());
        assert!(note().is_some_and(|it| it.contains(HELD_BACK) && it.ends_with(" compare")));
        shown.note(Some("trying again".to_owned()));
        assert_eq!(note().as_deref(), Some("trying again"));
        shown.note(None);
        assert!(note().is_some_and(|it| it.ends_with(" compare")), "nobody has come yet");
        shown.stage(Stage::Handshake, &[]);
        assert_eq!(note().as_deref(), Some(HELD_BACK), "somebody has come");
    }

    #[test]
    fn a_code_is_shown_at_its_own_stage_only() {
        let shown = ViewPublisher::new(CeremonyId(1), Role::Claimer, "acme".parse().unwrap(), None);
        let watch = shown.watch();
        shown.change(|view| view.say = Some(Choice { code: "AAAA".into(), spelled: String::new() }));
        let before = watch.borrow().revision;
        shown.stage(Stage::ChooseCode, &[Action::Choose]);
        assert_eq!(watch.borrow().say, None);
        assert!(watch.borrow().revision > before);
    }
}
