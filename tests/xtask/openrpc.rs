//! `cargo xtask openrpc`: writes docs/openrpc.json and docs/schemas/ anew from the types.

use std::process::ExitCode;

use parsec_tests::{json_output, openrpc};

pub(crate) fn run() -> ExitCode {
    let mut files = vec![(openrpc::docs("openrpc.json"), openrpc::text(&openrpc::document()))];
    for (name, schema) in json_output::schemas() {
        files.push((json_output::file(name), openrpc::text(&schema)));
    }
    for (path, text) in files {
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("cargo xtask openrpc: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
