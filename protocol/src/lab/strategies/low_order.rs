//! Keys of small order: whoever multiplies by one gets zeros, or one of a handful of points,
//! whatever its own key is.
//!
//! Decides which bytes stand in the place of a key. Refuses to be subtle: the tag behind the key is
//! whatever it was.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// A point of order 8, by the smaller of its two coordinates.
const ORDER_8: [[u8; 32]; 2] = [
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];

/// Every spelling of a point of small order, and second spellings of others: 49 in all.
pub(crate) fn bad_keys() -> Vec<[u8; 32]> {
    let with = |mut bytes: [u8; 32], lowest: u8, highest: u8| {
        let [first, .., last] = &mut bytes;
        (*first, *last) = (lowest, highest);
        bytes
    };
    let mut keys = vec![with([0; 32], 0, 0), with([0; 32], 1, 0), with([0xff; 32], 0xec, 0x7f)];
    keys.extend(ORDER_8);
    // p = 2^255 - 19 to 2^255 - 1: the numbers 0 to 18 once more.
    keys.extend((0xed..=0xff).map(|lowest| with([0xff; 32], lowest, 0x7f)));
    // The top bit, which X25519 passes over: on all of these, and on the sound key 9.
    let topped: Vec<_> = keys
        .iter()
        .copied()
        .chain([with([0; 32], 9, 0)])
        .map(|mut key| {
            let [.., last] = &mut key;
            *last |= 0x80;
            key
        })
        .collect();
    keys.extend(topped);
    keys
}

/// One side's key is bad.
pub(super) fn low_order_keys(rng: &mut SeededRng) -> LowOrder {
    LowOrder { step: rng.below(2), key: draw(rng) }
}

fn draw(rng: &mut SeededRng) -> [u8; 32] {
    let keys = bad_keys();
    let at = usize::try_from(rng.below(keys.len() as u64)).unwrap_or(0);
    keys.get(at).copied().unwrap_or_default()
}

/// Messages 0 and 1 begin with the sender's key.
pub(super) struct LowOrder {
    step: u64,
    key: [u8; 32],
}

impl Adversary for LowOrder {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, mut bytes: Vec<u8>) {
        if u64::from(step) == self.step
            && let Some(place) = bytes.first_chunk_mut()
        {
            *place = self.key;
            simulation.slip(
                from.other(),
                step,
                bytes,
                "puts a key of small order, or a second spelling, in its place",
            );
        } else {
            simulation.pass_on(from, step, bytes);
        }
    }
}
