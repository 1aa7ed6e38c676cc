//! The Debian packages: made twice alike, nothing that Debian's own checker calls an error, and
//! used in a clean Debian.
//!
//! tests/package/inside.sh is what is done in that Debian, and says what it has seen. Skipped where
//! the tools or the rights are missing.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use parsec_tests::debian::{self, Debian};
use parsec_tests::skip;

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap()
}

fn contents(packages: &[PathBuf]) -> Vec<(String, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    packages.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

#[test]
fn the_same_programs_give_the_same_packages_and_debian_has_nothing_against_them() {
    let (one, two) = (folder(), folder());
    let packages = match debian::packages(one.path()) {
        Ok(packages) => packages,
        Err(why) => return skip("package", &why),
    };
    assert_eq!(packages.len(), 6, "{packages:?}");
    assert!(contents(&packages) == contents(&debian::packages(two.path()).unwrap()), "two runs differ");
    if let Err(why) = debian::lacking(&["lintian"]) {
        return skip("package: lintian", &why);
    }
    let checked = Command::new("lintian")
        .args(["--no-cfg", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0"])
        .args(&packages)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn each_file_manager_has_a_package_with_its_plug_in_and_nothing_that_is_built() {
    let output = folder();
    let packages = match debian::packages(output.path()) {
        Ok(packages) => packages,
        Err(why) => return skip("package: plug-ins", &why),
    };
    for (package, holds) in [
        ("parsec-file-manager", "./usr/share/parsec/plugins/parsec_fm.py"),
        ("parsec-file-manager", "./usr/libexec/parsec/parsec-show"),
        ("parsec-file-manager", "./usr/share/icons/hicolor/scalable/emblems/emblem-parsec-untrusted.svg"),
        ("parsec-nautilus", "./usr/share/nautilus-python/extensions/parsec_nautilus.py"),
        ("parsec-nemo", "./usr/share/nemo-python/extensions/parsec_nemo.py"),
        ("parsec-caja", "./usr/share/caja-python/extensions/parsec_caja.py"),
    ] {
        let is_it =
            |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{package}_"));
        let found = packages.iter().find(is_it).unwrap();
        assert!(found.to_string_lossy().ends_with("_all.deb"), "{found:?}");
        let listed = Command::new("dpkg-deb").arg("-c").arg(found).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.lines().any(|line| line.ends_with(holds)), "{package} has no {holds}: {listed}");
    }
}

#[test]
fn the_packages_are_installed_used_removed_and_purged_in_a_clean_debian() {
    let packages = folder();
    let (packages, debian) = match (debian::packages(packages.path()), Debian::unpack()) {
        (Ok(packages), Ok(debian)) => (packages, debian),
        (Err(why), _) | (_, Err(why)) => return skip("package: in a clean Debian", &why),
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    debian.bring("packages", &debian::of_programs(packages));
    debian.bring("packages", &[tests.join("package/inside.sh")]);
    let done = debian.inside("sh", &["/packages/inside.sh"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let _ = write!(std::io::stderr(), "{said}");
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.ends_with("all seen\n"), "{said}{complained}");
}
