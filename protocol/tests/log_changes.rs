//! What a member's own program signs of changes: always what readers take, or nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Body, Envelope, Profile};
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::ids::Timestamp;
use support::{BEGINNING, Org, device, signing_key, user};

fn promote(number: u64) -> Body {
    Body::ProfileChange { user: user(number), profile: Profile::Administrator }
}

#[test]
fn a_change_stands_as_the_next_certificate_whatever_the_clock_says() {
    let mut org = Org::staffed();
    // Device 0 has spoken before, by a clock that was right.
    for (body, now) in [
        (promote(2), Timestamp(0)),
        (Body::DeviceRevoked { device: device(20) }, Timestamp(BEGINNING * 2)),
        (promote(3), Timestamp(BEGINNING)),
        (Body::UserRevoked { user: user(3) }, Timestamp(u64::MAX)),
        (Body::UserRevoked { user: user(2) }, Timestamp(1)),
    ] {
        let envelope = certify(&org.log, device(0), &signing_key(0), body.clone(), now).unwrap();
        let payload = Envelope::decode(&envelope).unwrap().payload().unwrap();
        assert_eq!((payload.seen, &payload.body), (org.log.head(), &body));
        assert!(payload.time >= now);
        org.log.push(&envelope).unwrap();
    }
    assert!(org.log.user(&user(2)).unwrap().revoked.is_some());
}

#[test]
fn what_readers_would_refuse_is_not_signed() {
    let org = Org::staffed();
    let say = |by: u64, key: u64, body| {
        certify(&org.log, device(by), &signing_key(key), body, Timestamp(BEGINNING))
    };
    for (by, key, body, fault) in [
        (2, 2, promote(3), Fault::NotAdministrator),
        (2, 2, Body::UserRevoked { user: user(3) }, Fault::NotAdministrator),
        (2, 2, Body::DeviceRevoked { device: device(3) }, Fault::NotAdministrator),
        (0, 0, promote(0), Fault::AboutOneself),
        (0, 0, promote(1), Fault::SameProfile),
        (0, 0, promote(77), Fault::SubjectUnknown),
        (0, 0, promote(4), Fault::SubjectRevoked),
        (0, 0, Body::DeviceRevoked { device: device(0) }, Fault::OwnDevice),
        (0, 0, Body::DeviceRevoked { device: device(10) }, Fault::SubjectRevoked),
        (4, 4, promote(3), Fault::AuthorRevoked),
        (77, 77, promote(3), Fault::AuthorUnknown),
        (0, 1, promote(3), Fault::BadSignature),
    ] {
        assert_eq!(say(by, key, body.clone()), Err(fault), "{by} {body:?}");
    }
    // One's own other device, without being an administrator.
    say(2, 2, Body::DeviceRevoked { device: device(20) }).unwrap();
}
