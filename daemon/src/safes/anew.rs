//! Contents that wait under a key which is the present one no more: sealed anew, under new ids.
//! Members who lost their role have the old key, and no record takes what is new under it.
//!
//! Decides by the whole queue: which objects wait, any change of it says, and each that names one
//! names the new one from then on. A rebase may put the change that brings contents behind a helper
//! that holds their objects, and a copy names the objects of another change: looked at one by one,
//! the first would keep the old key, the second would name what nothing adds any more, and either
//! would make every record void that this device could write.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::content::{CHUNK_LENGTH, chunks, open_chunk, open_page, padded_length};
use parsec_protocol::safes::content_ref::{Content, PAGE_REFERENCES, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::{self, OBJECT_TAG_BYTES, ObjectKind};
use parsec_protocol::safes::state::State;

use super::folding;
use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::store::{StagedObject, StoreError};

/// Seals anew what waits under a key that is the present one no more.
///
/// # Errors
/// `safe_key_missing`; the random source's; the store's.
pub(super) async fn seal_anew(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    let Some(present) = memory.verified.present().map(|now| now.key.epoch) else { return Ok(()) };
    let mut waiting = waiting(&memory.queue, &memory.base);
    // What this disk has lost stays what it was: it doesn't go out.
    for queued in memory.queue.iter().filter(|queued| memory.unreadable.contains_key(&queued.pending.group)) {
        waiting.retain(|object| !queued.adds.contains(object));
    }
    if !memory.queue.iter().any(|queued| is_stale(queued, &waiting, present)) {
        return Ok(());
    }
    let (open, id) = (std::sync::Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || {
        let stage = &|staged: StagedObject| open.store.stage_objects(id, &[staged]);
        let sealed = &|object: ObjectId| {
            Ok::<_, StoreError>(open.store.staged_object(id, object)?.map(|found| found.sealed))
        };
        let keys = &memory.keys;
        let mut anew = Anew { sealed, stage, keys, present, waiting: &waiting, made: BTreeMap::new() };
        let queue = anew.queue(&memory.queue)?;
        let before: Vec<_> = anew.made.into_keys().collect();
        folding::requeue(&open, id, &mut memory, queue)?;
        // Nothing names what they were before.
        open.store.drop_objects(id, &before)?;
        Ok::<_, Problem>(())
    })
    .await
}

/// Whether something of the queue has to be sealed anew before it goes out, of which all bytes are
/// needed then.
pub(super) fn is_due(memory: &Memory) -> bool {
    let waiting = waiting(&memory.queue, &memory.base);
    let present = memory.verified.present().map(|now| now.key.epoch);
    present.is_some_and(|present| memory.queue.iter().any(|queued| is_stale(queued, &waiting, present)))
}

/// Objects of the queue that no accepted record has added.
fn waiting(queue: &[Queued], base: &State) -> BTreeSet<ObjectId> {
    let all = queue.iter().flat_map(|queued| queued.adds.iter().copied());
    all.filter(|object| !base.has_object(*object)).collect()
}

/// Whether a change names a waiting object of an earlier key.
fn is_stale(queued: &Queued, waiting: &BTreeSet<ObjectId>, present: u64) -> bool {
    let old = |reference: &Reference| reference.epoch != present && waiting.contains(&reference.object);
    queued.pending.change.content().is_some_and(|content| content.objects().any(old))
}

/// Seals the waiting objects of a queue, each once.
struct Anew<'a> {
    /// Bytes of an object that waits.
    sealed: &'a dyn Fn(ObjectId) -> Result<Option<Vec<u8>>, StoreError>,
    /// Keeps a new object; durable when it returns.
    stage: &'a dyn Fn(StagedObject) -> Result<(), StoreError>,
    keys: &'a SafeKeys,
    present: u64,
    waiting: &'a BTreeSet<ObjectId>,
    /// What stands for each old object from now on.
    made: BTreeMap<ObjectId, Reference>,
}

impl Anew<'_> {
    fn queue(&mut self, queue: &[Queued]) -> Result<Vec<Queued>, Problem> {
        let mut queue = queue.to_vec();
        for queued in &mut queue {
            match &mut queued.pending.change {
                Change::Add { kind: Kind::File(content), .. } | Change::Content { content, .. } => {
                    *content = self.content(content)?;
                }
                _ => {}
            }
        }
        for object in queue.iter_mut().flat_map(|queued| &mut queued.adds) {
            if let Some(made) = self.made.get(object) {
                *object = made.object;
            }
        }
        Ok(queue)
    }

    fn content(&mut self, content: &Content) -> Result<Content, Problem> {
        let size = content.size;
        let references = match &content.references {
            References::Direct(all) => References::Direct(self.chunks(size, 0, all)?.into()),
            References::Paged(pages) => {
                let mut anew = Vec::new();
                for (number, page) in (0_u64..).zip(pages) {
                    anew.push(self.page(size, number, page)?);
                }
                References::Paged(anew)
            }
        };
        Ok(Content { size, digest: content.digest, references })
    }

    fn is_old(&self, reference: &Reference) -> bool {
        reference.epoch != self.present && self.waiting.contains(&reference.object)
    }

    fn chunks(
        &mut self,
        size: u64,
        from: u64,
        all: &[Option<Reference>],
    ) -> Result<Vec<Option<Reference>>, Problem> {
        let mut anew = Vec::new();
        for (number, reference) in (from..).zip(all) {
            anew.push(match reference {
                Some(reference) if self.is_old(reference) => Some(self.chunk(size, number, reference)?),
                other => *other,
            });
        }
        Ok(anew)
    }

    fn chunk(&mut self, size: u64, number: u64, reference: &Reference) -> Result<Reference, Problem> {
        if let Some(made) = self.made.get(&reference.object) {
            return Ok(*made);
        }
        let mut buffer = self.read(reference)?;
        buffer.reserve(CHUNK_LENGTH + OBJECT_TAG_BYTES);
        open_chunk(self.keys, size, number, reference, &mut buffer).map_err(|_| unreadable())?;
        buffer.resize(padded_length(size, number), 0);
        self.seal(reference, ObjectKind::Chunk, buffer)
    }

    fn page(&mut self, size: u64, number: u64, page: &Reference) -> Result<Reference, Problem> {
        if !self.is_old(page) {
            return Ok(*page);
        }
        if let Some(made) = self.made.get(&page.object) {
            return Ok(*made);
        }
        let mut buffer = self.read(page)?;
        let all = open_page(self.keys, size, number, page, &mut buffer).map_err(|_| unreadable())?;
        let from = number.saturating_mul(PAGE_REFERENCES).min(chunks(size));
        let anew = self.chunks(size, from, &all)?;
        self.seal(page, ObjectKind::Page, codec::encode(&anew))
    }

    fn read(&self, reference: &Reference) -> Result<Vec<u8>, Problem> {
        (self.sealed)(reference.object)?.ok_or_else(unreadable)
    }

    fn seal(&mut self, old: &Reference, kind: ObjectKind, mut buffer: Vec<u8>) -> Result<Reference, Problem> {
        let key = self.keys.at(self.present).ok_or_else(|| {
            Problem::new(
                ProblemKind::SafeKeyMissing,
                "This device has not been given the safe's present key yet.",
            )
        })?;
        let made =
            object::seal(&key, kind, &mut buffer, &mut entropy::System).map_err(problems::no_entropy)?;
        (self.stage)(StagedObject { object: made.object, hash: made.blake3, sealed: buffer })?;
        self.made.insert(old.object, made);
        Ok(made)
    }
}

fn unreadable() -> Problem {
    Problem::new(ProblemKind::StoreDamaged, "Contents that wait can't be read in the store.")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use parsec_protocol::ids::{EntryId, OperationId, OrganisationId, SafeId, Timestamp};
    use parsec_protocol::keys::SafeKey;
    use parsec_protocol::safes::keys::EpochKey;
    use parsec_protocol::safes::name::EntryName;
    use parsec_protocol::safes::rebase::Pending;

    use super::*;

    const WORDS: &[u8] = b"not for who was removed";

    /// Keys of epochs 0 and 1.
    fn keys() -> SafeKeys {
        let (organisation, safe): (OrganisationId, _) =
            ("acme".parse().unwrap(), SafeId::from_bytes([1; 16]));
        let mut keys = SafeKeys::new(organisation.clone(), safe);
        for epoch in 0..2 {
            let key = SafeKey::from_bytes(&mut [u8::try_from(epoch).unwrap() + 7; 32]);
            let check = EpochKey::new(&organisation, &safe, epoch, &key).check();
            keys.insert(epoch, key, &check).unwrap();
        }
        keys
    }

    /// Contents under the key of epoch 0, with their sealed bytes.
    fn old(keys: &SafeKeys) -> (Content, StagedObject) {
        let mut sealed = WORDS.to_vec();
        sealed.resize(padded_length(WORDS.len() as u64, 0), 0);
        let key = keys.at(0).unwrap();
        let reference = object::seal(&key, ObjectKind::Chunk, &mut sealed, &mut entropy::System).unwrap();
        let references = References::Direct(vec![Some(reference)].into());
        let content = Content { size: WORDS.len() as u64, digest: None, references };
        (content, StagedObject { object: reference.object, hash: reference.blake3, sealed })
    }

    fn queued(change: Change, group: OperationId, adds: Vec<ObjectId>) -> Queued {
        Queued { pending: Pending { change, group }, saved: Timestamp(1), adds, brake: None }
    }

    fn add(entry: u8, content: &Content) -> Change {
        Change::Add {
            operation: None,
            entry: EntryId::from_bytes([entry; 16]),
            parent: EntryId::from_bytes([1; 16]),
            name: EntryName::new(&[entry]).unwrap(),
            kind: Kind::File(content.clone()),
            mtime: 0,
            executable: false,
            conflict_of: None,
        }
    }

    /// A queue under key 1, in which each of these names the words under that key and nothing else,
    /// and which adds exactly what it names.
    fn goes_anew(queue: &[Queued], staged: &StagedObject, keys: &SafeKeys, naming: usize) {
        let waiting = waiting(queue, &State::new(SafeId::from_bytes([1; 16])));
        assert!(queue.iter().any(|queued| is_stale(queued, &waiting, 1)));
        let kept = RefCell::new(Vec::new());
        let stage = |staged: StagedObject| {
            kept.borrow_mut().push(staged);
            Ok::<_, StoreError>(())
        };
        let sealed =
            |object: ObjectId| Ok::<_, StoreError>((object == staged.object).then(|| staged.sealed.clone()));
        let mut anew = Anew {
            sealed: &sealed,
            stage: &stage,
            keys,
            present: 1,
            waiting: &waiting,
            made: BTreeMap::new(),
        };
        let after = anew.queue(queue).unwrap();
        let kept = kept.into_inner();
        assert_eq!(kept.len(), 1, "each object once");
        let adds: Vec<_> = after.iter().flat_map(|queued| queued.adds.clone()).collect();
        assert_eq!(adds, [kept[0].object]);
        let contents: Vec<_> = after.iter().filter_map(|queued| queued.pending.change.content()).collect();
        assert_eq!(contents.len(), naming);
        for content in contents {
            let reference = *content.objects().next().unwrap();
            assert_eq!((reference.epoch, reference.object), (1, kept[0].object));
            let mut buffer = kept[0].sealed.clone();
            open_chunk(keys, content.size, 0, &reference, &mut buffer).unwrap();
            assert_eq!(buffer, WORDS);
        }
        let waiting = super::waiting(&after, &State::new(SafeId::from_bytes([1; 16])));
        assert!(!after.iter().any(|queued| is_stale(queued, &waiting, 1)), "once is enough");
    }

    /// What a rebase makes of an edit of a file that somebody removed: it brings the file back
    /// first, and that change holds the objects of the group.
    #[test]
    fn contents_behind_a_helper_are_sealed_anew() {
        let keys = keys();
        let (content, staged) = old(&keys);
        let group = OperationId::from_bytes([3; 16]);
        let entry = EntryId::from_bytes([4; 16]);
        let back = Change::Restore {
            operation: OperationId::from_bytes([5; 16]),
            entry,
            parent: EntryId::from_bytes([1; 16]),
            name: EntryName::new(b"a").unwrap(),
            shallow: false,
        };
        let base = OperationId::from_bytes([6; 16]);
        let edit = Change::Content { operation: group, entry, base, content, mtime: 0 };
        let queue = [queued(back, group, vec![staged.object]), queued(edit, group, Vec::new())];
        goes_anew(&queue, &staged, &keys, 1);
    }

    /// An edit of a large file names again what an accepted record has added: that stays as it is,
    /// like the contents of a copy, and is not looked for among what waits.
    #[test]
    fn what_an_edit_names_again_stays_and_what_waits_is_sealed_anew() {
        let keys = keys();
        let (size, key) = (17 * parsec_protocol::safes::content_ref::CHUNK_BYTES, keys.at(0).unwrap());
        let sealed = |kind, mut plaintext: Vec<u8>| {
            let reference = object::seal(&key, kind, &mut plaintext, &mut entropy::System).unwrap();
            StagedObject { object: reference.object, hash: reference.blake3, sealed: plaintext }
        };
        let of = |staged: &StagedObject| Reference { object: staged.object, epoch: 0, blake3: staged.hash };
        let chunk = sealed(ObjectKind::Chunk, vec![3; CHUNK_LENGTH]);
        let accepted = Reference { object: ObjectId::from_bytes([8; 16]), epoch: 0, blake3: chunk.hash };
        let mut names = vec![Some(accepted); 17];
        names[4] = Some(of(&chunk));
        let page = sealed(ObjectKind::Page, codec::encode(&names));
        let references = References::Paged(vec![of(&page)]);
        let content = Content { size, digest: None, references };
        let (operation, entry) = (OperationId::from_bytes([3; 16]), EntryId::from_bytes([4; 16]));
        let base = OperationId::from_bytes([6; 16]);
        let edit = Change::Content { operation, entry, base, content, mtime: 0 };
        let queue = [queued(edit, operation, vec![chunk.object, page.object])];

        let waiting = waiting(&queue, &State::new(SafeId::from_bytes([1; 16])));
        let kept = RefCell::new(Vec::new());
        let stage = |staged: StagedObject| {
            kept.borrow_mut().push(staged);
            Ok::<_, StoreError>(())
        };
        let here = [chunk, page];
        let sealed = |object: ObjectId| {
            Ok::<_, StoreError>(here.iter().find(|one| one.object == object).map(|one| one.sealed.clone()))
        };
        let (sealed, stage, made) = (&sealed, &stage, BTreeMap::new());
        let mut anew = Anew { sealed, stage, keys: &keys, present: 1, waiting: &waiting, made };
        let after = anew.queue(&queue).unwrap();
        let kept = kept.into_inner();
        let [chunk, page] = kept.as_slice() else { panic!("{} objects", kept.len()) };
        assert_eq!(after[0].adds, [chunk.object, page.object]);
        let content = after[0].pending.change.content().unwrap();
        let reference = *content.objects().next().unwrap();
        assert_eq!((reference.object, reference.epoch), (page.object, 1));
        let found = open_page(&keys, size, 0, &reference, &mut page.sealed.clone()).unwrap();
        for (number, found) in found.iter().enumerate() {
            let wanted = if number == 4 { (chunk.object, 1) } else { (accepted.object, 0) };
            assert_eq!(found.map(|found| (found.object, found.epoch)), Some(wanted), "chunk {number}");
        }
    }

    #[test]
    fn a_copy_of_what_waits_names_the_new_objects() {
        let keys = keys();
        let (content, staged) = old(&keys);
        let (first, copy) = (add(4, &content), add(5, &content));
        let queue = [
            queued(first.clone(), first.operation(), vec![staged.object]),
            queued(copy.clone(), copy.operation(), Vec::new()),
        ];
        goes_anew(&queue, &staged, &keys, 2);
    }
}
