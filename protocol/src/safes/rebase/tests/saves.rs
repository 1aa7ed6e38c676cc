//! How programs save: by renames. What of it becomes one change of the same file.

use super::acts::{add_change, start};
use super::support::{Device, Server, content, entry, finish, name, operation, root, tree};
use crate::ids::EntryId;
use crate::safes::change::{Change, Kind};
use crate::safes::prepare::{Queue, prepare};
use crate::safes::rebase::Pending;
use crate::safes::tree::Tree;

/// Does an act as a mounted folder would: prepared first.
fn act(device: &mut Device, recent: usize, change: Change) {
    let fresh = EntryId::from_bytes(*operation(&format!("fresh{}", device.queue.len())).as_bytes());
    let view = device.view();
    let queue = Queue { base: &device.base, view: &view, changes: &device.queue, recent };
    let prepared = prepare(queue, change, fresh);
    let mut changes: Vec<Pending> = device.queue.clone();
    for gone in prepared.gone.iter().rev() {
        changes.remove(*gone);
    }
    changes.extend(prepared.come);
    (device.queue, device.view) = (Vec::new(), Default::default());
    for pending in changes {
        device.act(pending.change.clone()).unwrap();
        *device.queue.last_mut().unwrap() = pending;
    }
}

fn move_to(op: &str, id: &str, to: &str) -> Change {
    Change::Move {
        operation: operation(op),
        entry: entry(id),
        parent: root(),
        name: name(to),
        conflict_of: None,
    }
}

fn added(id: &str, called: &str) -> Change {
    add_change(id, id, root(), called, Kind::File(content(id)))
}

fn over(op: &str, source: &str, view: &dyn Tree) -> Change {
    let base = view.entry(entry("a")).unwrap().version.unwrap();
    Change::Replace { operation: operation(op), target: entry("a"), base, source: entry(source) }
}

fn edited_elsewhere(server: &mut Server) {
    let edit = Change::Content {
        operation: operation("w"),
        entry: entry("a"),
        base: operation("va"),
        content: content("w"),
        mtime: 0,
    };
    server.post("A", &[edit]).unwrap();
}

#[test]
fn a_temporary_file_renamed_over_another_is_one_change_of_its_content() {
    let mut server = start();
    let mut ben = Device::new("B", &server);
    act(&mut ben, 0, added("tmp", ".a.swp"));
    let replace = over("s", "tmp", &ben.view());
    act(&mut ben, 0, replace);
    assert_eq!(ben.queue.len(), 1);
    assert!(matches!(ben.queue[0].change, Change::Content { .. }));
    finish(&mut server, &mut [ben]);
    assert_eq!(tree(&server.state, root()), "D/{x=0x} E/{} a=tmp b=0b");
    assert_eq!(server.state.entry(entry("tmp")), None, "no entry, no trash");
}

#[test]
fn a_file_that_is_shared_already_stays_an_entry_of_its_own() {
    let server = start();
    let mut ben = Device::new("B", &server);
    let replace = over("s", "b", &ben.view());
    act(&mut ben, 0, replace);
    assert!(matches!(ben.queue[0].change, Change::Replace { .. }));
}

#[test]
fn a_save_by_two_renames_keeps_the_file_and_its_name() {
    for by_move in [false, true] {
        let mut server = start();
        let mut ben = Device::new("B", &server);
        act(&mut ben, 0, move_to("m", "a", "a~"));
        if by_move {
            act(&mut ben, 0, added("tmp", "new"));
            act(&mut ben, 0, move_to("n", "tmp", "a"));
        } else {
            act(&mut ben, 0, added("tmp", "a"));
        }
        assert_eq!(tree(&ben.view(), root()), "D/{x=0x} E/{} a=tmp a~=0a b=0b");
        assert_eq!(ben.view().child(root(), &name("a")), Some(entry("a")), "id and history stay");
        let backup = ben.view().child(root(), &name("a~")).unwrap();
        act(&mut ben, 0, Change::Remove { operation: operation("r"), entry: backup });
        // Somebody else's edit stands where people look for it.
        edited_elsewhere(&mut server);
        finish(&mut server, &mut [ben]);
        let ended = tree(&server.state, root());
        assert_eq!(ended, "D/{x=0x} E/{} a=w a (B, 14.03)=tmp b=0b", "{by_move}");
    }
}

#[test]
fn what_is_too_long_ago_is_no_save() {
    let server = start();
    let mut ben = Device::new("B", &server);
    act(&mut ben, 0, move_to("m", "a", "old"));
    act(&mut ben, 1, added("other", "a"));
    assert_eq!(ben.view().child(root(), &name("old")), Some(entry("a")));
    assert_eq!(ben.view().child(root(), &name("a")), Some(entry("other")));
}

#[test]
fn a_file_written_under_its_new_name_is_no_backup() {
    let server = start();
    let mut ben = Device::new("B", &server);
    act(&mut ben, 0, move_to("m", "a", "old"));
    let edit = Change::Content {
        operation: operation("w"),
        entry: entry("a"),
        base: operation("va"),
        content: content("w"),
        mtime: 0,
    };
    act(&mut ben, 0, edit);
    act(&mut ben, 0, added("other", "a"));
    assert_eq!(ben.view().child(root(), &name("old")), Some(entry("a")));
}
