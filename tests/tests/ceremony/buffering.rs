//! A proxy that collects an answer before it hands it on: event streams never arrive. Both sides
//! notice, say so, and the ceremony goes on.

use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, Stage};
use parsec_tests::ceremony::Side;
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::proxy::{Meddler, Request};
use parsec_tests::script::{self, Phone};

struct Collects;

impl Meddler for Collects {
    fn holds_back(&self, _: &Request) -> bool {
        true
    }
}

#[test]
fn a_ceremony_behind_a_proxy_that_collects_answers_goes_on_and_says_so() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    fixture.proxy.meddle(Arc::new(Collects));
    let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
    let _said = claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    let note = |side: &Side| side.view().and_then(|view| view.note).unwrap_or_default();
    let told =
        |side: &Side| note(side).contains("a proxy, most likely") && note(side).contains("every few seconds");
    let seen = || format!("both to be told: {:?}", [note(&claimer), note(&greeter)]);
    claimer.bell().until_or_say(seen, || (told(&claimer) && told(&greeter)).then_some(())).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone { mode: ChoiceMode::Picked });
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    assert_eq!(fixture.alice.verify().unwrap().users, 2);
}
