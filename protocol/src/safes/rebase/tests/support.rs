//! A journal with compare-and-swap, and devices with a base, a queue and a view.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::ids::{DeviceId, EntryId, ObjectId, OperationId, SafeId, Timestamp, UserId};
use crate::object_hash::ObjectHash;
use crate::public_keys::Hash;
use crate::safe_log::roles::Role;
use crate::safes::change::{Change, Inside, Kind, RULES_VERSION};
use crate::safes::content_ref::{Content, ContentDigest, Reference, References};
use crate::safes::entry::Entry;
use crate::safes::fold::{Outer, Stamp, Void, apply, fold};
use crate::safes::name::EntryName;
use crate::safes::rebase::{Naming, Notice, Pending, batch, rebase};
use crate::safes::scratch::{Delta, Over, Scratch};
use crate::safes::state::State;
use crate::safes::tree::{PENDING_SEQ, Tree};

/// The date in conflict names: the same for all, so that numbers are needed, too.
const MOMENT: &str = "14.03";

/// An id that a text stands for: its own 32 digits, or the beginning of its hash.
pub(super) fn bytes_of(text: &str) -> [u8; 16] {
    crate::ids::parse_hex(text).unwrap_or_else(|_| {
        let hash = Hash::of(&[text.as_bytes()]);
        hash.as_bytes()[..16].try_into().unwrap()
    })
}

pub(super) fn entry(text: &str) -> EntryId {
    if text == "/" { root() } else { EntryId::from_bytes(bytes_of(text)) }
}

pub(super) fn operation(text: &str) -> OperationId {
    OperationId::from_bytes(bytes_of(text))
}

pub(super) fn root() -> EntryId {
    EntryId::from_bytes([0; 16])
}

pub(super) fn name(text: &str) -> EntryName {
    EntryName::new(text.as_bytes()).unwrap()
}

/// Content that says who it is: the token stands in the digest.
pub(super) fn content(token: &str) -> Content {
    let mut digest = [0; 32];
    digest[..token.len()].copy_from_slice(token.as_bytes());
    let reference = Reference {
        object: ObjectId::from_bytes(bytes_of(token)),
        epoch: 0,
        blake3: ObjectHash::from_bytes([0; 32]),
    };
    Content {
        size: 1,
        digest: Some(ContentDigest::from_bytes(digest)),
        references: References::Direct(vec![Some(reference)].into()),
    }
}

pub(super) fn token(content: &Content) -> String {
    let digest = content.digest.unwrap();
    String::from_utf8(digest.as_bytes().iter().copied().take_while(|byte| *byte != 0).collect()).unwrap()
}

pub(super) fn token_of(entry: &Entry) -> Option<String> {
    entry.content().map(token)
}

fn stamp(device: &str, seq: u64) -> Stamp {
    let id = bytes_of(device);
    Stamp { seq, user: UserId::from_bytes(id), device: DeviceId::from_bytes(id), time: Timestamp(0) }
}

#[derive(Clone)]
pub(super) struct Server {
    pub(super) state: State,
    journal: Vec<(u64, Vec<OperationId>)>,
    /// Whether devices see the records, or the state alone, as from a snapshot.
    pub(super) shows_records: bool,
}

impl Server {
    pub(super) fn new() -> Self {
        let state = State::new(SafeId::from_bytes([0; 16]));
        Self { state, journal: Vec::new(), shows_records: true }
    }

    /// Folds a record by the rules that a reader has, objects included.
    pub(super) fn post(&mut self, device: &str, changes: &[Change]) -> Result<(), Void> {
        let stamp = stamp(device, self.state.seq() + 1);
        let objects = changes.iter().filter_map(Change::content).flat_map(Content::objects);
        let adds: Vec<ObjectId> = objects.map(|reference| reference.object).collect();
        let outer = Outer {
            seq: stamp.seq,
            epoch: 0,
            user: stamp.user,
            device: stamp.device,
            role: Role::Contributor,
            time: stamp.time,
            adds: &adds,
            drops: &[],
            keeps: &[],
        };
        let inside =
            Inside { rules: RULES_VERSION, root: Hash::from_bytes([0; 32]), changes: changes.to_vec() };
        fold(&mut self.state, &inside, &outer)?;
        self.journal.push((stamp.seq, changes.iter().map(Change::operation).collect()));
        Ok(())
    }

    /// What a purge will do, as a record of its own.
    pub(super) fn purge(&mut self, operation: OperationId, id: EntryId) {
        let mut scratch = Scratch::new(&self.state);
        scratch.purge(id);
        let delta = scratch.into_delta();
        self.state.absorb(delta);
        self.state.seq += 1;
        self.journal.push((self.state.seq(), vec![operation]));
    }

    fn since(&self, seq: u64) -> BTreeSet<OperationId> {
        let shown = self.journal.iter().filter(|(at, _)| self.shows_records && *at > seq);
        shown.flat_map(|(_, operations)| operations.iter().copied()).collect()
    }
}

#[derive(Clone)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) base: State,
    pub(super) queue: Vec<Pending>,
    pub(super) view: Delta,
    pub(super) notices: Vec<Notice>,
}

impl Device {
    pub(super) fn new(name: &str, server: &Server) -> Self {
        let (base, view) = (server.state.clone(), Delta::default());
        Self { name: name.to_owned(), base, queue: Vec::new(), view, notices: Vec::new() }
    }

    pub(super) fn view(&self) -> Over<'_> {
        Over::new(&self.base, &self.view)
    }

    pub(super) fn act(&mut self, change: Change) -> Result<(), Void> {
        let mut scratch = Scratch::resume(&self.base, std::mem::take(&mut self.view));
        let done = apply(&mut scratch, &change, &stamp(&self.name, PENDING_SEQ));
        self.view = scratch.into_delta();
        if done.is_ok() {
            self.queue.push(Pending::from(change));
        }
        done
    }

    pub(super) fn pull(&mut self, server: &Server) {
        if server.state.seq() == self.base.seq() {
            return;
        }
        let stamp = stamp(&self.name, PENDING_SEQ);
        let naming = Naming { label: &self.name, moment: MOMENT, stamp };
        let known = server.since(self.base.seq());
        let rebased = rebase(&self.base, &server.state, &self.queue, &known, &naming);
        assert_eq!(rebased.aside, [], "the rules have a place for everything");
        self.notices.extend(rebased.notices);
        (self.queue, self.view, self.base) = (rebased.queue, rebased.view, server.state.clone());
    }

    pub(super) fn commit(&mut self, server: &mut Server, most: Option<usize>) {
        self.pull(server);
        let count = batch(&self.queue, most.unwrap_or(usize::MAX), usize::MAX);
        if count == 0 {
            return;
        }
        let rest = self.queue.split_off(count);
        let part: Vec<Change> =
            std::mem::replace(&mut self.queue, rest).into_iter().map(|p| p.change).collect();
        server.post(&self.name, &part).unwrap();
        self.base = server.state.clone();
        let mut scratch = Scratch::new(&self.base);
        for pending in &self.queue {
            apply(&mut scratch, &pending.change, &stamp(&self.name, PENDING_SEQ)).unwrap();
        }
        self.view = scratch.into_delta();
    }
}

/// Everybody comes online, until no queue has anything left.
pub(super) fn finish(server: &mut Server, devices: &mut [Device]) {
    for _ in 0..8 {
        devices.iter_mut().for_each(|device| device.commit(server, None));
        if devices.iter().all(|device| device.queue.is_empty()) {
            return;
        }
    }
    panic!("a queue does not drain");
}

/// The live tree: names with what stands in them.
pub(super) fn tree(tree: &dyn Tree, folder: EntryId) -> String {
    let mut out = Vec::new();
    for (name, id) in tree.children(folder) {
        let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
        let there = tree.entry(id).unwrap();
        out.push(match &there.kind {
            Kind::Folder => format!("{name}/{{{}}}", self::tree(tree, id)),
            Kind::File(content) => format!("{name}={}", token(content)),
            Kind::Symlink(_) => name,
        });
    }
    out.join(" ")
}

fn short(id: Option<[u8; 16]>) -> String {
    match id {
        None => "-".to_owned(),
        Some([0, 0, 0, 0, ..]) => "/".to_owned(),
        Some([a, b, c, d, ..]) => format!("{a:02x}{b:02x}{c:02x}{d:02x}"),
    }
}

/// Everything of the state, one entry a line.
pub(super) fn dump(state: &State) -> String {
    let mut out = Vec::new();
    for entry in state.entries.parts().flat_map(|part| part.iter()) {
        let id = |id: EntryId| Some(*id.as_bytes());
        let version = |version: OperationId| Some(*version.as_bytes());
        let kind = if entry.is_folder() { "d" } else { "f" };
        let name = String::from_utf8_lossy(entry.name.as_bytes());
        let mut line = format!(
            "{} {kind} {} {name} {} {} {} {} ",
            short(id(entry.id)),
            short(entry.parent.and_then(id)),
            short(entry.version.and_then(version)),
            token_of(entry).unwrap_or_else(|| "-".to_owned()),
            entry.content_seq,
            entry.place_seq
        );
        match entry.rare.removed.as_ref() {
            Some(removed) => {
                write!(line, "{}{} ", short(version(removed.operation)), short(id(removed.parent))).unwrap();
            }
            None => line.push_str("- "),
        }
        match entry.rare.into.as_ref() {
            Some(into) => {
                write!(line, "{}{} ", short(id(into.target)), short(version(into.version))).unwrap()
            }
            None => line.push_str("- "),
        }
        let mut versions: Vec<String> = entry
            .rare
            .versions
            .iter()
            .map(|old| format!("{}={}", short(version(old.version)), token(&old.content)))
            .collect();
        if let (Some(now), Some(token)) = (entry.version, token_of(entry)) {
            versions.push(format!("{}={token}", short(version(now))));
        }
        line.push_str(&versions.join(","));
        out.push(line);
    }
    out.join("\n")
}

/// Looks at a state from outside: the index, the heights, and that it is kept as it is.
pub(super) fn check(state: &mut State) {
    let bytes = crate::codec::encode(state);
    let mut again: State = crate::codec::decode(&bytes, bytes.len()).unwrap();
    assert_eq!(again.state_root(), state.state_root());
    for id in state.entries.parts().flat_map(|part| part.iter()).map(|entry| entry.id).chain([root()]) {
        assert_eq!(state.children(id), again.children(id));
        assert_eq!(state.heights(id), again.heights(id), "heights");
        let walked = state.below(id).iter().map(|below| state.depth(*below) - state.depth(id)).max();
        assert_eq!(state.height(id), walked.unwrap_or(0));
    }
}
