//! What programs have made of an open file, over the content that it had: which chunks differ, how
//! long it is now, and how far the old content still shines through.
//!
//! Decides nothing about where bytes come from: whoever writes into the middle of a chunk that is
//! not here brings it first (`lacking`). What was cut off never comes back, however long the file
//! becomes again: zeros stand there, as in every file system. Holds bytes in the clear, in buffers
//! that are wiped; nothing of it goes to a disk unsealed.

use std::collections::BTreeMap;

use parsec_protocol::ids::ObjectId;
use parsec_protocol::safes::content::{BUFFER_BYTES, CHUNK_LENGTH, chunk_length, chunks_of};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, FILE_MAX_BYTES, Reference};
use zeroize::Zeroizing;

/// Bytes in the clear.
pub(super) type Plain = Zeroizing<Vec<u8>>;

/// A chunk that differs from the content before.
enum Chunk {
    /// Its bytes, as far as they were written; zeros behind.
    Plain(Plain),
    /// All of it, sealed already to make room.
    Sealed(Reference),
}

/// Where a chunk's bytes are.
pub(super) enum ChunkBytes<'a> {
    /// Here; zeros behind them.
    Plain(&'a [u8]),
    /// In an object that was sealed for this draft: a whole chunk.
    Sealed(Reference),
    /// In the content before, so many bytes of it; zeros behind.
    Before(usize),
    /// Nowhere: zeros.
    Zeros,
}

/// An open file's changes.
#[derive(Default)]
pub(super) struct Draft {
    size: u64,
    /// Bytes of the content before that are still to be seen where nothing was written.
    before: u64,
    chunks: BTreeMap<u64, Chunk>,
    /// Objects that were sealed for it, and that it does not name any more.
    spare: Vec<ObjectId>,
}

/// Where `offset` lies in its chunk.
fn within(offset: u64) -> usize {
    usize::try_from(offset % CHUNK_BYTES).unwrap_or_default()
}

impl Draft {
    /// Nothing changed in a content of `size` bytes.
    pub(super) fn over(size: u64) -> Self {
        Self { size, before: size, ..Self::default() }
    }

    /// Bytes of the file.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the content before that chunk `number` shows.
    fn shown(&self, number: u64) -> usize {
        let here = self.before.min(self.size);
        if number.saturating_mul(CHUNK_BYTES) >= here { 0 } else { chunk_length(here, number) }
    }

    /// Where the bytes of chunk `number` are.
    pub(super) fn chunk(&self, number: u64) -> ChunkBytes<'_> {
        match (self.chunks.get(&number), self.shown(number)) {
            (Some(Chunk::Plain(bytes)), _) => ChunkBytes::Plain(bytes),
            (Some(Chunk::Sealed(reference)), _) => ChunkBytes::Sealed(*reference),
            (None, 0) => ChunkBytes::Zeros,
            (None, shown) => ChunkBytes::Before(shown),
        }
    }

    /// Chunks that have to be brought before `length` bytes can be written at `offset`: those that
    /// are written to in part, and of which more is to be seen.
    pub(super) fn lacking(&self, offset: u64, length: usize) -> Vec<u64> {
        let end = offset.saturating_add(length as u64);
        let partly = |number: &u64| {
            let begin = number.saturating_mul(CHUNK_BYTES);
            let shown = match self.chunk(*number) {
                ChunkBytes::Sealed(_) => CHUNK_LENGTH,
                ChunkBytes::Before(shown) => shown,
                ChunkBytes::Plain(_) | ChunkBytes::Zeros => 0,
            };
            shown > 0 && (offset > begin || end < begin.saturating_add(shown as u64))
        };
        chunks_of(end, offset, length as u64).filter(partly).collect()
    }

    /// Brings a chunk's bytes. What of them was cut off meanwhile is left out.
    pub(super) fn bring(&mut self, number: u64, mut bytes: Plain) {
        let most = match self.chunk(number) {
            ChunkBytes::Sealed(_) => CHUNK_LENGTH,
            ChunkBytes::Before(shown) => shown,
            ChunkBytes::Plain(_) | ChunkBytes::Zeros => return,
        };
        bytes.truncate(most);
        let before = self.chunks.insert(number, Chunk::Plain(bytes));
        self.spared(before);
    }

    /// What a chunk was sealed in is nobody's any more, where it was.
    fn spared(&mut self, chunk: Option<Chunk>) {
        if let Some(Chunk::Sealed(reference)) = chunk {
            self.spare.push(reference.object);
        }
    }

    /// How many objects it has made and does not name any more.
    pub(super) const fn spares(&self) -> usize {
        self.spare.len()
    }

    /// Those objects, to be dropped.
    pub(super) fn take_spare(&mut self) -> Vec<ObjectId> {
        std::mem::take(&mut self.spare)
    }

    /// Nothing changed in a content of `size` bytes, which names what was sealed here.
    pub(super) fn stands(&mut self, size: u64) {
        let spare = self.take_spare();
        *self = Self { spare, ..Self::over(size) };
    }

    /// Writes. Every chunk that is lacking was brought before: of another one nothing would be left
    /// but what is written now. Whether the file may be so long.
    #[must_use]
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> bool {
        let Some(end) = offset.checked_add(data.len() as u64).filter(|end| *end <= FILE_MAX_BYTES) else {
            return false;
        };
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (number, from) = (at / CHUNK_BYTES, within(at));
            let (now, later) = rest.split_at(rest.len().min(CHUNK_LENGTH - from));
            self.put(number, from, now);
            at = at.saturating_add(now.len() as u64);
            rest = later;
        }
        self.size = self.size.max(end);
        true
    }

    fn put(&mut self, number: u64, from: usize, data: &[u8]) {
        let to = from + data.len();
        let chunk = self.chunks.entry(number).or_insert_with(|| Chunk::Plain(Plain::default()));
        if let Chunk::Sealed(reference) = chunk {
            self.spare.push(reference.object);
            *chunk = Chunk::Plain(Plain::default());
        }
        let Chunk::Plain(bytes) = chunk else { return };
        grow(bytes, to);
        if let Some(place) = bytes.get_mut(from..to) {
            place.copy_from_slice(data);
        }
    }

    /// Makes the file so long: cuts off what is behind, or adds zeros. Whether it may be so long.
    #[must_use]
    pub(super) fn truncate(&mut self, size: u64) -> bool {
        if size > FILE_MAX_BYTES {
            return false;
        }
        self.before = self.before.min(size);
        if size < self.size {
            let last = size / CHUNK_BYTES;
            let kept = within(size);
            let gone = self.chunks.split_off(&if kept == 0 { last } else { last.saturating_add(1) });
            gone.into_values().for_each(|chunk| self.spared(Some(chunk)));
            // A sealed one is whole: whoever cuts it brings it before (`cut_in`).
            if let Some(Chunk::Plain(bytes)) = self.chunks.get_mut(&last) {
                let most = kept.min(bytes.len());
                if let Some(gone) = bytes.get_mut(most..) {
                    gone.fill(0);
                }
                bytes.truncate(most);
            }
        }
        self.size = size;
        true
    }

    /// The chunk that has to be brought before the file is cut to `size`, because it is sealed.
    pub(super) fn cut_in(&self, size: u64) -> Option<(u64, Reference)> {
        let last = size / CHUNK_BYTES;
        match self.chunk(last) {
            ChunkBytes::Sealed(reference) if size < self.size && within(size) > 0 => Some((last, reference)),
            _ => None,
        }
    }

    /// Bytes in the clear that it holds.
    pub(super) fn plain_bytes(&self) -> usize {
        let length = |chunk: &Chunk| match chunk {
            Chunk::Plain(bytes) => bytes.capacity(),
            Chunk::Sealed(_) => 0,
        };
        self.chunks.values().map(length).sum()
    }

    /// Chunks in the clear that the file goes on behind, or that are whole, oldest place first, but
    /// for the last one written to: what can be sealed to make room, filled up with zeros.
    pub(super) fn whole(&self, but: u64) -> Vec<u64> {
        let whole = |(number, chunk): (&u64, &Chunk)| {
            // One in a hole never becomes whole by itself: a sparse file would stay in memory.
            let inside = number.saturating_add(1).saturating_mul(CHUNK_BYTES) <= self.size;
            let is = matches!(chunk, Chunk::Plain(bytes) if inside || bytes.len() == CHUNK_LENGTH);
            (is && *number != but).then_some(*number)
        };
        self.chunks.iter().filter_map(whole).collect()
    }

    /// This chunk was sealed as it is.
    pub(super) fn sealed(&mut self, number: u64, reference: Reference) {
        let before = self.chunks.insert(number, Chunk::Sealed(reference));
        self.spared(before);
    }

    /// Objects that were sealed for it and are in it.
    pub(super) fn sealed_objects(&self) -> Vec<Reference> {
        let of = |chunk: &Chunk| match chunk {
            Chunk::Sealed(reference) => Some(*reference),
            Chunk::Plain(_) => None,
        };
        self.chunks.values().filter_map(of).collect()
    }
}

/// Makes room, and zeros up to `to`. A buffer that grows is copied and the old one wiped, so it
/// grows in few steps.
fn grow(bytes: &mut Plain, to: usize) {
    if bytes.capacity() < to {
        let room = if to <= CHUNK_LENGTH / 8 { to.next_power_of_two() } else { BUFFER_BYTES };
        let mut larger = Plain::new(Vec::with_capacity(room));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A draft beside the plain vector that it stands for.
    struct Pair {
        before: Vec<u8>,
        draft: Draft,
        model: Vec<u8>,
        sealed: BTreeMap<[u8; 16], Vec<u8>>,
    }

    impl Pair {
        fn over(before: Vec<u8>) -> Self {
            let draft = Draft::over(before.len() as u64);
            Self { model: before.clone(), before, draft, sealed: BTreeMap::new() }
        }

        fn old(&self, number: u64) -> Vec<u8> {
            let from = usize::try_from(number).unwrap() * CHUNK_LENGTH;
            self.before[from..self.before.len().min(from + CHUNK_LENGTH)].to_vec()
        }

        fn bytes(&self, number: u64) -> Vec<u8> {
            let length = chunk_length(self.draft.size(), number);
            let mut bytes = match self.draft.chunk(number) {
                ChunkBytes::Plain(bytes) => bytes.to_vec(),
                ChunkBytes::Sealed(reference) => self.sealed[reference.object.as_bytes()].clone(),
                ChunkBytes::Before(shown) => self.old(number)[..shown].to_vec(),
                ChunkBytes::Zeros => Vec::new(),
            };
            assert!(bytes.len() <= length, "more than the file has");
            bytes.resize(length, 0);
            bytes
        }

        fn bring(&mut self, number: u64) {
            let bytes = match self.draft.chunk(number) {
                ChunkBytes::Sealed(reference) => self.sealed[reference.object.as_bytes()].clone(),
                _ => self.old(number),
            };
            self.draft.bring(number, Plain::new(bytes));
        }

        fn write(&mut self, at: usize, data: &[u8]) {
            for number in self.draft.lacking(at as u64, data.len()) {
                self.bring(number);
            }
            assert!(self.draft.write(at as u64, data));
            if !data.is_empty() && self.model.len() < at + data.len() {
                self.model.resize(at + data.len(), 0);
            }
            self.model[at..at + data.len()].copy_from_slice(data);
        }

        fn truncate(&mut self, size: usize) {
            if let Some((number, _)) = self.draft.cut_in(size as u64) {
                self.bring(number);
            }
            assert!(self.draft.truncate(size as u64));
            self.model.resize(size, 0);
        }

        fn seal(&mut self, id: u64) {
            for number in self.draft.whole(u64::MAX) {
                let ChunkBytes::Plain(bytes) = self.draft.chunk(number) else { unreachable!() };
                let mut object = [0; 16];
                object[..8].copy_from_slice(&(id * 1_000 + number).to_be_bytes());
                self.sealed.insert(object, bytes.to_vec());
                let blake3 = parsec_protocol::object_hash::ObjectHash::of(bytes);
                let object = ObjectId::from_bytes(object);
                self.draft.sealed(number, Reference { object, epoch: 0, blake3 });
            }
        }

        fn agree(&self) {
            assert_eq!(self.draft.size(), self.model.len() as u64);
            for number in 0..self.draft.size().div_ceil(CHUNK_BYTES) {
                let from = usize::try_from(number).unwrap() * CHUNK_LENGTH;
                let to = self.model.len().min(from + CHUNK_LENGTH);
                assert!(self.bytes(number) == self.model[from..to], "chunk {number}");
            }
        }
    }

    /// Deterministic, so that a failure is found again.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % most
        }
    }

    #[test]
    fn a_draft_is_the_file_that_programs_made_of_it() {
        for seed in 0..60 {
            let mut dice = Dice(seed);
            let before: Vec<u8> =
                (0..dice.below(3 * CHUNK_LENGTH)).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut pair = Pair::over(before);
            for step in 0..40_u64 {
                let edge = dice.below(4) * CHUNK_LENGTH;
                let near = match dice.below(3) {
                    0 => edge.saturating_sub(dice.below(3)),
                    1 => edge + dice.below(3),
                    _ => dice.below(3 * CHUNK_LENGTH),
                };
                match dice.below(7) {
                    0 => pair.truncate(near),
                    1 => pair.seal(step),
                    2 => {
                        let data = vec![u8::try_from(step).unwrap() + 1; CHUNK_LENGTH + dice.below(9)];
                        pair.write(near, &data);
                    }
                    _ => {
                        let data = vec![u8::try_from(step).unwrap() + 101; dice.below(5_000)];
                        pair.write(near, &data);
                    }
                }
                if step % 8 == 0 {
                    pair.agree();
                }
            }
            pair.agree();
        }
    }

    #[test]
    fn what_was_cut_off_never_comes_back() {
        let mut pair = Pair::over(vec![7; CHUNK_LENGTH + 10]);
        pair.truncate(5);
        pair.truncate(CHUNK_LENGTH + 10);
        pair.agree();
        assert!(pair.bytes(0)[5..].iter().all(|byte| *byte == 0));
        pair.write(3, b"x");
        pair.agree();
    }

    /// What is written over again and again must not fill the disk meanwhile.
    #[test]
    fn what_a_chunk_was_sealed_in_is_spare_once_it_is_written_over() {
        let whole = vec![1; CHUNK_LENGTH];
        let mut pair = Pair::over(Vec::new());
        (0..3).for_each(|number| pair.write(number * CHUNK_LENGTH, &whole));
        pair.seal(1);
        assert_eq!(pair.draft.sealed_objects().len(), 3);
        // All of one, a part of one, and one that is cut off.
        pair.write(0, &whole);
        pair.write(CHUNK_LENGTH + 5, b"x");
        assert_eq!(pair.draft.spares(), 2);
        pair.truncate(2 * CHUNK_LENGTH);
        assert_eq!((pair.draft.spares(), pair.draft.sealed_objects().len()), (3, 0));
        // Saved, they are still nobody's.
        pair.draft.stands(2 * CHUNK_BYTES);
        assert_eq!(pair.draft.take_spare().len(), 3);
        assert_eq!(pair.draft.spares(), 0);
    }

    #[test]
    fn a_chunk_in_a_hole_can_be_sealed_to_make_room() {
        let mut draft = Draft::over(0);
        assert!(draft.write(0, b"x") && draft.write(2 * CHUNK_BYTES, b"y"));
        assert_eq!(draft.whole(u64::MAX), [0]);
        assert!(draft.whole(0).is_empty());
    }

    #[test]
    fn a_file_is_no_longer_than_a_safe_takes() {
        let mut draft = Draft::over(0);
        assert!(!draft.write(FILE_MAX_BYTES, b"x") && !draft.write(u64::MAX, b"x"));
        assert!(!draft.truncate(FILE_MAX_BYTES + 1) && draft.truncate(FILE_MAX_BYTES));
    }
}
