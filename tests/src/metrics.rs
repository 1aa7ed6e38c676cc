//! What a test measured for a row of docs/assurance.md. Decides how large a run is and how its
//! figure is printed.
//!
//! Refuses nothing: whether the figure is good enough is for the test to say, by failing.

/// Raises every run to the size that docs/assurance.md names; set by `cargo xtask checks --full`.
pub const FULL: &str = "PARSEC_FULL";

/// Whether the long runs were asked for.
#[must_use]
pub fn full() -> bool {
    std::env::var_os(FULL).is_some_and(|value| value == "1")
}

/// How many: as usual, or as a full run takes.
#[must_use]
pub fn runs(usual: u64, all: u64) -> u64 {
    if full() { all } else { usual }
}

/// Says on stdout what was found for a row: `cargo xtask checks` looks for this line.
#[allow(clippy::print_stdout, reason = "the figure is what the test is run for")]
pub fn figure(row: &str, found: &str) {
    println!("figure {row}: {found}");
}
