//! The rows, in the order of docs/evidence.md: what each is about, and the command that shows it.
//!
//! Decides nothing else: what a figure must be, the test that prints it decides.

use super::{Found, Site, builds, supply};

/// One row.
pub(super) struct Row {
    /// Its name, as in docs/evidence.md.
    pub(super) id: &'static str,
    /// What it is about, in a line.
    pub(super) what: &'static str,
    /// How it is shown.
    pub(super) how: How,
}

/// How a row is shown.
pub(super) enum How {
    /// By tests that print its figure.
    Tests(&'static [Test]),
    /// By a command of the workspace that prints it.
    Xtask(&'static [&'static str]),
    /// Here.
    Own(fn(&Site<'_>) -> std::io::Result<Found>),
    /// Not yet, or not on these machines.
    NotReached(&'static str),
}

/// A test of a package: of its library (`lib`) or of one of its files of tests.
pub(super) struct Test {
    pub(super) package: &'static str,
    pub(super) target: &'static str,
    pub(super) name: &'static str,
}

const fn row(id: &'static str, what: &'static str, how: How) -> Row {
    Row { id, what, how }
}

const fn test(package: &'static str, target: &'static str, name: &'static str) -> Test {
    Test { package, target, name }
}

/// All of them.
pub(super) const ROWS: &[Row] = &[
    row("X1", "licences, sources and open advisories of every package", How::Own(supply::policy)),
    row("X2", "versions in which known holes are closed", How::Own(supply::versions)),
    row("X3", "parsecd without libp2p: packages and unsafe code", How::Own(builds::size)),
    row("X4", "no unsafe code of our own", How::Own(supply::unsafe_code)),
    row("X5", "two clean builds are identical", How::Own(builds::reproducible)),
    row("X6", "bill of materials", How::Own(builds::materials)),
    row("X7", "builds without a network", How::Own(builds::offline)),
    row("X8", "features of the cryptography are on", How::Own(supply::features)),
    row("X9", "no secrets in the repository or its history", How::Own(supply::secrets)),
];
