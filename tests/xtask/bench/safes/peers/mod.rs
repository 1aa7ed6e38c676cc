//! The other programs: which there are, what each does for which rows, and how to get it.
//!
//! Decides that a program does the same work on the same bytes in the same kind of folder, with the
//! options that suit it best, once for every round of ours. Refuses to take anything from the
//! machine: each has a folder, a home and ports of its own, and none leaves this machine. What one
//! can't do isn't asked of it, and its failure is its row's.

mod age;
mod programs;
mod rclone;
mod restic;
mod syncthing;

use std::process::Command;

use parsec_tests::installed;

use super::table::Table;
use super::{Plan, shielded};
use programs::Workspace;

/// Another program.
struct Peer {
    /// What stands in the table, before its version.
    name: &'static str,
    /// Programs that it takes, and the Debian packages they come in.
    needs: &'static [&'static str],
    /// What asks for its version.
    version: &'static [&'static str],
    /// Rows that it has figures for.
    rows: &'static [&'static str],
    measure: fn(&Workspace, &str, &mut Table) -> Result<(), String>,
}

const PEERS: [Peer; 4] = [
    Peer {
        name: "age",
        needs: &["age"],
        version: &["age", "--version"],
        rows: &["seal"],
        measure: age::measure,
    },
    Peer {
        name: "rclone crypt",
        needs: &["rclone"],
        version: &["rclone", "version"],
        rows: &[
            "put",
            "get",
            "edit",
            "edit sent",
            "small shared",
            "small read",
            "fresh",
            "memory up",
            "memory down",
            "memory server",
            "disk large",
            "disk small",
        ],
        measure: rclone::measure,
    },
    Peer {
        name: "restic",
        // Its server is rclone's.
        needs: &["restic", "rclone"],
        version: &["restic", "version"],
        rows: &[
            "put",
            "get",
            "edit",
            "edit sent",
            "small shared",
            "small read",
            "fresh",
            "memory up",
            "memory down",
            "disk large",
            "disk small",
        ],
        measure: restic::measure,
    },
    Peer {
        name: "syncthing",
        needs: &["syncthing"],
        version: &["syncthing", "--version"],
        rows: &["put", "edit", "small shared", "small read", "latency", "memory idle", "memory up"],
        measure: syncthing::measure,
    },
];

/// Measures those that are here, and says of the others how they are had.
pub(super) fn measure(plan: &Plan, table: &mut Table) {
    let workspace = Workspace::new(
        plan,
        ["put", "get", "edit", "memory up", "disk large"].iter().any(|row| table.wants(row)),
    );
    let workspace = match workspace {
        Ok(workspace) => workspace,
        Err(why) => {
            eprintln!("cargo xtask bench: the other programs: {why}");
            return;
        }
    };
    for peer in PEERS {
        if !peer.rows.iter().any(|row| table.wants(row)) {
            continue;
        }
        let missing: Vec<_> = peer.needs.iter().copied().filter(|need| !installed(need)).collect();
        if missing.is_empty() {
            let name = format!("{} {}", peer.name, version(peer.version));
            eprintln!("{name}");
            if let Err(why) = shielded(|| (peer.measure)(&workspace, name.trim_end(), table)) {
                eprintln!("cargo xtask bench: {name}: {why}");
                absent(table, &peer, &why);
            }
        } else {
            absent(table, &peer, &format!("not on this machine (apt-get install {})", missing.join(" ")));
        }
    }
}

fn absent(table: &mut Table, peer: &Peer, why: &str) {
    let name = format!("{} {}", peer.name, version(peer.version));
    peer.rows.iter().for_each(|row| table.absent(row, name.trim_end(), why));
}

/// The first word of what it says that begins with a digit, a `v` aside.
fn version(asked: &[&str]) -> String {
    let Some((program, rest)) = asked.split_first() else { return String::new() };
    let said = Command::new(program).args(rest).output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    let mut words = said.split_whitespace().map(|word| word.trim_start_matches('v'));
    let found = words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let of_debian = |word: &str| word.split(['-', '+', ';']).next().unwrap_or_default().to_owned();
    found.map(of_debian).unwrap_or_default()
}
