//! The two people on the phone, played: they read out codes, pick what they hear, and say that they
//! found it.
//!
//! Decides nothing a person wouldn't: nobody here looks at the other side's screen except through
//! what is said.

use std::cell::RefCell;

use parsec_protocol::control::{CeremonyView, ChoiceMode, Outcome, ProblemKind, ProfileName, Stage};

use crate::ceremony::{Ended, Side};

/// What the claimer fills in.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// The person's name; none for a second device.
    pub name: Option<&'a str>,
    /// What the device is called.
    pub label: &'a str,
    /// Protects the key file.
    pub password: &'a str,
}

/// How both give codes.
#[derive(Debug, Clone, Copy)]
pub struct Phone {
    /// Picked or typed.
    pub mode: ChoiceMode,
}

impl Default for Phone {
    fn default() -> Self {
        Self { mode: ChoiceMode::Picked }
    }
}

/// How each side ended.
#[derive(Debug)]
pub struct Ends {
    /// The claimer's.
    pub claimer: Result<Outcome, Ended>,
    /// The greeter's.
    pub greeter: Result<Outcome, Ended>,
}

/// Plays a whole ceremony: both people look at their screens and do what is to be done next, until
/// both ends are known.
///
/// Can be interrupted and taken up again: it goes by what the screens show.
///
/// # Errors
/// [`Ended::Interrupted`].
pub fn play(
    claimer: &mut Side,
    greeter: &mut Side,
    newcomer: Newcomer<'_>,
    phone: Phone,
) -> Result<Ends, Ended> {
    let bell = claimer.bell();
    let mut heard = Heard::default();
    let (mut done_claimer, mut done_greeter) = (0, 0);
    let screens = RefCell::new([None, None]);
    let seen = || format!("both to end; seen last: {:?}", screens.borrow());
    bell.until_or_say(seen, || {
        screens.replace([claimer.view(), greeter.view()]);
        if let (Some(claimer), Some(greeter)) = (claimer.end(), greeter.end()) {
            return Some(Ends { claimer, greeter });
        }
        heard.listen(claimer, greeter);
        act(claimer, &mut done_claimer, |side, stage| match stage {
            Stage::ChooseCode => heard.greeter.as_deref().map(|code| side.choose(Some(code), phone.mode)),
            Stage::Identify => Some(side.identify(newcomer.name, newcomer.label)),
            Stage::SetPassword => Some(side.finish(newcomer.password)),
            _ => None,
        });
        act(greeter, &mut done_greeter, |side, stage| match stage {
            Stage::ChooseCode => heard.claimer.as_deref().map(|code| side.choose(Some(code), phone.mode)),
            Stage::Approve => Some(side.approve(newcomer.name.map(|_| ProfileName::Standard))),
            _ => None,
        });
        None
    })
}

/// What has been said on the phone.
#[derive(Debug, Default)]
struct Heard {
    claimer: Option<String>,
    greeter: Option<String>,
}

impl Heard {
    fn listen(&mut self, claimer: &Side, greeter: &Side) {
        let said = |side: &Side| side.view().and_then(|view| view.say).map(|say| say.code);
        self.claimer = said(claimer).or(self.claimer.take());
        self.greeter = said(greeter).or(self.greeter.take());
    }
}

/// Lets a person do one thing for each change of the screen.
fn act(
    side: &mut Side,
    done: &mut u64,
    person: impl FnOnce(&mut Side, Stage) -> Option<Result<CeremonyView, Ended>>,
) {
    let Some(view) = side.view().filter(|view| view.revision > *done) else { return };
    match person(side, view.stage) {
        Some(Ok(_)) => *done = view.revision,
        // The daemon went away: the watcher sees that too.
        Some(Err(Ended::Gone | Ended::Interrupted)) => {}
        Some(Err(Ended::Problem(problem))) => match problem.name {
            // The screen changed in between; or the server was gone in that moment, and a person
            // tries once more.
            ProblemKind::NotNow | ProblemKind::CeremonyUnknown | ProblemKind::ServerUnreachable => {}
            _ => panic!("at {:?}: {problem:?}", view.stage),
        },
        None => {}
    }
}

/// The same for a ceremony that nobody interrupts.
///
/// # Panics
/// If somebody does.
pub fn enrol(claimer: &mut Side, greeter: &mut Side, newcomer: Newcomer<'_>, phone: Phone) -> Ends {
    play(claimer, greeter, newcomer, phone).unwrap()
}

/// Two people who do everything right, one step after the other, up to the newcomer's password.
///
/// # Panics
/// If a side ends before.
pub fn up_to_password(
    claimer: &mut Side,
    greeter: &mut Side,
    newcomer: Newcomer<'_>,
    profile: Option<ProfileName>,
) {
    up_to_approval(claimer, greeter, newcomer);
    greeter.approve(profile).unwrap();
}

/// The same up to the greeter's question whether to vouch.
///
/// # Panics
/// If a side ends before.
pub fn up_to_approval(claimer: &mut Side, greeter: &mut Side, newcomer: Newcomer<'_>) {
    let said = claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    greeter.choose(Some(&said), ChoiceMode::Picked).unwrap();
    let said = greeter.code_to_say().unwrap();
    claimer.stage(Stage::ChooseCode).unwrap();
    claimer.choose(Some(&said), ChoiceMode::Picked).unwrap();
    claimer.stage(Stage::Identify).unwrap();
    claimer.identify(newcomer.name, newcomer.label).unwrap();
    greeter.stage(Stage::Approve).unwrap();
}
