//! Cases that people meet, with the tree that they end in. The device named first comes back first.

use super::acts::{Act, back, edit, mv, new, new_folder, over, play, rm, swap};
use super::support::{Device, Server, content, entry, finish, name, operation, root, tree};
use crate::safes::change::{Change, Kind};
use crate::safes::rebase::{Pending, What, batch};
use crate::safes::tree::Tree;

fn ends_in(wanted: &str, plans: Vec<(&str, Vec<Act<'_>>)>) -> Vec<What> {
    let (tree, notices) = play(&plans).expect("these acts can be done");
    assert_eq!(tree, wanted);
    notices.into_iter().map(|notice| notice.what).collect()
}

#[test]
fn two_folders_moved_into_each_other_the_first_one_stands() {
    let told = ends_in(
        "D/{E/{} x=0x} a=0a b=0b",
        vec![("A", vec![mv("E", "D", "E")]), ("B", vec![mv("D", "E", "D")])],
    );
    assert_eq!(told, [What::InsideItself]);
}

#[test]
fn one_folder_added_on_three_devices_is_one_folder() {
    ends_in(
        "D/{x=0x} E/{} a=0a b=0b n/{k=A0k k (B, 14.03)=B0k k (C, 14.03)=C0k}",
        ["A", "B", "C"].map(|device| (device, vec![new_folder("/", "n")])).into(),
    );
}

#[test]
fn a_chain_of_renames_against_an_added_file() {
    ends_in(
        "D/{x=0x} E/{} b=0a c=A0 c (B, 14.03)=0b",
        vec![("A", vec![new("/", "c", None)]), ("B", vec![mv("b", "/", "c"), mv("a", "/", "b")])],
    );
}

#[test]
fn a_swap_leaves_no_conflict_name_though_its_middle_one_was_taken() {
    let told = ends_in(
        "D/{x=0x} E/{} a=0b b=0a tmp=A0",
        vec![("A", vec![new("/", "tmp", None)]), ("B", vec![swap("a", "b")])],
    );
    assert_eq!(told, [], "told is the end, not the steps");
}

#[test]
fn two_swaps_of_the_same_files_are_one() {
    ends_in("D/{x=0x} E/{} a=0b b=0a", vec![("A", vec![swap("a", "b")]), ("B", vec![swap("a", "b")])]);
}

#[test]
fn a_folder_added_and_renamed_does_not_carry_anothers_away() {
    ends_in(
        "D/{x=0x} E/{} a=0a b=0b m/{k=B0k} n/{k=A0k}",
        vec![("A", vec![new_folder("/", "n")]), ("B", vec![new_folder("/", "n"), mv("eB0", "/", "m")])],
    );
}

#[test]
fn two_edits_of_one_device_are_one_copy_with_both_in_its_history() {
    ends_in(
        "D/{x=0x} E/{} a=A0 a (B, 14.03)=B1 b=0b",
        vec![("A", vec![edit("a")]), ("B", vec![edit("a"), edit("a")])],
    );
}

#[test]
fn an_edit_and_a_rename_go_together_and_leave_anothers_edit_under_the_old_name() {
    let told = ends_in(
        "D/{x=0x} E/{} a=A0 b=0b n=B0",
        vec![("A", vec![edit("a")]), ("B", vec![edit("a"), mv("a", "/", "n")])],
    );
    assert_eq!(told, []);
}

#[test]
fn an_edit_and_a_removal_take_ones_own_edit_only() {
    ends_in("D/{x=0x} E/{} a=A0 b=0b", vec![("A", vec![edit("a")]), ("B", vec![edit("a"), rm("a")])]);
}

// R2
#[test]
fn a_file_that_somebody_edited_is_not_removed() {
    let told = ends_in("D/{x=0x} E/{} a=A0 b=0b", vec![("A", vec![edit("a")]), ("B", vec![rm("a")])]);
    assert_eq!(told, [What::NotRemovedChanged]);
}

// R3
#[test]
fn a_folder_is_removed_but_for_what_somebody_else_wrote_in_it() {
    let told = ends_in("D/{x=A0} E/{} a=0a b=0b", vec![("A", vec![edit("x")]), ("B", vec![rm("D")])]);
    assert_eq!(told, [What::FolderCameBack, What::FolderStays]);
    ends_in("D/{n=A0} E/{} a=0a b=0b", vec![("A", vec![new("D", "n", None)]), ("B", vec![rm("D")])]);
}

#[test]
fn what_was_moved_out_of_a_removed_folder_stays_where_it_went() {
    ends_in("E/{x=0x} a=0a b=0b", vec![("A", vec![mv("x", "E", "x")]), ("B", vec![rm("D")])]);
}

// R4
#[test]
fn what_a_removal_spared_stays_spared_when_it_is_rebased_again() {
    let mut server = super::acts::start();
    let mut anna = Device::new("A", &server);
    let mut ben = Device::new("B", &server);
    ben.act(Change::Remove { operation: operation("r"), entry: entry("D") }).unwrap();
    anna.act(Change::Content {
        operation: operation("w"),
        entry: entry("x"),
        base: operation("vx"),
        content: content("w"),
        mtime: 0,
    })
    .unwrap();
    anna.commit(&mut server, None);
    ben.pull(&server);
    assert_eq!(tree(&ben.view(), entry("D")), "x=w");
    anna.pull(&server);
    anna.act(super::acts::add_change("y", "y", entry("D"), "y", Kind::File(content("y")))).unwrap();
    anna.commit(&mut server, None);
    finish(&mut server, &mut [ben]);
    assert_eq!(tree(&server.state, entry("D")), "x=w y=y");
    assert!(server.state.is_live(entry("x")), "by now it has nothing unseen, and was spared before");
}

// T2
#[test]
fn an_edit_follows_a_rename_over_another_and_never_covers_an_edit_of_it() {
    ends_in("D/{x=0x} E/{} b=B0", vec![("A", vec![over("a", "b")]), ("B", vec![edit("a")])]);
    let told = ends_in(
        "D/{x=0x} E/{} b=A1 b (B, 14.03)=B0",
        vec![("A", vec![over("a", "b"), edit("b")]), ("B", vec![edit("a")])],
    );
    assert_eq!(told, [What::ConflictName]);
}

// X1
#[test]
fn an_edit_on_top_of_a_save_does_not_cover_what_the_save_carried_along() {
    ends_in(
        "D/{x=0x} E/{} b=A0 b (B, 14.03)=B1",
        vec![("A", vec![edit("a")]), ("B", vec![over("a", "b"), edit("b")])],
    );
}

// X1 with R2
#[test]
fn what_a_save_carried_along_is_not_removed_by_who_has_not_seen_it() {
    ends_in("D/{x=0x} E/{} b=A0", vec![("A", vec![edit("a")]), ("B", vec![over("a", "b"), rm("b")])]);
}

// X2
#[test]
fn a_save_over_a_file_that_somebody_wrote_becomes_a_copy_beside_it() {
    ends_in("D/{x=0x} E/{} a=A0 a (B, 14.03)=0b", vec![("A", vec![edit("a")]), ("B", vec![over("b", "a")])]);
}

#[test]
fn a_save_follows_a_file_that_was_renamed() {
    ends_in("D/{x=0x} E/{} n=0b", vec![("A", vec![mv("a", "/", "n")]), ("B", vec![over("b", "a")])]);
}

#[test]
fn a_save_over_a_file_that_was_renamed_over_another_goes_to_that_one() {
    ends_in("D/{} E/{} b=0x", vec![("A", vec![over("a", "b")]), ("B", vec![over("x", "a")])]);
}

#[test]
fn saving_by_removing_and_adding_leaves_anothers_edit_the_name() {
    ends_in(
        "D/{x=0x} E/{} a=A0 a (B, 14.03)=B1 b=0b",
        vec![("A", vec![edit("a")]), ("B", vec![rm("a"), new("/", "a", None)])],
    );
}

#[test]
fn a_folder_that_somebody_moved_something_into_comes_back_for_it() {
    ends_in("D/{E/{}} a=0a b=0b", vec![("A", vec![rm("D")]), ("B", vec![mv("E", "D", "E")])]);
    ends_in("D/{t=0t} E/{} a=0a b=0b", vec![("A", vec![rm("D")]), ("B", vec![back("t", "D", "t")])]);
}

#[test]
fn what_is_put_into_a_removed_folder_goes_into_the_new_one_of_its_name() {
    ends_in(
        "D/{k=A1k n=B0} E/{} a=0a b=0b",
        vec![("A", vec![rm("D"), new_folder("/", "D")]), ("B", vec![new("D", "n", None)])],
    );
}

#[test]
fn a_folder_removed_and_made_anew_has_both_the_edit_and_the_new_files() {
    ends_in(
        "D/{k=B1k x=A0} E/{} a=0a b=0b",
        vec![("A", vec![edit("x")]), ("B", vec![rm("D"), new_folder("/", "D")])],
    );
}

#[test]
fn moves_in_a_circle_the_last_is_dropped() {
    let told = ends_in(
        "E/{D/{n/{k=A0k} x=0x}} a=0a b=0b",
        vec![
            ("A", vec![new_folder("D", "n"), mv("D", "E", "D")]),
            ("B", vec![mv("E", "D", "E")]),
            ("C", vec![mv("E", "D", "E")]),
        ],
    );
    assert_eq!(told, [What::InsideItself, What::InsideItself]);
}

#[test]
fn who_had_seen_an_edit_takes_it_away_and_a_third_ones_edit_is_live() {
    let mut server = super::acts::start();
    let mut ben = Device::new("B", &server);
    let write = |op: &str, base: &str| Change::Content {
        operation: operation(op),
        entry: entry("a"),
        base: operation(base),
        content: content(op),
        mtime: 0,
    };
    ben.act(write("b1", "va")).unwrap();
    server.post("A", &[write("a1", "va")]).unwrap();
    server.post("C", &[Change::Remove { operation: operation("c1"), entry: entry("a") }]).unwrap();
    finish(&mut server, &mut [ben]);
    assert_eq!(tree(&server.state, root()), "D/{x=0x} E/{} a=b1 b=0b");
    assert_eq!(server.state.entry(entry("a")).unwrap().rare.versions.len(), 2, "A's is in the history");
}

#[test]
fn conflict_copies_of_one_minute_get_numbers() {
    ends_in(
        "D/{x=0x} E/{} a=0a b=0b n=A0 n (B, 14.03)=A1 n (B, 14.03, 2)=B0",
        vec![
            ("A", vec![new("/", "n", None), new("/", "n (B, 14.03)", None)]),
            ("B", vec![new("/", "n", None)]),
        ],
    );
}

// T6
#[test]
fn a_destroyed_file_comes_back_under_an_id_that_nobody_elses_has() {
    let mut server = super::acts::start();
    let mut devices = [Device::new("A", &server), Device::new("B", &server)];
    for device in &mut devices {
        let op = format!("{}1", device.name);
        device
            .act(Change::Content {
                operation: operation(&op),
                entry: entry("a"),
                base: operation("va"),
                content: content(&op),
                mtime: 0,
            })
            .unwrap();
    }
    server.post("C", &[Change::Remove { operation: operation("c1"), entry: entry("a") }]).unwrap();
    server.purge(operation("c2"), entry("a"));
    finish(&mut server, &mut devices);
    assert_eq!(tree(&server.state, root()), "D/{x=0x} E/{} a=A1 a (B, 14.03)=B1 b=0b");
    assert_eq!(server.state.entry(entry("a")), None, "the old id stays destroyed");
}

#[test]
fn an_answer_that_was_lost_is_no_second_change() {
    let mut server = super::acts::start();
    let mut device = Device::new("A", &server);
    device.act(super::acts::add_change("o", "n", root(), "n", Kind::File(content("n")))).unwrap();
    device.act(Change::Remove { operation: operation("r"), entry: entry("a") }).unwrap();
    let again = device.clone();
    device.commit(&mut server, None);
    server
        .post(
            "B",
            &[Change::Restore {
                operation: operation("u"),
                entry: entry("a"),
                parent: root(),
                name: name("a"),
                shallow: false,
            }],
        )
        .unwrap();
    finish(&mut server, &mut [again]);
    assert_eq!(tree(&server.state, root()), "D/{x=0x} E/{} a=0a b=0b n=n", "the removal is not repeated");
}

#[test]
fn a_group_goes_into_one_record_whole() {
    let change = |number: u8| Change::Remove { operation: operation(&number.to_string()), entry: entry("x") };
    let pending =
        |number: u8, group: u8| Pending { change: change(number), group: operation(&group.to_string()) };
    let queue = [pending(1, 1), pending(2, 2), pending(3, 2), pending(4, 2), pending(5, 5)];
    let one = crate::codec::encode(&change(1)).len();
    for (changes, bytes, taken) in [
        (usize::MAX, usize::MAX, 5),
        (0, usize::MAX, 0),
        (1, usize::MAX, 1),
        (2, usize::MAX, 4),
        (4, usize::MAX, 4),
        (usize::MAX, 0, 1),
        (usize::MAX, one * 3, 1),
        (usize::MAX, one * 4, 4),
    ] {
        assert_eq!(batch(&queue, changes, bytes), taken, "{changes} {bytes}");
    }
    assert_eq!(batch(&queue[1..], 1, 0), 3, "the first group goes in however large it is");
    assert_eq!(batch(&[], 1, 1), 0);
}

#[test]
fn a_removal_that_would_spare_too_much_is_dropped() {
    let mut server = super::acts::start();
    let mut ben = Device::new("B", &server);
    ben.act(Change::Remove { operation: operation("r"), entry: entry("D") }).unwrap();
    let files: Vec<_> = (0..1_000)
        .map(|number| format!("f{number}"))
        .map(|id| super::acts::add_change(&id, &id, entry("D"), &id, Kind::File(content(&id))))
        .collect();
    server.post("A", &files).unwrap();
    ben.pull(&server);
    assert_eq!(ben.queue, []);
    assert_eq!(ben.notices.iter().map(|notice| notice.what).collect::<Vec<_>>(), [What::NotRemovedTooMuch]);
    assert!(Server::new().state.is_live(root()));
}
