//! Offers of one member: fifty are shown, the others counted, and each answer makes room for one.
//! What is answered on one device is answered on all.

use parsec_protocol::control::{
    DeviceSelector, OffersBeyond, SafeListResult, SafeRole, SafeStanding, method,
};
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::safes::{Safe, create};
use parsec_tests::script::Newcomer;

use super::{enrol_bob, enrol_own};

const PHONE: Newcomer<'static> =
    Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };

/// Open offers of one member that are shown.
const SHOWN: usize = 50;

/// Follows until so many offers are shown; their safes.
fn offered(device: &Device, events: &mut Follower, count: usize) -> Vec<String> {
    loop {
        let safes = events.state.iter().flat_map(|state| &state.safes);
        let offers: Vec<_> = safes
            .filter(|safe| safe.standing == SafeStanding::Offered)
            .map(|safe| safe.safe.to_string())
            .collect();
        if offers.len() == count {
            // An event may be older than the last answer: what is listed counts.
            let list: SafeListResult = device.call(method::SAFE_LIST, DeviceSelector::default()).unwrap();
            let listed = list.safes.iter().filter(|safe| safe.standing == SafeStanding::Offered);
            let listed: Vec<_> = listed.map(|safe| safe.safe.to_string()).collect();
            assert_eq!(listed.len(), count);
            return listed;
        }
        events.item().unwrap();
    }
}

fn beyond(device: &Device) -> Vec<OffersBeyond> {
    let list: SafeListResult = device.call(method::SAFE_LIST, DeviceSelector::default()).unwrap();
    list.beyond
}

#[test]
fn more_offers_of_one_member_than_a_person_looks_through_are_counted_and_not_shown() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = enrol_bob(&fixture);
    bob.kill();
    for number in 0..SHOWN + 2 {
        let made = create(&fixture.alice, &format!("Offer {number}"));
        let safe = made.safe.to_string();
        Safe { device: &fixture.alice, name: &safe }.share(BOB_EMAIL, SafeRole::Reader).unwrap();
    }
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    let mut events = Follower::start(&bob.socket(), None);
    let offers = offered(&bob, &mut events, SHOWN);
    let hidden = beyond(&bob);
    assert_eq!(hidden.len(), 1, "{hidden:?}");
    let by = hidden[0].by.as_ref().unwrap();
    assert_eq!((by.email.as_str(), hidden[0].offers), ("alice@acme.example", 2));

    // Taken or refused, each makes room for one.
    Safe { device: &bob, name: &offers[0] }.accept().unwrap();
    assert_eq!(beyond(&bob)[0].offers, 1);
    let offers = offered(&bob, &mut events, SHOWN);
    Safe { device: &bob, name: &offers[0] }.leave().unwrap();
    assert_eq!(beyond(&bob), []);
    offered(&bob, &mut events, SHOWN);
}

/// Both devices of a user are told of an offer; what is taken on one is taken on the other, though
/// nobody writes in the safe.
#[test]
fn what_one_device_takes_the_other_takes_by_itself() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let phone = enrol_own(&fixture, &bob, "phone", PHONE);
    let made = create(&fixture.alice, "Plans");
    let name = made.safe.to_string();
    Safe { device: &fixture.alice, name: &name }.share(BOB_EMAIL, SafeRole::Reader).unwrap();
    for device in [&bob, &phone] {
        let _ = device.until_safe(|it| it.safe == made.safe && it.standing == SafeStanding::Offered);
        // It has looked at all there is: nothing more comes of it.
        let _ = Safe { device, name: &name }.try_sync();
    }
    Safe { device: &bob, name: &name }.accept().unwrap();
    let _ = phone.until_safe(|it| it.safe == made.safe && it.standing == SafeStanding::Accepted);
}
