//! Objects out of the body of an answer, while it comes: heads first, then the bytes of each.
//!
//! Decides that each object comes into memory of its own from the start: a body that is collected
//! whole and cut up afterwards is copied once more, and of gigabytes that is felt. Refuses heads
//! that promise more than an answer can hold, before any room is made for it, and a body that is
//! not exactly what its heads say. Nobody has compared the objects with anything yet.

use std::collections::VecDeque;

use parsec_protocol::codec;
use parsec_protocol::ids::ObjectId;
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::relay::{OBJECT_HEADS_LENGTH_BYTES, OBJECT_HEADS_MAX_BYTES, ObjectHead, ObjectHeads};

/// Objects with their sealed bytes.
pub(crate) type Objects = Vec<(ObjectId, Vec<u8>)>;

/// What has come of a body.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    /// The heads with their length, until all of them are there.
    before: Vec<u8>,
    /// Those of the objects that have not begun; none before all heads are there.
    heads: Option<VecDeque<ObjectHead>>,
    /// The object that is coming, and how many bytes of it are missing.
    coming: Option<(ObjectId, Vec<u8>, usize)>,
    done: Objects,
}

impl Arriving {
    /// Takes the next bytes of the body; nothing where they can't be.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let (now, rest) = match &mut self.coming {
                Some((_, object, missing)) => {
                    let (now, rest) = bytes.split_at_checked(*missing).unwrap_or((bytes, &[]));
                    object.extend_from_slice(now);
                    *missing = missing.checked_sub(now.len())?;
                    (now, rest)
                }
                // Bytes behind the last object.
                None if self.heads.is_some() => return None,
                None => {
                    let (now, rest) = bytes.split_at_checked(self.missing_before()?).unwrap_or((bytes, &[]));
                    self.before.extend_from_slice(now);
                    (now, rest)
                }
            };
            debug_assert!(!now.is_empty(), "each turn takes something");
            self.go_on()?;
            bytes = rest;
        }
        Some(())
    }

    /// How much is missing of the heads, or first of their length.
    fn missing_before(&self) -> Option<usize> {
        let Some((length, heads)) = self.before.split_first_chunk::<OBJECT_HEADS_LENGTH_BYTES>() else {
            return OBJECT_HEADS_LENGTH_BYTES.checked_sub(self.before.len());
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if length > OBJECT_HEADS_MAX_BYTES { None } else { length.checked_sub(heads.len()) }
    }

    /// Reads the heads once they are whole, and begins the next object once the one before is.
    fn go_on(&mut self) -> Option<()> {
        if self.heads.is_none()
            && self.before.len() >= OBJECT_HEADS_LENGTH_BYTES
            && self.missing_before()? == 0
        {
            let heads: ObjectHeads =
                codec::decode(self.before.get(OBJECT_HEADS_LENGTH_BYTES..)?, OBJECT_HEADS_MAX_BYTES).ok()?;
            if heads.body_bytes() > BODY_MAX_BYTES {
                return None;
            }
            self.heads = Some(heads.0.into());
        }
        loop {
            match &self.coming {
                Some((_, _, 1..)) => return Some(()),
                Some((_, _, 0)) => self.done.extend(self.coming.take().map(|(id, bytes, _)| (id, bytes))),
                None => {}
            }
            let Some(head) = self.heads.as_mut().and_then(VecDeque::pop_front) else { return Some(()) };
            let length = usize::try_from(head.length).ok()?;
            self.coming = Some((head.object, Vec::with_capacity(length), length));
        }
    }

    /// All of them, where nothing is missing.
    pub(super) fn finish(self) -> Option<Objects> {
        (self.heads?.is_empty() && self.coming.is_none()).then_some(self.done)
    }
}

/// The objects in a whole body; nothing where it is not exactly those.
#[must_use]
pub fn fetched_objects(body: &[u8]) -> Option<Objects> {
    let mut arriving = Arriving::default();
    arriving.take(body)?;
    arriving.finish()
}

#[cfg(test)]
mod tests {
    use parsec_protocol::object_hash::ObjectHash;

    use super::*;

    fn body(lengths: &[u32]) -> Vec<u8> {
        let head = |(number, length): (u8, &u32)| ObjectHead {
            object: ObjectId::from_bytes([number; 16]),
            hash: ObjectHash::from_bytes([number; 32]),
            length: *length,
        };
        let mut body = ObjectHeads((0..).zip(lengths).map(head).collect()).before();
        for (number, length) in (0_u8..).zip(lengths) {
            body.extend(std::iter::repeat_n(number, usize::try_from(*length).unwrap()));
        }
        body
    }

    #[test]
    fn however_a_body_is_cut_the_same_objects_come() {
        for lengths in [&[][..], &[0], &[7], &[3, 0, 5], &[0, 0, 900, 1]] {
            let body = body(lengths);
            let whole = fetched_objects(&body).unwrap();
            let came: Vec<_> = whole.iter().map(|(_, bytes)| u32::try_from(bytes.len()).unwrap()).collect();
            assert_eq!(came, lengths);
            for at in [1, 2, 5, 64] {
                let mut arriving = Arriving::default();
                body.chunks(at).for_each(|piece| arriving.take(piece).unwrap());
                assert_eq!(arriving.finish().unwrap(), whole);
            }
            for cut in 0..body.len() {
                assert_eq!(fetched_objects(&body[..cut]), None, "{cut} of {}", body.len());
            }
            assert_eq!(fetched_objects(&[&body[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn what_no_answer_holds_is_refused_before_there_is_room_for_it() {
        let promised = ObjectHeads(vec![ObjectHead {
            object: ObjectId::from_bytes([1; 16]),
            hash: ObjectHash::from_bytes([1; 32]),
            length: u32::MAX,
        }]);
        let mut arriving = Arriving::default();
        assert_eq!(arriving.take(&promised.before()), None);
        assert_eq!(
            Arriving::default().take(&u32::MAX.to_be_bytes()).and(Arriving::default().take(&[0xff; 9])),
            None
        );
    }
}
