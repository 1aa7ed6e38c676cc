//! Which pieces of a batch share a file.
//!
//! Decides that small ones which come together are one file, a pack: a sync, a name and a row's
//! overflow pages for each of thousands would take longer than their bytes. A pack goes when
//! nothing in it is needed any more; what of it need not be kept goes all at once.

use std::collections::BTreeMap;

use parsec_protocol::ids::SafeId;

use super::files::{FileName, Location, NewFile};
use crate::store::StoreError;

/// Largest piece that has no file of its own where it waits, as at the server: below it, a file
/// costs more than its bytes.
pub(crate) const SMALL_MAX_BYTES: usize = 32 * 1024;
/// Fewest small pieces that are a pack: fewer fit into their rows, with the commit that is made
/// anyway.
const PACK_MIN: usize = 8;
/// Most bytes of a pack, but for its last piece: so much is lost where one file is, stays as long
/// as one of its pieces waits, and goes at once where room is made.
const PACK_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Where the pieces of a batch go.
pub(in crate::store) struct Laid<'a> {
    /// The place of each; none for a small one that is in no pack.
    pub(in crate::store) places: Vec<Option<Location>>,
    /// The files to be written.
    pub(in crate::store) files: Vec<NewFile<'a>>,
}

/// Lays out the sealed bytes of a batch.
///
/// # Errors
/// The random source's, which draws names.
pub(in crate::store) fn laid_out<'a>(batch: &[&'a [u8]]) -> Result<Laid<'a>, StoreError> {
    let small = batch.iter().filter(|bytes| bytes.len() <= SMALL_MAX_BYTES).count();
    let mut laid = Laid { places: Vec::with_capacity(batch.len()), files: Vec::new() };
    let mut pack: Option<(NewFile<'a>, usize)> = None;
    for bytes in batch {
        let place = if bytes.len() > SMALL_MAX_BYTES {
            let name = FileName::drawn()?;
            laid.files.push(NewFile { name, pieces: vec![bytes] });
            Some(Location { file: name, at: None })
        } else if small < PACK_MIN {
            None
        } else {
            let (mut file, length) = match pack.take() {
                Some((file, length)) if length < PACK_MAX_BYTES => (file, length),
                full => {
                    laid.files.extend(full.map(|(file, _)| file));
                    (NewFile { name: FileName::drawn()?, pieces: Vec::new() }, 0)
                }
            };
            let place = Location { file: file.name, at: Some(length as u64) };
            file.pieces.push(bytes);
            pack = Some((file, length.saturating_add(bytes.len())));
            Some(place)
        };
        laid.places.push(place);
    }
    laid.files.extend(pack.map(|(file, _)| file));
    Ok(laid)
}

/// How many rows name each file that more than one names, by the safe that it is of.
#[derive(Debug, Default)]
pub(in crate::store) struct Packs(BTreeMap<SafeId, BTreeMap<FileName, usize>>);

impl Packs {
    /// One more row names this file; to be called for each that has a place in a pack.
    pub(in crate::store) fn named(&mut self, safe: SafeId, file: FileName) {
        let rows = self.0.entry(safe).or_default().entry(file).or_default();
        *rows = rows.saturating_add(1);
    }

    /// A row does not name this file any more: whether that was the last one.
    pub(in crate::store) fn unnamed(&mut self, safe: SafeId, file: FileName) -> bool {
        let Some(packs) = self.0.get_mut(&safe) else { return true };
        let Some(rows) = packs.get_mut(&file) else { return true };
        *rows = rows.saturating_sub(1);
        if *rows > 0 {
            return false;
        }
        packs.remove(&file);
        true
    }

    /// This file was not made after all: the next that does not name it is the last.
    pub(in crate::store) fn not_made(&mut self, safe: SafeId, file: FileName) {
        if let Some(packs) = self.0.get_mut(&safe) {
            packs.remove(&file);
        }
    }

    /// A safe's folder goes, with all that is in it.
    pub(in crate::store) fn gone(&mut self, safe: SafeId) {
        self.0.remove(&safe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_that_come_together_are_a_pack_and_each_is_where_it_is_said_to_be() {
        let large = vec![1; SMALL_MAX_BYTES + 1];
        let small: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; SMALL_MAX_BYTES - usize::from(n)]).collect();
        let mut batch: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
        batch.insert(100, &large);
        let laid = laid_out(&batch).unwrap();
        let files: BTreeMap<FileName, Vec<u8>> =
            laid.files.iter().map(|file| (file.name, file.pieces.concat())).collect();
        assert_eq!(files.len(), 3, "two packs, and the large one");
        assert!(files.values().all(|file| file.len() <= PACK_MAX_BYTES + SMALL_MAX_BYTES));
        for (bytes, place) in batch.iter().zip(&laid.places) {
            let place = place.unwrap();
            assert_eq!(place.at.is_none(), bytes.len() == large.len());
            let from = usize::try_from(place.at.unwrap_or_default()).unwrap();
            assert_eq!(&files[&place.file][from..from + bytes.len()], *bytes);
        }
    }

    #[test]
    fn a_few_small_ones_have_no_file() {
        let one = [7_u8; 10];
        let few = vec![one.as_slice(); PACK_MIN - 1];
        let laid = laid_out(&few).unwrap();
        assert!(laid.files.is_empty() && laid.places.iter().all(Option::is_none));
        assert_eq!(laid_out(&[one.as_slice(); PACK_MIN]).unwrap().files.len(), 1);
    }

    #[test]
    fn a_file_goes_with_the_last_row_that_names_it() {
        let (pack, own) = (FileName::from_bytes([1; 16]), FileName::from_bytes([2; 16]));
        let [one, other] = [[1; 16], [2; 16]].map(SafeId::from_bytes);
        let mut packs = Packs::default();
        (0..3).for_each(|_| packs.named(one, pack));
        packs.named(other, pack);
        assert_eq!([(); 3].map(|()| packs.unnamed(one, pack)), [false, false, true]);
        assert!(packs.unnamed(other, pack) && packs.unnamed(one, own));
    }
}
