//! Objects and contents of safes, from outside: what opens, and that nothing else does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use parsec_protocol::ids::{ObjectId, OrganisationId, SafeId};
use parsec_protocol::keys::{Entropy, NoEntropy, SafeKey};
use parsec_protocol::object_hash::{ObjectHash, ObjectHasher};
use parsec_protocol::safes::content::{
    BUFFER_BYTES, CHUNK_LENGTH, ChunkSource, EarlierPage, Keep, PieceError, Sealing, SealingError,
    chunk_length, chunks, chunks_of, open_chunk, open_page, padded_length, padme, place,
};
use parsec_protocol::safes::content_ref::{
    CHUNK_BYTES, Content, FILE_MAX_BYTES, PAGE_REFERENCES, Reference, References,
};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::object::{OBJECT_TAG_BYTES, ObjectError, ObjectKind, open, seal};
use support::{Seed, organisation};

const SAFE: SafeId = SafeId::from_bytes([1; 16]);

fn key(number: u8) -> SafeKey {
    SafeKey::from_bytes(&mut [number; 32])
}

/// A safe whose key of each epoch is made of its number.
fn keys_of(organisation: OrganisationId, safe: SafeId, epochs: &[u64]) -> SafeKeys {
    let mut keys = SafeKeys::new(organisation.clone(), safe);
    for epoch in epochs {
        let own = key(u8::try_from(*epoch).unwrap() + 1);
        let check = EpochKey::new(&organisation, &safe, *epoch, &own).check();
        keys.insert(*epoch, own, &check).unwrap();
    }
    keys
}

fn keys(epochs: &[u64]) -> SafeKeys {
    keys_of(organisation(), SAFE, epochs)
}

fn sealed(kind: ObjectKind, plaintext: &[u8]) -> (Reference, Vec<u8>) {
    let (keys, mut buffer) = (keys(&[0, 1]), plaintext.to_vec());
    let reference = seal(&keys.at(1).unwrap(), kind, &mut buffer, &mut Seed(1)).unwrap();
    (reference, buffer)
}

fn opened(
    keys: &SafeKeys,
    reference: &Reference,
    kind: ObjectKind,
    sealed: &[u8],
) -> Result<Vec<u8>, ObjectError> {
    let mut buffer = sealed.to_vec();
    let done = open(keys, reference, kind, &mut buffer);
    assert!(done.is_ok() || buffer.is_empty(), "nothing is let out");
    done.map(|()| buffer)
}

#[test]
fn an_object_opens_to_what_was_sealed() {
    for plaintext in [b"".as_slice(), b"a", &[7; 4_096], &vec![9; CHUNK_LENGTH]] {
        for kind in [ObjectKind::Chunk, ObjectKind::Page, ObjectKind::Snapshot] {
            let (reference, sealed) = sealed(kind, plaintext);
            assert_eq!(sealed.len(), plaintext.len() + OBJECT_TAG_BYTES);
            assert_eq!(reference.epoch, 1);
            assert_eq!(opened(&keys(&[1]), &reference, kind, &sealed).unwrap(), plaintext);
        }
    }
}

#[test]
fn every_changed_bit_is_found_by_the_hash_and_without_it() {
    let (reference, sealed) = sealed(ObjectKind::Chunk, b"forty-two bytes, and each of them matters.");
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut bad = sealed.clone();
            bad[at] ^= 1 << bit;
            let found = opened(&keys(&[1]), &reference, ObjectKind::Chunk, &bad);
            assert_eq!(found, Err(ObjectError::Hash), "byte {at}");
            let named = Reference { blake3: ObjectHash::of(&bad), ..reference };
            let found = opened(&keys(&[1]), &named, ObjectKind::Chunk, &bad);
            assert_eq!(found, Err(ObjectError::Sealed), "byte {at}");
        }
    }
    for cut in 0..sealed.len() {
        let named = Reference { blake3: ObjectHash::of(&sealed[..cut]), ..reference };
        let found = opened(&keys(&[1]), &named, ObjectKind::Chunk, &sealed[..cut]);
        assert_eq!(found, Err(ObjectError::Sealed), "cut at {cut}");
    }
    println!(
        "figure T6: {} changed bits, {} cuts, each with a hash that fits and without: 0 opened",
        8 * sealed.len(),
        sealed.len()
    );
}

/// Everything that a server could give for a piece: none of it is let out, whatever it is made of.
#[test]
fn of_ten_thousand_changed_pieces_no_wrong_byte_is_let_out() {
    let (keys, other_safe) = (keys(&[0, 1]), keys_of(organisation(), SafeId::from_bytes([9; 16]), &[0, 1]));
    let mut entropy = Seed(77);
    let mut pieces = Vec::new();
    for (number, of) in [&keys, &keys, &other_safe, &keys, &other_safe, &keys].into_iter().enumerate() {
        let size = 900 + 100 * number as u64;
        let mut buffer = vec![number as u8; size as usize];
        buffer.resize(padded_length(size, 0), 0);
        let key = of.at(number as u64 % 2).unwrap();
        let reference = seal(&key, ObjectKind::Chunk, &mut buffer, &mut entropy).unwrap();
        pieces.push((size, reference, buffer));
    }
    let (mut dice, mut changed, mut pairs) = (Seed(78), 0_u64, 0);
    let refuse = |size: u64, reference: &Reference, mut buffer: Vec<u8>, what: &str| {
        let done = open_chunk(&keys, size, 0, reference, &mut buffer);
        assert!(done.is_err() && buffer.is_empty(), "{what}");
    };
    for (at, (size, reference, _)) in pieces.iter().enumerate() {
        for (number, (.., sealed)) in pieces.iter().enumerate().filter(|(number, _)| *number != at) {
            refuse(*size, reference, sealed.clone(), "another's bytes");
            // And under a hash that fits them.
            let named = Reference { blake3: ObjectHash::of(sealed), ..*reference };
            refuse(*size, &named, sealed.clone(), "another's bytes under their own hash");
            pairs += 1;
            assert_ne!(at, number);
        }
    }
    while changed < support::runs(2_000, 10_000) {
        let (size, reference, sealed) = &pieces[[0, 1, 3, 5][support::draw(&mut dice, 4)]];
        let (.., other) = &pieces[support::draw(&mut dice, pieces.len())];
        let mut bad = sealed.clone();
        let place = support::draw(&mut dice, bad.len());
        match support::draw(&mut dice, 6) {
            0 => bad[place] ^= 1 << support::draw(&mut dice, 8),
            1 => bad.truncate(place),
            2 => bad.extend_from_slice(&other[..place.min(other.len())]),
            3 => bad.splice(place.., other.iter().skip(place).copied()).for_each(drop),
            4 => bad.rotate_left(place),
            _ => bad[place..].fill(0),
        }
        if bad == *sealed {
            continue;
        }
        changed += 1;
        // Half of them under a hash that fits: then the seal alone is asked.
        let fits = support::draw(&mut dice, 2) == 1;
        let blake3 = if fits { ObjectHash::of(&bad) } else { reference.blake3 };
        refuse(*size, &Reference { blake3, ..*reference }, bad, "changed bytes");
    }
    println!("figure T7: {changed} changed pieces, half of them under a hash that fits: 0 bytes let out");
    println!("figure T8: {pairs} pieces in the place of another, of files, epochs and safes: 0 let out");
}

/// What the server could do: hand out an object that is right somewhere else.
#[test]
fn an_object_opens_at_its_own_place_alone() {
    let (reference, sealed) = sealed(ObjectKind::Chunk, b"one object");
    let here = keys(&[0, 1, 2]);
    let found = |keys: &SafeKeys, reference: &Reference, kind| opened(keys, reference, kind, &sealed);
    for kind in [ObjectKind::Page, ObjectKind::Snapshot] {
        assert_eq!(found(&here, &reference, kind), Err(ObjectError::Sealed), "another kind");
    }
    let id = Reference { object: ObjectId::from_bytes([9; 16]), ..reference };
    assert_eq!(found(&here, &id, ObjectKind::Chunk), Err(ObjectError::Sealed), "another id");
    for epoch in [0, 2] {
        let epoch = Reference { epoch, ..reference };
        assert_eq!(found(&here, &epoch, ObjectKind::Chunk), Err(ObjectError::Sealed), "another epoch");
    }
    let none = Reference { epoch: 3, ..reference };
    assert_eq!(found(&here, &none, ObjectKind::Chunk), Err(ObjectError::NoKey));
    // The same key bytes: the place alone is another.
    let safe = keys_of(organisation(), SafeId::from_bytes([2; 16]), &[1]);
    assert_eq!(found(&safe, &reference, ObjectKind::Chunk), Err(ObjectError::Sealed), "another safe");
    let other = keys_of("other".parse().unwrap(), SAFE, &[1]);
    assert_eq!(
        found(&other, &reference, ObjectKind::Chunk),
        Err(ObjectError::Sealed),
        "another organisation"
    );
}

/// The hash is compared before anything else: not even an object's key is needed to refuse it.
#[test]
fn a_swapped_object_is_refused_without_a_key() {
    let (reference, _) = sealed(ObjectKind::Chunk, b"this one");
    let (_, other) = sealed(ObjectKind::Chunk, b"that one");
    assert_eq!(opened(&keys(&[]), &reference, ObjectKind::Chunk, &other), Err(ObjectError::Hash));
}

/// Two contents under one id would be two under one key and nonce.
#[test]
fn no_id_is_sealed_twice() {
    let (keys, mut entropy, mut seen) = (keys(&[1]), Seed(7), HashSet::new());
    let mut bytes = HashSet::new();
    for _ in 0..1_000 {
        let mut buffer = b"the same each time".to_vec();
        let reference = seal(&keys.at(1).unwrap(), ObjectKind::Chunk, &mut buffer, &mut entropy).unwrap();
        assert!(seen.insert(reference.object));
        assert!(bytes.insert(buffer));
    }
    println!("figure T14: one content sealed {} times: as many ids, and no equal bytes", seen.len());
    println!("figure T26: one content sealed {} times: no two alike", bytes.len());
}

struct Empty;

impl Entropy for Empty {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), NoEntropy> {
        Err(NoEntropy)
    }
}

#[test]
fn without_randomness_nothing_is_sealed() {
    let (keys, mut buffer) = (keys(&[1]), b"as it was".to_vec());
    let done = seal(&keys.at(1).unwrap(), ObjectKind::Chunk, &mut buffer, &mut Empty);
    assert_eq!((done, buffer.as_slice()), (Err(NoEntropy), b"as it was".as_slice()));
}

#[test]
fn a_buffer_with_room_is_never_moved() {
    let keys = keys(&[1]);
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    buffer.resize(CHUNK_LENGTH, 7);
    let before = buffer.as_ptr();
    let reference = seal(&keys.at(1).unwrap(), ObjectKind::Chunk, &mut buffer, &mut Seed(1)).unwrap();
    open(&keys, &reference, ObjectKind::Chunk, &mut buffer).unwrap();
    assert_eq!(buffer.as_ptr(), before);
}

#[test]
fn an_object_is_hashed_the_same_in_pieces() {
    let (reference, sealed) = sealed(ObjectKind::Chunk, &[3; 10_000]);
    let mut hasher = ObjectHasher::default();
    sealed.chunks(999).for_each(|piece| hasher.update(piece));
    assert_eq!(hasher.finish(), reference.blake3);
}

#[test]
fn padded_lengths_are_those_of_the_protocol() {
    let known = [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (7, 7),
        (8, 8),
        (9, 10),
        (10, 10),
        (11, 12),
        (17, 18),
        (100, 104),
        (1_000, 1_024),
        (1_025, 1_088),
        (4_097, 4_352),
        (100_000, 100_352),
        (524_287, 524_288),
        (524_289, 540_672),
    ];
    for (length, padded) in known {
        assert_eq!(padme(length), padded, "{length}");
    }
    for length in 0..70_000 {
        let padded = padme(length);
        assert!(padded >= length && padded <= length + length / 8 + 1, "{length}");
        assert_eq!(padme(padded), padded, "{length}: what is padded stays");
    }
    let classes: HashSet<_> = (1..=1_000_000).map(|size| padded_length(size, chunks(size) - 1)).collect();
    println!("figure T25: 1,000,000 sizes of files end in {} lengths of a last piece", classes.len());
    assert!(classes.len() < 400, "{} lengths", classes.len());
    let small = 8 * 1_024 * 1_024;
    assert_eq!(padded_length(100, 0), 104);
    assert_eq!(padded_length(CHUNK_BYTES, 0), CHUNK_LENGTH);
    assert_eq!((padded_length(CHUNK_BYTES + 9, 0), padded_length(CHUNK_BYTES + 9, 1)), (CHUNK_LENGTH, 10));
    assert_eq!(padded_length(small - CHUNK_BYTES + 9, 15), 10, "up to 8 MiB");
    assert_eq!(padded_length(small + 9, 16), CHUNK_LENGTH, "above it");
}

#[test]
fn ranges_are_those_of_the_chunks() {
    let size = 3 * CHUNK_BYTES + 5;
    assert_eq!((chunks(0), chunks(1), chunks(size)), (0, 1, 4));
    assert_eq!(chunks_of(size, 0, 1), 0..1);
    assert_eq!(chunks_of(size, CHUNK_BYTES - 1, 2), 0..2);
    assert_eq!(chunks_of(size, CHUNK_BYTES, CHUNK_BYTES), 1..2);
    assert_eq!(chunks_of(size, 3 * CHUNK_BYTES, 100), 3..4);
    assert_eq!(chunks_of(size, 0, u64::MAX), 0..4);
    assert_eq!(chunks_of(size, size, 1), 0..0);
    assert_eq!(chunks_of(size, u64::MAX, u64::MAX), 0..0);
    assert_eq!(chunks_of(size, 7, 0), 0..0);
    assert_eq!((chunk_length(size, 2), chunk_length(size, 3), chunk_length(size, 4)), (CHUNK_LENGTH, 5, 0));
}

#[derive(Default)]
struct Kept(HashMap<ObjectId, Vec<u8>>);

impl Keep for Kept {
    type Error = Infallible;

    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), Infallible> {
        assert_eq!(ObjectHash::of(sealed), reference.blake3);
        assert!(self.0.insert(reference.object, sealed.to_vec()).is_none());
        Ok(())
    }
}

/// A file of `size` bytes whose pieces with even numbers are bytes and the others holes, or all
/// bytes.
fn stored(size: u64, holes: bool) -> (Content, Kept) {
    let (keys, mut kept, mut entropy) = (keys(&[0, 1]), Kept::default(), Seed(size));
    let mut sealing = Sealing::new(keys.at(1).unwrap(), keys.at(0));
    for number in 0..chunks(size) {
        let length = chunk_length(size, number);
        if holes && number % 2 == 1 {
            sealing.hole(length as u64, &mut entropy, &mut kept).unwrap();
        } else {
            let mut piece = vec![u8::try_from(number % 250).unwrap() + 1; length];
            sealing.piece(&mut piece, &mut entropy, &mut kept).unwrap();
        }
    }
    assert_eq!(sealing.size(), size);
    (sealing.finish(&mut entropy, &mut kept).unwrap(), kept)
}

fn references(content: &Content, kept: &Kept) -> Vec<Option<Reference>> {
    let page = |number: usize, page: &Reference| {
        let mut buffer = kept.0[&page.object].clone();
        let found = open_page(&keys(&[1]), content.size, number as u64, page, &mut buffer).unwrap();
        assert!(buffer.is_empty());
        found
    };
    match &content.references {
        References::Direct(all) => all.to_vec(),
        References::Paged(pages) => {
            pages.iter().enumerate().flat_map(|(number, one)| page(number, one)).collect()
        }
    }
}

#[test]
fn a_file_comes_back_whatever_its_size() {
    let chunk = CHUNK_BYTES;
    for size in
        [0, 1, 100, chunk - 1, chunk, chunk + 1, 16 * chunk - 1, 16 * chunk, 16 * chunk + 1, 18 * chunk]
    {
        let (content, kept) = stored(size, false);
        assert!(content.fits(), "{size}");
        assert!(content.digest.is_some());
        assert_eq!(matches!(content.references, References::Paged(_)), size > 16 * chunk);
        let all = references(&content, &kept);
        assert_eq!(all.len() as u64, chunks(size));
        for (number, reference) in all.iter().enumerate() {
            let (number, reference) = (number as u64, reference.unwrap());
            let mut buffer = kept.0[&reference.object].clone();
            assert_eq!(buffer.len(), padded_length(size, number) + OBJECT_TAG_BYTES);
            open_chunk(&keys(&[1]), size, number, &reference, &mut buffer).unwrap();
            assert_eq!(buffer, vec![u8::try_from(number % 250).unwrap() + 1; chunk_length(size, number)]);
        }
    }
}

#[test]
fn holes_take_no_objects_and_stand_in_pages() {
    let size = (PAGE_REFERENCES + 3) * CHUNK_BYTES - 7;
    let (keys, mut kept, mut entropy) = (keys(&[0, 1]), Kept::default(), Seed(1));
    let mut sealing = Sealing::new(keys.at(1).unwrap(), keys.at(0));
    for number in 0..chunks(size) {
        let length = chunk_length(size, number);
        if number % 500 == 0 {
            sealing.piece(&mut vec![1; length], &mut entropy, &mut kept).unwrap();
        } else {
            sealing.hole(length as u64, &mut entropy, &mut kept).unwrap();
        }
    }
    let content = sealing.finish(&mut entropy, &mut kept).unwrap();
    assert!(content.fits());
    assert_eq!((content.size, content.digest), (size, None));
    assert_eq!(kept.0.len(), 3 + 2, "three pieces and two pages");
    let all = references(&content, &kept);
    assert_eq!(all.iter().flatten().count(), 3);
    let Some(ChunkSource::Paged { number: 1, at: 2, .. }) = place(&content, PAGE_REFERENCES + 2) else {
        panic!()
    };
    assert_eq!(place(&content, PAGE_REFERENCES + 3), None);
    let (small, _) = stored(3 * CHUNK_BYTES, true);
    assert_eq!(place(&small, 1), Some(ChunkSource::Hole));
    assert!(matches!(place(&small, 2), Some(ChunkSource::Chunk(_))));
}

#[test]
fn equal_files_have_equal_digests_in_every_epoch_and_in_one_safe() {
    let digest = |keys: &SafeKeys, epoch: u64, text: &[u8]| {
        let (mut kept, mut entropy) = (Kept::default(), Seed(5));
        let mut sealing = Sealing::new(keys.at(epoch).unwrap(), keys.at(0));
        sealing.piece(&mut text.to_vec(), &mut entropy, &mut kept).unwrap();
        sealing.finish(&mut entropy, &mut kept).unwrap().digest
    };
    let here = keys(&[0, 1]);
    assert!(digest(&here, 0, b"a").is_some());
    assert_eq!(digest(&here, 0, b"a"), digest(&here, 1, b"a"));
    assert_ne!(digest(&here, 0, b"a"), digest(&here, 0, b"b"));
    let there = keys_of(organisation(), SafeId::from_bytes([2; 16]), &[0]);
    assert_ne!(digest(&here, 0, b"a"), digest(&there, 0, b"a"));
    assert_eq!(digest(&keys(&[1]), 1, b"a"), None, "without the first key there is none");
}

/// A member who seals something else than a file's piece releases nothing at anybody else's.
#[test]
fn a_piece_of_another_shape_is_refused() {
    let here = keys(&[1]);
    let made = |kind, plaintext: &[u8]| {
        let mut buffer = plaintext.to_vec();
        let reference = seal(&here.at(1).unwrap(), kind, &mut buffer, &mut Seed(3)).unwrap();
        (reference, buffer)
    };
    let chunk = |plaintext: &[u8], size, number| {
        let (reference, mut buffer) = made(ObjectKind::Chunk, plaintext);
        let done = open_chunk(&here, size, number, &reference, &mut buffer);
        assert!(done.is_ok() || buffer.is_empty());
        done
    };
    let mut padded = vec![1; 100];
    padded.resize(104, 0);
    assert_eq!(chunk(&padded, 100, 0), Ok(()));
    assert_eq!(chunk(&padded[..103], 100, 0), Err(PieceError::Shape), "shorter");
    assert_eq!(chunk(&padded[..100], 100, 0), Err(PieceError::Shape), "not padded");
    assert_eq!(chunk(&[padded.as_slice(), &[0]].concat(), 100, 0), Err(PieceError::Shape), "longer");
    for at in 100..104 {
        let mut bad = padded.clone();
        bad[at] = 1;
        assert_eq!(chunk(&bad, 100, 0), Err(PieceError::Shape), "padding");
    }
    assert_eq!(chunk(&padded, CHUNK_BYTES + 100, 0), Err(PieceError::Shape), "a last one in the middle");
    assert_eq!(chunk(&padded, 100, 1), Err(PieceError::Shape), "behind the end");
    let size = 17 * CHUNK_BYTES;
    let page = |plaintext: &[u8], number| {
        let (reference, mut buffer) = made(ObjectKind::Page, plaintext);
        open_page(&here, size, number, &reference, &mut buffer)
    };
    assert_eq!(page(&[&[0x91], [0xf6; 17].as_slice()].concat(), 0), Ok(vec![None; 17]));
    assert_eq!(page(&[&[0x90], [0xf6; 16].as_slice()].concat(), 0), Err(PieceError::Shape), "one less");
    assert_eq!(page(&[&[0x91], [0xf6; 17].as_slice()].concat(), 1), Err(PieceError::Shape), "behind the end");
    assert_eq!(page(&[&[0x91], [0xf5; 17].as_slice()].concat(), 0), Err(PieceError::Shape), "no references");
    assert_eq!(page(b"", 0), Err(PieceError::Shape));
}

#[test]
fn pieces_are_taken_in_order_and_up_to_the_largest_file() {
    let here = keys(&[1]);
    let (mut kept, mut entropy) = (Kept::default(), Seed(1));
    let mut sealing = Sealing::new(here.at(1).unwrap(), None);
    let mut piece =
        |sealing: &mut Sealing<'_>, length| sealing.piece(&mut vec![1; length], &mut Seed(9), &mut kept);
    assert_eq!(piece(&mut sealing, 0), Err(SealingError::OutOfPlace));
    assert_eq!(piece(&mut sealing, CHUNK_LENGTH + 1), Err(SealingError::OutOfPlace));
    piece(&mut sealing, 5).unwrap();
    assert_eq!(piece(&mut sealing, 5), Err(SealingError::OutOfPlace), "nothing stands behind the last");
    let (mut sealing, mut kept) = (Sealing::new(here.at(1).unwrap(), None), Kept::default());
    for _ in 0..FILE_MAX_BYTES / CHUNK_BYTES {
        sealing.hole(CHUNK_BYTES, &mut entropy, &mut kept).unwrap();
    }
    assert_eq!(sealing.hole(1, &mut entropy, &mut kept), Err(SealingError::TooLarge));
}

/// A file of so many chunks in epoch 1, each of whose chunks is that of the references, if there is
/// one, or bytes that none of [`stored`] has.
fn put_again(
    chunks: u64,
    again: impl Fn(u64) -> Option<Reference>,
    page: Option<EarlierPage>,
) -> (Content, Kept) {
    let (keys, mut kept, mut entropy) = (keys(&[0, 1]), Kept::default(), Seed(77));
    let mut sealing = Sealing::new(keys.at(1).unwrap(), keys.at(0));
    if let Some(page) = page {
        sealing.page_again(page);
    }
    for number in 0..chunks {
        match again(number) {
            Some(reference) => {
                let same = vec![u8::try_from(number % 250).unwrap() + 1; CHUNK_LENGTH];
                sealing.again(&reference, &same, &mut entropy, &mut kept).unwrap();
            }
            None => sealing.piece(&mut vec![255; CHUNK_LENGTH], &mut entropy, &mut kept).unwrap(),
        }
    }
    (sealing.finish(&mut entropy, &mut kept).unwrap(), kept)
}

/// The one page of a content.
fn page_of(content: &Content, kept: &Kept) -> EarlierPage {
    let References::Paged(pages) = &content.references else { panic!() };
    EarlierPage { number: 0, page: pages[0], references: references(content, kept) }
}

#[test]
fn what_is_named_again_is_sealed_no_second_time() {
    let chunks = 18;
    let (before, kept) = stored(chunks * CHUNK_BYTES, false);
    let earlier = page_of(&before, &kept);
    let all = earlier.references.clone();
    // One chunk is another: it is new, and so is the page.
    let but = |other: u64| {
        let all = &all;
        move |number: u64| all[usize::try_from(number).unwrap()].filter(|_| number != other)
    };
    let (after, new) = put_again(chunks, but(3), Some(earlier.clone()));
    assert_eq!(new.0.len(), 2);
    let named = references(&after, &new);
    for (number, (before, after)) in all.iter().zip(&named).enumerate() {
        assert_eq!(before == after, number != 3, "{number}");
    }
    assert!(after.fits() && after.digest.is_some() && after.digest != before.digest);
    // All of them: the page, too, where it is known.
    let (after, new) = put_again(chunks, but(99), Some(earlier.clone()));
    assert_eq!((after, new.0.len()), (before.clone(), 0));
    let (after, new) = put_again(chunks, but(99), None);
    assert_eq!((after.digest, new.0.len()), (before.digest, 1));
}

#[test]
fn a_page_stands_again_at_its_place_in_its_epoch_and_with_all_it_names() {
    let chunks = 18;
    let (before, kept) = stored(chunks * CHUNK_BYTES, false);
    let right = page_of(&before, &kept);
    let all = right.references.clone();
    let again = |number: u64| all[usize::try_from(number).unwrap()];
    let old = EarlierPage { page: Reference { epoch: 0, ..right.page }, ..right.clone() };
    let elsewhere = EarlierPage { number: 1, ..right.clone() };
    let mut shorter = right.clone();
    shorter.references.pop();
    let mut another = right.clone();
    another.references[5] = None;
    for wrong in [old, elsewhere, shorter, another] {
        let (after, new) = put_again(chunks, again, Some(wrong.clone()));
        let References::Paged(pages) = &after.references else { panic!() };
        assert_eq!((new.0.len(), pages.len()), (1, 1), "{wrong:?}");
        assert_ne!(pages[0].object, right.page.object, "{wrong:?}");
        assert_eq!(references(&after, &new), all);
    }
}

/// Who is in the safe no more may have the earlier key; and of a small file the server would see
/// how much of it changed.
#[test]
fn nothing_is_named_again_of_another_epoch_or_in_a_small_file() {
    let (before, kept) = stored(18 * CHUNK_BYTES, false);
    let one = references(&before, &kept)[0].unwrap();
    let here = keys(&[0, 1, 2]);
    let (mut kept, mut entropy) = (Kept::default(), Seed(1));
    let same = vec![1; CHUNK_LENGTH];
    for epoch in [0, 2] {
        let mut sealing = Sealing::new(here.at(epoch).unwrap(), None);
        let refused = sealing.again(&one, &same, &mut entropy, &mut kept);
        assert_eq!((refused, sealing.size()), (Err(SealingError::NotAgain), 0), "epoch {epoch}");
    }
    for (chunks, is_small) in [(1, true), (16, true), (17, false)] {
        let mut sealing = Sealing::new(here.at(1).unwrap(), None);
        sealing.again(&one, &same, &mut entropy, &mut kept).unwrap();
        for _ in 1..chunks {
            sealing.piece(&mut same.clone(), &mut entropy, &mut kept).unwrap();
        }
        let done = sealing.finish(&mut entropy, &mut kept);
        assert_eq!(done == Err(SealingError::NotAgain), is_small, "{chunks} chunks");
    }
    // In its order, like every piece.
    let mut sealing = Sealing::new(here.at(1).unwrap(), None);
    for length in [0, CHUNK_LENGTH + 1] {
        let refused = sealing.again(&one, &vec![1; length], &mut entropy, &mut kept);
        assert_eq!(refused, Err(SealingError::OutOfPlace), "{length}");
    }
    sealing.again(&one, &same[..5], &mut entropy, &mut kept).unwrap();
    assert_eq!(sealing.again(&one, &same, &mut entropy, &mut kept), Err(SealingError::OutOfPlace));
}
