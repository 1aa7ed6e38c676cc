//! Parsec as people meet it: a Debian booted by its own systemd, the packages installed in it, two
//! people who are logged in.
//!
//! tests/booted/checks.py is what is looked at, in a container of systemd-nspawn; its lines are
//! shown here. Skipped where a machine can't boot one. What a container can't show is the limits on
//! memory and tasks: their controllers belong to the machine.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use parsec_tests::debian::{self, Debian};
use parsec_tests::skip;

/// How many checks there are. One that is forgotten in the list of the script would otherwise pass
/// unseen.
const CHECKS: usize = 18;

#[test]
fn on_a_booted_debian_two_people_enrol_and_the_units_keep_their_word() {
    let packages = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let (packages, debian) = match (debian::packages(packages.path()), Debian::unpack()) {
        (Ok(packages), Ok(debian)) => (packages, debian),
        (Err(why), _) | (_, Err(why)) => return skip("booted", &why),
    };
    prepare(&debian, &debian::of_programs(packages));
    let booted = debian.boot().output().unwrap();
    let said = fs::read_to_string(debian.root().join("checks/said")).unwrap_or_default();
    let _ = write!(std::io::stderr(), "{said}");
    let console = String::from_utf8_lossy(&booted.stdout);
    let problems = String::from_utf8_lossy(&booted.stderr);
    assert!(said.ends_with(&format!("all {CHECKS}\n")), "{said}\nthe console:\n{console}{problems}");
}

/// Two people with service managers of their own, a journal that is kept, and the checks, to be
/// started with the machine.
fn prepare(debian: &Debian, packages: &[PathBuf]) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("booted");
    let files: Vec<PathBuf> = fs::read_dir(&tests).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<PathBuf> = files.into_iter().filter(|path| path.is_file()).collect();
    debian.bring("/checks", &files);
    debian.bring("/checks/packages", packages);
    debian.bring("/etc/systemd/system", &[tests.join("parsec-checks.service")]);
    let script = "useradd --create-home alice
        useradd --create-home bob
        mkdir -p /var/log/journal /var/lib/systemd/linger /etc/systemd/system/multi-user.target.wants
        touch /var/lib/systemd/linger/alice /var/lib/systemd/linger/bob
        ln -s ../parsec-checks.service /etc/systemd/system/multi-user.target.wants/";
    let prepared = debian.inside("sh", &["-euc", script]).output().unwrap();
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
}
