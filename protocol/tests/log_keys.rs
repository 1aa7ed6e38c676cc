//! A user's key that changes, and recovery devices: each rule broken alone (docs/assurance.md, S2).
//!
//! A case is a certificate by an honest or hostile member that is right but for one thing. Each
//! case is shown together with its twin that lacks the fault and is accepted: so the fault, and
//! nothing else, is what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Author, Body, DeviceKind, ManifestMark, Profile};
use parsec_protocol::chain::organisation::log::UserKeyRecord;
use parsec_protocol::chain::organisation::path::{Start, Subject, chain};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::ids::{DeviceId, Timestamp};
use parsec_protocol::limits::{ABANDONED_MAX, DEVICES_PER_USER_MAX, KEY_CHANGES_MAX};
use parsec_protocol::sealing::KeyHash;
use support::{
    BEGINNING, By, Org, abandoned, device, device_body, device_encryption_key, directory_body,
    encryption_key, envelope, key_change, key_change_with, recovery_body, refused, refused_author,
    refused_body, standard, user, user_body,
};

/// User 2 from the key they have to key `next`, and devices that never came.
fn change(org: &Org, next: u64, abandoned: Vec<DeviceId>) -> Body {
    changed(org, encryption_key(next), abandoned)
}

fn changed(org: &Org, encryption_key: KeyHash, abandoned: Vec<DeviceId>) -> Body {
    let previous = org.log.user(&user(2)).unwrap().encryption_key;
    Body::UserKeyChanged { user: user(2), previous, encryption_key, manifest: None, abandoned }
}

// --- whose, and after which

#[test]
fn the_key_of_another() {
    let org = Org::staffed();
    // Not even an administrator's word makes another's key; nor is there one of nobody's, or of one
    // who has gone.
    for other in [2, 3, 4, 77] {
        let bad = key_change(other, other, 50);
        refused_body(&org, By::Device(0), Fault::AnothersKey, bad, key_change(0, 0, 50));
    }
    refused_body(&org, By::Device(2), Fault::AnothersKey, key_change(0, 0, 50), key_change(2, 2, 50));
}

#[test]
fn every_member_changes_the_own_key() {
    let org = Org::staffed();
    for number in [0, 1, 2, 3] {
        let by = By::Device(number);
        let bytes = envelope(by, &org.payload(by, key_change(number, number, 50)));
        assert_eq!(org.fault(&bytes), Ok(()), "user {number}");
    }
}

#[test]
fn by_a_revoked_device() {
    let org = Org::staffed();
    refused_author(&org, Fault::AuthorRevoked, By::Device(10), By::Device(0), key_change(0, 0, 50));
    let bytes = envelope(By::Device(4), &org.payload(By::Device(4), key_change(4, 4, 50)));
    assert_eq!(org.fault(&bytes), Err(Fault::AuthorRevoked));
}

#[test]
fn of_a_revoked_user() {
    let mut org = Org::staffed();
    let bytes = envelope(By::Device(2), &org.payload(By::Device(2), key_change(2, 2, 50)));
    assert_eq!(org.fault(&bytes), Ok(()));
    org.say(By::Device(0), Body::UserRevoked { user: user(2) });
    assert_eq!(org.fault(&bytes), Err(Fault::AuthorRevoked));
    let later = envelope(By::Device(20), &org.payload(By::Device(20), key_change(2, 2, 50)));
    assert_eq!(org.fault(&later), Err(Fault::AuthorRevoked));
}

#[test]
fn of_two_devices_at_once_one_wins_and_the_other_never_fits() {
    // Devices 2 and 20 of one person, each without knowing of the other.
    let mut org = Org::staffed();
    let [wins, loses] = [(2, 50), (20, 51)]
        .map(|(by, key)| envelope(By::Device(by), &org.payload(By::Device(by), key_change(2, 2, key))));
    assert_eq!((org.fault(&wins), org.fault(&loses)), (Ok(()), Ok(())));
    org.log.push(&wins).unwrap();
    assert_eq!(org.fault(&loses), Err(Fault::StaleKey));
    assert_eq!(org.fault(&wins), Err(Fault::StaleKey), "nor again");
    // A server keeps it, and tries after each thing that may happen: device 20, to which its key
    // was sealed, is revoked.
    org.say(By::Device(2), Body::DeviceRevoked { device: device(20) });
    assert_eq!(org.fault(&loses), Err(Fault::AuthorRevoked));
    let again = org.payload(By::Device(2), key_change(2, 2, 51));
    let good = org.payload(By::Device(2), key_change(2, 50, 51));
    refused(&org, Fault::StaleKey, &envelope(By::Device(2), &again), &envelope(By::Device(2), &good));
    org.say(By::Device(2), key_change(2, 50, 52));
    // Even the way back to the key that it follows is closed: a hash is certified once.
    let back = envelope(By::Device(2), &org.payload(By::Device(2), key_change(2, 52, 2)));
    assert_eq!(org.fault(&back), Err(Fault::EncryptionKeyTaken));
}

#[test]
fn a_key_that_was_certified_before() {
    let mut org = Org::staffed();
    org.say(By::Device(2), key_change(2, 2, 50));
    let users = [0, 1, 4, 2, 50].map(encryption_key);
    let devices = [0, 2, 20, 10, 4].map(device_encryption_key);
    for taken in users.into_iter().chain(devices) {
        let bad = changed(&org, taken, Vec::new());
        refused_body(&org, By::Device(2), Fault::EncryptionKeyTaken, bad, change(&org, 51, Vec::new()));
    }
    // Nor does a later user or device get what a change has taken.
    let mut person = standard(5);
    if let Body::User { encryption_key: key, .. } = &mut person {
        *key = encryption_key(50);
    }
    refused_body(&org, By::Device(0), Fault::EncryptionKeyTaken, person, standard(5));
    let mut machine = device_body(5, 0);
    if let Body::Device { encryption_key: key, .. } = &mut machine {
        *key = encryption_key(50);
    }
    refused_body(&org, By::Device(0), Fault::EncryptionKeyTaken, machine, device_body(5, 0));
}

// --- how often

#[test]
fn so_many_changes_and_one_for_each_revoked_device() {
    let mut org = Org::staffed();
    for number in 0..KEY_CHANGES_MAX as u64 {
        org.say(By::Device(2), change(&org, 100 + number, Vec::new()));
    }
    let one_more = |org: &Org, by: u64| {
        let body = change(org, 200, Vec::new());
        org.fault(&envelope(By::Device(by), &org.payload(By::Device(by), body)))
    };
    assert_eq!((KEY_CHANGES_MAX, one_more(&org, 2)), (20, Err(Fault::TooManyKeyChanges)));
    assert_eq!(one_more(&org, 20), Err(Fault::TooManyKeyChanges), "of all devices together");
    // A new device is no reason; a revoked one is, once.
    org.say(By::Device(2), device_body(21, 2));
    assert_eq!(one_more(&org, 2), Err(Fault::TooManyKeyChanges));
    org.say(By::Device(2), Body::DeviceRevoked { device: device(21) });
    assert_eq!(one_more(&org, 2), Ok(()));
    org.say(By::Device(2), change(&org, 201, Vec::new()));
    assert_eq!(one_more(&org, 2), Err(Fault::TooManyKeyChanges));
    // Where somebody is abandoned, the bound is that of devices.
    org.say(By::Device(2), change(&org, 202, abandoned(300..301)));
    assert_eq!(one_more(&org, 2), Err(Fault::TooManyKeyChanges));
    // One person's changes are nobody else's.
    org.say(By::Device(3), key_change(3, 3, 203));
}

// --- devices that never came

#[test]
fn a_list_that_is_unsorted_doubled_or_too_long() {
    let org = Org::staffed();
    let good = || change(&org, 50, abandoned(300..300 + ABANDONED_MAX as u64));
    assert_eq!(ABANDONED_MAX, 16);
    let mut unsorted = abandoned(300..310);
    unsorted.swap(0, 9);
    let mut doubled = abandoned(300..310);
    doubled[1] = doubled[0];
    for bad in [unsorted, doubled, abandoned(300..301 + ABANDONED_MAX as u64)] {
        refused_body(&org, By::Device(2), Fault::Abandoned, change(&org, 50, bad), good());
    }
}

#[test]
fn an_abandoned_device_is_in_no_log_and_was_never_named() {
    let mut org = Org::staffed();
    org.say(By::Device(2), change(&org, 50, abandoned(300..303)));
    org.say(By::Device(3), key_change_with(key_change(3, 3, 51), None, abandoned(310..311)));
    let good = || change(&org, 52, abandoned(303..304));
    // In the log, of whomever, revoked or not; named by the same user; named by another.
    for bad in [0, 2, 20, 10, 4, 300, 302, 310] {
        let bad = change(&org, 52, vec![device(bad)]);
        refused_body(&org, By::Device(2), Fault::Abandoned, bad, good());
    }
}

#[test]
fn abandoned_devices_are_among_the_users_200() {
    let mut org = Org::staffed();
    let mut left = DEVICES_PER_USER_MAX - org.log.devices_of(&user(2)).count();
    let mut next = 1_000;
    while left > ABANDONED_MAX {
        let ids = abandoned(next..next + ABANDONED_MAX as u64);
        org.say(By::Device(2), change(&org, next, ids));
        next += ABANDONED_MAX as u64;
        left -= ABANDONED_MAX;
    }
    // 16 at a time, until fewer are left than a list may have.
    let more = change(&org, next, abandoned(next..next + left as u64 + 1));
    let fits = change(&org, next, abandoned(next..next + left as u64));
    refused_body(&org, By::Device(2), Fault::Abandoned, more, fits.clone());
    org.say(By::Device(2), fits);
    refused_body(
        &org,
        By::Device(2),
        Fault::Abandoned,
        change(&org, 5_000, abandoned(5_000..5_001)),
        change(&org, 5_000, Vec::new()),
    );
    let bad = envelope(By::Device(2), &org.payload(By::Device(2), device_body(5_000, 2)));
    // What was promised to a device is kept: one that was named may still come.
    let good = envelope(By::Device(2), &org.payload(By::Device(2), device_body(1_000, 2)));
    refused(&org, Fault::TooManyDevices, &bad, &good);
    // And it is not counted twice: after it there is no more room than before, and no less.
    org.say(By::Device(2), device_body(1_000, 2));
    org.say(By::Device(2), device_body(1_001, 2));
    assert_eq!(
        org.fault(&envelope(By::Device(2), &org.payload(By::Device(2), device_body(5_000, 2)))),
        Err(Fault::TooManyDevices)
    );
    // Named by somebody else, it is a device like any other: nobody makes room for another.
    org.say(By::Device(3), key_change_with(key_change(3, 3, 6_000), None, abandoned(6_000..6_001)));
    assert_eq!(
        org.fault(&envelope(By::Device(2), &org.payload(By::Device(2), device_body(6_000, 2)))),
        Err(Fault::TooManyDevices)
    );
}

#[test]
fn a_device_that_was_abandoned_and_came_counts_once() {
    let mut org = Org::staffed();
    org.say(By::Device(2), change(&org, 50, abandoned(300..301)));
    org.say(By::Device(2), device_body(300, 2));
    for number in org.log.devices_of(&user(2)).count()..DEVICES_PER_USER_MAX {
        org.say(By::Device(2), device_body(1_000 + number as u64, 2));
    }
    assert_eq!(org.log.devices_of(&user(2)).count(), DEVICES_PER_USER_MAX);
    let more = envelope(By::Device(2), &org.payload(By::Device(2), device_body(5_000, 2)));
    assert_eq!(org.fault(&more), Err(Fault::TooManyDevices));
}

// --- recovery devices

/// The usual cast, and recovery device 25 of user 2, 15 of administrator 0.
fn with_recovery() -> Org {
    let mut org = Org::staffed();
    org.say(By::Device(2), recovery_body(25, 2));
    org.say(By::Device(0), recovery_body(15, 0));
    org
}

#[test]
fn a_recovery_device_lets_its_user_come_back() {
    let org = with_recovery();
    assert_eq!(org.log.device(&device(25)).unwrap().kind, DeviceKind::Recovery);
    for (by, owner) in [(25, 2), (15, 0)] {
        let bytes = envelope(By::Device(by), &org.payload(By::Device(by), device_body(30, owner)));
        assert_eq!(org.fault(&bytes), Ok(()));
    }
    let mut org = org;
    org.say(By::Device(25), device_body(30, 2));
    let came = org.log.device(&device(30)).unwrap();
    assert_eq!((came.kind, came.author), (DeviceKind::Device, Author::Device(device(25))));
    // And the device that came says what devices say.
    org.say(By::Device(30), Body::DeviceRevoked { device: device(25) });
    assert!(org.log.is_suspended(&user(2)));
}

#[test]
fn a_recovery_device_says_nothing_else() {
    let mut org = with_recovery();
    org.say(By::Device(0), standard(6));
    // What the same user's ordinary device may say: each kind there is.
    for (by, own, body) in [
        (15, 0, standard(5)),
        (15, 0, device_body(6, 6)),
        (15, 0, recovery_body(31, 0)),
        (15, 0, Body::ProfileChange { user: user(2), profile: Profile::Outsider }),
        (15, 0, Body::UserRevoked { user: user(2) }),
        (15, 0, Body::DeviceRevoked { device: device(2) }),
        (15, 0, key_change(0, 0, 50)),
        (25, 2, Body::DeviceRevoked { device: device(20) }),
        (25, 2, recovery_body(31, 2)),
        (25, 2, key_change(2, 2, 50)),
    ] {
        refused_author(&org, Fault::RecoveryDevice, By::Device(by), By::Device(own), body);
    }
    // Not even a device that nobody could certify for this user.
    let bytes = envelope(By::Device(25), &org.payload(By::Device(25), device_body(30, 0)));
    assert_eq!(org.fault(&bytes), Err(Fault::RecoveryDevice));
}

#[test]
fn a_revoked_recovery_device_opens_nothing() {
    let mut org = with_recovery();
    org.say(By::Device(2), Body::DeviceRevoked { device: device(25) });
    refused_author(&org, Fault::AuthorRevoked, By::Device(25), By::Device(2), device_body(30, 2));
}

// --- what the log then says

#[test]
fn suspended_is_who_has_a_revoked_device_and_its_key() {
    let mut org = Org::staffed();
    // In the usual cast, device 10 of user 0 was revoked and the key has not been changed since.
    let suspended = |org: &Org| [0, 1, 2, 3].map(|number| org.log.is_suspended(&user(number)));
    assert_eq!(suspended(&org), [true, false, false, false]);
    assert!(!org.log.is_suspended(&user(77)));
    org.say(By::Device(0), key_change(0, 0, 50));
    assert_eq!(suspended(&org), [false; 4]);
    org.say(By::Device(2), change(&org, 51, Vec::new()));
    assert_eq!(suspended(&org), [false; 4], "a change for no reason");
    org.say(By::Device(0), Body::DeviceRevoked { device: device(20) });
    assert_eq!(suspended(&org), [false, false, true, false], "by an administrator, too");
    // A new device or another's change is no change of the key.
    org.say(By::Device(2), device_body(21, 2));
    org.say(By::Device(3), key_change(3, 3, 52));
    assert_eq!(suspended(&org), [false, false, true, false]);
    // Where a device is abandoned, the key has changed all the same.
    org.say(By::Device(21), change(&org, 53, abandoned(300..301)));
    assert_eq!(suspended(&org), [false; 4]);
}

#[test]
fn all_keys_of_a_user_are_kept_with_what_their_authors_had_seen() {
    let mut org = Org::staffed();
    let mark = ManifestMark::of(7, b"a manifest");
    let position = org.log.count();
    org.say(By::Device(20), key_change_with(key_change(2, 2, 50), Some(mark), Vec::new()));
    org.say(By::Device(2), key_change(2, 50, 51));
    let record = org.log.user(&user(2)).unwrap();
    assert_eq!(record.encryption_key, encryption_key(51));
    let by = |number| Author::Device(device(number));
    let [first, second, third] = record.keys.as_slice() else { panic!("{:?}", record.keys) };
    let key = |key, position, author, manifest| UserKeyRecord {
        key: encryption_key(key),
        position,
        author,
        certified: Timestamp(BEGINNING + position),
        manifest,
    };
    assert_eq!(*first, key(2, record.position, by(0), None));
    assert_eq!(*second, key(50, position, by(20), Some(mark)));
    assert_eq!(*third, key(51, position + 1, by(2), None));
    // The rest of the record is as it was.
    let before = Org::staffed().log.user(&user(2)).unwrap().clone();
    assert_eq!(
        (record.position, record.author, record.certified),
        (before.position, before.author, before.certified)
    );
    // The present key by the device that changed it, which leads on: whoever vouched for the person
    // vouched for the key of then, and for no later one.
    let links = chain(&org.log, Start::User(user(2)));
    let [present, device_link, person, ..] = links.as_slice() else { panic!("{links:?}") };
    assert_eq!((present.subject, present.author), (Subject::UserKey(user(2), encryption_key(51)), by(2)));
    assert_eq!((present.position, present.time), (third.position, third.certified));
    assert!(
        matches!(device_link.subject, Subject::Device(id, key) if id == device(2) && key == present.author_key)
    );
    assert_eq!(person.subject, Subject::User(user(2), encryption_key(2)));
    assert_eq!(links.last().unwrap().author, Author::Root);
    assert!(links.is_sorted_by(|later, earlier| later.position > earlier.position));
    // Somebody else's chain through that person is none of it.
    let others = chain(&org.log, Start::Device(device(20)));
    assert!(others.iter().all(|link| !matches!(link.subject, Subject::UserKey(..))), "{others:?}");
    // A reader who goes through it anew, in pages, comes to the same.
    let again = support::read(&org.envelopes).unwrap();
    assert!(again.users().eq(org.log.users()) && again.devices().eq(org.log.devices()));
}

#[test]
fn a_device_keeps_what_is_sealed_to_it_and_what_its_author_had_seen() {
    let mut org = Org::staffed();
    let late = org.payload(By::Device(2), device_body(21, 2));
    org.say(By::Device(2), change(&org, 50, Vec::new()));
    // A ceremony that was under way while the key was changed: its newcomer was handed the seed
    // before.
    let bytes = envelope(By::Device(2), &late);
    org.log.push(&bytes).unwrap();
    let record = org.log.device(&device(21)).unwrap();
    assert_eq!(record.encryption_key, device_encryption_key(21));
    let changed = org.log.user(&user(2)).unwrap().keys[1].position;
    assert!(record.seen <= changed && record.position > changed);
}

#[test]
fn founded_alone() {
    let mut org = Org::founded();
    org.say(By::Device(0), key_change(0, 0, 50));
    org.say(By::Device(0), user_body(1, Profile::Administrator));
    assert_eq!(org.log.user(&user(0)).unwrap().encryption_key, encryption_key(50));
}

// --- directory keys

/// Who stole an administrator's device may change it as often as the log has room: there is no last
/// key that they could use up.
#[test]
fn there_is_no_last_directory_key() {
    let mut org = Org::founded();
    for number in 2..=300_u32 {
        let who = u64::from(number) + 1_000;
        org.say(By::Device(0), user_body(who, Profile::Standard));
        org.say(By::Device(0), device_body(who, who));
        org.say(By::Device(0), Body::UserRevoked { user: user(who) });
        assert!(org.log.is_directory_key_due(), "{number}");
        org.say(By::Device(0), directory_body(number));
        assert!(!org.log.is_directory_key_due(), "{number}");
    }
    assert_eq!(org.log.directory_keys().len(), 299);
}
