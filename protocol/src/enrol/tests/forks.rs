//! Two histories shown to two members: found at the first head that goes from one to the other,
//! whichever way it goes.
//!
//! A server can't sign. What it can do is to keep certificates from some, or to give those that
//! were made at the same time to one member in this order and to another in that. Each history then
//! is sound by itself; that there are two shows when a member of the one meets a head of the other:
//! in a certificate's `seen`, in message 7, or by itself, as it is in receipts and in what a device
//! has kept.

use super::vouching::{Second, let_in};
use super::*;
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{Author, Body, Payload, SEALED_NAME_BYTES};
use crate::ids::{DeviceId, UserId};
use crate::keys::random;

/// Forks: usually, and for the figure.
const FORKS: (u64, u64) = (300, 10_000);

/// Seeds of the ceremonies: away from Carol's, whose keys would be drawn again.
const FIRST: u64 = 1 << 32;

/// One history as one member knows it.
#[derive(Clone)]
struct History {
    log: VerifiedLog,
    envelopes: Vec<Vec<u8>>,
}

impl History {
    fn append(&mut self, envelope: Vec<u8>) {
        self.log.push(&envelope).unwrap();
        self.envelopes.push(envelope);
    }
}

/// Who signs.
struct Member<'a> {
    device: DeviceId,
    key: &'a DeviceSigningKey,
}

impl Member<'_> {
    /// A new member, by somebody who has seen this head.
    fn certificate(&self, seen: Head, rng: &mut SeededRng) -> Vec<u8> {
        let number = rng.below(u64::MAX);
        let body = Body::User {
            user: UserId::from_bytes(random(rng).unwrap()),
            email: format!("m{number:x}@acme.example").parse().unwrap(),
            sealed_name: vec![7; SEALED_NAME_BYTES].into(),
            encryption_key: UserSeed::random(rng).unwrap().encryption_key().hash(),
            profile: Profile::Standard,
        };
        let author = Author::Device(self.device);
        let payload = Payload { organisation: "acme".parse().unwrap(), author, time: START, seen, body };
        payload.sign_with(|context, message| self.key.sign(context, message))
    }
}

/// Splits a history in two, as a server can.
fn split(past: &History, alice: &Member<'_>, carol: &Member<'_>, rng: &mut SeededRng) -> (History, History) {
    let (mut one, mut two) = (past.clone(), past.clone());
    let seen = past.log.head();
    // Made at the same time, by two who know nothing of each other yet.
    let (by_alice, by_carol) = (alice.certificate(seen, rng), carol.certificate(seen, rng));
    match rng.below(3) {
        // Each member sees their own.
        0 => {
            one.append(by_alice);
            two.append(by_carol);
        }
        // Both see both, in another order.
        1 => {
            one.append(by_alice.clone());
            one.append(by_carol.clone());
            two.append(by_carol);
            two.append(by_alice);
        }
        // One is kept from one member.
        _ => {
            one.append(by_alice);
            one.append(by_carol.clone());
            two.append(by_carol);
        }
    }
    // Both sides go on for a while, among themselves.
    for (history, author) in [(&mut one, alice), (&mut two, carol)] {
        for _ in 0..rng.below(4) {
            let next = author.certificate(history.log.head(), rng);
            history.append(next);
        }
    }
    (one, two)
}

#[test]
fn a_fork_is_found_at_the_first_head_that_is_exchanged() {
    let mut org = acme();
    let Second { device, signing_key, .. } =
        let_in(&mut org, "carol@acme.example", Profile::Administrator, 90);
    let past = History { log: org.log.clone(), envelopes: org.envelopes.clone() };
    let count = runs(FORKS.0, FORKS.1);
    let mut found = [0u64; 3];
    for seed in 0..count {
        let mut rng = SeededRng::new(seed ^ 0xf0_4b);
        let mut past = past.clone();
        let key = DeviceSigningKey::from_bytes(&mut { *org.signing_key.expose() });
        let alice = Member { device: org.device, key: &key };
        let carol = Member { device, key: &signing_key };
        for _ in 0..rng.below(3) {
            let next = alice.certificate(past.log.head(), &mut rng);
            past.append(next);
        }
        let (one, two) = split(&past, &alice, &carol, &mut rng);

        // A head by itself.
        assert!(one.log.extends(&past.log.head()) && two.log.extends(&past.log.head()), "{seed}");
        found[0] += u64::from(!one.log.extends(&two.log.head()) && !two.log.extends(&one.log.head()));

        // In the next certificate of a member of either side.
        let by_alice = alice.certificate(one.log.head(), &mut rng);
        let by_carol = carol.certificate(two.log.head(), &mut rng);
        let fits = |history: &History, next: &Vec<u8>| history.log.extended([next.as_slice()]).is_ok();
        assert!(fits(&one, &by_alice) && fits(&two, &by_carol), "{seed}: the control");
        found[1] += u64::from(!fits(&two, &by_alice) && !fits(&one, &by_carol));

        // In message 7: Alice greets by her history, and the newcomer is shown the other.
        (org.log, org.envelopes) = (one.log.clone(), one.envelopes.clone());
        let mut pair = Pair::fair(&org, &org.bob(), false, FIRST + seed);
        pair.run_to(&org, Point::Log);
        let asked = pair.c.need_log.unwrap() as usize;
        pair.tell_claimer(ClaimerInput::Log(two.envelopes.iter().take(asked).cloned().collect())).unwrap();
        assert!(pair.c.kept.is_none(), "{seed}");
        found[2] += u64::from(pair.c.closed == Some(Closed::ChainInvalid));
        // The control: with the greeter's own history the newcomer comes in.
        if seed.is_multiple_of(50) {
            let mut pair = Pair::fair(&org, &org.bob(), false, FIRST + seed);
            pair.run_to(&org, Point::Saved);
            assert!(pair.c.kept.is_some(), "{seed}: the control");
        }
    }
    println!(
        "figure S4: {count} forks, seeds 0 to {}: found at the first head exchanged alone {}, in a certificate {}, in message 7 {}",
        count - 1,
        found[0],
        found[1],
        found[2]
    );
    assert_eq!(found, [count; 3]);
}
