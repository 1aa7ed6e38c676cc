//! What people do on a small tree: `a b D/{x} E/`; in the trash `z`, and the folder `T` with `t`.

use super::support::{Device, Server, content, entry, finish, name, operation, root, token_of, tree};
use crate::ids::EntryId;
use crate::safes::change::{Change, Kind};
use crate::safes::rebase::Notice;
use crate::safes::tree::Tree;
use std::collections::BTreeSet;

/// One act of a person: `(what they see, the operation's name) -> changes`, none where it can't be.
pub(super) type Act<'a> = Box<dyn Fn(&dyn Tree, &str) -> Option<Vec<Change>> + 'a>;

pub(super) fn add_change(op: &str, id: &str, at: EntryId, called: &str, kind: Kind) -> Change {
    Change::Add {
        operation: Some(operation(op)),
        entry: entry(id),
        parent: at,
        name: name(called),
        kind,
        mtime: 0,
        executable: false,
        conflict_of: None,
    }
}

/// The tree on which all acts are made.
pub(super) fn start() -> Server {
    let mut server = Server::new();
    let file = |token: &str| Kind::File(content(token));
    let at = root();
    let changes = [
        add_change("va", "a", at, "a", file("0a")),
        add_change("vb", "b", at, "b", file("0b")),
        add_change("vD", "D", at, "D", Kind::Folder),
        add_change("vx", "x", entry("D"), "x", file("0x")),
        add_change("vE", "E", at, "E", Kind::Folder),
        add_change("vz", "z", at, "z", file("0z")),
        add_change("vT", "T", at, "T", Kind::Folder),
        add_change("vt", "t", entry("T"), "t", file("0t")),
        Change::Remove { operation: operation("rz"), entry: entry("z") },
        Change::Remove { operation: operation("rT"), entry: entry("T") },
    ];
    server.post("start", &changes).unwrap();
    server
}

pub(super) fn edit(id: &str) -> Act<'_> {
    Box::new(move |view, op| {
        let base = view.entry(entry(id))?.version?;
        let (entry, operation, content) = (entry(id), operation(op), content(op));
        Some(vec![Change::Content { operation, entry, base, content, mtime: 0 }])
    })
}

pub(super) fn mv<'a>(id: &'a str, at: &'a str, to: &'a str) -> Act<'a> {
    Box::new(move |_, op| Some(vec![move_change(op, entry(id), entry(at), to)]))
}

fn move_change(op: &str, id: EntryId, at: EntryId, to: &str) -> Change {
    Change::Move { operation: operation(op), entry: id, parent: at, name: name(to), conflict_of: None }
}

pub(super) fn rm(id: &str) -> Act<'_> {
    Box::new(move |_, op| Some(vec![Change::Remove { operation: operation(op), entry: entry(id) }]))
}

pub(super) fn over<'a>(source: &'a str, target: &'a str) -> Act<'a> {
    Box::new(move |view, op| {
        let base = view.entry(entry(target))?.version?;
        let (operation, target, source) = (operation(op), entry(target), entry(source));
        Some(vec![Change::Replace { operation, target, base, source }])
    })
}

/// A new file; its bytes are `data`, or ones that nobody else has.
pub(super) fn new<'a>(at: &'a str, called: &'a str, data: Option<&'a str>) -> Act<'a> {
    Box::new(move |_, op| {
        let kind = Kind::File(content(data.unwrap_or(op)));
        Some(vec![add_change(op, &format!("e{op}"), entry(at), called, kind)])
    })
}

/// A new folder with a file `k` in it.
pub(super) fn new_folder<'a>(at: &'a str, called: &'a str) -> Act<'a> {
    Box::new(move |_, op| {
        let id = format!("e{op}");
        let inside = format!("{op}k");
        Some(vec![
            add_change(op, &id, entry(at), called, Kind::Folder),
            add_change(&inside, &format!("k{op}"), entry(&id), "k", Kind::File(content(&inside))),
        ])
    })
}

pub(super) fn back<'a>(id: &'a str, at: &'a str, to: &'a str) -> Act<'a> {
    Box::new(move |_, op| {
        Some(vec![Change::Restore {
            operation: operation(op),
            entry: entry(id),
            parent: entry(at),
            name: name(to),
            shallow: false,
        }])
    })
}

pub(super) fn swap<'a>(one: &'a str, another: &'a str) -> Act<'a> {
    Box::new(move |view, op| {
        let place = |id: &str| {
            let there = view.entry(entry(id))?;
            let called = String::from_utf8(there.name.as_bytes().to_vec()).unwrap();
            there.parent.map(|parent| (parent, called))
        };
        let (first, second) = (view.entry(entry(one))?, view.entry(entry(another))?);
        let (a, b) = (place(one)?, place(another)?);
        let (first, second) = (first.id, second.id);
        Some(vec![
            move_change(&format!("{op}1"), first, a.0, "tmp"),
            move_change(&format!("{op}2"), second, a.0, &a.1),
            move_change(&format!("{op}3"), first, b.0, &b.1),
        ])
    })
}

/// An act by the name that the vectors give it.
pub(super) fn named(what: &str) -> Act<'static> {
    match what {
        "add n" => new("/", "n", None),
        "add n (same bytes)" => new("/", "n", Some("same")),
        "add folder n" => new_folder("/", "n"),
        "add D/n" => new("D", "n", None),
        "edit a" => edit("a"),
        "edit D/x" => edit("x"),
        "move a n" => mv("a", "/", "n"),
        "move b n" => mv("b", "/", "n"),
        "move a D/a" => mv("a", "D", "a"),
        "move D/x E/x" => mv("x", "E", "x"),
        "move D n" => mv("D", "/", "n"),
        "move D E/D" => mv("D", "E", "D"),
        "move E D/E" => mv("E", "D", "E"),
        "remove a" => rm("a"),
        "remove D/x" => rm("x"),
        "remove D" => rm("D"),
        "remove E" => rm("E"),
        "replace a by b" => over("b", "a"),
        "replace b by a" => over("a", "b"),
        "replace a by x" => over("x", "a"),
        "restore z" => back("z", "/", "z"),
        "restore t in D" => back("t", "D", "t"),
        "restore T as n" => back("T", "/", "n"),
        "swap a b" => swap("a", "b"),
        _ => panic!("no act {what}"),
    }
}

/// Devices that act offline on one tree and come back in order. The tree in the end, and what each
/// device told; none where an act can't be done. No content is lost that nobody took away.
pub(super) fn play(plans: &[(&str, Vec<Act<'_>>)]) -> Option<(String, Vec<Notice>)> {
    let mut server = start();
    let mut saved: BTreeSet<String> = ["0a", "0b", "0x"].map(str::to_owned).into();
    let mut gone = BTreeSet::new();
    let mut devices = Vec::new();
    for (called, acts) in plans {
        let mut device = Device::new(called, &server);
        for (number, act) in acts.iter().enumerate() {
            let changes = act(&device.view(), &format!("{called}{number}"))?;
            for change in changes {
                let taken = taken_away(&device.view(), &change);
                saved.extend(change.content().map(super::support::token));
                device.act(change).ok()?;
                gone.extend(taken);
            }
        }
        devices.push(device);
    }
    finish(&mut server, &mut devices);
    super::support::check(&mut server.state);
    let live = live_tokens(&server.state);
    let lost: Vec<_> =
        saved.iter().filter(|token| !gone.contains(*token) && !live.contains(*token)).collect();
    assert!(lost.is_empty(), "nobody took away {lost:?}");
    let notices = devices.into_iter().flat_map(|device| device.notices).collect();
    Some((tree(&server.state, root()), notices))
}

/// What a change takes away of what its person sees.
pub(super) fn taken_away(view: &dyn Tree, change: &Change) -> BTreeSet<String> {
    let of = |id: EntryId| view.entry(id).and_then(token_of);
    match change {
        Change::Content { entry, .. } => of(*entry).into_iter().collect(),
        Change::Replace { target, source, .. } if of(*target) != of(*source) => {
            of(*target).into_iter().collect()
        }
        Change::Remove { entry, .. } => {
            view.below(*entry).into_iter().chain([*entry]).filter_map(of).collect()
        }
        _ => BTreeSet::new(),
    }
}

pub(super) fn live_tokens(tree: &dyn Tree) -> BTreeSet<String> {
    tree.below(tree.root()).into_iter().filter_map(|id| tree.entry(id).and_then(token_of)).collect()
}
