//! What a hostile server can do to a good log: everything but sign (docs/assurance.md, S1 to S5).
//!
//! Each test first shows that the honest log verifies, then that every manipulation of its kind is
//! noticed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Author, Body, Envelope, Payload, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::path::{Start, Subject, chain};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, UserId};
use support::{
    By, Org, device, device_body, encryption_key, envelope, organisation, read, root_key, signing_key, user,
    user_body,
};

#[test]
fn honest_logs_verify_whole_and_page_by_page() {
    let org = Org::staffed();
    let whole = read(&org.envelopes).unwrap();
    assert_eq!(whole.head(), org.log.head());
    for page in 1..=org.envelopes.len() {
        let mut log = Org::empty().log;
        for page in org.envelopes.chunks(page) {
            log = log.extended(page.iter().map(Vec::as_slice)).unwrap();
        }
        assert_eq!(log.head(), whole.head());
        assert!(log.users().eq(whole.users()) && log.devices().eq(whole.devices()));
    }
}

#[test]
fn duplicates() {
    // Every certificate, sent a second time at every later place.
    let org = Org::staffed();
    let mut refused = 0;
    for (at, envelope) in org.envelopes.iter().enumerate() {
        for place in at + 1..=org.envelopes.len() {
            let mut log = org.envelopes.clone();
            log.insert(place, envelope.clone());
            let error = read(&log).unwrap_err();
            assert_eq!(error.position, place as u64, "{at} again at {place}");
            refused += 1;
        }
    }
    println!("figure S5: {refused} certificates sent twice: all refused where they came again");
}

#[test]
fn reorder() {
    // Every certificate moved to every other place.
    let org = Org::staffed();
    let mut refused = 0;
    for from in 0..org.envelopes.len() {
        for to in (0..org.envelopes.len()).filter(|to| *to != from) {
            let mut log = org.envelopes.clone();
            let moved = log.remove(from);
            log.insert(to, moved);
            assert!(read(&log).is_err(), "{from} moved to {to}");
            refused += 1;
        }
    }
    println!("figure S5: {refused} certificates moved: all refused");
}

#[test]
fn drop() {
    // Every certificate left out. Only the last can be missing unnoticed: that is a rollback,
    // below.
    let org = Org::staffed();
    for at in 0..org.envelopes.len() - 1 {
        let mut log = org.envelopes.clone();
        log.remove(at);
        let error = read(&log).unwrap_err();
        assert_eq!(error.position, at as u64, "without {at}, the next one has seen another log");
    }
    println!(
        "figure S5: {} certificates left out, one at a time: the next one is refused",
        org.envelopes.len() - 1
    );
}

#[test]
fn rollback() {
    // Every earlier state verifies by itself, as it once was true; a reader that kept a later head
    // refuses it.
    let org = Org::staffed();
    let kept = org.log.head();
    for count in 0..org.envelopes.len() {
        let earlier = read(&org.envelopes[..count]).unwrap();
        assert!(!earlier.extends(&kept), "rolled back to {count}");
        assert!(org.log.extends(&earlier.head()), "going forward from {count} is fine");
    }
    assert!(org.log.extends(&kept));
    println!(
        "figure S3: rolled back to each of {} earlier states: all refused, also by who only kept the head",
        org.envelopes.len()
    );
}

#[test]
fn fork() {
    // Two pasts that differ in their last certificate: both are valid, but whoever has seen one can
    // neither read the other nor certify in it.
    let mut one = Org::staffed();
    let mut two = one.clone();
    one.say(By::Device(0), user_body(5, Profile::Standard));
    two.say(By::Device(0), user_body(6, Profile::Standard));
    assert!(!one.log.extends(&two.log.head()) && !two.log.extends(&one.log.head()));
    let by_one = envelope(By::Device(1), &one.payload(By::Device(1), user_body(7, Profile::Standard)));
    assert_eq!(one.fault(&by_one), Ok(()));
    assert_eq!(two.fault(&by_one), Err(Fault::ForkedView));
}

#[test]
fn withheld_revocation_shows_with_the_next_certificate_of_who_made_it() {
    let mut org = Org::staffed();
    let mut without = org.clone();
    org.say(By::Device(0), Body::DeviceRevoked { device: device(20) });
    org.say(By::Device(0), user_body(5, Profile::Standard));
    let after = org.envelopes.last().unwrap();
    assert_eq!(without.log.push(after).unwrap_err().fault, Fault::SeenAhead);
    without.say(By::Device(20), device_body(21, 2));
    assert_eq!(without.log.push(after).unwrap_err().fault, Fault::ForkedView);
}

#[test]
fn every_public_key_replaced() {
    // S1, for each key of each member: the reader names the certificate.
    let org = Org::staffed();
    let mut replaced = 0;
    for (at, original) in org.envelopes.iter().enumerate() {
        let mut parts = Envelope::decode(original).unwrap();
        let mut payload = parts.payload().unwrap();
        match &mut payload.body {
            Body::User { encryption_key: key, .. } => *key = encryption_key(900),
            Body::Device { verify_key: key, .. } => *key = signing_key(900).verify_key(),
            Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => continue,
        }
        parts.payload = codec::encode(&payload).into();
        let mut log = org.envelopes.clone();
        log[at] = codec::encode(&parts);
        let error = read(&log).unwrap_err();
        assert_eq!((error.position, error.fault), (at as u64, Fault::BadSignature));
        replaced += 1;
    }
    assert_eq!(replaced, 12);
    println!(
        "figure S1: {replaced} public keys of members replaced, one at a time: all refused, the certificate named"
    );
}

#[test]
fn the_root_replaced() {
    let org = Org::staffed();
    let other = VerifiedLog::empty(organisation(), root_key(1).verify_key());
    let error = other.extended(org.envelopes.iter().map(Vec::as_slice)).unwrap_err();
    assert_eq!((error.position, error.fault), (0, Fault::BadSignature));
    println!("figure S1: the root key replaced: refused at certificate 0");
}

#[test]
fn extended_leaves_the_original_as_it_was() {
    let org = Org::staffed();
    let before = (org.log.head(), org.log.users().count(), org.log.devices().count());
    let good = envelope(By::Device(0), &org.payload(By::Device(0), user_body(5, Profile::Standard)));
    let further = org.log.extended([good.as_slice()]).unwrap();
    assert_eq!(further.head().count, before.0.count + 1);
    let error = org.log.extended([good.as_slice(), good.as_slice()]).unwrap_err();
    assert_eq!(error.position, before.0.count + 1);
    assert_eq!(before, (org.log.head(), org.log.users().count(), org.log.devices().count()));
}

/// A founded organisation and then `depth` certificates, each by the device of the one before:
/// administrator 0 certifies 1, who certifies 2, and so on. Made here with few objects, since the
/// log is long.
fn deep(depth: u64) -> Org {
    let mut org = Org::founded();
    for number in 1..=depth / 2 {
        org.say(By::Device(number - 1), user_body(number, Profile::Administrator));
        org.say(By::Device(number - 1), device_body(number, number));
    }
    org
}

#[test]
fn depth_10_000() {
    // Each author depends on all before it. Nothing recurses: the log is read once, forwards, and
    // so is the chain.
    let org = deep(10_000);
    let log = read(&org.envelopes).unwrap();
    assert_eq!(log.head().count, 10_002);
    let links = chain(&log, Start::Device(device(5_000)));
    assert_eq!(links.len(), 10_002, "every one of them has to be believed");
    assert_eq!(links.last().unwrap().author, Author::Root);
    println!("figure S2: a chain of 10,000 authors: read, {} links to the root", links.len());
}

#[test]
fn a_chain_leads_to_the_root() {
    let mut org = Org::staffed();
    org.say(By::Device(20), device_body(21, 2));
    let log = &org.log;
    // Device 21 by 20, by 2 (all of user 2), certified with its user by device 0, certified with
    // its user by the root.
    let links = chain(log, Start::Device(device(21)));
    let positions: Vec<_> = links.iter().map(|link| link.position).collect();
    assert_eq!(positions, [14, 10, 5, 4, 1, 0]);
    assert!(positions.is_sorted_by(|a, b| a > b));
    assert_eq!(links[0].subject, Subject::Device(device(21), signing_key(21).verify_key()));
    assert_eq!(links[3].subject, Subject::User(user(2), encryption_key(2)));
    assert_eq!(links[0].author, Author::Device(device(20)));
    assert_eq!(links[3].author_key, signing_key(0).verify_key());
    assert_eq!(links[5].author_key, root_key(0).verify_key());
    // Each link's signature is the one that was checked.
    for link in &links {
        let envelope = Envelope::decode(&org.envelopes[usize::try_from(link.position).unwrap()]).unwrap();
        envelope.verify(&link.author_key).unwrap();
        let payload: Payload = envelope.payload().unwrap();
        assert_eq!((payload.author, payload.time), (link.author, link.time));
    }
    let links = chain(log, Start::User(user(4)));
    assert_eq!(links.iter().map(|link| link.position).collect::<Vec<_>>(), [8, 1, 0]);
    assert!(links[0].revoked.is_some() && links[1].revoked.is_none());
    assert!(chain(log, Start::User(UserId::from_bytes([0; 16]))).is_empty());
    assert!(chain(log, Start::Device(DeviceId::from_bytes([0; 16]))).is_empty());
}
