//! What somebody who means harm can sign: records and certificates that name parts of places where
//! they don't belong, epochs that are over, and as little of the organisation as suits them.
//!
//! Decides all of it ahead, for a place: nothing that a device signs says when it was signed, so
//! that what it could have signed earlier it can sign now. Refuses nothing: readers do.

use super::devices::harm;
use super::organisation::{PEOPLE, user_of};
use super::places::{Item, Place, Places, Spot};
use crate::safe_log::roles::Role;

/// How far back other places are whose parts are named.
const BACK: usize = 2;

/// What these devices can give to a reader at a place, where so much has happened.
pub(super) fn forged(places: &mut Places, devices: &[u64], at: Place, happened: u8) -> Vec<Item> {
    let mut items = Vec::new();
    for device in devices {
        for seen in 0..=happened {
            records(places, *device, at, seen, &mut items);
            certificates(places, *device, at, seen, &mut items);
        }
    }
    items.sort_unstable();
    items.dedup();
    items
}

/// The place itself, and what mixes it with places before it.
fn spots(places: &Places, at: Place) -> Vec<Spot> {
    let mut spots = vec![Spot::from(at)];
    let before = places.before(at).into_iter().take(BACK);
    for past in before.filter(|past| places.at(*past).safe.present().is_some()) {
        spots.extend([
            Spot { log: past, journal: at },
            Spot { log: at, journal: past },
            Spot { log: past, journal: past },
        ]);
    }
    spots
}

fn records(places: &mut Places, device: u64, at: Place, seen: u8, items: &mut Vec<Item>) {
    let epoch = places.at(at).account.epoch;
    for spot in spots(places, at) {
        for epoch in epoch.saturating_sub(1)..=epoch {
            items.extend(places.write(device, spot, epoch, seen, harm()));
        }
    }
}

fn certificates(places: &mut Places, device: u64, at: Place, seen: u8, items: &mut Vec<Item>) {
    let own = user_of(device);
    let here = Spot::from(at);
    // A key alone, a word of witness, a leave, oneself as the owner.
    items.extend(places.certify(device, here, seen, Vec::new(), true));
    items.extend(places.certify(device, here, seen, Vec::new(), false));
    items.extend(places.certify(device, here, seen, vec![(own, None)], false));
    items.extend(places.certify(device, here, seen, vec![(own, Some(Role::Owner))], false));
    for other in PEOPLE.into_iter().filter(|other| *other != own) {
        items.extend(places.certify(device, here, seen, vec![(other, None)], true));
        items.extend(places.certify(device, here, seen, vec![(other, Some(Role::Reader))], false));
    }
    for spot in spots(places, at).into_iter().skip(1) {
        items.extend(places.certify(device, spot, seen, Vec::new(), true));
        items.extend(places.certify(device, spot, seen, vec![(own, None)], false));
    }
}
