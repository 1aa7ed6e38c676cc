//! The systemd units by systemd's own judgement, and without the directives that look good and do
//! nothing.

use std::path::Path;

use parsec_tests::{installed, skip, units};

/// Directives that raise the score of a user's unit and that its manager ignores
/// (systemd/README.md), or that keep the unit from starting there.
const DO_NOTHING: &[&str] = &[
    "ProtectProc",
    "ProcSubset",
    "IPAddressDeny",
    "IPAddressAllow",
    "SocketBindDeny",
    "RemoveIPC",
    "User",
    "Group",
    "DynamicUser",
    "SupplementaryGroups",
    "StateDirectory",
    "RuntimeDirectory",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A directive's values in a unit, in order.
fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|it| it.1)
        .collect()
}

#[test]
fn the_units_are_closed_and_understood() {
    if !installed("systemd-analyze") {
        skip("the_units_are_closed_and_understood", "systemd-analyze is not installed");
        return;
    }
    let folder = units::copied(root());
    assert_eq!(units::complaints(folder.path()).unwrap(), Vec::<String>::new());
    for units::Exposure { unit, score, goal } in units::exposures(folder.path()).unwrap() {
        assert!(score <= goal, "{unit}: {score}, and {goal} is the goal");
    }
    // A unit that is open or misspelt is seen.
    let open = std::fs::read_to_string(folder.path().join("parsecd.service")).unwrap();
    let open = open.replace("NoNewPrivileges=yes", "NoNewPriviliges=yes");
    std::fs::write(folder.path().join("parsecd.service"), open).unwrap();
    assert!(units::complaints(folder.path()).unwrap().concat().contains("NoNewPriviliges"));
    let scores = units::exposures(folder.path()).unwrap();
    assert!(scores.iter().any(|it| it.score > it.goal), "{scores:?}");
}

#[test]
fn nothing_stands_in_the_user_s_unit_that_does_nothing() {
    let unit = std::fs::read_to_string(root().join("systemd/parsecd.service")).unwrap();
    for name in DO_NOTHING {
        assert_eq!(values(&unit, name), Vec::<&str>::new(), "{name}= does nothing in a user's manager");
    }
    // Half of the others do nothing without it on Debian 12, and CapabilityBoundingSet= stops the
    // start on Debian 13.
    assert_eq!(values(&unit, "PrivateUsers"), ["yes"]);
    for socket in ["parsecd.socket", "parsecd-plugin.socket"] {
        let unit = std::fs::read_to_string(root().join("systemd").join(socket)).unwrap();
        assert_eq!(
            (values(&unit, "SocketMode"), values(&unit, "DirectoryMode")),
            (vec!["0600"], vec!["0700"])
        );
    }
    // fusermount3 is a set-user-ID program, and a folder in a namespace of its own is nobody's.
    let mounts = std::fs::read_to_string(root().join("systemd/parsec-mounts.service")).unwrap();
    for name in ["NoNewPrivileges", "PrivateUsers", "PrivateMounts", "SystemCallFilter", "ProtectSystem"] {
        assert_eq!(values(&mounts, name), Vec::<&str>::new(), "{name}= would keep it from mounting");
    }
    // It never starts a daemon that a person has stopped, and ends with it.
    assert_eq!(
        (values(&mounts, "BindsTo"), values(&mounts, "WantedBy")),
        (vec!["parsecd.service"], vec!["parsecd.service"])
    );
    let readme = std::fs::read_to_string(root().join("systemd/README.md")).unwrap();
    for unit in ["parsecd.service", "parsec-metadata.service", "parsec-mounts.service"] {
        let text = std::fs::read_to_string(root().join("systemd").join(unit)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, _)) = line.split_once('=') else { continue };
            assert!(
                readme.contains(&format!("`{name}=")),
                "systemd/README.md gives no reason for {name}= of {unit}"
            );
        }
    }
}
