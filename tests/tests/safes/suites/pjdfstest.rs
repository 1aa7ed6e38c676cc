//! pjdfstest: one small test for each thing that POSIX says of a call.
//!
//! What fails is listed, with the reason; what is listed and doesn't fail is an error, too, so that
//! the list says how it is. It changes users, so it takes root.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use parsec_tests::mounted::{has, is_possible};
use parsec_tests::skip;

use super::mounted;

/// Two users and their groups, which every Debian has; calls that not every file system has.
const CONFIG: &str = "\
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]
";

/// Kinds of files that a safe has none of. Each of them is a test of its own, by its last name.
const KINDS: [&str; 4] = ["fifo", "block", "char", "socket"];

/// Why a test fails, and which.
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "device nodes, named pipes and sockets: there are none",
        &[
            "mkfifo::changed_time_fields_success",
            "mkfifo::permission_bits_from_mode",
            "mkfifo::uid_gid_eq_euid_egid",
            "mknod::changed_time_fields_success",
            "mknod::permission_bits_from_mode",
            "mknod::uid_gid_eq_euid_egid",
            "open::fifo_nonblock_wronly",
            "open::socket_error",
        ],
    ),
    (
        "owners: everything belongs to whoever mounted it",
        &[
            "chmod::clear_isgid_bit",
            "mkdir::uid_gid_eq_euid_egid",
            "open::uid_gid_eq_euid_egid",
            "rename::preserve_metadata::regular",
        ],
    ),
    (
        "mode bits: none but the executable one is kept",
        &[
            "chmod::change_perm::dir",
            "chmod::change_perm::regular",
            "mkdir::permission_bits_from_mode",
            "open::permission_bits_from_mode",
        ],
    ),
    (
        "hard links: there are none",
        &[
            "link::changed_ctime_success::regular",
            "link::remove_link::regular",
            "link::share_metadata::regular",
            "rename::to_multiply_linked::regular",
            "unlink::unchanged_ctime_failed::regular",
            "unlink::update_ctime_success::regular",
        ],
    ),
    (
        "other users: they get nothing, and mode bits that would let them in are not kept",
        &[
            "ftruncate::affected_create_flags_only",
            "posix_fallocate::affected_only_create_flags",
            "rename::unchanged_ctime_failed::dir",
            "rename::unchanged_ctime_failed::regular",
            "rename::unchanged_ctime_failed::symlink",
            "rename::write_access_required_subdir",
            "utimensat::nobody",
            "utimensat::write_perm",
        ],
    ),
];

#[test]
fn pjdfstest_fails_where_something_is_not_offered_and_nowhere_else() {
    const NAME: &str = "pjdfstest_fails_where_something_is_not_offered_and_nowhere_else";
    if !is_possible(NAME) || !has(NAME, "pjdfstest") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skip(NAME, "pjdfstest changes users, which takes root");
        return;
    }
    let (fixture, _laptop, here) = mounted();
    let config = fixture.path("pjdfstest.toml");
    fs::write(&config, CONFIG).unwrap();
    let folder = here.path("pjdfstest");
    fs::create_dir(&folder).unwrap();
    let output = Command::new("pjdfstest").arg("-c").arg(&config).arg("-p").arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let outcomes = said.lines().filter_map(|line| {
        let (name, outcome) = line.split_once(char::is_whitespace)?;
        (name.contains("::") && !name.starts_with(char::is_whitespace)).then_some((name, outcome.trim()))
    });
    let outcomes: Vec<_> = outcomes.collect();
    assert!(outcomes.len() > 300, "it said of {} tests how they went", outcomes.len());
    let failed: BTreeSet<&str> =
        outcomes.iter().filter(|(_, outcome)| *outcome == "FAILED").map(|(name, _)| *name).collect();
    let of_a_kind = |name: &str| KINDS.iter().any(|kind| name.ends_with(&format!("::{kind}")));
    let listed: BTreeSet<&str> = EXPECTED.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let more: Vec<_> = failed.iter().filter(|name| !of_a_kind(name) && !listed.contains(*name)).collect();
    let fewer: Vec<_> = listed.difference(&failed).collect();
    assert!(more.is_empty(), "these fail and are not listed: {more:#?}\n{said}");
    assert!(fewer.is_empty(), "these are listed and do not fail: {fewer:#?}");
}
