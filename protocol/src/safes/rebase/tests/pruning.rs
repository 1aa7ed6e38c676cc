//! Pruning: who may throw what away, how time is told, and which objects go.

use super::acts::{add_change, start};
use super::support::{bytes_of, content, entry, operation, root};
use crate::codec::{decode, encode};
use crate::ids::{DeviceId, ObjectId, OperationId, Timestamp, UserId};
use crate::public_keys::Hash;
use crate::safe_log::roles::Role;
use crate::safes::change::{Change, Inside, Kind, PrunedVersions, RULES_VERSION};
use crate::safes::content_ref::Content;
use crate::safes::fold::{Outer, Void, fold, would_fold};
use crate::safes::state::State;
use crate::safes::tree::Tree as _;

/// A day, as records count it.
const DAY: u64 = 86_400 * Timestamp::SECOND;

/// A safe, and records by people of any role on any day.
struct Safe(State);

/// What a record has outside.
#[derive(Clone, Copy)]
struct By<'a> {
    role: Role,
    day: u64,
    adds: &'a [ObjectId],
    drops: &'a [ObjectId],
    keeps: &'a [ObjectId],
}

const fn by(role: Role, day: u64) -> By<'static> {
    By { role, day, adds: &[], drops: &[], keeps: &[] }
}

fn object(token: &str) -> ObjectId {
    ObjectId::from_bytes(bytes_of(token))
}

impl Safe {
    /// A file with a present and an earlier content, a file and a folder with a file in the trash;
    /// all by a contributor, on day 100 as they say.
    fn new() -> Self {
        let mut safe = Self(start().state);
        let adds = ["one", "two", "in"].map(object);
        let file = |id: &str, at, token| add_change(id, id, at, id, Kind::File(content(token)));
        let write = Change::Content {
            operation: operation("second"),
            entry: entry("file"),
            base: operation("file"),
            content: content("two"),
            mtime: 0,
        };
        let remove =
            |what: &str| Change::Remove { operation: operation(&format!("rm-{what}")), entry: entry(what) };
        let changes = [
            file("file", root(), "one"),
            write,
            add_change("gone", "gone", root(), "gone", Kind::Folder),
            file("inside", entry("gone"), "in"),
            remove("gone"),
        ];
        safe.record(By { adds: &adds, ..by(Role::Contributor, 100) }, &changes).unwrap();
        safe
    }

    fn says(&self, by: By<'_>, changes: &[Change]) -> Result<(), Void> {
        would_fold(&self.0, &inside(changes), &self.outer(by))
    }

    fn record(&mut self, by: By<'_>, changes: &[Change]) -> Result<(), Void> {
        let outer = self.outer(by);
        fold(&mut self.0, &inside(changes), &outer)
    }

    fn outer<'a>(&self, by: By<'a>) -> Outer<'a> {
        Outer {
            seq: self.0.seq() + 1,
            epoch: 0,
            user: UserId::from_bytes([by.role as u8; 16]),
            device: DeviceId::from_bytes([by.role as u8; 16]),
            role: by.role,
            time: Timestamp(by.day * DAY),
            adds: by.adds,
            drops: by.drops,
            keeps: by.keeps,
        }
    }
}

fn inside(changes: &[Change]) -> Inside {
    Inside { rules: RULES_VERSION, root: Hash::from_bytes([0; 32]), changes: changes.to_vec() }
}

fn prune(versions: &[(&str, &[&str])], entries: &[&str]) -> Change {
    let versions = versions.iter().map(|(of, versions)| PrunedVersions {
        entry: entry(of),
        versions: versions.iter().map(|version| operation(version)).collect::<Vec<OperationId>>(),
    });
    Change::Prune {
        operation: operation("prune"),
        versions: versions.collect(),
        entries: entries.iter().map(|id| entry(id)).collect(),
    }
}

fn all() -> Change {
    prune(&[("file", &["file"])], &["gone"])
}

#[test]
fn only_owners_and_managers_prune_and_only_what_is_old_by_their_own_records() {
    let mut safe = Safe::new();
    // Nobody who may has written since: it has no age, whatever its author says the day is.
    assert_eq!(safe.says(by(Role::Owner, 100_000), &[all()]), Err(Void::TooYoung));
    safe.record(by(Role::Contributor, 5), &[]).unwrap();
    assert_eq!(safe.says(by(Role::Owner, 100_000), &[all()]), Err(Void::TooYoung));
    safe.record(by(Role::Manager, 200), &[]).unwrap();
    for role in [Role::Contributor, Role::Reader] {
        assert_eq!(safe.says(by(role, 100_000), &[all()]), Err(Void::NotAManager));
    }
    assert_eq!(safe.says(by(Role::Owner, 206), &[all()]), Err(Void::TooYoung));
    assert_eq!(safe.says(by(Role::Owner, 207), &[all()]), Ok(()));
    assert_eq!(safe.says(by(Role::Manager, 289), &[all()]), Err(Void::TooYoung));
    assert_eq!(safe.says(by(Role::Manager, 290), &[all()]), Ok(()));
    // What the owner says about the retention counts at once.
    let longer = Change::Retention { operation: operation("days"), days: 365 };
    safe.record(by(Role::Owner, 201), &[longer]).unwrap();
    assert_eq!(safe.says(by(Role::Manager, 290), &[all()]), Err(Void::TooYoung));
    assert_eq!(safe.says(by(Role::Manager, 565), &[all()]), Ok(()));
    println!("figure T27: what a contributor removed is thrown away by nobody before its time");
}

#[test]
fn a_contributor_who_dates_records_moves_no_time() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let late = Change::Remove { operation: operation("late"), entry: entry("file") };
    // Back, and forth.
    safe.record(by(Role::Contributor, 1), &[late]).unwrap();
    safe.record(by(Role::Contributor, 90_000), &[]).unwrap();
    let file = prune(&[], &["file"]);
    assert_eq!(safe.says(by(Role::Owner, 300), std::slice::from_ref(&file)), Err(Void::TooYoung));
    safe.record(by(Role::Owner, 300), &[]).unwrap();
    assert_eq!(safe.says(by(Role::Owner, 306), std::slice::from_ref(&file)), Err(Void::TooYoung));
    assert_eq!(safe.says(by(Role::Owner, 307), &[file]), Ok(()));
}

#[test]
fn time_is_told_once_a_day() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let before = safe.0.marks().clone();
    for _ in 0..50 {
        safe.record(by(Role::Owner, 200), &[]).unwrap();
        safe.record(by(Role::Manager, 199), &[]).unwrap();
    }
    assert_eq!(*safe.0.marks(), before);
    let seq = safe.0.seq();
    assert_eq!(safe.0.marks().days_old(seq, Timestamp(u64::MAX)), None);
    safe.record(by(Role::Manager, 201), &[]).unwrap();
    assert_eq!(safe.0.marks().days_old(seq, Timestamp(204 * DAY)), Some(3));
}

#[test]
fn what_is_pruned_is_gone_and_nothing_else() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let (count, share) = (safe.0.count(), safe.0.share(UserId::from_bytes([Role::Contributor as u8; 16])));
    for (change, why) in [
        (prune(&[("file", &["second"])], &[]), Void::NoSuchVersion),
        (prune(&[("file", &["file", "file"])], &[]), Void::NoSuchVersion),
        (prune(&[("nothing", &[])], &[]), Void::NoSuchEntry),
        (prune(&[], &["nothing"]), Void::NoSuchEntry),
        (prune(&[], &["file"]), Void::NotInTheTrash),
        // It went with its folder, and goes with it.
        (prune(&[], &["inside"]), Void::NotInTheTrash),
        (prune(&[], &["gone", "gone"]), Void::NoSuchEntry),
    ] {
        assert_eq!(safe.says(by(Role::Owner, 300), std::slice::from_ref(&change)), Err(why), "{change:?}");
    }
    let before = safe.0.state_root();
    safe.record(by(Role::Owner, 300), &[all()]).unwrap();
    assert!(safe.0.entry(entry("gone")).is_none() && safe.0.entry(entry("inside")).is_none());
    let file = safe.0.entry(entry("file")).unwrap();
    assert_eq!((file.version, file.rare.versions.len()), (Some(operation("second")), 0));
    assert_eq!(safe.0.count(), count - 2);
    assert_eq!(safe.0.share(UserId::from_bytes([Role::Contributor as u8; 16])), share - 2);
    assert_ne!(safe.0.state_root(), before);
    let mut again: State = decode(&encode(&safe.0), 1 << 20).unwrap();
    assert_eq!(again.state_root(), safe.0.state_root());
}

#[test]
fn objects_go_with_a_prune_alone_and_never_while_they_are_named() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let drops = |token: &str| [object(token)];
    let record = |safe: &Safe, changes: &[Change], drops: &[ObjectId]| {
        safe.says(By { drops, ..by(Role::Owner, 300) }, changes)
    };
    assert_eq!(record(&safe, &[], &drops("one")), Err(Void::DropsAlone));
    let nothing = prune(&[], &[]);
    // Present, earlier, and in the trash.
    for token in ["two", "one", "in"] {
        assert_eq!(record(&safe, std::slice::from_ref(&nothing), &drops(token)), Err(Void::InUse), "{token}");
    }
    assert_eq!(record(&safe, &[all()], &drops("two")), Err(Void::InUse));
    safe.record(By { drops: &["one", "in"].map(object), ..by(Role::Owner, 300) }, &[all()]).unwrap();
    assert!(!safe.0.has_object(object("one")) && safe.0.has_object(object("two")));
    let mut again: State = decode(&encode(&safe.0), 1 << 20).unwrap();
    assert_eq!(again.state_root(), safe.0.state_root());
    assert!(!again.has_object(object("one")));

    // Nobody names it again, but with the word that takes it back.
    let back = Change::Content {
        operation: operation("third"),
        entry: entry("file"),
        base: operation("second"),
        content: content("one"),
        mtime: 0,
    };
    assert_eq!(safe.says(by(Role::Contributor, 300), std::slice::from_ref(&back)), Err(Void::UnknownObject));
    safe.record(By { keeps: &drops("one"), ..by(Role::Contributor, 300) }, &[back]).unwrap();
    assert!(safe.0.has_object(object("one")));
    println!("figure T32: an object that is named is dropped by no record");
}

#[test]
fn what_a_void_record_drops_stays_and_is_kept_by_who_notices() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let two = [object("two"), object("never there")];
    let bad = safe.record(By { drops: &two, ..by(Role::Manager, 300) }, &[prune(&[], &[])]);
    assert_eq!(bad, Err(Void::InUse));
    assert!(safe.0.has_object(object("two")));
    assert_eq!(safe.0.endangered().iter().collect::<Vec<_>>(), [&object("two")]);
    let mut again: State = decode(&encode(&safe.0), 1 << 20).unwrap();
    assert_eq!(again.endangered(), safe.0.endangered());
    assert_eq!(again.state_root(), safe.0.state_root());
    safe.record(By { keeps: &two[..1], ..by(Role::Contributor, 300) }, &[]).unwrap();
    assert!(safe.0.endangered().is_empty());
}

#[test]
fn what_a_folder_left_in_the_trash_is_as_old_as_the_folders_removal() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let removed = safe.0.seq();
    // Something that stood in a folder that is removed now: the folder alone comes back.
    let remove = Change::Remove { operation: operation("rm"), entry: entry("D") };
    safe.record(by(Role::Contributor, 210), &[remove]).unwrap();
    safe.record(by(Role::Owner, 220), &[]).unwrap();
    let children = safe.0.children(entry("D"));
    let shallow = Change::Restore {
        operation: operation("back"),
        entry: entry("D"),
        parent: root(),
        name: super::support::name("D again"),
        shallow: true,
    };
    safe.record(by(Role::Contributor, 230), &[shallow]).unwrap();
    let (_, child) = children.first().unwrap();
    let seq = safe.0.entry(*child).unwrap().rare.removed.as_ref().unwrap().seq;
    assert_eq!(seq, removed + 1);
    let goes = |day| {
        let change = Change::Prune { operation: operation("p"), versions: Vec::new(), entries: vec![*child] };
        safe.says(by(Role::Owner, day), &[change])
    };
    assert_eq!((goes(226), goes(227)), (Err(Void::TooYoung), Ok(())));
}

#[test]
fn a_content_in_pages_is_named_by_its_pages() {
    let mut safe = Safe::new();
    safe.record(by(Role::Owner, 200), &[]).unwrap();
    let page = |token: &str| *content(token).objects().next().unwrap();
    let paged = Content {
        size: 17 * 524_288,
        digest: None,
        references: crate::safes::content_ref::References::Paged(vec![page("page")]),
    };
    let add = add_change("large", "large", root(), "large", Kind::File(paged));
    let adds = ["page", "chunk"].map(object);
    safe.record(By { adds: &adds, ..by(Role::Contributor, 200) }, &[add]).unwrap();
    let nothing = prune(&[], &[]);
    let drops =
        |drops: &[ObjectId]| safe.says(By { drops, ..by(Role::Owner, 300) }, std::slice::from_ref(&nothing));
    assert_eq!(drops(&[object("page")]), Err(Void::InUse));
    // What stands behind a page, no record can tell.
    assert_eq!(drops(&[object("chunk")]), Ok(()));
}
