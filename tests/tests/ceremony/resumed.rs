//! A server whose database was restored in the middle of an enrolment: nobody begins anew, and
//! nobody is told that the other one has stopped.

use std::path::Path;

use parsec_protocol::control::{InviteResult, ProfileName, Registration};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};

/// A copy of the server's database as it is now.
fn back_up(fixture: &Fixture, to: &Path) {
    let database = rusqlite::Connection::open(fixture.server.folder().join("metadata.sqlite")).unwrap();
    database.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

/// Puts the copy in the database's place while the server is down.
fn put_back(fixture: &mut Fixture, from: &Path) {
    let database = fixture.server.folder().join("metadata.sqlite");
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
    std::fs::copy(from, &database).unwrap();
    fixture.restart_server();
}

/// Bob has his keys while the server is down, and it comes back as it was before.
fn enrol_over_a_restore(fixture: &mut Fixture, invitation: &InviteResult, backup: &Path, locked: bool) {
    let bob = fixture.device("bob");
    let (mut claimer, greeter) = fixture.up_to_password(&bob, invitation, ProfileName::Standard);
    fixture.server.kill();
    claimer.finish(BOB_PASSWORD).unwrap();
    if locked {
        let _ = fixture.alice.ctl(&["device", "lock"]).well();
    }
    put_back(fixture, backup);
    if locked {
        fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    } else {
        greeter.outcome().unwrap();
    }
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    bob.verify().unwrap();
    let done = fixture.alice.until_device(|device| device.outbox == Some(0));
    assert_eq!(done.outbox_set_aside, Some(0));
}

#[test]
fn a_run_that_the_server_has_lost_is_opened_again_for_its_last_message() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let backup = fixture.path("backup");
    back_up(&fixture, &backup);
    enrol_over_a_restore(&mut fixture, &invitation, &backup, false);
}

/// The signed record is all that the greeter's device has left, and the server knows not even the
/// invitation.
#[test]
fn an_invitation_that_the_server_has_lost_is_posted_again() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let backup = fixture.path("backup");
    back_up(&fixture, &backup);
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    enrol_over_a_restore(&mut fixture, &invitation, &backup, true);
}
