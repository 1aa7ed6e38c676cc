//! What is tested of a safe as a whole: its rules, its fold and its rebase, together.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod walks;
