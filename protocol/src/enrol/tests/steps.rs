//! The honest ceremony, and inputs that don't fit.

use super::*;
use crate::name_keys::NameKeys as _;

#[test]
fn a_new_user_comes_in() {
    let org = acme();
    let mut pair = Pair::fair(&org, &org.bob(), false, 1);
    pair.run_to(&org, Point::End);
    let device = pair.c.kept.as_ref().unwrap();
    let publication = pair.g.published.as_ref().unwrap();
    assert!(pair.c.done && pair.c.closed.is_none() && pair.g.closed.is_none());
    assert_eq!(device.certificates, publication.certificates);
    assert_eq!(device.receipt, publication.receipt);
    let log = org.log.extended(publication.certificates.iter().map(Vec::as_slice)).unwrap();
    let (user, record) = (log.user(&device.user).unwrap(), log.device(&device.device).unwrap());
    assert_eq!(user.encryption_key, device.user_seed.encryption_key().hash());
    assert_eq!(record.verify_key, device.signing_key.verify_key());
    assert_eq!((user.profile, device.profile), (Profile::Standard, Profile::Standard));
    assert_eq!((device.name.as_str(), device.device_label.as_str()), ("Bob", "desk"));
    assert_eq!(device.directory_keys.sealing().1.expose(), org.directory_keys.sealing().1.expose());
    assert_eq!(device.root, org.root);
    assert!(device.first_device && !device.typed_codes);
}

#[test]
fn a_second_device_comes_in() {
    let org = acme();
    let mut pair = Pair::fair(&org, &org.second_device(), true, 2);
    pair.run_to(&org, Point::End);
    let device = pair.c.kept.as_ref().unwrap();
    assert_eq!(pair.g.published.as_ref().unwrap().certificates.len(), 1);
    assert_eq!(device.user_seed.expose(), org.user_seed.expose());
    assert_eq!(device.user, org.user);
    assert_eq!((device.name.as_str(), device.profile), ("Alice", Profile::Administrator));
    assert!(!device.first_device && device.typed_codes);
}

/// Whatever doesn't fit is refused or passed over, and the ceremony then goes on as if nothing had
/// been said.
#[test]
fn a_refused_input_leaves_everything_as_it_was() {
    let org = acme();
    for (prologue, typed, seed) in
        [(org.bob(), false, 30), (org.bob(), true, 31), (org.second_device(), false, 32)]
    {
        let mut plain = Pair::fair(&org, &prologue, typed, seed);
        let mut pestered = Pair::fair(&org, &prologue, typed, seed);
        for point in POINTS {
            pester(&org, &mut pestered, *point);
            plain.pass(&org, *point);
            pestered.pass(&org, *point);
            // The same bytes, shown codes and questions, at every point: nothing random was drawn
            // in between either.
            assert_eq!(plain.c.sent, pestered.c.sent, "{point:?}");
            assert_eq!(plain.g.sent, pestered.g.sent, "{point:?}");
        }
        assert!(pestered.c.done && pestered.g.published.is_some());
    }
}

fn pester(org: &Organisation, pair: &mut Pair, point: Point) {
    let odd: SasCode = "ZZZZ".parse().unwrap();
    if point != Point::ClaimerCode {
        let typed = pair.tell_claimer(ClaimerInput::Code(CodeAnswer::Typed(odd)));
        assert_eq!(typed, Err(Refused::NotNow), "{point:?}");
    } else {
        let own = pair.c.shown.unwrap();
        assert_eq!(pair.tell_claimer(ClaimerInput::Code(CodeAnswer::Typed(own))), Err(Refused::OwnCode));
        assert!(pair.tell_claimer(ClaimerInput::Code(CodeAnswer::Picked(odd))).is_err());
    }
    if point != Point::GreeterCode {
        let typed = pair.tell_greeter(GreeterInput::Code(CodeAnswer::Typed(odd)));
        assert_eq!(typed, Err(Refused::NotNow), "{point:?}");
    } else {
        assert!(pair.tell_greeter(GreeterInput::Code(CodeAnswer::Picked(odd))).is_err());
    }
    let wrong_name = (!pair.new_user).then(|| label("Bob"));
    let identity = ClaimerInput::Identity { name: wrong_name, device_label: label("desk") };
    let expected = if point == Point::Identity { Refused::WrongIdentity } else { Refused::NotNow };
    assert_eq!(pair.tell_claimer(identity), Err(expected), "{point:?}");
    if point == Point::Identity {
        let name = pair.new_user.then(|| label("Bob"));
        let identity = ClaimerInput::Identity { name, device_label: label("desk") };
        assert_eq!(pair.claimer.step(identity, START, &mut Dry).err(), Some(Refused::NoEntropy));
    }
    if point != Point::Log {
        assert_eq!(pair.tell_claimer(ClaimerInput::Log(Vec::new())), Err(Refused::NotNow));
    }
    if point != Point::Saved {
        assert_eq!(pair.tell_claimer(ClaimerInput::Saved), Err(Refused::NotNow));
    }
    let approval = Approval { claimer_confirmed: point != Point::Approval, ..org.approval() };
    let expected = if point == Point::Approval { Refused::NotConfirmed } else { Refused::NotNow };
    assert_eq!(pair.tell_greeter(GreeterInput::Approve(approval)), Err(expected), "{point:?}");
    if point == Point::Approval {
        let approval = GreeterInput::Approve(org.approval());
        assert_eq!(pair.greeter.step(approval, START, &mut Dry).err(), Some(Refused::NoEntropy));
    }
    // Every message so far once more, as the relay may do, and with other bytes, as it should not.
    for (step, bytes) in pair.c.sent.clone() {
        if !matches!(point, Point::Message(next) if next <= step) {
            pair.tell_greeter(to_greeter(step, &bytes)).unwrap();
            pair.tell_greeter(to_greeter(step, b"other")).unwrap();
        }
    }
    for (step, bytes) in pair.g.sent.clone() {
        if !matches!(point, Point::Message(next) if next <= step) {
            pair.tell_claimer(to_claimer(step, &bytes)).unwrap();
            pair.tell_claimer(to_claimer(step, b"other")).unwrap();
        }
    }
    pair.tell_claimer(ClaimerInput::Tick).unwrap();
    pair.tell_greeter(GreeterInput::Tick).unwrap();
    assert_eq!((pair.c.closed, pair.g.closed), (None, None), "{point:?}");
}

#[test]
fn a_message_ahead_of_its_turn_closes() {
    let org = acme();
    for point in POINTS {
        for step in (0..=10u8).chain([254, 255]) {
            let mut pair = Pair::fair(&org, &org.bob(), false, 33);
            pair.run_to(&org, *point);
            if pair.c.done {
                break;
            }
            // What each side has taken or takes next is no step ahead.
            let taken = pair.g.sent.iter().any(|(sent, _)| *sent == step);
            if !taken {
                pair.tell_claimer(to_claimer(step, b"early")).unwrap();
                assert_eq!(pair.c.closed, Some(Closed::BadMessage { step }), "{point:?}");
            }
            let taken = pair.c.sent.iter().any(|(sent, _)| *sent == step);
            if !taken {
                pair.tell_greeter(to_greeter(step, b"early")).unwrap();
                let due = step == 8 && pair.g.persisted.is_some();
                let expected = if due { Closed::BadReceipt } else { Closed::BadMessage { step } };
                assert_eq!(pair.g.closed, Some(expected), "{point:?}");
            }
        }
    }
}

#[test]
fn what_is_over_stays_over() {
    let org = acme();
    for point in POINTS.iter().take_while(|point| **point != Point::Message(8)) {
        let mut pair = Pair::fair(&org, &org.bob(), false, 34);
        pair.run_to(&org, *point);
        pair.tell_claimer(ClaimerInput::Cancel).unwrap();
        pair.tell_greeter(GreeterInput::Cancel).unwrap();
        assert_eq!((pair.c.closed, pair.g.closed), (Some(Closed::Cancelled), Some(Closed::Cancelled)));
        // `Seen` fails the test on any output from here on.
        pair.tell_claimer(ClaimerInput::Cancel).unwrap();
        pair.tell_claimer(ClaimerInput::Tick).unwrap();
        pair.tell_greeter(GreeterInput::Tick).unwrap();
        for step in 0..9 {
            pair.tell_claimer(to_claimer(step, b"late")).unwrap();
            pair.tell_greeter(to_greeter(step, b"late")).unwrap();
        }
        assert_eq!(pair.tell_claimer(ClaimerInput::Saved), Err(Refused::NotNow));
        assert_eq!(pair.tell_greeter(GreeterInput::Approve(org.approval())), Err(Refused::NotNow));
    }
}

#[test]
fn machines_say_what_they_await_and_nothing_else() {
    let org = acme();
    let mut pair = Pair::fair(&org, &org.bob(), false, 35);
    for point in POINTS {
        pair.pass(&org, *point);
        for shown in [format!("{:?}", pair.claimer), pair.g_state()] {
            assert!(shown.len() < 60 && shown.contains("awaits"), "{shown}");
        }
    }
}

#[test]
fn without_randomness_nothing_starts() {
    let org = acme();
    let claimer = Claimer::start(org.bob(), &Organisation::link_secret(), START, &mut Dry);
    assert_eq!(claimer.err(), Some(Refused::NoEntropy));
    let greeter = Greeter::start(org.bob(), &Organisation::link_secret(), org.root, false, START, &mut Dry);
    assert_eq!(greeter.err(), Some(Refused::NoEntropy));
}
