//! Profile changes and revocations: who may decide about whom; each rule broken alone
//! (docs/assurance.md, S2).
//!
//! A case is a certificate by an honest or hostile member that is right but for one thing. Each
//! case is shown together with its twin that lacks the fault and is accepted: so the fault, and
//! nothing else, is what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Author, Body, Profile};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::public_keys::Hash;
use support::{BEGINNING, By, Org, device, email, envelope, refused, refused_author, refused_body, user};

// --- profiles and revocations

fn demote(number: u64) -> Body {
    Body::ProfileChange { user: user(number), profile: Profile::Outsider }
}

#[test]
fn profile_change_by_others_than_administrators() {
    let org = Org::staffed();
    let promote = Body::ProfileChange { user: user(3), profile: Profile::Administrator };
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(0), promote.clone());
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(0), promote);
}

#[test]
fn profile_change_of_oneself() {
    refused_body(&Org::staffed(), By::Device(0), Fault::AboutOneself, demote(0), demote(1));
}

#[test]
fn profile_change_of_nobody() {
    refused_body(&Org::staffed(), By::Device(0), Fault::SubjectUnknown, demote(77), demote(1));
    refused_body(&Org::staffed(), By::Device(0), Fault::SubjectRevoked, demote(4), demote(1));
}

#[test]
fn profile_change_to_the_same() {
    refused_body(&Org::staffed(), By::Device(0), Fault::SameProfile, demote(3), demote(2));
}

#[test]
fn an_old_promotion_sent_again() {
    // Administrator 0 promotes user 2, administrator 1 takes it back; a server in league with user
    // 2 sends the first certificate again. Its author has said nothing since, so neither time nor
    // view went back.
    let mut org = Org::staffed();
    let promote = Body::ProfileChange { user: user(2), profile: Profile::Administrator };
    org.say(By::Device(0), promote.clone());
    let old = org.envelopes.last().unwrap().clone();
    org.say(By::Device(1), Body::ProfileChange { user: user(2), profile: Profile::Standard });
    refused(&org, Fault::StaleProfile, &old, &envelope(By::Device(0), &org.payload(By::Device(0), promote)));
}

#[test]
fn a_profile_change_that_crossed_another() {
    // Two administrators decide at once; the second to arrive did not know of the first.
    let mut org = Org::staffed();
    let change = |profile| Body::ProfileChange { user: user(2), profile };
    let before = org.payload(By::Device(1), change(Profile::Outsider));
    org.say(By::Device(0), change(Profile::Administrator));
    let after = org.payload(By::Device(1), change(Profile::Outsider));
    assert_eq!((before.seen.count, after.seen.count), (14, 15));
    let [before, after] = [before, after].map(|payload| envelope(By::Device(1), &payload));
    refused(&org, Fault::StaleProfile, &before, &after);
}

#[test]
fn user_revoked_by_others_than_administrators() {
    let org = Org::staffed();
    let body = Body::UserRevoked { user: user(1) };
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(0), body.clone());
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(0), body);
}

#[test]
fn user_revocation_of_oneself_of_nobody_and_twice() {
    let org = Org::staffed();
    let revoke = |number| Body::UserRevoked { user: user(number) };
    refused_body(&org, By::Device(0), Fault::AboutOneself, revoke(0), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectUnknown, revoke(77), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectRevoked, revoke(4), revoke(1));
}

#[test]
fn device_revoked_by_others() {
    let org = Org::staffed();
    let body = Body::DeviceRevoked { device: device(1) };
    refused_author(&org, Fault::NotAdministrator, By::Device(2), By::Device(0), body.clone());
    refused_author(&org, Fault::NotAdministrator, By::Device(3), By::Device(0), body);
}

#[test]
fn device_revocation_of_itself_of_nobody_and_twice() {
    let org = Org::staffed();
    let revoke = |number| Body::DeviceRevoked { device: device(number) };
    refused_body(&org, By::Device(2), Fault::OwnDevice, revoke(2), revoke(20));
    refused_body(&org, By::Device(0), Fault::OwnDevice, revoke(0), revoke(20));
    refused_body(&org, By::Device(0), Fault::SubjectUnknown, revoke(77), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectRevoked, revoke(10), revoke(1));
    refused_body(&org, By::Device(0), Fault::SubjectRevoked, revoke(4), revoke(1));
}

#[test]
fn all_kinds_but_the_keys_are_recorded() {
    let mut org = Org::staffed();
    org.say(By::Device(0), demote(2));
    org.say(By::Device(2), Body::DeviceRevoked { device: device(20) });
    let log = &org.log;
    let order: Vec<_> = log.users().map(|record| record.user).collect();
    assert_eq!(order, [0, 1, 2, 3, 4].map(user), "in the order of certification");
    let order: Vec<_> = log.devices().map(|record| record.device).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 20, 10].map(device), "in the order of certification");
    let record = log.user(&user(2)).unwrap();
    assert_eq!(
        (record.profile, record.position, record.author),
        (Profile::Outsider, 4, Author::Device(device(0)))
    );
    assert_eq!((record.email.clone(), record.certified), (email(2), Timestamp(BEGINNING + 4)));
    let revoked = |number| log.device(&device(number)).unwrap().revoked;
    assert_eq!(revoked(20), Some(Timestamp(BEGINNING + 15)));
    assert_eq!(revoked(4), Some(Timestamp(BEGINNING + 13)), "with its user");
    let mut later = org.clone();
    later.say(By::Device(0), Body::UserRevoked { user: user(2) });
    let revoked_later = |number| later.log.device(&device(number)).unwrap().revoked;
    assert_eq!(revoked_later(20), revoked(20), "not trusted since its own revocation, the earlier one");
    assert_eq!(revoked_later(2), Some(Timestamp(BEGINNING + 16)));
    assert_eq!((revoked(2), revoked(0)), (None, None));
    assert_eq!(log.user(&user(4)).unwrap().revoked, Some(Timestamp(BEGINNING + 13)));
    let head: Head = log.head();
    assert_eq!((head.count, log.head_at(head.count)), (16, Some(head)));
    assert_eq!(log.head_at(17), None);
    assert_ne!(head.hash, Hash::of(&[]));
}
