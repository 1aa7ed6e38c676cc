//! Whoever sits in the middle, and whoever lies at an end.

use super::super::messages::{self, Commit, GreeterReply, Nonce, RECOGNISED, Recognised, Reveal};
use super::super::proofs;
use super::peers::{FalseClaimer, FalseGreeter};
use super::*;
use crate::enrol::dishonest::FalseKeys;
use crate::limits::MESSAGE_WAIT_SECONDS;
use crate::public_keys::Hash;

/// A CBOR array of one byte string of this length.
fn one_string(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    minicbor::Encoder::new(&mut out).array(1).unwrap().bytes(&vec![1; length]).unwrap();
    out
}

#[test]
fn nonces_and_commitments_have_32_bytes() {
    let org = acme();
    let prologue = org.bob();
    let lengths = [0, 1, 31, 33, 64, 60_000];
    for length in lengths {
        let mut pair = Pair::fair(&org, &prologue, false, 7);
        FalseClaimer::against(&mut pair, &prologue).say(&mut pair, 2, &one_string(length));
        assert_eq!(pair.g.closed, Some(Closed::BadMessage { step: 2 }), "{length}");

        let mut pair = Pair::fair(&org, &prologue, false, 7);
        let mut mallory = FalseClaimer::against(&mut pair, &prologue);
        mallory.say(&mut pair, 2, &one_string(32));
        mallory.say(&mut pair, 4, &one_string(length));
        assert_eq!(pair.g.closed, Some(Closed::BadMessage { step: 4 }), "{length}");

        let mut pair = Pair::fair(&org, &prologue, false, 7);
        let mut mallory = FalseGreeter::against(&mut pair, &prologue);
        let mut reply = Vec::new();
        let mut e = minicbor::Encoder::new(&mut reply);
        e.array(3).unwrap().bytes(&vec![1; length]).unwrap().bytes(&[2; 32]).unwrap().bool(false).unwrap();
        mallory.say(&mut pair, 3, &reply);
        assert_eq!(pair.c.closed, Some(Closed::BadMessage { step: 3 }), "{length}");
        assert!(pair.c.shown.is_none());
    }
    // 1 MiB is more than a message.
    let mut pair = Pair::fair(&org, &prologue, false, 7);
    let _mallory = FalseClaimer::against(&mut pair, &prologue);
    pair.tell_greeter(to_greeter(2, &vec![1; 1 << 20])).unwrap();
    assert_eq!(pair.g.closed, Some(Closed::BadMessage { step: 2 }));
    println!("figure M6: nonces and commitment of {lengths:?} and 1048576 bytes: all refused");
}

#[test]
fn a_nonce_that_was_not_committed_to_opens_nothing() {
    let org = acme();
    let prologue = org.bob();
    let mut pair = Pair::fair(&org, &prologue, false, 8);
    let mut mallory = FalseClaimer::against(&mut pair, &prologue);
    let commitment = proofs::commitment(&[1; 32], mallory.end.channel.handshake());
    mallory.say(&mut pair, 2, &crate::codec::encode(&Commit { commitment }));
    // With the greeter's nonce known, this is where one would search for a nonce with the wanted
    // code.
    mallory.say(&mut pair, 4, &crate::codec::encode(&Reveal { nonce: Nonce([2; 32]) }));
    assert_eq!(pair.g.closed, Some(Closed::CommitmentBroken));
    assert!(pair.g.asked.is_none());
    // Nor does a nonce that was said before: the greeter's own.
    let mut pair = Pair::fair(&org, &prologue, false, 8);
    let mut mallory = FalseClaimer::against(&mut pair, &prologue);
    mallory.say(&mut pair, 2, &one_string(32));
    let reply: GreeterReply = messages::open(&mut mallory.end.channel, 3, &pair.g.message(3)).unwrap();
    mallory.say(&mut pair, 4, &crate::codec::encode(&Reveal { nonce: reply.nonce }));
    assert_eq!(pair.g.closed, Some(Closed::CommitmentBroken));
}

#[test]
fn a_commitment_of_another_ceremony_opens_nothing() {
    let org = acme();
    let prologue = org.bob();
    let mut pair = Pair::fair(&org, &prologue, false, 9);
    let mut mallory = FalseClaimer::against(&mut pair, &prologue);
    let commitment = proofs::commitment(&[1; 32], &Hash::from_bytes([0; 32]));
    mallory.say(&mut pair, 2, &crate::codec::encode(&Commit { commitment }));
    mallory.say(&mut pair, 4, &crate::codec::encode(&Reveal { nonce: Nonce([1; 32]) }));
    assert_eq!(pair.g.closed, Some(Closed::CommitmentBroken));
}

// --- M7: reflection, roles, splicing, replay

#[test]
fn own_messages_come_back_as_nothing_good() {
    let org = acme();
    for step in 0..=8u8 {
        let mut pair = Pair::fair(&org, &org.bob(), false, 10);
        pair.run_to(&org, Point::Message(step));
        if step.is_multiple_of(2) {
            let own = pair.c.message(step);
            // Under its own number, and as the answer that is awaited.
            let mut other = Pair::fair(&org, &org.bob(), false, 10);
            other.run_to(&org, Point::Message(step));
            if pair.c.done {
                continue;
            }
            pair.tell_claimer(to_claimer(step, &own)).unwrap();
            other.tell_claimer(to_claimer(step + 1, &own)).unwrap();
            assert!(pair.c.closed.is_some() && other.c.closed.is_some(), "step {step}");
        } else {
            let own = pair.g.message(step);
            let mut other = Pair::fair(&org, &org.bob(), false, 10);
            other.run_to(&org, Point::Message(step));
            pair.tell_greeter(to_greeter(step, &own)).unwrap();
            other.tell_greeter(to_greeter(step + 1, &own)).unwrap();
            assert!(pair.g.closed.is_some() && other.g.closed.is_some(), "step {step}");
        }
    }
}

#[test]
fn two_claimers_or_two_greeters_get_nowhere() {
    let org = acme();
    let mut one = Pair::fair(&org, &org.bob(), false, 11);
    let two = Pair::fair(&org, &org.bob(), false, 12);
    one.tell_claimer(to_claimer(1, &two.c.message(0))).unwrap();
    assert_eq!(one.c.closed, Some(Closed::WrongLink));

    let mut three = Pair::fair(&org, &org.bob(), false, 13);
    let mut four = Pair::fair(&org, &org.bob(), false, 14);
    three.deliver(0);
    four.tell_greeter(to_greeter(0, &three.g.message(1))).unwrap();
    assert_eq!(four.g.closed, Some(Closed::WrongLink));
}

#[test]
fn two_ceremonies_cannot_be_spliced_and_an_old_one_not_replayed() {
    let org = acme();
    let mut old = Pair::fair(&org, &org.bob(), false, 15);
    old.run_to(&org, Point::End);
    for step in 1..=8u8 {
        let mut new = Pair::fair(&org, &org.bob(), false, 16);
        new.run_to(&org, Point::Message(step));
        if step.is_multiple_of(2) {
            new.tell_greeter(to_greeter(step, &old.c.message(step))).unwrap();
            assert!(new.g.closed.is_some(), "step {step}");
        } else {
            new.tell_claimer(to_claimer(step, &old.g.message(step))).unwrap();
            assert!(new.c.closed.is_some(), "step {step}");
        }
        assert!(new.g.published.is_none());
    }
    // A replayed message 0 is answered, and leads nowhere: its sender can't say message 2.
    let mut new = Pair::fair(&org, &org.bob(), false, 17);
    new.tell_greeter(to_greeter(0, &old.c.message(0))).unwrap();
    new.tell_greeter(to_greeter(2, &old.c.message(2))).unwrap();
    assert_eq!(new.g.closed, Some(Closed::BadMessage { step: 2 }));
}

// --- M8, M12: the codes

/// One in the middle with link and prologue: two channels, one to each side, the whole protocol
/// spoken honestly on both.
#[test]
fn one_in_the_middle_is_seen_by_the_codes() {
    let org = acme();
    let prologue = org.bob();
    for seed in 0..50 {
        let mut pair = Pair::fair(&org, &prologue, false, 1_000 + seed);
        let mut to_alice = FalseClaimer::against(&mut pair, &prologue);
        let mut to_bob = FalseGreeter::against(&mut pair, &prologue);
        to_alice.up_to_codes(&mut pair, [1; 32]);
        let reply = GreeterReply {
            nonce: Nonce([2; 32]),
            root_commitment: Hash::from_bytes([3; 32]),
            typing_required: false,
        };
        to_bob.say(&mut pair, 3, &crate::codec::encode(&reply));
        // Alice hears Bob's true voice.
        let heard = pair.c.shown.unwrap();
        pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(heard))).unwrap();
        assert_eq!(pair.g.closed, Some(Closed::CodeMismatch));
        assert!(nothing_was_signed(&pair.g) && !pair.g.sent.iter().any(|(step, _)| *step == 5));
    }
}

/// The same, and the guess of 20 bits came true: Alice's check passes. Bob's doesn't, so he never
/// says aloud that he found the code, and nothing gets signed.
#[test]
fn half_the_bits_guessed_sign_nothing() {
    let org = acme();
    let prologue = org.bob();
    let mut pair = Pair::fair(&org, &prologue, false, 18);
    let mut to_alice = FalseClaimer::against(&mut pair, &prologue);
    let mut to_bob = FalseGreeter::against(&mut pair, &prologue);
    let codes = to_alice.up_to_codes(&mut pair, [1; 32]);
    let reply = GreeterReply {
        nonce: Nonce([2; 32]),
        root_commitment: Hash::from_bytes([3; 32]),
        typing_required: false,
    };
    to_bob.say(&mut pair, 3, &crate::codec::encode(&reply));
    // By force: what Alice hears is what Mallory needs.
    pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
    assert!(pair.g.closed.is_none() && pair.g.shown.is_some());
    to_bob.say(&mut pair, 5, &crate::codec::encode(&Recognised { word: RECOGNISED }));
    // Bob hears Alice's true voice.
    let heard = pair.g.shown.unwrap();
    pair.tell_claimer(ClaimerInput::Code(CodeAnswer::Typed(heard))).unwrap();
    assert_eq!(pair.c.closed, Some(Closed::CodeMismatch));
    // Mallory goes on alone, with keys of its own; Alice has heard nothing.
    let keys = FalseKeys::random(&mut pair.entropy).unwrap();
    let bytes = to_alice.end.introduce(Some(label("Bob")), label("desk"), &keys);
    pair.tell_greeter(to_greeter(6, &bytes)).unwrap();
    assert!(pair.g.asked_approval);
    let unheard = Approval { claimer_confirmed: false, ..org.approval() };
    assert_eq!(pair.tell_greeter(GreeterInput::Approve(unheard)), Err(Refused::NotConfirmed));
    assert!(nothing_was_signed(&pair.g));
}

#[test]
fn a_wrong_choice_is_final_and_sends_nothing() {
    let org = acme();
    for seed in 0..20 {
        for side in 0..2 {
            for none in [false, true] {
                let mut pair = Pair::fair(&org, &org.bob(), false, seed);
                pair.run_to(&org, if side == 0 { Point::GreeterCode } else { Point::ClaimerCode });
                let (question, truth) = if side == 0 {
                    (pair.g.asked.unwrap(), pair.c.shown.unwrap())
                } else {
                    (pair.c.asked.unwrap(), pair.g.shown.unwrap())
                };
                let CodeQuestion::PickOrType(four) = question else { panic!() };
                let wrong = *four.iter().find(|one| **one != truth).unwrap();
                let answer = if none { CodeAnswer::NoneFits } else { CodeAnswer::Picked(wrong) };
                let (before, closed) = if side == 0 {
                    let before = pair.g.sent.len();
                    pair.tell_greeter(GreeterInput::Code(answer)).unwrap();
                    assert_eq!(pair.g.sent.len(), before);
                    let again = pair.tell_greeter(GreeterInput::Code(CodeAnswer::Picked(truth)));
                    assert_eq!(again, Err(Refused::NotNow));
                    (before, pair.g.closed)
                } else {
                    let before = pair.c.sent.len();
                    pair.tell_claimer(ClaimerInput::Code(answer)).unwrap();
                    assert_eq!(pair.c.sent.len(), before);
                    let again = pair.tell_claimer(ClaimerInput::Code(CodeAnswer::Picked(truth)));
                    assert_eq!(again, Err(Refused::NotNow));
                    (before, pair.c.closed)
                };
                assert!(before > 0);
                assert_eq!(closed, Some(Closed::CodeMismatch));
                assert!(nothing_was_signed(&pair.g));
            }
        }
    }
    println!(
        "figure M8: 80 wrong codes or none, on either side, seeds 0 to 19: 80 attempts over, 0 keys sent, 0 second answers"
    );
}

// --- M10, M11: time and forgery

#[test]
fn every_wait_ends_and_message_8_may_take_its_time() {
    let org = acme();
    for point in POINTS {
        let mut pair = Pair::fair(&org, &org.bob(), false, 19);
        pair.run_to(&org, *point);
        let waits = !matches!(point, Point::Log | Point::Saved | Point::Message(7 | 8) | Point::End);
        pair.now = START.plus_seconds(MESSAGE_WAIT_SECONDS);
        pair.now.0 -= 1;
        pair.tell_claimer(ClaimerInput::Tick).unwrap();
        pair.tell_greeter(GreeterInput::Tick).unwrap();
        assert_eq!((pair.c.closed, pair.g.closed), (None, None), "{point:?}");
        pair.now.0 += 1;
        // Not the timer but whatever comes first.
        let late = pair.tell_claimer(ClaimerInput::Code(CodeAnswer::NoneFits));
        pair.tell_greeter(GreeterInput::Tick).unwrap();
        if waits {
            assert_eq!((late, pair.c.closed), (Ok(()), Some(Closed::TimedOut)), "{point:?}");
            assert_eq!(pair.g.closed, Some(Closed::TimedOut), "{point:?}");
            assert!(pair.g_state().contains("nothing: it is over"));
        } else {
            assert_eq!(pair.g.closed, None, "{point:?}");
        }
    }
    let mut pair = Pair::fair(&org, &org.bob(), false, 19);
    pair.run_to(&org, Point::Saved);
    pair.now = START.plus_seconds(86_400 * 30);
    pair.tell_greeter(GreeterInput::Tick).unwrap();
    pair.tell_claimer(ClaimerInput::Tick).unwrap();
    pair.tell_claimer(ClaimerInput::Saved).unwrap();
    pair.deliver(8);
    assert!(pair.g.published.is_some());
}

#[test]
fn a_server_cannot_say_recognised_or_anything_else() {
    let org = acme();
    let plain = crate::codec::encode(&Recognised { word: RECOGNISED });
    let mut padded = plain.clone();
    padded.resize(plain.len() + 16, 0);
    for forged in [plain, padded, Vec::new(), vec![0; 18], vec![0xff; 18]] {
        let mut pair = Pair::fair(&org, &org.bob(), false, 20);
        pair.run_to(&org, Point::GreeterCode);
        pair.tell_claimer(to_claimer(5, &forged)).unwrap();
        assert_eq!(pair.c.closed, Some(Closed::BadMessage { step: 5 }));
        assert!(pair.c.asked.is_none());
    }
    // And a greeter that says another word is not understood.
    for word in [0, 2, 23] {
        let prologue = org.bob();
        let mut pair = Pair::fair(&org, &prologue, false, 20);
        let mut mallory = FalseGreeter::against(&mut pair, &prologue);
        let reply = GreeterReply {
            nonce: Nonce([2; 32]),
            root_commitment: Hash::from_bytes([3; 32]),
            typing_required: false,
        };
        mallory.say(&mut pair, 3, &crate::codec::encode(&reply));
        mallory.say(&mut pair, 5, &crate::codec::encode(&Recognised { word }));
        assert_eq!(pair.c.closed, Some(Closed::BadMessage { step: 5 }));
        assert!(pair.c.asked.is_none());
    }
}

/// Somebody who has the link can seal anything. Whatever it is, the machine closes or goes on, and
/// signs nothing.
#[test]
fn anything_under_a_good_seal_is_read_without_harm() {
    let org = acme();
    let prologue = org.bob();
    let mut rng = SeededRng::new(21);
    // Beginnings that get deep into the decoder: arrays, byte strings and texts of the lengths the
    // records have.
    let heads: &[&[u8]] =
        &[&[0x81, 0x58, 0x20], &[0x83, 0x58, 0x20], &[0x82, 0x84], &[0x8a, 0x50], &[0x8b, 0x50], &[]];
    for _ in 0..400 {
        let mut plaintext = heads[rng.below(heads.len() as u64) as usize].to_vec();
        let mut rest = vec![0; rng.below(120) as usize];
        rng.fill(&mut rest).unwrap();
        plaintext.extend(rest);

        let mut pair = Pair::fair(&org, &prologue, false, 22);
        let mut claimer = FalseClaimer::against(&mut pair, &prologue);
        let point = rng.below(3);
        if point > 0 {
            let codes = claimer.up_to_codes(&mut pair, [1; 32]);
            pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(codes.claimer))).unwrap();
            claimer.say(&mut pair, 6, &plaintext);
            assert_eq!(pair.g.closed, Some(Closed::BadMessage { step: 6 }));
        } else {
            claimer.say(&mut pair, 2, &plaintext);
            // 32 bytes of the right form are a commitment to something.
            assert!(matches!(pair.g.closed, None | Some(Closed::BadMessage { step: 2 })));
        }
        assert!(nothing_was_signed(&pair.g));

        let mut pair = Pair::fair(&org, &prologue, false, 23);
        let mut greeter = FalseGreeter::against(&mut pair, &prologue);
        greeter.say(&mut pair, 3, &plaintext);
        assert!(matches!(pair.c.closed, None | Some(Closed::BadMessage { step: 3 })));
        assert!(pair.c.kept.is_none());
    }
}
