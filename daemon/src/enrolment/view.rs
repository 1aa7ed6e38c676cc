//! What a person's program sees of a ceremony, and the one place that changes it.
//!
//! Decides that every change has a higher revision and that a code is shown only at the stage it is for. Holds no key.

use parsec_protocol::control::{
    Action, CeremonyId, CeremonyView, Choice, ClaimerInfo, Outcome, Problem, Role, Stage, Subject,
};
use parsec_protocol::enrol::io::{Claim, CodeQuestion};
use parsec_protocol::enrol::sas::SasCode;
use parsec_protocol::ids::{AttemptId, DeviceId, Email, Invited, OrganisationId, Token, UserId};
use parsec_protocol::public::VerifyKey;
use tokio::sync::watch;

/// Publishes a ceremony's view. Whoever watches gets the newest; none can hold the ceremony up.
#[derive(Debug)]
pub struct Board {
    view: watch::Sender<CeremonyView>,
}

impl Board {
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
        };
        Self { view: watch::Sender::new(view) }
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
        });
    }

    /// Another stage. What belonged to the one before is no longer shown.
    pub fn stage(&self, stage: Stage, allowed: &[Action]) {
        self.change(|view| {
            view.stage = stage;
            view.allowed = allowed.to_vec();
            view.say = None;
            view.choices = Vec::new();
            view.note = None;
        });
    }

    /// For whom, and by whom.
    pub fn invited(&self, invited: &Invited, by: Option<Email>) {
        self.change(|view| {
            view.subject = Some(subject(invited));
            view.invited_by = by;
        });
    }

    /// Which run.
    pub fn attempt(&self, attempt: AttemptId) {
        self.change(|view| view.attempt = Some(attempt));
    }

    /// What is waited for or tried again.
    pub fn note(&self, note: Option<String>) {
        if self.view.borrow().note != note {
            self.change(|view| view.note = note);
        }
    }

    /// A code to read aloud.
    pub fn say(&self, code: SasCode) {
        self.stage(Stage::SayCode, &[Action::Cancel]);
        self.change(|view| view.say = Some(choice(code)));
    }

    /// A code to be given.
    pub fn ask_code(&self, question: &CodeQuestion) {
        self.stage(Stage::ChooseCode, &[Action::Choose, Action::Cancel]);
        self.change(|view| match question {
            CodeQuestion::PickOrType(codes) => view.choices = codes.iter().copied().map(choice).collect(),
            CodeQuestion::TypeOnly => view.typed_required = true,
        });
    }

    /// What the claimer says of themself.
    pub fn ask_approval(&self, claim: Claim) {
        self.stage(Stage::Approve, &[Action::Approve, Action::Cancel]);
        self.change(|view| {
            view.claimer = Some(ClaimerInfo { name: claim.name, device_label: claim.device_label });
        });
    }

    /// Well ended.
    pub fn done(&self, user: UserId, device: DeviceId, root: &VerifyKey, registered: bool) {
        let root_fingerprint = root.fingerprint().to_string();
        self.stage(Stage::Done, &[]);
        self.change(|view| {
            view.outcome = Some(Outcome::Enrolled { user, device, root_fingerprint, registered })
        });
    }

    /// Ended otherwise.
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
    }
}

/// A code, plain and in words that survive a bad line (ICAO spelling).
fn choice(code: SasCode) -> Choice {
    let code = code.to_string();
    let spelled: Vec<_> = code.chars().map(word).collect();
    Choice { spelled: spelled.join(" "), code }
}

/// The word for one character of a code.
const fn word(symbol: char) -> &'static str {
    match symbol {
        'A' => "Alfa",
        'B' => "Bravo",
        'C' => "Charlie",
        'D' => "Delta",
        'E' => "Echo",
        'F' => "Foxtrot",
        'G' => "Golf",
        'H' => "Hotel",
        'J' => "Juliett",
        'K' => "Kilo",
        'L' => "Lima",
        'M' => "Mike",
        'N' => "November",
        'P' => "Papa",
        'Q' => "Quebec",
        'R' => "Romeo",
        'S' => "Sierra",
        'T' => "Tango",
        'U' => "Uniform",
        'V' => "Victor",
        'W' => "Whiskey",
        'X' => "X-ray",
        'Y' => "Yankee",
        'Z' => "Zulu",
        '2' => "Two",
        '3' => "Three",
        '4' => "Four",
        '5' => "Five",
        '6' => "Six",
        '7' => "Seven",
        '8' => "Eight",
        '9' => "Nine",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_has_a_word_of_its_own() {
        let mut words: Vec<_> =
            parsec_protocol::enrol::sas::ALPHABET.iter().map(|symbol| word(char::from(*symbol))).collect();
        assert!(!words.contains(&"?"));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 32);
    }

    #[test]
    fn a_code_is_shown_at_its_own_stage_only() {
        let board = Board::new(CeremonyId(1), Role::Claimer, "acme".parse().unwrap(), None);
        let watch = board.watch();
        board.change(|view| view.say = Some(Choice { code: "AAAA".into(), spelled: String::new() }));
        let before = watch.borrow().revision;
        board.stage(Stage::ChooseCode, &[Action::Choose]);
        assert_eq!(watch.borrow().say, None);
        assert!(watch.borrow().revision > before);
    }
}
