//! age: a file sealed to one key, from a file into a file.
//!
//! Decides nothing about its server: it has none.

use super::super::board::Board;
use super::super::office;
use super::programs::{Desk, Environment};
use crate::bench::said;

pub(super) fn measure(desk: &Desk, name: &str, board: &mut Board) -> Result<(), String> {
    let nothing = Environment::new();
    let key = desk.word("key");
    desk.run(&["age-keygen", "-o", &key], &nothing)?;
    let to = desk.told(&["age-keygen", "-y", &key], &nothing)?;
    let from = desk.large();
    if !from.exists() {
        let _ = office::random_file(&from, desk.bytes())?;
    }
    let (from, sealed) = (from.to_string_lossy().into_owned(), desk.word("sealed"));
    for _ in 0..desk.plan.rounds {
        let (lasted, _) = desk.run(&["age", "-r", &to, "-o", &sealed, &from], &nothing)?;
        board.note("seal", name, desk.rate(lasted));
        std::fs::remove_file(desk.path("sealed")).map_err(said)?;
    }
    Ok(())
}
