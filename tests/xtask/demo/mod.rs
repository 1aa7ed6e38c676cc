//! `cargo xtask demo`: a real enrolment and a real safe with the real programs, told step by step.
//!
//! Decides what is shown and in which words. Nothing in it is staged: what it says happened, it has
//! just seen.

mod no_server;
mod safe;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use parsec_protocol::control::{ChoiceMode, InviteResult, Outcome, ProfileName, Stage};
use parsec_tests::ceremony::{Bell, Ended, Side};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::{Daemon, binary};
use parsec_tests::script::Newcomer;
use serde_json::{Value, json};

pub(crate) fn run(root: &Path, json: bool, keep: bool, without_server: bool) -> ExitCode {
    let built = super::run_tests::ended("demo", super::run_tests::build(root));
    if built != ExitCode::SUCCESS {
        return built;
    }
    let teller = Teller { json, begun: Instant::now() };
    let shown = if without_server { no_server::show(&teller) } else { show(&teller, keep) };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            let text = match ended {
                Ended::Problem(problem) => format!("{problem} {}", problem.hint),
                Ended::Gone | Ended::Interrupted => "a daemon went away".to_owned(),
            };
            teller.tell("failed", &text, json!({}));
            ExitCode::FAILURE
        }
    }
}

/// Says what happens: to a person, or to a program.
struct Teller {
    json: bool,
    begun: Instant,
}

impl Teller {
    fn tell(&self, event: &str, text: &str, more: Value) {
        if self.json {
            let mut line = json!({"event": event, "text": text});
            if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
                line.extend(more);
            }
            println!("{line}");
        } else {
            println!("{:6.1}s  {text}", self.begun.elapsed().as_secs_f64());
        }
    }

    fn heading(&self, text: &str) {
        if !self.json {
            println!("\n{text}\n");
        }
    }
}

fn show(teller: &Teller, keep: bool) -> Result<(), Ended> {
    teller.heading("An organisation");
    let fixture =
        Fixture::found(FixtureOptions { direct: true, daemon: Daemon::Shipped, ..FixtureOptions::default() });
    teller.tell(
        "founded",
        "Alice founds the organisation acme. Its root key signed her keys and is gone.",
        json!({
            "organisation": "acme", "server": fixture.server.url(),
        }),
    );

    teller.heading("Bob joins");
    let invitation = fixture.alice.invite(BOB_EMAIL)?;
    teller.tell(
        "invited",
        &format!("Alice invites {BOB_EMAIL}. The link goes to Bob by e-mail or any other way."),
        json!({
            "email": BOB_EMAIL, "link": invitation.link.expose(),
        }),
    );
    let bob = fixture.device("bob");
    ceremony(teller, &fixture.alice, &bob, &invitation, ["Alice", "Bob"], BOB)?;

    teller.heading("Alice's second device");
    let invitation = fixture.alice.invite_device()?;
    teller.tell(
        "invited",
        "Alice makes a link for a second device of her own.",
        json!({"link": invitation.link.expose()}),
    );
    let tablet = fixture.device("alice2");
    ceremony(
        teller,
        &fixture.alice,
        &tablet,
        &invitation,
        ["Alice's desktop", "Alice's tablet"],
        ALICE_AGAIN,
    )?;

    teller.heading("Who trusts what");
    let mut verified = Vec::new();
    for (whose, device) in
        [("Alice's desktop", &fixture.alice), ("Bob's laptop", &bob), ("Alice's tablet", &tablet)]
    {
        let seen = device.verify()?;
        let text = format!(
            "{whose} verifies all {} certificates up to the root key {}…",
            seen.count,
            seen.root_fingerprint.get(..16).unwrap_or_default()
        );
        teller.tell("verified", &text, json!({
            "device": whose, "certificates": seen.count, "head": seen.head, "root_fingerprint": seen.root_fingerprint,
        }));
        verified.push(seen);
    }
    let same = verified.iter().all(|seen| Some(seen) == verified.first());
    let (users, devices) = verified.first().map_or((0, 0), |seen| (seen.users, seen.devices));
    if !teller.json {
        let said = bob.ctl(&["trust", "show"]).well();
        println!("\nBob runs `parsecctl trust show`:\n\n{}{}", said.stderr, said.stdout);
    }
    let safe = safe::show(teller, &fixture.alice, &bob, &tablet, &fixture.path("demo"));
    let seconds = (teller.begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let kept = keep.then(|| go_on(teller, fixture, bob, tablet)).transpose()?;
    teller.tell(
        "done",
        &format!(
            "Done: {users} users, {devices} devices, one chain of trust, and one safe that its members alone can read."
        ),
        json!({
            "organisation": "acme", "users": users, "devices": devices, "chain_verified": same, "seconds": seconds, "kept": kept, "safe": safe,
        }),
    );
    Ok(())
}

fn ceremony(
    teller: &Teller,
    greeting: &Device,
    claiming: &Device,
    invitation: &InviteResult,
    [greeter_name, claimer_name]: [&str; 2],
    newcomer: Newcomer<'_>,
) -> Result<(), Ended> {
    let bell = Arc::new(Bell::default());
    let mut claimer = claiming.claim(invitation.link.expose(), &bell)?;
    let mut greeter = greeting.greet(invitation.token, &bell)?;
    let [_, outcome] = meet(teller, &mut claimer, &mut greeter, [greeter_name, claimer_name], newcomer)?;
    let Outcome::Enrolled { user, device, .. } = outcome else { return Err(Ended::Gone) };
    let text = format!(
        "The keys are safely stored, so {greeter_name} puts the certificates into the log. Enrolled."
    );
    teller.tell("enrolled", &text, json!({"user": user, "device": device}));
    Ok(())
}

/// Two people on the phone, from the start to both ends: the claimer's and the greeter's.
fn meet(
    teller: &Teller,
    claimer: &mut Side,
    greeter: &mut Side,
    [greeter_name, claimer_name]: [&str; 2],
    newcomer: Newcomer<'_>,
) -> Result<[Outcome; 2], Ended> {
    teller.tell(
        "started",
        &format!("{claimer_name} opens the link, {greeter_name} starts to greet."),
        json!({}),
    );
    code(teller, claimer, greeter, claimer_name, greeter_name)?;
    code(teller, greeter, claimer, greeter_name, claimer_name)?;
    let text = format!("{claimer_name} says aloud: \"I found it.\" Now both know that nobody is in between.");
    teller.tell("confirmed", &text, json!({}));

    claimer.stage(Stage::Identify)?;
    claimer.identify(newcomer.name, newcomer.label)?;
    let view = greeter.stage(Stage::Approve)?;
    let claimed = view.claimer.map(|claim| claim.device_label.to_string()).unwrap_or_default();
    let who = newcomer.name.map(|name| format!("{name}, at ")).unwrap_or_default();
    teller.tell(
        "approving",
        &format!("{greeter_name} sees: {who}{claimed}. That is right; {greeter_name} approves."),
        json!({}),
    );
    greeter.approve(newcomer.name.map(|_| ProfileName::Standard))?;
    claimer.stage(Stage::SetPassword)?;
    teller.tell(
        "password",
        &format!("{claimer_name} has checked every certificate and chooses a password."),
        json!({}),
    );
    claimer.finish(newcomer.password)?;
    Ok([claimer.outcome()?, greeter.outcome()?])
}

/// One reads out a code; the other finds it among four.
fn code(teller: &Teller, from: &Side, to: &mut Side, speaker: &str, listener: &str) -> Result<(), Ended> {
    let said = from.code_to_say()?;
    let view = to.stage(Stage::ChooseCode)?;
    let offered: Vec<_> = view.choices.iter().map(|choice| choice.code.clone()).collect();
    let text = format!("{speaker} reads out {said}; {listener} sees {} and picks {said}.", offered.join(" "));
    teller.tell("code", &text, json!({"from": speaker, "to": listener, "said": said, "offered": offered}));
    to.choose(Some(&said), ChoiceMode::Picked)?;
    Ok(())
}

/// Leaves all running, with one more invitation, and says how a person goes on.
fn go_on(teller: &Teller, fixture: Fixture, mut bob: Device, mut tablet: Device) -> Result<Value, Ended> {
    let invitation = fixture.alice.invite("bob.baker@acme.example")?;
    let mut other = fixture.device("bob2");
    let ctl = binary("parsecctl").display().to_string();
    let alice_runs =
        format!("XDG_RUNTIME_DIR={} {ctl} greet {}", fixture.alice.runtime().display(), invitation.token);
    let bob_runs =
        format!("XDG_RUNTIME_DIR={} {ctl} claim '{}'", other.runtime().display(), invitation.link.expose());
    let (mut alice, proxy, server, folder) = fixture.keep();
    drop(proxy);
    let mut ids: Vec<u32> =
        [&mut alice, &mut bob, &mut tablet, &mut other].into_iter().filter_map(Device::release).collect();
    ids.push(server.release());
    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
    let stop = format!("kill {}; rm -r {}", ids.join(" "), folder.display());
    if !teller.json {
        println!(
            "Everything keeps running. Another Bob, bob.baker@acme.example, has been invited; nobody has greeted him yet."
        );
        println!("Two devices are needed, and a phone (or two voices).\n");
        println!(
            "As Alice:\n    {alice_runs}\nAs the new Bob:\n    {bob_runs}\nTo stop all of it:\n    {stop}\n"
        );
    }
    Ok(json!({"alice": alice_runs, "bob": bob_runs, "stop": stop}))
}
