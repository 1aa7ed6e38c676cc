//! The ceremony with a person at the terminal: shows each stage, asks, passes the answers on.
//!
//! Decides when a question is asked and what ends it. Refuses every default that would confirm a
//! code or vouch, and answers that came too late: a question is dropped as soon as the ceremony has
//! moved on.

use parsec_protocol::control::{
    Action, CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify, CeremonySelector,
    CeremonyView, ChoiceMode, DeviceSelector, ProblemKind, ProfileName, Stage, method,
};
use parsec_protocol::ids::Label;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use zeroize::Zeroizing;

use super::code::{self, Answer};
use super::{Prepared, conclude, screens};
use crate::client::{Connection, QUIET};
use crate::commands::{profile, reauth};
use crate::failure::Failure;
use crate::output::Output;
use crate::password;
use crate::prompt::{Terminal, Typed};
use crate::text::escaped;

/// Problems after which the same question is asked again: the answer was wrong in form, and cost
/// nothing.
const ASKED_AGAIN: [ProblemKind; 11] = [
    ProblemKind::CodeMalformed,
    ProblemKind::CodeOfWrongDirection,
    ProblemKind::ChoiceNotOffered,
    ProblemKind::TypingRequired,
    ProblemKind::NotConfirmed,
    ProblemKind::WeakPassword,
    // Of a share: another than the one under which the first was kept.
    ProblemKind::WrongPassword,
    ProblemKind::InvalidRequest,
    ProblemKind::NotNow,
    // The keys could not be kept; the ceremony waits with them in memory until there is room.
    ProblemKind::DiskFull,
    ProblemKind::DiskFailed,
];

/// What a question led to.
enum Input {
    Line(Zeroizing<String>),
    /// The ceremony moved on, the question is void.
    Moved,
}

/// Unwraps a line, or leaves the step because the ceremony moved on.
macro_rules! input {
    ($input:expr) => {
        match $input? {
            Input::Line(line) => line,
            Input::Moved => return Ok(()),
        }
    };
}

/// What is on the screen already.
#[derive(Default)]
struct Shown {
    stage: Option<Stage>,
    heading: Option<String>,
    note: Option<String>,
    transport: Option<&'static str>,
    /// The question for a code was shown.
    chose: bool,
}

/// One person's part in one ceremony.
struct Dialogue<'a> {
    daemon: Connection,
    terminal: &'a Terminal,
    output: &'a Output,
    prepared: Prepared,
    view: CeremonyView,
}

/// Leads a person through a ceremony to its end.
///
/// # Errors
/// The ceremony's problem; Ctrl-C; the daemon went away.
pub(crate) fn converse(
    mut daemon: Connection,
    view: CeremonyView,
    terminal: &Terminal,
    output: &Output,
    prepared: Prepared,
) -> Result<(), Failure> {
    daemon.watch(view.id)?;
    output.say(&format!(
        "Ceremony {} in {}. Ctrl-C ends it on both sides; Ctrl-D leaves it running.",
        view.id.0, view.organisation
    ));
    Dialogue { daemon, terminal, output, prepared, view }.run()
}

impl Dialogue<'_> {
    fn run(mut self) -> Result<(), Failure> {
        let mut shown = Shown::default();
        loop {
            if !screens::is_complete(&self.view) {
                self.wait()?;
                continue;
            }
            self.tell(&mut shown);
            if self.view.outcome.is_some() {
                self.output.screen("");
                return conclude(&self.view, self.output);
            }
            match self.view.stage {
                Stage::ChooseCode if self.may(Action::Choose) => self.choose()?,
                Stage::Identify if self.may(Action::Identify) => self.identify()?,
                Stage::Approve if self.may(Action::Approve) => self.approve()?,
                Stage::SetPassword if self.may(Action::Finish) => self.finish()?,
                _ => self.wait()?,
            }
        }
    }

    /// Shows what is new: a stage and a transport once, a note when it changes.
    fn tell(&self, shown: &mut Shown) {
        // Between the codes the machines exchange messages again; people need not hear of it.
        let between = self.view.stage == Stage::Handshake && shown.chose;
        let new = shown.stage != Some(self.view.stage) && !between;
        if new {
            shown.stage = Some(self.view.stage);
            shown.chose |= self.view.stage == Stage::ChooseCode;
            let heading = screens::heading(&self.view);
            if let Some(new) = heading.as_ref().filter(|_| heading != shown.heading) {
                self.output.screen(&format!("\n{new}"));
                shown.heading.clone_from(&heading);
            }
        }
        // Before what is to be done there: whoever wonders why it is quiet looks at the right
        // thing.
        if let Some(transport) =
            screens::transport(&self.view).filter(|transport| shown.transport != Some(*transport))
        {
            shown.transport = Some(transport);
            self.output.screen(transport);
        }
        if let Some(body) = screens::body(&self.view, self.output.is_plain()).filter(|_| new) {
            self.output.screen(&body);
        }
        if self.view.note != shown.note {
            shown.note.clone_from(&self.view.note);
            if let Some(note) = &shown.note {
                self.output.say(&format!("  ({})", escaped(note)));
            }
        }
    }

    fn may(&self, action: Action) -> bool {
        self.view.allowed.contains(&action)
    }

    fn choose(&mut self) -> Result<(), Failure> {
        let must_type = self.view.choices.is_empty();
        let question =
            if must_type { "  The code you hear: " } else { "\n  1, 2, 3, 4 or n, or type the code: " };
        let (code, mode) = loop {
            let line = input!(self.ask(question, false));
            match code::read(&line, &self.view.choices) {
                Answer::Again(why) => self.output.screen(&format!("  {}", escaped(why))),
                Answer::NoneOfThese => break (None, ChoiceMode::Picked),
                Answer::Picked(code) => break (Some(code), ChoiceMode::Picked),
                Answer::Typed(code) if must_type => {
                    // Read back first: a slip of the finger must not look like an attack and cost
                    // the attempt.
                    self.output.screen(&format!(
                        "  You typed {code}: {}.",
                        code::spelled(&code, self.output.is_plain())
                    ));
                    let sure = input!(self.ask(
                        "  Is that what was said? Type yes, or anything else to type the code anew: ",
                        false
                    ));
                    if is_yes(&sure) {
                        break (Some(code), ChoiceMode::Typed);
                    }
                }
                Answer::Typed(code) => break (Some(code), ChoiceMode::Typed),
            }
        };
        let ceremony = self.view.id;
        self.request(method::CEREMONY_CHOOSE, &CeremonyChoose { ceremony, code, mode })
    }

    fn identify(&mut self) -> Result<(), Failure> {
        let name = match self.prepared.name.take() {
            _ if screens::is_own_device(&self.view) || screens::is_share(&self.view) => None,
            Some(name) => Some(name),
            None => loop {
                let line = input!(self.ask("  Your name: ", false));
                match line.trim().parse::<Label>() {
                    Ok(name) => break Some(name),
                    Err(error) => self.output.screen(&format!("  {error}")),
                }
            },
        };
        let device_label = match self.prepared.device_label.take() {
            Some(label) => label,
            None => match self.label("  Name of this device", host_name())? {
                Some(label) => label,
                None => return Ok(()),
            },
        };
        let ceremony = self.view.id;
        self.request(method::CEREMONY_IDENTIFY, &CeremonyIdentify { ceremony, name, device_label })
    }

    fn approve(&mut self) -> Result<(), Failure> {
        let Some(said) = self.view.claimer.clone() else { return self.wait() };
        let share = screens::is_share(&self.view);
        let own = screens::is_own_device(&self.view) || share;
        let name = match said.name.clone() {
            None => None,
            Some(name) => match self.label("  Name", Some(name))? {
                Some(name) => Some(name),
                None => return Ok(()),
            },
        };
        let label = if share {
            Some(said.device_label.clone())
        } else {
            self.label("  Device", Some(said.device_label.clone()))?
        };
        let Some(label) = label else { return Ok(()) };
        let chosen = match self.prepared.profile {
            _ if own => None,
            Some(chosen) => Some(chosen),
            None => match self.profile()? {
                Some(chosen) => Some(chosen),
                None => return Ok(()),
            },
        };
        let in_words = chosen.map_or("", profile);
        self.output.screen("");
        self.output.screen(&screens::vouch(
            &self.view,
            name.as_ref().map(Label::as_str),
            label.as_str(),
            in_words,
        ));
        loop {
            let line = input!(self.ask("  Type yes in full to vouch, or no to end the ceremony: ", false));
            if is_yes(&line) {
                break;
            }
            if line.trim().eq_ignore_ascii_case("no") {
                self.cancel();
                return Err(Failure::new(
                    ProblemKind::NotConfirmed,
                    "You did not hear them say that they found your code, so nothing was certified",
                )
                .advised("Talk to each other, then start again with `parsecctl greet`."));
            }
            self.output.screen("  Only the word yes vouches.");
        }
        let ceremony = self.view.id;
        let approval = CeremonyApprove {
            ceremony,
            claimer_confirmed: true,
            name: name.filter(|name| said.name.as_ref() != Some(name)),
            device_label: Some(label).filter(|label| said.device_label != *label),
            profile: chosen,
        };
        self.request(method::CEREMONY_APPROVE, &approval)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let ceremony = self.view.id;
        if let Some(password) = self.prepared.password.take() {
            return self.request(method::CEREMONY_FINISH, &CeremonyFinish { ceremony, password });
        }
        let known = [self.view.organisation.to_string()];
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let first = input!(self.ask("  Password (not shown): ", true));
        let (words, usable) = password::comment(&first, &known);
        self.output.screen(&words);
        if !usable {
            return Ok(());
        }
        let second = input!(self.ask("  The same again: ", true));
        let Some(password) = password::judge_typed(first, &second, &known, self.output) else {
            return Ok(());
        };
        self.output.say("  Locking the keys with it; this takes a second or two...");
        self.request(method::CEREMONY_FINISH, &CeremonyFinish { ceremony, password })
    }

    /// Asks for a name; Enter keeps `kept`. Not a security question. `None`: the ceremony moved on.
    fn label(&mut self, what: &str, kept: Option<Label>) -> Result<Option<Label>, Failure> {
        let offer = kept.as_ref().map(|kept| format!(" [{}]", escaped(kept))).unwrap_or_default();
        loop {
            let line = match self.ask(&format!("{what}{offer}: "), false)? {
                Input::Line(line) => line,
                Input::Moved => return Ok(None),
            };
            if line.trim().is_empty() && kept.is_some() {
                return Ok(kept);
            }
            match line.trim().parse() {
                Ok(label) => return Ok(Some(label)),
                Err(error) => self.output.screen(&format!("  {error}")),
            }
        }
    }

    /// Asks what the newcomer may do; Enter means standard, the one that can't invite or see too
    /// little.
    fn profile(&mut self) -> Result<Option<ProfileName>, Failure> {
        self.output.screen(
            "  What may they do?\n    administrator  invites and vouches for others\n    standard       uses and shares safes\n    outsider       uses safes shared with them",
        );
        loop {
            let line = match self.ask("  Profile [standard]: ", false)? {
                Input::Line(line) => line,
                Input::Moved => return Ok(None),
            };
            match read_profile(&line) {
                Some(chosen) => return Ok(Some(chosen)),
                None => self.output.screen("  Type administrator, standard or outsider."),
            }
        }
    }

    /// Asks one line, while the ceremony may move on.
    fn ask(&mut self, question: &str, hidden: bool) -> Result<Input, Failure> {
        let stage = self.view.stage;
        self.terminal.ask(question, hidden)?;
        loop {
            if let Some(typed) = self.poll()? {
                match typed {
                    Typed::Line(line) => {
                        self.terminal.answered(hidden)?;
                        return Ok(Input::Line(line));
                    }
                    Typed::Suspended => {}
                    Typed::Interrupt => return Err(self.interrupted()),
                    Typed::End => return Err(self.left()),
                }
            }
            if self.view.stage != stage || self.view.outcome.is_some() {
                self.terminal.rest()?;
                self.output.screen("");
                return Ok(Input::Moved);
            }
        }
    }

    /// Waits for the ceremony to change, with nothing asked.
    fn wait(&mut self) -> Result<(), Failure> {
        self.terminal.rest()?;
        let revision = self.view.revision;
        while self.view.revision == revision {
            match self.poll()? {
                // Typed into the blue; it must not answer the next question.
                None | Some(Typed::Line(_) | Typed::Suspended) => {}
                Some(Typed::Interrupt) => return Err(self.interrupted()),
                Some(Typed::End) => return Err(self.left()),
            }
        }
        Ok(())
    }

    /// Waits for either side: takes changes into `view`, or returns what was typed. Changes come
    /// first.
    fn poll(&mut self) -> Result<Option<Typed>, Failure> {
        if self.take_change()? {
            return Ok(None);
        }
        let stdin = std::io::stdin();
        let mut sources =
            [PollFd::new(self.daemon.stream(), PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut sources, Timespec::try_from(QUIET).ok().as_ref()) {
            // People may take their time; the daemon still has to be there when they have done.
            Ok(0) => return self.daemon.check_alive().map(|()| None),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(None),
            Err(error) => return Err(Failure::new(ProblemKind::Internal, error.to_string())),
        }
        let [socket, _] = &sources;
        if socket.revents().is_empty() {
            return self.terminal.read().map(Some);
        }
        self.daemon.receive()?;
        self.take_change()?;
        Ok(None)
    }

    fn take_change(&mut self) -> Result<bool, Failure> {
        match self.daemon.newer(self.view.revision)? {
            Some(view) => {
                self.view = view;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Passes an answer on. A problem of form is told and the question comes again.
    fn request(&mut self, method: &str, asked: &impl Serialize) -> Result<(), Failure> {
        let mut answer = self.daemon.call::<_, CeremonyView>(method, asked);
        if let Err(Failure::Report(report)) = &answer
            && report.is(ProblemKind::ConfirmationRequired)
        {
            let select = DeviceSelector { device: None, organisation: Some(self.view.organisation.clone()) };
            match reauth::unlock(&mut self.daemon, self.terminal, self.output, report.clone(), &select) {
                Ok(()) => answer = self.daemon.call(method, asked),
                Err(Failure::Interrupted(_)) => return Err(self.interrupted()),
                Err(failure) => return Err(failure),
            }
        }
        match answer {
            Ok(view) => {
                let answered = self.view.stage;
                if view.revision > self.view.revision {
                    self.view = view;
                }
                // The answer was taken: the same question must not come again while the machines
                // act on it.
                while self.view.stage == answered && self.view.outcome.is_none() {
                    self.wait()?;
                }
                Ok(())
            }
            Err(Failure::Report(report)) if ASKED_AGAIN.iter().any(|kind| report.is(*kind)) => {
                self.output.screen(&format!("  {} {}", escaped(&report.message), escaped(&report.hint)));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Ctrl-C: ends the ceremony on both sides and says what became of it.
    fn interrupted(&mut self) -> Failure {
        self.output.screen("\nEnding the ceremony...");
        Failure::Interrupted(match self.cancel() {
            Some(what) => what,
            None => format!(
                "You ended the ceremony. Nothing was certified, and {} is told.\nThe link stays good: start again when both have time.",
                screens::peer(&self.view)
            ),
        })
    }

    /// Cancels. `None`: it is cancelled; otherwise what became of it instead.
    fn cancel(&mut self) -> Option<String> {
        let ceremony = self.view.id;
        match self.daemon.call::<_, CeremonyView>(method::CEREMONY_CANCEL, &CeremonySelector { ceremony }) {
            Ok(view) => screens::too_late(&view).map(str::to_owned),
            Err(Failure::Report(report)) => {
                Some(format!("{}\n{}", escaped(&report.message), escaped(&report.hint)))
            }
            Err(_) => Some("The daemon could not be told.".to_owned()),
        }
    }

    /// Ctrl-D or a closed terminal: the ceremony belongs to the daemon and goes on.
    fn left(&self) -> Failure {
        let verb = match self.view.role {
            parsec_protocol::control::Role::Greeter => "greet",
            parsec_protocol::control::Role::Claimer => "claim",
        };
        Failure::Interrupted(format!(
            "\nThe ceremony goes on without this terminal. Come back with: parsecctl {verb} --ceremony {}",
            self.view.id.0
        ))
    }
}

/// The whole word, so that no stray key vouches.
fn is_yes(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("yes")
}

/// A profile by its name or an unmistakable beginning; Enter is standard.
fn read_profile(line: &str) -> Option<ProfileName> {
    let line = line.trim().to_ascii_lowercase();
    [ProfileName::Standard, ProfileName::Administrator, ProfileName::Outsider]
        .into_iter()
        .find(|name| profile(*name).starts_with(&line))
}

/// This machine's name, as a proposal for the device's.
fn host_name() -> Option<Label> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_yes_is_yes() {
        for good in ["yes", " YES ", "Yes"] {
            assert!(is_yes(good));
        }
        for bad in ["", " ", "y", "ye", "yess", "ok", "true", "1", "no", "yes yes", "\u{fffd}"] {
            assert!(!is_yes(bad), "{bad:?}");
        }
    }

    #[test]
    fn profiles_are_read_by_name() {
        assert_eq!(read_profile(""), Some(ProfileName::Standard));
        assert_eq!(read_profile("Admin"), Some(ProfileName::Administrator));
        assert_eq!(read_profile("outsider"), Some(ProfileName::Outsider));
        assert_eq!(read_profile("root"), None);
        assert_eq!(read_profile("administrators"), None);
    }
}
