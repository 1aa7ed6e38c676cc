//! What a person does to the files of the safe: each act is durable when it returns, or was never
//! acknowledged.
//!
//! Mirrors `daemon/src/safes/acts.rs` (`may_write`, `save`, `put`, `rename`, `copy`, `remove`,
//! `make_folder`) and `contents::put`; *restore* and *attributes* stand in records and have no
//! command yet.

use parsec_protocol::ids::{EntryId, OperationId};
use parsec_protocol::keys::random;
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::content::{Keep, Sealing};
use parsec_protocol::safes::content_ref::{Content, Reference};
use parsec_protocol::safes::fold::apply;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::scratch::Scratch;
use parsec_protocol::safes::tree::Tree;

use crate::device::{Device, Queued, Staged, Stop};
use crate::people::Rng;

/// What an act came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Acted {
    /// Nothing to act on, or the tree does not take it: nothing was said to be saved.
    Refused,
    /// It is saved; with the words that it put into a file.
    Saved(Option<String>),
}

/// Names that collide.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

struct Objects(Vec<(Reference, Vec<u8>)>);

impl Keep for Objects {
    type Error = std::convert::Infallible;

    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), Self::Error> {
        self.0.push((*reference, sealed.to_vec()));
        Ok(())
    }
}

/// Everything in the trash that a person sees there.
fn in_trash(view: &dyn Tree) -> Vec<EntryId> {
    let mut dead = Vec::new();
    view.each_version(&mut |id, _| {
        let mut top = id;
        while let Some(above) = view.entry(top).and_then(|entry| entry.parent) {
            top = above;
        }
        if top != view.root() {
            dead.extend([id, top]);
        }
    });
    dead.sort_unstable();
    dead.dedup();
    dead.retain(|id| view.entry(*id).is_some_and(|entry| entry.rare.into.is_none()));
    dead
}

impl Device {
    fn operation(&mut self) -> OperationId {
        OperationId::from_bytes(random(&mut self.entropy).unwrap())
    }

    /// `acts::may_write`.
    fn writes(&self) -> bool {
        let role = self.memory.verified.role(&self.user());
        match role {
            Some(role) => role.writes(),
            None => self.memory.verified.present().is_none() && self.disk.founding.is_some(),
        }
    }

    /// Seals contents and keeps their objects, before anything names them.
    fn sealed(&mut self, words: &str) -> Result<Option<(Content, Vec<Reference>)>, Stop> {
        let epoch = self.memory.verified.present().map_or(0, |now| now.key.epoch);
        let keys: SafeKeys = self.memory.keys.copied();
        let Some(present) = keys.at(epoch) else { return Ok(None) };
        let mut kept = Objects(Vec::new());
        let mut sealing = Sealing::new(present, keys.at(0));
        sealing.piece(&mut words.as_bytes().to_vec(), &mut self.entropy, &mut kept).unwrap();
        let content = sealing.finish(&mut self.entropy, &mut kept).unwrap();
        self.step()?;
        let mut references = Vec::new();
        for (reference, sealed) in kept.0 {
            references.push(reference);
            let staged = Staged { hash: reference.blake3, sealed, uploaded: false };
            self.disk.objects.insert(reference.object, staged);
        }
        Ok(Some((content, references)))
    }

    /// One act, whatever the dice say.
    ///
    /// # Errors
    /// It was killed meanwhile: whether the act is there, nobody was told.
    pub fn act(&mut self, rng: &mut Rng, words: &str) -> Result<Acted, Stop> {
        if !self.writes() {
            return Ok(Acted::Refused);
        }
        let (all, folders, files, dead) = {
            let view = self.view();
            let root = view.root();
            let all: Vec<EntryId> = view.below(root);
            let is_folder = |id: &EntryId| view.is_folder(*id);
            let folders: Vec<EntryId> = all.iter().copied().filter(is_folder).chain([root]).collect();
            let file = |id: &EntryId| Some((*id, view.entry(*id)?.version?));
            let files: Vec<(EntryId, OperationId)> = all.iter().filter_map(file).collect();
            (all, folders, files, in_trash(&view))
        };
        let operation = self.operation();
        let entry = EntryId::from_bytes(random(&mut self.entropy).unwrap());
        let name = EntryName::new(rng.of(&NAMES).unwrap().as_bytes()).unwrap();
        let parent = rng.of(&folders).unwrap();
        let add = |kind: Kind| Change::Add {
            operation: None,
            entry,
            parent,
            name: name.clone(),
            kind,
            mtime: 1,
            executable: false,
            conflict_of: None,
        };
        let mut adds = Vec::new();
        let mut put = None;
        let change =
            match rng.below(14) {
                0 => Some(add(Kind::Folder)),
                1 | 2 => {
                    let Some((content, references)) = self.sealed(words)? else { return Ok(Acted::Refused) };
                    adds = references;
                    put = Some(words.to_owned());
                    Some(add(Kind::File(content)))
                }
                3..=5 if !files.is_empty() => {
                    let (entry, base) = rng.of(&files).unwrap();
                    let Some((content, references)) = self.sealed(words)? else { return Ok(Acted::Refused) };
                    adds = references;
                    put = Some(words.to_owned());
                    Some(Change::Content { operation, entry, base, content, mtime: 2 })
                }
                6 | 7 => rng.of(&all).map(|entry| Change::Move {
                    operation,
                    entry,
                    parent,
                    name: name.clone(),
                    conflict_of: None,
                }),
                8 | 9 => rng.of(&all).map(|entry| Change::Remove { operation, entry }),
                10 => rng
                    .of(&files)
                    .zip(rng.of(&files))
                    .map(|((target, base), (source, _))| Change::Replace { operation, target, base, source }),
                11 => rng.of(&dead).map(|entry| Change::Restore {
                    operation,
                    entry,
                    parent,
                    name: name.clone(),
                    shallow: false,
                }),
                12 => {
                    let source = rng.of(&files).map(|(source, _)| source);
                    let kind = source.and_then(|source| Some(self.view().entry(source)?.kind.clone()));
                    kind.map(add)
                }
                _ => rng.of(&all).map(|entry| Change::Attributes {
                    operation,
                    entry,
                    mtime: 9,
                    executable: rng.percent(50),
                }),
            };
        let Some(change) = change else { return Ok(Acted::Refused) };
        self.save(change, &adds, put)
    }

    /// `acts::save`.
    pub fn save(&mut self, change: Change, adds: &[Reference], put: Option<String>) -> Result<Acted, Stop> {
        let delta = {
            let mut scratch = Scratch::resume(&self.memory.base, self.memory.delta.clone());
            if apply(&mut scratch, &change, &self.stamp()).is_err() {
                return Ok(Acted::Refused);
            }
            scratch.into_delta()
        };
        let adds = adds.iter().map(|reference| reference.object).collect();
        let queued = Queued { pending: Pending::from(change), adds };
        self.step()?;
        self.disk.queue.extend(Self::encoded(std::slice::from_ref(&queued)));
        self.memory.queue.push(queued);
        self.memory.delta = delta;
        Ok(Acted::Saved(put))
    }
}
