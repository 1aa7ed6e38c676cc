//! A server whose database was put back from a backup made before the last items of a safe, with
//! the real programs: members' devices give back what it lost, by themselves, and go on.

use std::path::{Path, PathBuf};

use parsec_protocol::control::{ProblemKind, SafeRole, SafeStanding};
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::safes::{Safe, create};
use parsec_tests::script::Newcomer;
use parsec_tests::server::copy_database;

const PLANS: &str = "Plans";
const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Ashgrove"), label: "Carol's oak desk", password: "carol hums nine sonatas" };
const CAROL_EMAIL: &str = "carol@acme.example";

/// The server's database as it is now, put aside; its objects too, if asked.
fn backed_up(fixture: &mut Fixture, objects: bool) -> PathBuf {
    let kept = fixture.path("kept");
    private_folder(&kept);
    fixture.server.process().stop();
    copy_database(fixture.server.folder(), &kept);
    if objects {
        copy_objects(fixture.server.folder(), &kept);
    }
    fixture.server.restart();
    kept
}

fn objects_of(folder: &Path) -> PathBuf {
    folder.join("metadata.sqlite.objects")
}

fn copy_objects(from: &Path, to: &Path) {
    let to = objects_of(to);
    if to.exists() {
        std::fs::remove_dir_all(&to).unwrap();
    }
    copy_folder(&objects_of(from), &to);
}

fn copy_folder(from: &Path, to: &Path) {
    private_folder(to);
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn restored(fixture: &mut Fixture, kept: &Path, objects: bool) {
    fixture.server.process().stop();
    copy_database(kept, fixture.server.folder());
    if objects {
        copy_objects(kept, fixture.server.folder());
    }
    fixture.server.restart();
}

/// Alice's safe, which Bob has too.
fn shared(fixture: &Fixture, bob: &Device) {
    let made = create(&fixture.alice, PLANS);
    let alice = plans(&fixture.alice);
    alice.share(BOB_EMAIL, SafeRole::Manager).unwrap();
    let _ = alice.sync();
    accepted(bob);
    assert_eq!(plans(bob).sync().safe, made.safe);
}

/// Takes what is offered, and has read it when this returns.
fn accepted(device: &Device) {
    let offered = device.until_safe(|safe| safe.standing == SafeStanding::Offered);
    let safe = Safe { device, name: &offered.safe.to_string() };
    safe.accept().unwrap();
    let _ = safe.sync();
}

const fn plans(device: &Device) -> Safe<'_> {
    Safe { device, name: PLANS }
}

fn start() -> (Fixture, Device) {
    let fixture = Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() });
    let bob = joined(&fixture, "bob", BOB_EMAIL, BOB);
    (fixture, bob)
}

/// A new key: Carol is let in, and out again.
fn rekeyed(owner: &Device) {
    plans(owner).share(CAROL_EMAIL, SafeRole::Reader).unwrap();
    plans(owner).unshare(CAROL_EMAIL).unwrap();
}

fn joined(fixture: &Fixture, folder: &str, email: &str, who: Newcomer<'_>) -> Device {
    use parsec_protocol::control::{ChoiceMode, Registration};
    let device = fixture.device(folder);
    let invitation = fixture.alice.invite(email).unwrap();
    let ends = fixture.enrol(&device, &invitation, who, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    let _ = fixture.alice.until_device(|device| device.outbox == Some(0));
    device
}

/// More than the server keeps in a row, and not the same anywhere.
fn large(seed: u8) -> Vec<u8> {
    (0..200_000_u32).map(|at| seed ^ at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
}

/// Alarms that are open, but for those about the user's manifest: of what the server lost of that,
/// a person is told until they have seen to it.
fn open_alarms(device: &Device) -> Vec<String> {
    let alarms = device.status().alarms.into_iter().map(|alarm| alarm.problem.message);
    alarms.filter(|found| !found.contains("manifest")).collect()
}

/// Contents that come back from devices which keep them, as soon as they have looked.
fn had(device: &Device, path: &str, others: &[&Device]) -> Vec<u8> {
    for _ in 0..200 {
        match plans(device).get(path) {
            Err(failed) if failed.name() == Some(ProblemKind::ContentsUnavailable) => {
                others.iter().for_each(|other| drained(other));
            }
            done => return done.unwrap(),
        }
    }
    panic!("{path} did not come back")
}

fn drained(device: &Device) {
    let view = plans(device).sync();
    assert_eq!(view.problem, None, "{view:?}");
}

#[test]
fn a_safe_that_the_backup_knows_in_part_is_whole_again_by_itself() {
    for objects in [false, true] {
        let (mut fixture, mut bob) = start();
        let carol = joined(&fixture, "carol", CAROL_EMAIL, CAROL);
        shared(&fixture, &bob);
        let _ = plans(&fixture.alice).put_shared("/before", b"before");
        drained(&bob);
        let kept = backed_up(&mut fixture, objects);

        // Files, small and large, a role, a new key, and files under it.
        let _ = plans(&fixture.alice).put_shared("/small", b"small");
        let _ = plans(&fixture.alice).put_shared("/large", &large(1));
        plans(&fixture.alice).share(BOB_EMAIL, SafeRole::Contributor).unwrap();
        rekeyed(&fixture.alice);
        drained(&bob);
        let _ = plans(&bob).put_shared("/bob", &large(2));
        drained(&fixture.alice);
        restored(&mut fixture, &kept, objects);

        drained(&fixture.alice);
        drained(&bob);
        let _ = plans(&bob).put_shared("/after", b"after");
        drained(&fixture.alice);
        let paths = ["/after", "/before", "/bob", "/large", "/small"];
        assert_eq!(plans(&fixture.alice).paths().unwrap(), paths);
        assert_eq!(open_alarms(&fixture.alice), [] as [String; 0]);
        assert_eq!(open_alarms(&bob), [] as [String; 0]);

        // It is all there for somebody who has nothing of it, from the server alone.
        plans(&fixture.alice).share(CAROL_EMAIL, SafeRole::Reader).unwrap();
        accepted(&carol);
        drained(&carol);
        for (path, contents) in [
            ("/small", b"small".to_vec()),
            ("/large", large(1)),
            ("/bob", large(2)),
            ("/after", b"after".to_vec()),
        ] {
            assert_eq!(had(&carol, path, &[&fixture.alice, &bob]), contents, "{path}");
        }
        bob.kill();
    }
}

#[test]
fn one_device_alone_gives_back_what_others_wrote_and_what_waits_goes_out_behind() {
    let (mut fixture, bob) = start();
    let _carol = joined(&fixture, "carol", CAROL_EMAIL, CAROL);
    shared(&fixture, &bob);
    let kept = backed_up(&mut fixture, false);
    let _ = plans(&fixture.alice).put_shared("/alice", b"alice");
    rekeyed(&fixture.alice);
    let _ = plans(&fixture.alice).put_shared("/again", b"again");
    drained(&bob);
    fixture.alice.kill();
    // Bob writes while the server is away.
    fixture.server.process().stop();
    let _ = plans(&bob).put("/waits", b"waits", 0).unwrap();
    copy_database(&kept, fixture.server.folder());
    fixture.server.restart();
    drained(&bob);
    assert_eq!(open_alarms(&bob), [] as [String; 0]);

    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    drained(&fixture.alice);
    assert_eq!(plans(&fixture.alice).paths().unwrap(), ["/again", "/alice", "/waits"]);
    assert_eq!(open_alarms(&fixture.alice), [] as [String; 0]);
}

#[test]
fn a_safe_made_after_the_backup_comes_back_whole() {
    let (mut fixture, bob) = start();
    let kept = backed_up(&mut fixture, false);
    shared(&fixture, &bob);
    let _ = plans(&bob).put_shared("/bob", b"bob");
    drained(&fixture.alice);
    restored(&mut fixture, &kept, false);
    drained(&bob);
    drained(&fixture.alice);
    let _ = plans(&fixture.alice).put_shared("/alice", b"alice");
    drained(&bob);
    assert_eq!(plans(&bob).paths().unwrap(), ["/alice", "/bob"]);
    assert_eq!(open_alarms(&bob), [] as [String; 0]);
}

#[test]
fn the_organisations_log_comes_first() {
    let (mut fixture, bob) = start();
    shared(&fixture, &bob);
    let kept = backed_up(&mut fixture, false);
    let carol = joined(&fixture, "carol", CAROL_EMAIL, CAROL);
    plans(&fixture.alice).share(CAROL_EMAIL, SafeRole::Contributor).unwrap();
    accepted(&carol);
    let _ = plans(&carol).put_shared("/carol", b"carol");
    drained(&fixture.alice);
    restored(&mut fixture, &kept, false);

    // Nothing is written to a safe that names what the log lacks, and it is said what helps.
    let _ = plans(&fixture.alice).put("/waits", b"waits", 0).unwrap();
    let stuck = fixture.alice.until_safe(|safe| safe.problem == Some(ProblemKind::RolledBack));
    assert!(stuck.waiting > 0, "{stuck:?}");
    assert!(!open_alarms(&fixture.alice).is_empty());
    let said = fixture.alice.ctl(&["trust", "repair"]);
    assert_eq!(said.code, 0, "{said:?}");
    drained(&fixture.alice);
    let said = carol.ctl(&["trust", "repair"]);
    assert_eq!(said.code, 0, "{said:?}");
    drained(&carol);
    assert_eq!(plans(&carol).paths().unwrap(), ["/carol", "/waits"]);
    drained(&bob);
    // Of the log, Bob's person is told until they have seen to it; of the safe, nothing is left.
    let said = bob.ctl(&["trust", "repair"]);
    assert_eq!(said.code, 0, "{said:?}");
    for device in [&fixture.alice, &bob, &carol] {
        assert_eq!(open_alarms(device), [] as [String; 0]);
    }
    let _ = plans(&bob).put_shared("/bob", b"bob");
}

#[test]
fn a_safe_that_went_on_elsewhere_gets_nothing_back_and_is_an_alarm() {
    let (mut fixture, mut bob) = start();
    shared(&fixture, &bob);
    let kept = backed_up(&mut fixture, false);
    bob.kill();
    let _ = plans(&fixture.alice).put_shared("/alice", b"alice");
    fixture.alice.kill();
    restored(&mut fixture, &kept, false);
    // Bob hasn't heard of it, and goes on where the server is.
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    let _ = plans(&bob).put_shared("/bob", b"bob");
    let _ = plans(&bob).put_shared("/bob too", b"bob");
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _ = fixture.alice.until_safe(|safe| safe.problem.is_some());
    let alarms = open_alarms(&fixture.alice);
    assert!(!alarms.is_empty(), "another past is told");
    assert_eq!(plans(&fixture.alice).paths().unwrap(), ["/alice"]);
    assert_eq!(plans(&bob).paths().unwrap(), ["/bob", "/bob too"]);
}
