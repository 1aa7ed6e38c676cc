//! What somebody who means harm can sign: records and certificates that name ends which belong to
//! different histories, epochs that are over, and as little of the organisation as suits them.
//!
//! Decides all of it ahead, for a history: nothing that a device signs says when it was signed, so
//! that what it could have signed earlier it can sign now. Refuses nothing: readers do.

use super::devices::harm;
use super::histories::{Histories, History, Item, Spot};
use super::organisation::{PEOPLE, user_of};
use crate::safe_log::roles::Role;

/// How far back other histories are whose ends are named.
const BACK: usize = 2;

/// What these devices can give to a reader at a history's end, where so much has happened.
pub(super) fn forged(histories: &mut Histories, devices: &[u64], at: History, happened: u8) -> Vec<Item> {
    let mut items = Vec::new();
    for device in devices {
        for seen in 0..=happened {
            records(histories, *device, at, seen, &mut items);
            certificates(histories, *device, at, seen, &mut items);
        }
    }
    items.sort_unstable();
    items.dedup();
    items
}

/// The history itself, and what mixes its ends with those before.
fn spots(histories: &Histories, at: History) -> Vec<Spot> {
    let mut spots = vec![Spot::from(at)];
    let before = histories.before(at).into_iter().take(BACK);
    for past in before.filter(|past| histories.at(*past).safe.present().is_some()) {
        spots.extend([
            Spot { log: past, journal: at },
            Spot { log: at, journal: past },
            Spot { log: past, journal: past },
        ]);
    }
    spots
}

fn records(histories: &mut Histories, device: u64, at: History, seen: u8, items: &mut Vec<Item>) {
    let epoch = histories.at(at).account.epoch;
    for spot in spots(histories, at) {
        for epoch in epoch.saturating_sub(1)..=epoch {
            items.extend(histories.write(device, spot, epoch, seen, harm()));
        }
    }
}

fn certificates(histories: &mut Histories, device: u64, at: History, seen: u8, items: &mut Vec<Item>) {
    let own = user_of(device);
    let here = Spot::from(at);
    // A key alone, a word of witness, a leave, oneself as the owner.
    items.extend(histories.certify(device, here, seen, Vec::new(), true));
    items.extend(histories.certify(device, here, seen, Vec::new(), false));
    items.extend(histories.certify(device, here, seen, vec![(own, None)], false));
    items.extend(histories.certify(device, here, seen, vec![(own, Some(Role::Owner))], false));
    for other in PEOPLE.into_iter().filter(|other| *other != own) {
        items.extend(histories.certify(device, here, seen, vec![(other, None)], true));
        items.extend(histories.certify(device, here, seen, vec![(other, Some(Role::Reader))], false));
    }
    for spot in spots(histories, at).into_iter().skip(1) {
        items.extend(histories.certify(device, spot, seen, Vec::new(), true));
        items.extend(histories.certify(device, spot, seen, vec![(own, None)], false));
    }
}
