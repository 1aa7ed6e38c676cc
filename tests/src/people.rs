//! The two people on the phone, played: they read out codes, pick what they hear, and say that they found it.
//!
//! Decides nothing a person wouldn't: nobody here looks at the other side's screen except through what is said.

use parsec_protocol::control::{ChoiceMode, Outcome, ProfileName, Stage};

use crate::ceremony::{Ended, Side};

/// What the claimer fills in.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// The person's name; none for a second terminal.
    pub name: Option<&'a str>,
    /// What the terminal is called.
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

/// Plays a ceremony from the codes to the password, on both sides in one thread.
///
/// # Errors
/// How the side that stopped first ended.
pub fn talk(
    claimer: &mut Side,
    greeter: &mut Side,
    newcomer: Newcomer<'_>,
    phone: Phone,
) -> Result<(), Ended> {
    let said = claimer.code_to_say()?;
    greeter.stage(Stage::ChooseCode)?;
    greeter.choose(Some(&said), phone.mode)?;
    let said = greeter.code_to_say()?;
    claimer.stage(Stage::ChooseCode)?;
    claimer.choose(Some(&said), phone.mode)?;
    claimer.stage(Stage::Identify)?;
    claimer.identify(newcomer.name, newcomer.label)?;
    greeter.stage(Stage::Approve)?;
    greeter.approve(newcomer.name.map(|_| ProfileName::Standard))?;
    claimer.stage(Stage::SetPassword)?;
    claimer.finish(newcomer.password)?;
    Ok(())
}

/// Plays a whole ceremony, both ends included.
pub fn enrol(claimer: &mut Side, greeter: &mut Side, newcomer: Newcomer<'_>, phone: Phone) -> Ends {
    match talk(claimer, greeter, newcomer, phone) {
        Ok(()) => Ends { claimer: claimer.outcome(), greeter: greeter.outcome() },
        Err(ended) => Ends { claimer: Err(ended.clone()), greeter: Err(ended) },
    }
}
