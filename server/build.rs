//! How the server is linked: its table of addresses that depend on where it is loaded, packed.
//!
//! Decides by this machine's C library, for which it is built: a megabyte of the table is read at
//! each start and stays in memory, and packed it is a few KiB; C libraries before 2.36 can't read
//! that. Refuses nothing: where it isn't sure, the table is as ever.

use std::io::Write as _;
use std::process::Command;

/// The first C library (glibc, major and minor) that reads the packed form.
const FIRST: (u32, u32) = (2, 36);

fn main() -> std::io::Result<()> {
    // What a build script has to say to cargo goes there.
    let mut cargo = std::io::stdout();
    writeln!(cargo, "cargo:rerun-if-changed=build.rs")?;
    let variable = |name| std::env::var(name).unwrap_or_default();
    let is_for_here = variable("HOST") == variable("TARGET");
    if is_for_here && variable("CARGO_CFG_TARGET_ENV") == "gnu" && glibc().is_some_and(|it| it >= FIRST) {
        writeln!(cargo, "cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs")?;
    }
    Ok(())
}

/// The version of this machine's, as getconf(1) says it: `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let (major, minor) = std::str::from_utf8(&said).ok()?.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
