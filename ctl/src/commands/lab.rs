//! `lab`: the ceremony and a safe under attack, played in this program and told step by step.
//!
//! Decides how a judged run looks to people. Refuses to touch anything of the person's: no daemon
//! is asked, and every key is made of the seed, for an organisation that there isn't. The one file
//! here that names the lab (decision 0014).

use clap::builder::PossibleValue;
use parsec_protocol::control::ProblemKind;
use parsec_protocol::lab::safes::{SAFE_STRATEGIES, SafeRun, safe_strategy};
use parsec_protocol::lab::{
    Event, Lab, Listed, Newcomer, NoLab, People, STRATEGIES, Series, Side, Transcript, Verdict, Who, listed,
    strategy,
};
use serde::Serialize;

use super::Context;
use crate::args;
use crate::failure::Failure;
use crate::schema;

/// The design fell: sysexits' word for a bug in the software, which it would be.
const FELL: u8 = 70;

/// The strategies, as values of an option.
pub(crate) fn values() -> Vec<PossibleValue> {
    listed().map(|Listed { name, about, .. }| PossibleValue::new(name).help(about)).collect()
}

#[derive(Debug, Serialize)]
struct Strategies {
    strategies: Vec<Listed>,
}

pub(super) fn run(context: &Context<'_>, command: &args::Lab) -> Result<(), Failure> {
    if command.list {
        return list(context);
    }
    let people = match command.people {
        args::Listeners::Attentive => People::Attentive,
        args::Listeners::Inattentive => People::Inattentive,
    };
    let lab = Lab::open().map_err(broken)?;
    let adversary = command.adversary.as_deref();
    let (named, of_safes) = (adversary.and_then(strategy), adversary.and_then(safe_strategy));
    if let Some(strategy) = of_safes.filter(|_| command.runs == 1) {
        let run = strategy.play(command.seed).map_err(broken)?;
        context.output.result(schema::LAB_SAFE, &run, || safe_run(context, strategy.about, &run))?;
        return held(run.held);
    }
    match named {
        Some(strategy) if command.runs == 1 => {
            let run = lab.play(strategy, people, command.seed).map_err(broken)?;
            context.output.result(schema::LAB, &run, || transcript(context, strategy.about, &run))?;
            held(run.verdict.held)
        }
        _ => {
            let (mut ceremony, mut safes) = (STRATEGIES.iter().collect(), SAFE_STRATEGIES.iter().collect());
            if adversary.is_some() {
                (ceremony, safes) = (Vec::from_iter(named), Vec::from_iter(of_safes));
            }
            let series = lab.series(&ceremony, &safes, people, command.seed, command.runs).map_err(broken)?;
            context.output.result(schema::LAB_SERIES, &series, || counted(context, &series))?;
            held(series.held)
        }
    }
}

fn held(held: bool) -> Result<(), Failure> {
    if held { Ok(()) } else { Err(Failure::Told(FELL)) }
}

fn broken(error: NoLab) -> Failure {
    Failure::new(ProblemKind::Internal, format!("The lab can't be set up: {error}"))
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result = Strategies { strategies: listed().collect() };
    context.output.result(schema::LAB_LIST, &result, || {
        let rows: Vec<_> =
            result.strategies.iter().map(|listed| vec![listed.name.into(), listed.about.into()]).collect();
        context.output.table(&["ADVERSARY", "TRIES"], &rows)
    })
}

/// One run against a safe, as it went, and who noticed what.
fn safe_run(context: &Context<'_>, about: &str, run: &SafeRun) -> String {
    let rows: Vec<_> =
        run.events.iter().map(|event| vec![event.who.to_owned(), event.what.clone()]).collect();
    let steps = context.output.table(&["WHO", "WHAT"], &rows);
    let mut said: Vec<_> = run
        .noticed
        .iter()
        .map(|noticed| format!("{}'s device noticed: {}.", noticed.who, noticed.what))
        .collect();
    let word = if run.held { "The design held" } else { "THE DESIGN FELL" };
    said.push(format!("{word}: {} things of the adversary's were taken for right.", run.taken));
    format!("{}: {about}\nSeed: {}.\n\n{steps}\n\n{}", run.adversary, run.seed, said.join("\n"))
}

/// One run, as it went.
fn transcript(context: &Context<'_>, about: &str, run: &Transcript) -> String {
    let rows: Vec<_> = run.events.iter().map(line).collect();
    let steps = context.output.table(&["ATTEMPT", "TIME", "WHO", "WHAT"], &rows);
    format!(
        "{}: {about}\nPeople: {}. Newcomer: {}. Seed: {}.\n\n{steps}\n\n{}",
        run.adversary,
        listeners(run.people),
        match run.newcomer {
            Newcomer::Person => "a person",
            Newcomer::Device => "the greeter's own next device",
        },
        run.seed,
        verdict(&run.verdict)
    )
}

fn line(event: &Event) -> Vec<String> {
    let message = match (event.step, event.bytes) {
        (Some(step), Some(bytes)) => format!(" (message {step}, {bytes} bytes)"),
        (Some(step), None) => format!(" (message {step})"),
        (None, _) => String::new(),
    };
    vec![
        event.attempt.to_string(),
        format!("{} s", event.seconds),
        who(event.who).to_owned(),
        format!("{}{message}", event.what),
    ]
}

const fn who(who: Who) -> &'static str {
    match who {
        Who::ClaimerDevice => "claimer's device",
        Who::ClaimerPerson => "claimer",
        Who::GreeterDevice => "greeter's device",
        Who::GreeterPerson => "greeter",
        Who::Adversary => "ADVERSARY",
    }
}

const fn listeners(people: People) -> &'static str {
    match people {
        People::Attentive => "attentive",
        People::Inattentive => "inattentive",
    }
}

/// The last lines.
fn verdict(verdict: &Verdict) -> String {
    let mut said = Vec::new();
    for told in verdict.told.iter().filter(|told| told.attempt == verdict.attempts) {
        let whom = match told.side {
            Side::Claimer => "The claimer",
            Side::Greeter => "The greeter",
        };
        said.push(format!("{whom} was told: {}.", told.why));
    }
    if verdict.enrolled {
        said.push("The newcomer was enrolled, with its own keys and the organisation's root key.".to_owned());
    } else if verdict.waiting {
        said.push("The greeter has signed for the newcomer's own key, and waits for its receipt.".to_owned());
    }
    if verdict.captured {
        said.push("The newcomer took somebody else's organisation for its own.".to_owned());
    }
    let word = if verdict.held { "The design held" } else { "THE DESIGN FELL" };
    said.push(format!(
        "{word}: {} certificates for the adversary, {}.",
        verdict.certificates,
        if verdict.alert() { "and an alert" } else { "and no alert" }
    ));
    said.join("\n")
}

/// Many runs.
fn counted(context: &Context<'_>, series: &Series) -> String {
    let rows: Vec<_> = series
        .strategies
        .iter()
        .map(|tally| {
            let fell = tally.fell_at.map_or_else(|| "-".to_owned(), |seed| seed.to_string());
            vec![
                tally.adversary.to_owned(),
                tally.runs.to_string(),
                tally.held.to_string(),
                tally.certificates.to_string(),
                tally.alerts.to_string(),
                tally.enrolled.to_string(),
                fell,
            ]
        })
        .collect();
    let heads = ["ADVERSARY", "RUNS", "HELD", "CERTIFICATES", "ALERTS", "ENROLLED", "FELL AT SEED"];
    let total =
        |count: fn(&parsec_protocol::lab::Tally) -> u64| series.strategies.iter().map(count).sum::<u64>();
    let word = if series.held { "The design held" } else { "THE DESIGN FELL" };
    format!(
        "{}\n\nPeople: {}. First seed: {}.\n{word}: {} runs, {} certificates for the adversary, {} alerts.",
        context.output.table(&heads, &rows),
        listeners(series.people),
        series.seed,
        total(|tally| tally.runs),
        total(|tally| tally.certificates),
        total(|tally| tally.alerts)
    )
}
