//! Trees that an independent program of the same rules made: every pair of acts in both orders,
//! three devices and two with several acts, and random schedules with all troubles.

use super::acts::{named, play};
use super::support::{Device, Server, check, content, dump, entry, finish, name, operation, root, tree};
use crate::public_keys::Hash;
use crate::safes::change::{Change, Kind};

#[test]
fn every_pair_of_acts_ends_in_the_tree_of_the_vectors() {
    let rows: Vec<(String, String, String, String, Option<String>)> =
        serde_json::from_str(include_str!("../../../../tests/data/rebase/pairs.json")).unwrap();
    assert_eq!(rows.len(), 600);
    for (first, does, second, too, wanted) in rows {
        let played = play(&[(&first, vec![named(&does)]), (&second, vec![named(&too)])]);
        assert_eq!(played.map(|(tree, _)| tree), wanted, "{first}: {does}, then {second}: {too}");
    }
}

#[test]
fn three_devices_and_longer_queues_end_in_the_trees_of_the_vectors() {
    let rows: Vec<Vec<serde_json::Value>> =
        serde_json::from_str(include_str!("../../../../tests/data/rebase/triples.json")).unwrap();
    assert!(rows.len() > 1_000);
    for row in rows {
        let (wanted, plans) = row.split_last().unwrap();
        let plans: Vec<Vec<String>> =
            plans.iter().map(|plan| serde_json::from_value(plan.clone()).unwrap()).collect();
        let acts: Vec<_> = plans
            .iter()
            .map(|plan| (plan[0].as_str(), plan[1..].iter().map(|act| named(act)).collect()))
            .collect();
        assert_eq!(play(&acts).map(|(tree, _)| tree).as_deref(), wanted.as_str(), "{plans:?}");
    }
}

/// `[title, whether records are shown, devices, steps, tree, hash of the whole state, records]`
type Schedule = (String, bool, usize, String, String, String, u64);

#[test]
fn random_schedules_end_in_the_states_of_the_vectors() {
    let rows: Vec<Schedule> =
        serde_json::from_str(include_str!("../../../../tests/data/rebase/schedules.json")).unwrap();
    assert_eq!(rows.len(), 300);
    for (title, shows_records, devices, steps, wanted, state, records) in rows {
        let mut server = Server::new();
        server.shows_records = shows_records;
        let mut devices: Vec<Device> =
            (0..devices).map(|number| Device::new(&format!("D{number}"), &server)).collect();
        let mut backups = std::collections::BTreeMap::new();
        for step in steps.split(';') {
            replay(step, &mut server, &mut devices, &mut backups);
        }
        finish(&mut server, &mut devices);
        assert_eq!(tree(&server.state, root()), wanted, "{title}");
        let hash = Hash::of(&[dump(&server.state).as_bytes()]).to_string();
        assert_eq!(hash[..16], state, "{title}:\n{}", dump(&server.state));
        assert_eq!(server.state.seq, records, "{title}");
        check(&mut server.state);
    }
    println!("figure S19: 300 schedules end in the states of the vectors");
}

fn replay(
    step: &str,
    server: &mut Server,
    devices: &mut Vec<Device>,
    backups: &mut std::collections::BTreeMap<usize, Device>,
) {
    let words: Vec<&str> = step.split(' ').collect();
    if let ["p", op, id] = words[..] {
        return server.purge(operation(op), entry(id));
    }
    let number: usize = words[0].parse().unwrap();
    let change = match words[1..] {
        ["C", most] => return devices[number].commit(server, most.parse().ok()),
        ["P"] => return devices[number].pull(server),
        ["B"] => {
            backups.insert(number, devices[number].clone());
            return;
        }
        ["R"] => {
            devices[number] = backups[&number].clone();
            return;
        }
        ["K"] => {
            let copy = devices[number].clone();
            return devices.push(copy);
        }
        ["H", to] => {
            let to: usize = to.parse().unwrap();
            let called = devices[to].name.clone();
            devices[to] = Device { name: called, ..devices[number].clone() };
            return;
        }
        ["a", op, id, parent, called, "d"] => {
            super::acts::add_change(op, id, entry(parent), called, Kind::Folder)
        }
        ["a", op, id, parent, called, "f", data] => {
            super::acts::add_change(op, id, entry(parent), called, Kind::File(content(data)))
        }
        ["c", op, id, base, data] => Change::Content {
            operation: operation(op),
            entry: entry(id),
            base: operation(base),
            content: content(data),
            mtime: 0,
        },
        ["m", op, id, parent, to] => Change::Move {
            operation: operation(op),
            entry: entry(id),
            parent: entry(parent),
            name: name(to),
            conflict_of: None,
        },
        ["r", op, id] => Change::Remove { operation: operation(op), entry: entry(id) },
        ["u", op, id, parent, to] => Change::Restore {
            operation: operation(op),
            entry: entry(id),
            parent: entry(parent),
            name: name(to),
            shallow: false,
        },
        ["t", op, id, mtime] => Change::Attributes {
            operation: operation(op),
            entry: entry(id),
            mtime: mtime.parse().unwrap(),
            executable: false,
        },
        ["x", op, target, base, source] => Change::Replace {
            operation: operation(op),
            target: entry(target),
            base: operation(base),
            source: entry(source),
        },
        _ => panic!("no step {step}"),
    };
    assert_eq!(devices[number].act(change), Ok(()), "{step}");
}
