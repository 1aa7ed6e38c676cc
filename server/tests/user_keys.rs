//! Keys by their hashes, and the change of a user's key: certificate, key and boxes, whole or not
//! at all; boxes for the user's devices alone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::codec;
use parsec_protocol::ids::DeviceId;
use parsec_protocol::limits::KEY_CHANGES_MAX;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    Completed, DeviceBox, EVENT_LOG, ErrorCode, KeyBox, KeyBoxUpload, LogLength, UserKeyChange, path,
};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};
use support::stream::Stream;
use support::{Bench, Member, Newcomer, new_key, sealed};

async fn key(bench: &Bench, by: &Member, hash: &KeyHash) -> Result<EncryptionKey, ErrorCode> {
    let answer = by.get(bench, &path::key(&by.organisation, hash)).await;
    if answer.status == 200 { Ok(answer.record()) } else { Err(answer.code()) }
}

fn box_path(of: &Member, hash: &KeyHash, device: &DeviceId) -> String {
    path::key_box(&of.organisation, &of.user, hash, device)
}

/// The box for a device of its user, as `by` is given it.
async fn given(bench: &Bench, by: &Member, of: &Member, hash: &KeyHash) -> Result<KeyBox, ErrorCode> {
    let answer = by.get(bench, &box_path(of, hash, &of.device)).await;
    if answer.status == 200 { Ok(answer.record()) } else { Err(answer.code()) }
}

async fn present(bench: &Bench, of: &Member) -> KeyHash {
    of.verified(bench).await.user(&of.user).unwrap().encryption_key
}

fn box_for(change: &UserKeyChange, device: &Member) -> ByteVec {
    let found = change.boxes.iter().find(|given| given.device == device.device);
    found.unwrap().sealed.clone()
}

#[tokio::test]
async fn a_key_changes_and_each_device_of_the_user_gets_its_box() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Outsider).await;
    let second = bob.with_device(&bench).await;
    let gone = bob.with_device(&bench).await;
    bob.change(&bench, Body::DeviceRevoked { device: gone.device }).await.record::<Completed>();
    let first = present(&bench, &bob).await;
    assert_eq!(given(&bench, &bob, &bob, &first).await, Err(ErrorCode::BoxUnknown));

    let mut stream = Stream::follow(&bench, &alice, &[]).await;
    let change = bob.key_change(&bench).await;
    assert_eq!(change.boxes.len(), 2);
    for _ in 0..2 {
        assert_eq!(bob.change_key(&bench, &change).await.record::<Completed>().position, 7);
    }
    assert_eq!(stream.next_of::<LogLength>(EVENT_LOG).await.unwrap().count, 8);
    let log = alice.verified(&bench).await;
    assert_eq!(log.count(), 8);
    assert!(!log.is_suspended(&bob.user));
    let hash = change.key.hash();
    assert_eq!(log.user(&bob.user).unwrap().encryption_key, hash);

    // Everybody is given the key; the boxes are Bob's devices'.
    for by in [&alice, &bob, &second] {
        assert_eq!(key(&bench, by, &hash).await, Ok(change.key.clone()));
    }
    for (by, of) in [(&bob, &bob), (&second, &second), (&bob, &second)] {
        let expected = KeyBox { sealed: Some(box_for(&change, of)), past: change.past.clone() };
        assert_eq!(given(&bench, by, of, &hash).await, Ok(expected));
    }
    for of in [&bob, &second] {
        assert_eq!(given(&bench, &alice, of, &hash).await, Err(ErrorCode::NotAllowed));
    }
    for by in [&bob, &gone] {
        let past_alone = KeyBox { sealed: None, past: change.past.clone() };
        let expected = if by.device == gone.device { Err(ErrorCode::Revoked) } else { Ok(past_alone) };
        assert_eq!(given(&bench, by, &gone, &hash).await, expected);
    }
    assert_eq!(key(&bench, &gone, &hash).await, Err(ErrorCode::Revoked));

    // A device that comes later is given what leads back, and gets a box from another one.
    let third = bob.with_device(&bench).await;
    let back = KeyBox { sealed: None, past: change.past.clone() };
    assert_eq!(given(&bench, &third, &third, &hash).await, Ok(back));
}

/// Each has one fault; the twin without it is taken after all of them.
#[tokio::test]
async fn one_fault_and_nothing_changes() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let second = alice.with_device(&bench).await;
    let gone = alice.with_device(&bench).await;
    alice.change(&bench, Body::DeviceRevoked { device: gone.device }).await.record::<Completed>();
    let good = alice.key_change(&bench).await;
    let own = present(&bench, &alice).await;
    let (seen, now) = (alice.head(&bench).await, bench.now());
    let body = |previous: KeyHash, key: &EncryptionKey| Body::UserKeyChanged {
        user: alice.user,
        previous,
        encryption_key: key.hash(),
        manifest: None,
        abandoned: vec![],
    };
    let with = |change: &dyn Fn(&mut UserKeyChange)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let signed =
        |by: &Member, body: Body| with(&|change| change.certificate = by.certify(seen, now, body.clone()));
    let bobs_key = bob.verified(&bench).await.user(&bob.user).unwrap().encryption_key;
    let taken = key(&bench, &alice, &bobs_key).await.unwrap();
    let promotion = Body::ProfileChange { user: bob.user, profile: Profile::Outsider };
    let for_device = |device: DeviceId| DeviceBox { device, sealed: sealed() };
    use ErrorCode::{BoxesRefused, CertificateRefused, Revoked};
    let cases = [
        (&alice, "another key", with(&|change| change.key = new_key()), CertificateRefused),
        (&alice, "another's key", with(&|change| change.key = taken.clone()), CertificateRefused),
        (
            &alice,
            "a key that another has",
            UserKeyChange { key: taken.clone(), ..signed(&alice, body(own, &taken)) },
            CertificateRefused,
        ),
        (&alice, "not the present key", signed(&alice, body(bobs_key, &good.key)), CertificateRefused),
        (&alice, "another kind", signed(&alice, promotion), CertificateRefused),
        (&alice, "by the other device", signed(&second, body(own, &good.key)), CertificateRefused),
        (&bob, "another's user key", signed(&bob, body(own, &good.key)), CertificateRefused),
        (&alice, "noise", with(&|change| change.certificate = vec![0x82].into()), CertificateRefused),
        (&gone, "by a revoked device", signed(&gone, body(own, &good.key)), Revoked),
        (&alice, "no boxes", with(&|change| change.boxes.clear()), BoxesRefused),
        (&alice, "one missing", with(&|change| drop(change.boxes.pop())), BoxesRefused),
        (&alice, "swapped", with(&|change| change.boxes.swap(0, 1)), BoxesRefused),
        (&alice, "one twice", with(&|change| change.boxes.insert(0, change.boxes[0].clone())), BoxesRefused),
        (
            &alice,
            "one twice, in another's place",
            with(&|change| change.boxes[1] = change.boxes[0].clone()),
            BoxesRefused,
        ),
        (
            &alice,
            "one for a revoked device, too",
            with(&|change| {
                change.boxes.push(for_device(gone.device));
                change.boxes.sort_unstable_by_key(|given| given.device);
            }),
            BoxesRefused,
        ),
        (
            &alice,
            "one for another's device",
            with(&|change| {
                change.boxes[0] = for_device(bob.device);
                change.boxes.sort_unstable_by_key(|given| given.device);
            }),
            BoxesRefused,
        ),
        (&alice, "a box too short", with(&|change| change.boxes[1].sealed.truncate(1_167)), BoxesRefused),
        (&alice, "a box too long", with(&|change| change.boxes[0].sealed.push(0)), BoxesRefused),
        (
            &alice,
            "a past box too short",
            with(&|change| change.past.as_mut().unwrap().truncate(1_167)),
            BoxesRefused,
        ),
        (&alice, "an empty past box", with(&|change| change.past = Some(vec![].into())), BoxesRefused),
    ];
    let before = alice.log(&bench).await;
    for (by, what, bad, code) in cases {
        assert_eq!(by.change_key(&bench, &bad).await.code(), code, "{what}");
        assert_eq!(alice.log(&bench).await, before, "{what}");
        assert_eq!(key(&bench, &alice, &good.key.hash()).await, Err(ErrorCode::KeyUnknown), "{what}");
    }
    // A key that is not sound is no key: the body is none.
    let mut unsound = codec::encode(&good);
    let at = unsound.windows(40).position(|bytes| bytes == &good.key.as_bytes()[..40]).unwrap();
    unsound[at..at + good.key.as_bytes().len()].fill(0);
    let answer = alice.call(&bench, "POST", &path::user_key(&alice.organisation), &unsound).await;
    assert_eq!(answer.code(), ErrorCode::BadRequest);
    // The call for other certificates takes none that comes with boxes.
    assert_eq!(alice.publish(&bench, vec![good.certificate.clone()]).await.code(), CertificateRefused);
    assert_eq!(alice.log(&bench).await, before);
    alice.change_key(&bench, &good).await.record::<Completed>();
    alice.verified(&bench).await;
}

#[tokio::test]
async fn of_two_devices_that_change_the_key_at_once_one_wins() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let second = alice.with_device(&bench).await;
    let changes = [alice.key_change(&bench).await, second.key_change(&bench).await];
    let answers = tokio::join!(alice.change_key(&bench, &changes[0]), second.change_key(&bench, &changes[1]));
    let won: Vec<bool> = [&answers.0, &answers.1].map(|answer| answer.status == 200).to_vec();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let (late, winner) = if won[0] { (&answers.1, &changes[0]) } else { (&answers.0, &changes[1]) };
    assert_eq!(late.code(), ErrorCode::CertificateRefused);
    assert_eq!(present(&bench, &alice).await, winner.key.hash());
    // Later it never fits: the key that it replaces is not the present one.
    let (loser, lost) = if won[0] { (&second, &changes[1]) } else { (&alice, &changes[0]) };
    let next = loser.key_change(&bench).await;
    loser.change_key(&bench, &next).await.record::<Completed>();
    assert_eq!(loser.change_key(&bench, lost).await.code(), ErrorCode::CertificateRefused);
    // What is there already is answered as before, and changes nothing.
    let again = if won[0] { &alice } else { &second };
    again.change_key(&bench, winner).await.record::<Completed>();
    assert_eq!(present(&bench, &alice).await, next.key.hash());
    assert_eq!(given(&bench, &alice, &alice, &winner.key.hash()).await.unwrap().sealed, None);
}

#[tokio::test]
async fn a_key_changes_twenty_times_and_once_for_each_revoked_device() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    for _ in 0..KEY_CHANGES_MAX {
        let change = alice.key_change(&bench).await;
        alice.change_key(&bench, &change).await.record::<Completed>();
    }
    let late = alice.key_change(&bench).await;
    assert_eq!(alice.change_key(&bench, &late).await.code(), ErrorCode::CertificateRefused);
    let second = alice.with_device(&bench).await;
    alice.change(&bench, Body::DeviceRevoked { device: second.device }).await.record::<Completed>();
    alice.change_key(&bench, &alice.key_change(&bench).await).await.record::<Completed>();
    let late = alice.key_change(&bench).await;
    assert_eq!(alice.change_key(&bench, &late).await.code(), ErrorCode::CertificateRefused);
    alice.verified(&bench).await;
}

/// What leads back stays; boxes stay where nothing else leads to a key.
#[tokio::test]
async fn boxes_of_the_key_before_go_unless_nothing_else_leads_to_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let mut changes = Vec::new();
    for past in [true, true, false, true, false] {
        let mut change = alice.key_change(&bench).await;
        change.past = change.past.filter(|_| past);
        alice.change_key(&bench, &change).await.record::<Completed>();
        changes.push(change);
    }
    let mut held = Vec::new();
    for change in &changes {
        let KeyBox { sealed, past } = match given(&bench, &alice, &alice, &change.key.hash()).await {
            Ok(given) => given,
            Err(code) => {
                assert_eq!(code, ErrorCode::BoxUnknown);
                KeyBox { sealed: None, past: None }
            }
        };
        assert_eq!(past, change.past);
        held.push(sealed.is_some());
    }
    // The second's stayed when the third came without a past box, and went when the fifth did.
    assert_eq!(held, [false, false, false, true, true]);
}

#[tokio::test]
async fn a_box_is_added_and_replaced_by_whoever_saw_the_one_before() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let change = alice.key_change(&bench).await;
    alice.change_key(&bench, &change).await.record::<Completed>();
    let late = alice.with_device(&bench).await;
    let gone = alice.with_device(&bench).await;
    alice.change(&bench, Body::DeviceRevoked { device: gone.device }).await.record::<Completed>();
    let hash = change.key.hash();
    let put =
        async |by: &Member, of: &Member, hash: &KeyHash, replaces: Option<&ByteVec>, sealed: &ByteVec| {
            let replaces = replaces.map(|seen| Hash::of(&[seen]));
            let upload = KeyBoxUpload { replaces, sealed: sealed.clone() };
            let answer = by.put(&bench, &box_path(of, hash, &of.device), &upload).await;
            if answer.status == 204 { Ok(()) } else { Err(answer.code()) }
        };
    let [one, other, third] = [sealed(), sealed(), sealed()];
    use ErrorCode::{BoxConflict, BoxUnknown, BoxesRefused, KeyUnknown, NotAllowed, Revoked};
    assert_eq!(put(&bob, &late, &hash, None, &one).await, Err(NotAllowed));
    assert_eq!(put(&gone, &late, &hash, None, &one).await, Err(Revoked));
    assert_eq!(put(&alice, &late, &hash, Some(&other), &one).await, Err(BoxUnknown));
    for _ in 0..2 {
        assert_eq!(put(&alice, &late, &hash, None, &one).await, Ok(()));
    }
    let expected = Ok(KeyBox { sealed: Some(one.clone()), past: change.past.clone() });
    assert_eq!(given(&bench, &late, &late, &hash).await, expected);
    // Two replace the same one: the second hears that it has not seen the present one.
    assert_eq!(put(&late, &late, &hash, None, &other).await, Err(BoxConflict));
    assert_eq!(put(&late, &late, &hash, Some(&one), &other).await, Ok(()));
    assert_eq!(put(&alice, &late, &hash, Some(&one), &third).await, Err(BoxConflict));
    assert_eq!(put(&alice, &late, &hash, Some(&one), &other).await, Ok(()), "as good as done");
    assert_eq!(given(&bench, &alice, &late, &hash).await.unwrap().sealed, Some(other.clone()));

    let mut short = one.clone();
    short.pop();
    assert_eq!(put(&alice, &late, &hash, Some(&other), &short).await, Err(BoxesRefused));
    assert_eq!(put(&alice, &gone, &hash, None, &one).await, Err(BoxesRefused));
    let nobodys = Newcomer::new().member(&alice);
    let upload = KeyBoxUpload { replaces: None, sealed: one.clone() };
    for device in [&bob, &nobodys] {
        let answer = alice.put(&bench, &box_path(&alice, &hash, &device.device), &upload).await;
        assert_eq!(answer.code(), BoxesRefused);
    }
    let bobs_key = present(&bench, &bob).await;
    let devices_key = bob.verified(&bench).await.device(&alice.device).unwrap().encryption_key;
    for key in [bobs_key, devices_key, new_key().hash()] {
        assert_eq!(put(&alice, &late, &key, None, &one).await, Err(KeyUnknown));
    }
    // For a key that the user had.
    let first = bob.verified(&bench).await.user(&alice.user).unwrap().keys[0].key;
    assert_eq!(put(&alice, &late, &first, None, &one).await, Ok(()));

    // The revoked leave no boxes.
    alice.change(&bench, Body::DeviceRevoked { device: late.device }).await.record::<Completed>();
    for hash in [&hash, &first] {
        let given = given(&bench, &alice, &late, hash).await;
        assert!(given.is_err() || given.is_ok_and(|given| given.sealed.is_none()));
    }
}

/// Where its author never had the key before, or a restore lost the box.
#[tokio::test]
async fn a_box_with_the_key_before_is_put_back_and_replaced_by_whoever_saw_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let second = alice.with_device(&bench).await;
    let gone = alice.with_device(&bench).await;
    alice.change(&bench, Body::DeviceRevoked { device: gone.device }).await.record::<Completed>();
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let mut change = alice.key_change(&bench).await;
    change.past = None;
    alice.change_key(&bench, &change).await.record::<Completed>();
    let hash = change.key.hash();
    let put = async |by: &Member, hash: &KeyHash, replaces: Option<&ByteVec>, sealed: &ByteVec| {
        let replaces = replaces.map(|seen| Hash::of(&[seen]));
        let upload = KeyBoxUpload { replaces, sealed: sealed.clone() };
        let answer = by.put(&bench, &path::past_box(&alice.organisation, &alice.user, hash), &upload).await;
        if answer.status == 204 { Ok(()) } else { Err(answer.code()) }
    };
    let past = async || given(&bench, &second, &second, &hash).await.unwrap().past;
    let [one, other, third] = [sealed(), sealed(), sealed()];
    let (mut short, mut long) = (one.clone(), one.clone());
    short.pop();
    long.push(0);
    use ErrorCode::{BadRequest, BoxConflict, BoxUnknown, BoxesRefused, KeyUnknown, NotAllowed, Revoked};
    // Each refused for one reason; the box itself is then taken.
    assert_eq!(put(&bob, &hash, None, &one).await, Err(NotAllowed));
    assert_eq!(put(&gone, &hash, None, &one).await, Err(Revoked));
    assert_eq!(put(&alice, &hash, None, &short).await, Err(BoxesRefused));
    assert_eq!(put(&alice, &hash, None, &long).await, Err(BoxesRefused));
    assert_eq!(put(&alice, &hash, Some(&other), &one).await, Err(BoxUnknown));
    let bobs = present(&bench, &bob).await;
    let devices = bob.verified(&bench).await.device(&alice.device).unwrap().encryption_key;
    for key in [bobs, devices, new_key().hash()] {
        assert_eq!(put(&alice, &key, None, &one).await, Err(KeyUnknown));
    }
    let target = path::past_box(&alice.organisation, &alice.user, &hash);
    assert_eq!(alice.call(&bench, "PUT", &target, &[0x82]).await.code(), BadRequest);
    assert_eq!(past().await, None);
    for _ in 0..2 {
        assert_eq!(put(&second, &hash, None, &one).await, Ok(()));
    }
    assert_eq!(past().await, Some(one.clone()));
    // Of two that find it missing, or wrong, the late one hears that another is there.
    assert_eq!(put(&alice, &hash, None, &other).await, Err(BoxConflict));
    assert_eq!(put(&alice, &hash, Some(&one), &other).await, Ok(()));
    assert_eq!(put(&second, &hash, Some(&one), &third).await, Err(BoxConflict));
    assert_eq!(put(&second, &hash, Some(&one), &other).await, Ok(()), "as good as done");
    assert_eq!(past().await, Some(other.clone()));
    // No box of a device was touched.
    assert_eq!(given(&bench, &alice, &alice, &hash).await.unwrap().sealed, Some(box_for(&change, &alice)));
    alice.change(&bench, Body::UserRevoked { user: bob.user }).await.record::<Completed>();
    let own = path::past_box(&bob.organisation, &bob.user, &bobs);
    let upload = KeyBoxUpload { replaces: None, sealed: one };
    assert_eq!(bob.put(&bench, &own, &upload).await.code(), Revoked);
}

#[tokio::test]
async fn a_key_is_put_back_under_its_own_hash_where_the_log_names_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Outsider).await;
    let hash = present(&bench, &alice).await;
    let lost = key(&bench, &bob, &hash).await.unwrap();
    let put = async |by: &Member, hash: &KeyHash, body: &[u8]| {
        let answer = by.call(&bench, "PUT", &path::key(&by.organisation, hash), body).await;
        if answer.status == 204 { Ok(()) } else { Err(answer.code()) }
    };
    // As a repair from an exported log leaves it.
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    sql.execute("UPDATE encryption_key SET key = NULL", []).unwrap();
    assert_eq!(key(&bench, &bob, &hash).await, Err(ErrorCode::KeyUnknown));

    let other = new_key();
    assert_eq!(put(&bob, &hash, &codec::encode(&other)).await, Err(ErrorCode::KeyUnknown));
    assert_eq!(put(&bob, &other.hash(), &codec::encode(&other)).await, Err(ErrorCode::KeyUnknown));
    assert_eq!(key(&bench, &bob, &other.hash()).await, Err(ErrorCode::KeyUnknown));
    let record = codec::encode(&lost);
    let unsound = {
        let mut record = record.clone();
        let key = record.len() - lost.as_bytes().len();
        record[key..].fill(0);
        record
    };
    for noise in [&[][..], &record[..record.len() - 1], &unsound] {
        assert_eq!(put(&bob, &hash, noise).await, Err(ErrorCode::BadRequest));
    }
    assert_eq!(put(&bob, &hash, &vec![0; record.len() + 1]).await, Err(ErrorCode::TooLarge));
    for _ in 0..2 {
        assert_eq!(put(&bob, &hash, &record).await, Ok(()));
    }
    assert_eq!(key(&bench, &alice, &hash).await, Ok(lost));
    alice.change(&bench, Body::UserRevoked { user: bob.user }).await.record::<Completed>();
    assert_eq!(put(&bob, &hash, &record).await, Err(ErrorCode::Revoked));
    assert_eq!(key(&bench, &bob, &hash).await, Err(ErrorCode::Revoked));
}
