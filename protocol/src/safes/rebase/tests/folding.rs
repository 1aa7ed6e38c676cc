//! The fold: each rule of the tree broken alone, all or nothing, and what the state root covers.

use super::acts::{add_change, start};
use super::support::{Server, bytes_of, content, dump, entry, name, operation, root, tree};
use crate::ids::{DeviceId, ObjectId, SafeId, Timestamp, UserId};
use crate::public_keys::Hash;
use crate::safe_log::roles::Role;
use crate::safes::change::{BadInside, Change, Inside, Kind, RULES_VERSION};
use crate::safes::content_ref::{Content, References};
use crate::safes::fold::{Outer, Void, fold, would_fold};
use crate::safes::state::State;
use crate::safes::tree::{DEPTH_MAX, Tree};

/// A record by a contributor that adds these objects.
fn outer(adds: &[ObjectId]) -> Outer<'_> {
    Outer {
        seq: 2,
        epoch: 0,
        user: UserId::from_bytes([7; 16]),
        device: DeviceId::from_bytes([8; 16]),
        role: Role::Contributor,
        time: Timestamp(0),
        adds,
        drops: &[],
        keeps: &[],
    }
}

fn inside(changes: &[Change]) -> Inside {
    Inside { rules: RULES_VERSION, root: Hash::from_bytes([0; 32]), changes: changes.to_vec() }
}

fn object(token: &str) -> ObjectId {
    ObjectId::from_bytes(bytes_of(token))
}

fn folder(id: &str, at: &str, called: &str) -> Change {
    add_change(id, id, entry(at), called, Kind::Folder)
}

fn write(id: &str, base: &str, content: Content) -> Change {
    Change::Content { operation: operation("w"), entry: entry(id), base: operation(base), content, mtime: 0 }
}

fn move_to(id: &str, at: &str, called: &str) -> Change {
    Change::Move {
        operation: operation("m"),
        entry: entry(id),
        parent: entry(at),
        name: name(called),
        conflict_of: None,
    }
}

fn restore(id: &str, at: &str, shallow: bool) -> Change {
    Change::Restore {
        operation: operation("u"),
        entry: entry(id),
        parent: entry(at),
        name: name("r"),
        shallow,
    }
}

fn replace(target: &str, base: &str, source: &str) -> Change {
    let (operation, base) = (operation("p"), operation(base));
    Change::Replace { operation, target: entry(target), base, source: entry(source) }
}

fn remove(id: &str) -> Change {
    Change::Remove { operation: operation("r"), entry: entry(id) }
}

fn attributes(id: &str) -> Change {
    Change::Attributes { operation: operation("t"), entry: entry(id), mtime: 1, executable: true }
}

#[test]
fn each_rule_of_the_tree_makes_a_record_void() {
    let mut state = start().state;
    let before = (dump(&state), state.state_root());
    let known = content("0a");
    let unfit = Content { size: 0, ..known.clone() };
    let large = Content { size: (1 << 40) + 1, ..known.clone() };
    let paged = Content { references: References::Paged(vec![]), ..known.clone() };
    let retention = |days| Change::Retention { operation: operation("d"), days };
    let called = Change::SafeName { operation: operation("s"), name: "Books".parse().unwrap() };
    for (change, why) in [
        (folder("a", "/", "n"), Void::IdKnown),
        (folder("z", "/", "n"), Void::IdKnown),
        (folder("/", "/", "n"), Void::IdKnown),
        (folder("n", "?", "n"), Void::NoFolder),
        (folder("n", "a", "n"), Void::NoFolder),
        (folder("n", "T", "n"), Void::NoFolder),
        (folder("n", "/", "a"), Void::NameTaken),
        (write("?", "va", known.clone()), Void::NoSuchEntry),
        (write("z", "vz", known.clone()), Void::NotLive),
        (write("t", "vt", known.clone()), Void::NotLive),
        (write("D", "vD", known.clone()), Void::NotAFile),
        (write("a", "vb", known.clone()), Void::OldBase),
        (write("a", "va", unfit), Void::References),
        (write("a", "va", large), Void::References),
        (write("a", "va", paged), Void::References),
        (write("a", "va", content("new")), Void::UnknownObject),
        (move_to("/", "D", "n"), Void::NoSuchEntry),
        (move_to("z", "/", "n"), Void::NotLive),
        (move_to("D", "D", "n"), Void::InsideItself),
        (move_to("D", "x", "n"), Void::InsideItself),
        (move_to("a", "T", "n"), Void::NoFolder),
        (move_to("a", "/", "b"), Void::NameTaken),
        (remove("/"), Void::NoSuchEntry),
        (remove("z"), Void::NotLive),
        (restore("?", "/", false), Void::NoSuchEntry),
        (restore("a", "/", false), Void::Live),
        (restore("z", "T", false), Void::NoFolder),
        (restore("z", "/", true), Void::NotAFolder),
        (attributes("z"), Void::NotLive),
        (replace("a", "va", "a"), Void::SameFile),
        (replace("a", "va", "D"), Void::NotAFile),
        (replace("D", "vD", "a"), Void::NotAFile),
        (replace("a", "va", "z"), Void::NotLive),
        (replace("a", "vb", "b"), Void::OldBase),
        (retention(90), Void::NotAnOwner),
        (called, Void::NotAnOwner),
    ] {
        // What went before it in the record is not done either.
        let record = inside(&[folder("first", "/", "first"), change.clone()]);
        assert_eq!(would_fold(&state, &record, &outer(&[])), Err(why), "{change:?}");
    }
    for days in [0, 6, 3_651] {
        let owner = Outer { role: Role::Owner, ..outer(&[]) };
        assert_eq!(would_fold(&state, &inside(&[retention(days)]), &owner), Err(Void::Days));
    }
    assert_eq!((dump(&state), state.state_root()), before);
    println!("figure S20: each rule of the tree broken alone makes its record void");
}

#[test]
fn a_void_record_keeps_its_place_and_changes_nothing_of_the_tree() {
    let mut state = start().state;
    let (tree_before, dump_before) = (tree(&state, root()), dump(&state));
    let record = inside(&[folder("n", "/", "n"), remove("z")]);
    assert_eq!(fold(&mut state, &record, &outer(&[object("new")])), Err(Void::NotLive));
    assert_eq!((tree(&state, root()), dump(&state)), (tree_before, dump_before));
    assert_eq!(state.seq(), 2);
    assert_eq!(state.last_record(DeviceId::from_bytes([8; 16])), Some(2));
    assert!(state.has_object(object("new")), "the server, which can't tell, has it all the same");
}

#[test]
fn only_objects_of_the_safe_are_named_and_new_ones_are_of_the_present_epoch() {
    let state = start().state;
    let record = inside(&[write("a", "va", content("new"))]);
    let adds = [object("new")];
    assert_eq!(would_fold(&state, &record, &outer(&adds)), Ok(()));
    let later = Outer { epoch: 1, ..outer(&adds) };
    assert_eq!(would_fold(&state, &record, &later), Err(Void::OtherEpoch));
    let copy = inside(&[write("a", "va", content("0b"))]);
    let later = Outer { epoch: 1, ..outer(&[]) };
    assert_eq!(would_fold(&state, &copy, &later), Ok(()), "a copy repeats what is the safe's already");
    let listed = [object("0a")];
    let drops = Outer { drops: &listed, role: Role::Owner, ..outer(&[]) };
    assert_eq!(would_fold(&state, &inside(&[]), &drops), Err(Void::DropsAlone));
    let keeps = Outer { keeps: &listed, ..outer(&[]) };
    assert_eq!(would_fold(&state, &inside(&[]), &keeps), Ok(()), "keeping needs no change");
}

#[test]
fn nothing_stands_deeper_than_a_hundred_folders_with_what_is_below_it() {
    let mut server = Server::new();
    let mut at = "/".to_owned();
    let mut changes = Vec::new();
    for level in 1..=DEPTH_MAX {
        let id = format!("f{level}");
        changes.push(folder(&id, &at, "f"));
        at = id;
    }
    changes.push(folder("top", "/", "top"));
    changes.push(folder("below", "top", "below"));
    server.post("A", &changes).unwrap();
    let fits = |change: Change| would_fold(&server.state, &inside(&[change]), &outer(&[]));
    assert_eq!(fits(folder("n", &at, "n")), Err(Void::TooDeep));
    assert_eq!(fits(move_to("top", "f99", "n")), Err(Void::TooDeep), "with what is below it");
    assert_eq!(fits(move_to("top", "f98", "n")), Ok(()));
    assert_eq!(fits(move_to("below", "f99", "n")), Ok(()));
}

#[test]
fn a_folder_restored_alone_leaves_what_was_in_it_in_the_trash() {
    let mut server = start();
    server.post("A", &[restore("T", "/", true)]).unwrap();
    assert_eq!(tree(&server.state, root()), "D/{x=0x} E/{} a=0a b=0b r/{}");
    let left = server.state.entry(entry("t")).unwrap();
    let removed = left.rare.removed.as_ref().unwrap();
    assert_eq!((removed.operation, removed.parent), (operation("rT"), entry("T")), "of the same removal");
}

#[test]
fn a_file_renamed_over_another_gives_it_all_that_it_is() {
    let mut server = start();
    server.post("A", &[attributes("b"), replace("a", "va", "b")]).unwrap();
    let target = server.state.entry(entry("a")).unwrap();
    assert_eq!((target.version, target.mtime, target.executable), (Some(operation("p")), 1, true));
    assert_eq!(target.rare.versions.len(), 1);
    let source = server.state.entry(entry("b")).unwrap();
    assert_eq!(source.rare.into.as_ref().map(|into| into.target), Some(entry("a")));
}

#[test]
fn the_state_root_covers_every_field() {
    let root_after = |changes: &[Change]| {
        let mut server = start();
        server.post("A", changes).unwrap();
        server.state.state_root()
    };
    let roots = [
        root_after(&[]),
        root_after(&[attributes("a")]),
        root_after(&[write("a", "va", content("0b"))]),
        root_after(&[move_to("a", "/", "n")]),
        root_after(&[move_to("a", "D", "a")]),
        root_after(&[remove("a")]),
        root_after(&[remove("z")].map(|_| folder("n", "/", "n"))),
        root_after(&[replace("a", "va", "b")]),
    ];
    for (number, one) in roots.iter().enumerate() {
        assert!(roots[..number].iter().all(|other| other != one), "{number}");
    }
    let mut other_device = start();
    other_device.post("B", &[]).unwrap();
    assert_ne!(other_device.state.state_root(), roots[0], "whose the last records are");
    let mut empty = [State::new(SafeId::from_bytes([1; 16])), State::new(SafeId::from_bytes([2; 16]))];
    let [one, another] = &mut empty;
    assert_eq!(one.state_root(), another.state_root(), "the safe's id is in every record around it");
}

#[test]
fn rules_of_another_version_are_told_from_nonsense() {
    let bytes = crate::codec::encode(&inside(&[folder("n", "/", "n"), write("a", "va", content("0a"))]));
    assert!(Inside::read(&bytes).is_ok());
    let mut newer = bytes.clone();
    newer[1] = 2;
    assert_eq!(Inside::read(&newer), Err(BadInside::TooNew(2)));
    assert_eq!(Inside::read(&bytes[..bytes.len() - 1]), Err(BadInside::Unreadable));
    assert_eq!(Inside::read(&[]), Err(BadInside::Unreadable));
}

#[test]
fn a_kept_state_with_a_circle_or_a_name_twice_is_refused() {
    let state = start().state;
    let bytes = crate::codec::encode(&state);
    assert!(crate::codec::decode::<State>(&bytes, bytes.len()).is_ok());
    let swap = |from: &str, to: &str| {
        let (from, to) = (bytes_of(from), bytes_of(to));
        let at = bytes.windows(16).rposition(|window| window == from);
        let mut changed = bytes.clone();
        changed[at.unwrap()..][..16].copy_from_slice(&to);
        crate::codec::decode::<State>(&changed, changed.len())
    };
    assert!(swap("D", "?").is_err(), "a folder that isn't there");
    assert!(swap("D", "x").is_err(), "a file in itself");
}
