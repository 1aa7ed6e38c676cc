//! What the server stores is bounded, and what is over goes: who is refused is told whose share is
//! spent, and nobody half enrolled stays so because an invitation has gone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parsec_protocol::control::{ProblemKind, ProfileName, Registration};
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::{binary, kill_by_id};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};

/// A command of whoever runs the server.
fn organisation(database: &Path, command: &str) -> String {
    let output = Command::new(binary("parsec-metadata"))
        .args(["organisation", command, "acme", "--json", "--database"])
        .arg(database)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn database(fixture: &Fixture) -> PathBuf {
    fixture.server.folder().join("metadata.sqlite")
}

fn outsider(fixture: &Fixture, name: &str) -> Device {
    let bob = fixture.device(name);
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Outsider);
    claimer.finish(BOB_PASSWORD).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    bob.unlock(BOB_PASSWORD).unwrap();
    bob
}

#[test]
fn a_spent_budget_is_named_and_an_administrator_makes_room() {
    let options =
        &["--budget-administrator", "3:1", "--budget-member", "2:1", "--budget-organisation", "2:1"];
    let fixture = Fixture::found(FixtureOptions { server_options: options, ..FixtureOptions::default() });
    let bob = outsider(&fixture, "bob");
    let first = bob.invite_device().unwrap();
    bob.invite_device().unwrap();
    assert_eq!(bob.invite_device().unwrap_err().name(), Some(ProblemKind::MemberBudgetSpent));
    // Alice has her own, until all administrators together have taken up theirs.
    for name in ["carol", "dave"] {
        fixture.alice.invite(&format!("{name}@acme.example")).unwrap();
    }
    let third = fixture.alice.invite("erin@acme.example");
    assert_eq!(third.unwrap_err().name(), Some(ProblemKind::OrganisationBudgetSpent));

    let listed = fixture.alice.ctl(&["invite", "list", "--json"]).well().json();
    let of = |list: &serde_json::Value, kind: &str| {
        let all = list["invitations"].as_array().unwrap();
        all.iter().filter(|item| item["subject"]["kind"] == kind && item["status"] == "pending").count()
    };
    assert_eq!((of(&listed, "device"), of(&listed, "user"), &listed["more"]), (2, 2, &false.into()));
    assert!(
        listed["invitations"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| { item["subject"]["kind"] == "user" || item["can_greet"] == false })
    );
    let own = bob.ctl(&["invite", "list", "--json"]).well().json();
    assert_eq!((of(&own, "device"), of(&own, "user")), (2, 0));
    let usage = organisation(&database(&fixture), "usage");
    assert!(
        usage.contains(&format!(r#""kind":"others","member":"{BOB_EMAIL}","live":2,"live_max":2,"#)),
        "{usage}"
    );

    let _ = fixture.alice.ctl(&["invite", "cancel", &first.token.to_string()]).well();
    bob.invite_device().unwrap();
}

/// Kills the newcomer's daemon before anybody has told it, and forgets the invitation before its
/// greeter has an answer.
struct Forgetful {
    newcomer: u32,
    database: PathBuf,
    armed: AtomicBool,
}

impl Meddler for Forgetful {
    fn request(&self, request: &mut Request) -> Fate {
        if request.target.ends_with("/complete") && self.armed.load(Ordering::SeqCst) {
            kill_by_id(self.newcomer);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if !request.target.ends_with("/complete") || !self.armed.swap(false, Ordering::SeqCst) {
            return Fate::Pass;
        }
        assert_eq!(answer.status, 200);
        let pruned = organisation(&self.database, "prune");
        assert!(pruned.contains(r#""invitations":1,"#), "{pruned}");
        Fate::Lose
    }
}

#[test]
fn an_enrolment_whose_invitation_has_gone_is_known_to_both_by_the_log() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Standard);
    fixture.proxy.meddle(Arc::new(Forgetful {
        newcomer: bob.process().id(),
        database: database(&fixture),
        armed: AtomicBool::new(true),
    }));
    let _ = claimer.finish(BOB_PASSWORD);
    greeter.outcome().unwrap();
    drop((claimer, greeter));
    fixture.proxy.meddle(Arc::new(Honest));
    let _ = fixture.alice.until_device(|device| device.outbox == Some(0));
    bob.restart();
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    bob.unlock(BOB_PASSWORD).unwrap();
    assert_eq!(bob.verify().unwrap().count, 4);
}
