//! Two people and three devices share a safe: everybody reads what the others write, conflicts lose
//! nobody's bytes, and who is taken out reads nothing that is written afterwards.

use std::path::Path;

use parsec_protocol::control::{ProblemKind, SafeRole, SafeStanding, SecretText};
use parsec_protocol::ids::{OrganisationId, SafeId};
use parsec_protocol::safe_log::certificate::{self, Body};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::ring::RingPart;
use parsec_protocol::safes::boxes::{BoxOf, open_box};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::seal::{Unopened, open_record};
use parsec_tests::device::{Device, copy_folder, private_folder};
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::safes::{Safe, create, is_well, until};
use parsec_tests::server::copy_database;

use super::{PLANS, enrol_bob, enrol_own};

#[test]
fn everybody_in_a_safe_reads_what_the_others_write_and_nobody_else_does() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let mut bob = enrol_bob(&fixture);
    let mut on_tablet = Follower::start(&tablet.socket(), None);
    let mut on_bob = Follower::start(&bob.socket(), None);

    // Alice alone: her other device takes the safe by itself.
    let made = create(&fixture.alice, PLANS);
    assert!(made.shared && made.role == Some(SafeRole::Owner), "{made:?}");
    let large: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).take(1_500_000).collect();
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/large.bin", &large);
    until(&mut on_tablet, |safe| safe.safe == made.safe && is_well(safe));
    Safe { device: &tablet, name: &made.safe.to_string() }.sync();
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/large.bin").unwrap(), large);

    // Bob is offered it, and sees nothing before he takes it.
    let shared =
        Safe { device: &fixture.alice, name: PLANS }.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    assert_eq!(shared.member.person.email.as_str(), BOB_EMAIL);
    let offered = until(&mut on_bob, |safe| safe.standing == SafeStanding::Offered);
    assert_eq!((offered.safe, offered.role), (made.safe, Some(SafeRole::Contributor)));
    let id = made.safe.to_string();
    let refused = Safe { device: &bob, name: &id }.paths().unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeNotAccepted));
    Safe { device: &bob, name: &id }.accept().unwrap();
    Safe { device: &bob, name: &id }.sync();
    assert_eq!(Safe { device: &bob, name: PLANS }.get("/large.bin").unwrap(), large);
    Safe { device: &bob, name: PLANS }.put_shared("/notes.txt", b"by Bob");
    Safe { device: &fixture.alice, name: PLANS }.sync();
    assert_eq!(Safe { device: &fixture.alice, name: PLANS }.get("/notes.txt").unwrap(), b"by Bob");

    // Both write one file while the server is away: neither's bytes are lost.
    fixture.server.kill();
    for (device, text) in [(&fixture.alice, &b"Alice was offline"[..]), (&bob, b"Bob was, too")] {
        let saved = Safe { device, name: PLANS }.put("/notes.txt", text, 0).unwrap();
        assert!(saved.saved && !saved.shared, "{saved:?}");
        assert_eq!(Safe { device, name: PLANS }.get("/notes.txt").unwrap(), text);
    }
    fixture.restart_server();
    for device in [&fixture.alice, &bob, &fixture.alice, &tablet] {
        Safe { device, name: PLANS }.sync();
    }
    let seen = |device: &Device| {
        let safe = Safe { device, name: PLANS };
        let mut all: Vec<_> =
            safe.paths().unwrap().into_iter().map(|path| (safe.get(&path).unwrap(), path)).collect();
        all.sort();
        all
    };
    let (one, two, three) = (seen(&fixture.alice), seen(&bob), seen(&tablet));
    assert_eq!((&one, &one), (&two, &three));
    let texts: Vec<_> =
        one.iter().filter(|(text, _)| text.len() < 100).map(|(text, _)| text.clone()).collect();
    assert_eq!(texts, [b"Alice was offline".to_vec(), b"Bob was, too".to_vec()]);
    assert_eq!(Safe { device: &tablet, name: PLANS }.conflicts().conflicts.len(), 1);

    // Bob is out: what comes afterwards is not for him, nor for whoever has his device and the
    // server's database.
    let out = Safe { device: &fixture.alice, name: PLANS }.unshare(BOB_EMAIL).unwrap();
    assert_eq!((out.safe.epoch, out.safe.members), (1, 1));
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/secret.txt", b"not for Bob");
    Safe { device: &tablet, name: PLANS }.sync();
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/secret.txt").unwrap(), b"not for Bob");
    until(&mut on_bob, |safe| safe.standing == SafeStanding::Left);
    let refused = Safe { device: &bob, name: PLANS }.get("/secret.txt").unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::PathNotFound));
    let refused = Safe { device: &bob, name: PLANS }.put("/mine.txt", b"x", 0).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeRoleTooLow));

    bob.kill();
    fixture.server.kill();
    let (thief, database) = (fixture.path("thief"), fixture.path("database"));
    copy_folder(&bob.data(), &thief);
    private_folder(&database);
    copy_database(fixture.server.folder(), &database);
    opens_nothing(&thief, &database.join("metadata.sqlite"), made.safe);
}

/// What somebody with Bob's device, its password, and the server's database can open.
fn opens_nothing(thief: &Path, database: &Path, safe: SafeId) {
    let devices = parsecd::store::Devices::open(thief).unwrap();
    let device = devices.list().unwrap().pop().unwrap().device;
    let open = devices.unlock(device, &SecretText::new(BOB_PASSWORD.to_owned().into())).unwrap();
    let organisation: OrganisationId = open.summary.organisation.clone();
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    for (epoch, key) in open.store.safe_keys(safe).unwrap() {
        let check = EpochKey::new(&organisation, &safe, epoch, &key).check();
        keys.insert(epoch, key, &check).unwrap();
    }
    assert!(keys.at(0).is_some() && keys.at(1).is_none(), "{keys:?}");

    let database = rusqlite::Connection::open(database).unwrap();
    let blobs = |select: &str| -> Vec<Vec<u8>> {
        let mut rows = database.prepare(select).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let (mut readable, mut closed) = (0, 0);
    for envelope in blobs("SELECT envelope FROM safe_record ORDER BY seq") {
        let payload = record::Envelope::decode(&envelope).unwrap().payload().unwrap();
        match (payload.epoch, open_record(&keys, &payload)) {
            (0, Ok(_)) => readable += 1,
            (1, Err(Unopened::NoKey)) => {
                closed += 1;
                // Nor with the key that he has: the epoch's is another one.
                let (_, key) = open.store.safe_keys(safe).unwrap().remove(0);
                let mut forced = SafeKeys::new(organisation.clone(), safe);
                let check = EpochKey::new(&organisation, &safe, 1, &key).check();
                forced.insert(1, key, &check).unwrap();
                assert!(matches!(open_record(&forced, &payload), Err(Unopened::Void(_))));
            }
            (epoch, opened) => panic!("epoch {epoch}: {opened:?}"),
        }
    }
    assert!(readable > 0 && closed > 0, "{readable} {closed}");

    // No box of the next epoch is for his key: not in the rings, not beside them.
    let mut sealed = blobs("SELECT sealed FROM safe_box");
    for part in blobs("SELECT bytes FROM safe_part") {
        sealed.extend(RingPart::decode(&part).unwrap().0.into_iter().flatten().map(Vec::from));
    }
    let checks: Vec<_> = blobs("SELECT envelope FROM safe_certificate ORDER BY position")
        .iter()
        .filter_map(|envelope| {
            match certificate::Envelope::decode(envelope).unwrap().payload().unwrap().body {
                Body::Created { key_check, .. } => Some(key_check),
                Body::Changed { key, .. } => key.map(|key| key.key_check),
                Body::State { .. } => None,
            }
        })
        .collect();
    let opened: Vec<_> = (0..)
        .zip(&checks)
        .map(|(epoch, check)| {
            let of = BoxOf { organisation: &organisation, safe: &safe, epoch, user: open.summary.user };
            let seed = &open.keys.user_seed;
            sealed.iter().filter(|sealed| open_box(&of, check, sealed, seed).is_ok()).count()
        })
        .collect();
    assert_eq!(opened, [1, 0], "the one box that he had, and none of the next key");
}
