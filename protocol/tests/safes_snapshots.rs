//! Snapshots of a safe's state: what one holds, who may write it, and that one which lies is void.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

use std::convert::Infallible;

use minicbor::Encoder;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, EntryId, ObjectId, OperationId, SafeId, Timestamp, UserId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::{Change, Inside, Kind, PrunedVersions, RULES_VERSION};
use parsec_protocol::safes::content_ref::{Content, ContentDigest, Reference, References};
use parsec_protocol::safes::entry::{Entry, Rarely};
use parsec_protocol::safes::fold::{Outer, Void, fold, would_fold};
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::snapshot::{BadSnapshot, SNAPSHOT_MAX_BYTES, SNAPSHOTS_MAX, open, root_of};
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::{DEPTH_MAX, Tree as _};

const SAFE: SafeId = SafeId::from_bytes([0; 16]);
const ROOT: EntryId = EntryId::from_bytes([0; 16]);
/// A day, as records count it.
const DAY: u64 = 86_400 * Timestamp::SECOND;

fn bytes_of(number: u64) -> [u8; 16] {
    // Not in one bucket: the encoding goes by them.
    Hash::of(&[&number.to_be_bytes()]).as_bytes()[..16].try_into().unwrap()
}

fn object(number: u64) -> ObjectId {
    ObjectId::from_bytes(bytes_of(number))
}

fn entry(number: u64) -> EntryId {
    EntryId::from_bytes(bytes_of(number))
}

fn operation(number: u64) -> OperationId {
    OperationId::from_bytes(bytes_of(number))
}

fn content(number: u64) -> Content {
    let reference = Reference { object: object(number), epoch: 0, blake3: ObjectHash::from_bytes([7; 32]) };
    Content { size: 9, digest: None, references: References::Direct(vec![Some(reference)].into()) }
}

fn add(number: u64, kind: Kind) -> Change {
    Change::Add {
        operation: None,
        entry: entry(number),
        parent: ROOT,
        name: EntryName::new(format!("entry {number}").as_bytes()).unwrap(),
        kind,
        mtime: number,
        executable: number.is_multiple_of(2),
        conflict_of: None,
    }
}

/// What a record has outside, and what it changes.
#[derive(Clone)]
struct Record {
    role: Role,
    day: u64,
    adds: Vec<ObjectId>,
    drops: Vec<ObjectId>,
    changes: Vec<Change>,
}

impl Record {
    fn by(role: Role, changes: Vec<Change>) -> Self {
        Self { role, day: 1, adds: Vec::new(), drops: Vec::new(), changes }
    }

    fn adding(mut self, adds: &[u64]) -> Self {
        self.adds = adds.iter().copied().map(object).collect();
        self
    }

    fn outer(&self, state: &State) -> Outer<'_> {
        Outer {
            seq: state.seq() + 1,
            epoch: 0,
            user: UserId::from_bytes([self.role as u8; 16]),
            device: DeviceId::from_bytes([self.role as u8; 16]),
            role: self.role,
            time: Timestamp(self.day * DAY),
            adds: &self.adds,
            drops: &self.drops,
            keeps: &[],
        }
    }

    fn inside(&self) -> Inside {
        Inside { rules: RULES_VERSION, root: Hash::from_bytes([0; 32]), changes: self.changes.clone() }
    }

    fn says(&self, state: &State) -> Result<(), Void> {
        would_fold(state, &self.inside(), &self.outer(state))
    }

    fn fold(&self, state: &mut State) -> Result<(), Void> {
        let outer = self.outer(state);
        fold(state, &self.inside(), &outer)
    }
}

fn snapshot_of(state: &State, objects: u64, number: u64) -> Record {
    let change =
        Change::Snapshot { operation: operation(number), content: content(objects), root: root_of(state) };
    Record::by(Role::Owner, vec![change]).adding(&[objects])
}

/// A safe with everything that a state can hold: an earlier content, a full trash, an object that a
/// void record dropped, marks, a name, a snapshot.
fn lived() -> State {
    let mut state = State::new(SAFE);
    let file = |number| Kind::File(content(number));
    let made = vec![
        Change::SafeName { operation: operation(900), name: "Plans".parse().unwrap() },
        add(1, file(11)),
        add(2, file(12)),
        add(3, Kind::Folder),
        Change::Content {
            operation: operation(901),
            entry: entry(1),
            base: operation(1),
            content: content(13),
            mtime: 5,
        },
        Change::Remove { operation: operation(902), entry: entry(2) },
    ];
    Record::by(Role::Owner, made).adding(&[11, 12, 13]).fold(&mut state).unwrap();
    let dropping = Record { drops: vec![object(11)], ..Record::by(Role::Manager, Vec::new()) };
    assert_eq!(dropping.fold(&mut state), Err(Void::DropsAlone));
    assert_eq!(state.endangered().len(), 1);
    snapshot_of(&state, 21, 903).fold(&mut state).unwrap();
    Record { day: 3, ..Record::by(Role::Contributor, vec![add(4, Kind::Folder)]) }.fold(&mut state).unwrap();
    state
}

#[test]
fn a_snapshot_holds_all_of_a_state_and_who_starts_from_it_folds_on_alike() {
    let mut there = lived();
    let (bytes, root) = (codec::encode(&there), root_of(&there));
    let mut here = open(&bytes, root, SAFE, there.seq() + 1).unwrap();
    assert_eq!(codec::encode(&here), bytes);
    for state in [&mut there, &mut here] {
        snapshot_of(state, 22, 904).fold(state).unwrap();
        // It names what records before the snapshot added, and throws away what they removed.
        let again = add(5, Kind::File(content(13)));
        Record::by(Role::Contributor, vec![again]).fold(state).unwrap();
        let prune =
            Change::Prune { operation: operation(905), versions: Vec::new(), entries: vec![entry(2)] };
        Record { day: 40, ..Record::by(Role::Owner, vec![prune]) }.fold(state).unwrap();
    }
    assert_eq!(there.state_root(), here.state_root());
    assert_eq!(root_of(&there), root_of(&here));
    assert_eq!(there.snapshots(), here.snapshots());
    let seqs: Vec<u64> = here.snapshots().iter().map(|snapshot| snapshot.seq).collect();
    assert_eq!(seqs, [3, 5]);
    assert_eq!(here.records_since_snapshot(), 2);
}

#[test]
fn the_root_of_a_snapshot_covers_what_no_state_root_does() {
    let mut one = lived();
    let mut other = one.clone();
    // The same tree, and one object more or less.
    Record::by(Role::Owner, Vec::new()).adding(&[31]).fold(&mut one).unwrap();
    Record::by(Role::Owner, Vec::new()).adding(&[32]).fold(&mut other).unwrap();
    assert_eq!(one.state_root(), other.state_root());
    assert_ne!(root_of(&one), root_of(&other));
    // And one snapshot more.
    let (mut one, mut other) = (lived(), lived());
    snapshot_of(&one, 33, 906).fold(&mut one).unwrap();
    Record::by(Role::Owner, Vec::new()).adding(&[33]).fold(&mut other).unwrap();
    assert_eq!(one.state_root(), other.state_root());
    assert_ne!(root_of(&one), root_of(&other));
}

#[test]
fn a_snapshot_that_lies_or_is_by_somebody_else_is_void_for_everybody() {
    let state = lived();
    let good = snapshot_of(&state, 40, 910);
    assert_eq!(good.says(&state), Ok(()));
    assert_eq!(Record { role: Role::Manager, ..good.clone() }.says(&state), Ok(()));
    assert_eq!(Record { role: Role::Contributor, ..good.clone() }.says(&state), Err(Void::NotAManager));
    let lies = |bend: &dyn Fn(&mut Content, &mut Hash)| {
        let mut record = good.clone();
        let Change::Snapshot { content, root, .. } = &mut record.changes[0] else { panic!() };
        bend(content, root);
        record.says(&state)
    };
    // Of another state: of the one before, and of none.
    let before = root_of(&State::new(SAFE));
    assert_eq!(lies(&|_, root| *root = before), Err(Void::OtherState));
    assert_eq!(lies(&|_, root| *root = Hash::from_bytes([1; 32])), Err(Void::OtherState));
    let digest = ContentDigest::from_bytes([1; 32]);
    assert_eq!(lies(&|content, _| content.digest = Some(digest)), Err(Void::References));
    let hole = References::Direct(vec![None].into());
    assert_eq!(lies(&|content, _| content.references = hole.clone()), Err(Void::References));
    let nothing = |content: &mut Content| {
        (content.size, content.references) = (0, References::Direct(Vec::new().into()))
    };
    assert_eq!(lies(&|content, _| nothing(content)), Err(Void::References));
    let Some(Some(reference)) = (match content(40).references {
        References::Direct(chunks) => chunks.first().copied(),
        References::Paged(_) => None,
    }) else {
        panic!()
    };
    let paged = |content: &mut Content, size: u64| {
        let pages = usize::try_from(size.div_ceil(SNAPSHOT_MAX_BYTES)).unwrap();
        (content.size, content.references) = (size, References::Paged(vec![reference; pages]));
    };
    assert_eq!(lies(&|content, _| paged(content, SNAPSHOT_MAX_BYTES)), Ok(()));
    assert_eq!(lies(&|content, _| paged(content, SNAPSHOT_MAX_BYTES + 1)), Err(Void::References));
    assert_eq!(lies(&|it, _| it.references = content(41).references), Err(Void::UnknownObject));
    // Beside something else, before and behind it, and twice.
    for at in [0, 1] {
        let mut record = good.clone();
        record.changes.insert(at, add(50, Kind::Folder));
        assert_eq!(record.says(&state), Err(Void::SnapshotAmongOthers));
    }
    let twice = Record { changes: [good.changes.clone(), good.changes.clone()].concat(), ..good.clone() };
    assert_eq!(twice.says(&state), Err(Void::SnapshotAmongOthers));
    // A void one is in no state.
    let mut after = state.clone();
    Record { role: Role::Contributor, ..good }.fold(&mut after).unwrap_err();
    assert_eq!(after.snapshots(), state.snapshots());
}

#[test]
fn objects_of_the_newest_snapshots_are_dropped_by_no_record() {
    let mut state = lived();
    for number in 60..63 {
        snapshot_of(&state, number, number).fold(&mut state).unwrap();
    }
    assert_eq!(state.snapshots().len(), SNAPSHOTS_MAX);
    let dropping = |number| {
        let versions: Vec<PrunedVersions> = Vec::new();
        let prune = Change::Prune { operation: operation(99), versions, entries: Vec::new() };
        Record { drops: vec![object(number)], ..Record::by(Role::Owner, vec![prune]) }
    };
    for kept in [61, 62] {
        assert_eq!(dropping(kept).says(&state), Err(Void::InUse), "{kept}");
    }
    for gone in [21, 60] {
        assert_eq!(dropping(gone).says(&state), Ok(()), "{gone}");
    }
    // Whoever looks for what nothing names finds them named.
    let mut named = Vec::new();
    state.each_content(|content| named.extend(content.objects().map(|reference| reference.object)));
    assert!(named.contains(&object(61)) && named.contains(&object(62)) && !named.contains(&object(60)));
}

fn nothing<T>(done: Result<T, minicbor::encode::Error<Infallible>>) -> T {
    done.unwrap()
}

/// Bytes of a state that no fold has made, of this safe before record 2.
fn raw(entries: &[Entry]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    nothing(e.array(10));
    nothing(e.encode(ROOT));
    nothing(nothing(nothing(e.u64(1)).null()).u64(90));
    for _ in 0..5 {
        nothing(e.array(0));
    }
    nothing(e.encode(entries));
    e.into_writer()
}

fn made_up(id: EntryId, parent: EntryId) -> Entry {
    Entry {
        id,
        kind: Kind::Folder,
        parent: Some(parent),
        name: EntryName::new(b"x").unwrap(),
        version: None,
        content_seq: 1,
        place_seq: 1,
        mtime: 0,
        executable: false,
        added_by: UserId::from_bytes([1; 16]),
        rare: Rarely::default(),
    }
}

fn opens(bytes: &[u8]) -> Result<State, BadSnapshot> {
    open(bytes, Hash::of(&[b"parsec-snapshot-v1\0", bytes]), SAFE, 2)
}

/// What somebody says that a state is, is looked at like every input: whatever was signed.
#[test]
fn nothing_is_started_from_but_the_one_encoding_of_a_state_of_this_place() {
    let id = |number: u8| EntryId::from_bytes([number; 16]);
    let chain = |length: usize| {
        let number = |at: usize| u8::try_from(at).unwrap();
        let folder = |at: usize| made_up(id(number(at)), id(number(at - 1)));
        (1..=length).map(folder).collect::<Vec<_>>()
    };
    assert!(opens(&raw(&[])).is_ok() && opens(&raw(&chain(DEPTH_MAX))).is_ok());
    let none = |entries: &[Entry]| matches!(opens(&raw(entries)), Err(BadSnapshot::State(_)));
    assert!(none(&chain(DEPTH_MAX + 1)), "deeper than any tree");
    assert!(none(&[made_up(ROOT, id(1)), made_up(id(1), ROOT)]), "the root in a folder below it");
    assert!(none(&[made_up(id(1), id(2)), made_up(id(2), id(1))]), "a circle");
    assert!(none(&[made_up(id(1), ROOT), made_up(id(2), ROOT)]), "one name twice");
    assert!(none(&[
        made_up(id(2), ROOT),
        Entry { name: EntryName::new(b"y").unwrap(), ..made_up(id(1), ROOT) }
    ]));
    let good = raw(&chain(3));
    assert!(matches!(opens(&[good.as_slice(), &[0]].concat()), Err(BadSnapshot::State(_))));
    let root = Hash::of(&[b"parsec-snapshot-v1\0", &good]);
    assert!(open(&good, root, SAFE, 2).is_ok());
    for (safe, seq) in [(SAFE, 1), (SAFE, 3), (SAFE, 0), (SafeId::from_bytes([1; 16]), 2)] {
        assert_eq!(open(&good, root, safe, seq).err(), Some(BadSnapshot::OtherPlace));
    }
    assert_eq!(open(&good, Hash::from_bytes([0; 32]), SAFE, 2).err(), Some(BadSnapshot::Root));
    // The hash is that of the encoding, and of nothing else under this name.
    let state = opens(&good).unwrap();
    assert_eq!(root_of(&state), root);
}

/// Whatever somebody signs for a state, nothing that opens can't be worked with.
#[test]
fn a_changed_state_is_refused_or_is_a_tree_like_any() {
    let bytes = codec::encode(&lived());
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |end: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % end
    };
    let mut opened = 0;
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..=next(2) {
            let at = next(changed.len());
            match next(4) {
                0 => changed[at] = u8::try_from(next(256)).unwrap(),
                1 => changed[at] ^= 1 << next(8),
                2 => drop(changed.remove(at)),
                _ => {
                    // An id, where another one stood.
                    let (from, to) = (next(bytes.len() - 16), at.min(changed.len() - 16));
                    changed[to..to + 16].copy_from_slice(&bytes[from..from + 16]);
                }
            }
        }
        let root = Hash::of(&[b"parsec-snapshot-v1\0", &changed]);
        let Ok(mut state) = open(&changed, root, SAFE, 5) else { continue };
        opened += 1;
        assert_eq!(codec::encode(&state), changed);
        let all: Vec<EntryId> = state.below(ROOT);
        assert!(all.iter().all(|id| state.is_live(*id) && state.depth(*id) <= DEPTH_MAX));
        let _ = snapshot_of(&state, 77, 770).fold(&mut state);
        let _ = Record::by(Role::Owner, vec![add(78, Kind::Folder)]).fold(&mut state);
        let _ = state.state_root();
    }
    assert!(opened > 100, "{opened}");
}
