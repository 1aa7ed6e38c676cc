//! age: a file sealed to one key, from a file into a file.
//!
//! Decides nothing about its server: it has none.

use super::super::office;
use super::super::table::Table;
use super::programs::{Environment, Workspace};
use crate::bench::said;

pub(super) fn measure(workspace: &Workspace, name: &str, table: &mut Table) -> Result<(), String> {
    let nothing = Environment::new();
    let key = workspace.word("key");
    workspace.run(&["age-keygen", "-o", &key], &nothing)?;
    let to = workspace.told(&["age-keygen", "-y", &key], &nothing)?;
    let from = workspace.large();
    if !from.exists() {
        let _ = office::random_file(&from, workspace.bytes())?;
    }
    let (from, sealed) = (from.to_string_lossy().into_owned(), workspace.word("sealed"));
    for _ in 0..workspace.plan.rounds {
        let (lasted, _) = workspace.run(&["age", "-r", &to, "-o", &sealed, &from], &nothing)?;
        table.note("seal", name, workspace.rate(lasted));
        std::fs::remove_file(workspace.path("sealed")).map_err(said)?;
    }
    Ok(())
}
