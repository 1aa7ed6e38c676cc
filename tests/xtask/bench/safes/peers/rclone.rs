//! rclone's `crypt` over a WebDAV server, which is rclone's own, too.
//!
//! Decides that small files are a twentieth of ours: it paces its calls to WebDAV at a hundred a
//! second, three for each file, so its time for those is multiplied. An edit is told from what was
//! there by asking it to look at nothing but the file itself: WebDAV keeps no times.

use super::super::SMALL_BYTES;
use super::super::table::Table;
use super::programs::{CountedPort, Environment, Serving, Workspace, free_port, over};
use crate::bench::said;

/// Of so many small files, one is sent.
const PART: usize = 20;
/// Its options for all copies.
const OPTIONS: [&str; 4] = ["--transfers", "8", "--checkers", "8"];

struct Remote<'a> {
    workspace: &'a Workspace,
    environment: Environment,
    server: Serving,
    port: u16,
}

impl<'a> Remote<'a> {
    fn new(workspace: &'a Workspace) -> Result<Self, String> {
        let store = workspace.empty("store")?.to_string_lossy().into_owned();
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let password = workspace.told(&["rclone", "obscure", "correct horse"], &Environment::new())?;
        let environment = Environment::from([
            ("RCLONE_CONFIG", workspace.word("rclone.conf")),
            ("RCLONE_CONFIG_SRV_TYPE", "webdav".to_owned()),
            ("RCLONE_CONFIG_SRV_URL", format!("http://{address}")),
            ("RCLONE_CONFIG_SRV_VENDOR", "other".to_owned()),
            ("RCLONE_CONFIG_SAFE_TYPE", "crypt".to_owned()),
            ("RCLONE_CONFIG_SAFE_REMOTE", "srv:".to_owned()),
            ("RCLONE_CONFIG_SAFE_PASSWORD", password),
        ]);
        std::fs::write(workspace.path("rclone.conf"), "").map_err(said)?;
        let words = ["rclone", "serve", "webdav", &store, "--addr", &address];
        let server = workspace.serve(&words, &environment, port)?;
        Ok(Self { workspace, environment, server, port })
    }

    fn copy(&self, from: &str, to: &str, more: &[&str]) -> Result<(f64, f64), String> {
        let words = [&["rclone", "copy", from, to], OPTIONS.as_slice(), more].concat();
        self.workspace.run(&words, &self.environment)
    }
}

pub(super) fn measure(workspace: &Workspace, name: &str, table: &mut Table) -> Result<(), String> {
    let remote = Remote::new(workspace)?;
    if ["put", "get", "edit", "edit sent", "memory up", "memory down", "disk large"]
        .iter()
        .any(|row| table.wants(row))
    {
        large(workspace, name, table, &remote)?;
    }
    drop(remote);
    if ["small shared", "small read", "disk small"].iter().any(|row| table.wants(row)) {
        small(workspace, name, table)?;
    }
    if table.wants("fresh") {
        entries(workspace, name, table)?;
    }
    workspace.remove("store");
    Ok(())
}

fn large(workspace: &Workspace, name: &str, table: &mut Table, remote: &Remote<'_>) -> Result<(), String> {
    let from = workspace.word("large");
    for round in 0..workspace.plan.rounds {
        let (lasted, peak) = remote.copy(&from, &format!("safe:{round}"), &[])?;
        table.note("put", name, workspace.rate(lasted));
        table.note("memory up", name, peak);
    }
    let plain = workspace.bytes() * workspace.plan.rounds as u64;
    table.note("disk large", name, over(&workspace.path("store"), plain));
    for round in 0..workspace.plan.rounds {
        let back = workspace.empty("back")?.to_string_lossy().into_owned();
        let (lasted, peak) = remote.copy(&format!("safe:{round}"), &back, &[])?;
        table.note("get", name, workspace.rate(lasted));
        table.note("memory down", name, peak);
    }
    workspace.remove("back");
    table.note("memory server", name, remote.server.peak_mib());
    let port = CountedPort::to(remote.port)?;
    let mut counted = remote.environment.clone();
    counted.insert("RCLONE_CONFIG_SRV_URL", format!("http://127.0.0.1:{}", port.port()));
    for _ in 0..workspace.plan.rounds {
        workspace.edit()?;
        let (lasted, _) = remote.copy(&from, "safe:0", &["--ignore-times"])?;
        table.note("edit", name, lasted);
    }
    workspace.edit()?;
    let words = [&["rclone", "copy", &from, "safe:0", "--ignore-times"], OPTIONS.as_slice()].concat();
    workspace.run(&words, &counted)?;
    table.note("edit sent", name, port.kib());
    Ok(())
}

fn small(workspace: &Workspace, name: &str, table: &mut Table) -> Result<(), String> {
    let files = (workspace.plan.small / PART).max(50);
    let times = workspace.plan.small as f64 / files as f64;
    let remote = Remote::new(workspace)?;
    workspace.remove("few");
    let from = workspace.tree("few", files)?.to_string_lossy().into_owned();
    let (up, _) = remote.copy(&from, "safe:small", &[])?;
    table.note("small shared", name, up * times);
    let back = workspace.empty("back")?.to_string_lossy().into_owned();
    let (down, _) = remote.copy("safe:small", &back, &[])?;
    table.note("small read", name, (up + down) * times);
    table.note("disk small", name, over(&workspace.path("store"), (files * SMALL_BYTES) as u64));
    workspace.remove("back");
    workspace.remove("few");
    Ok(())
}

/// A client that has nothing lists a tree; the tree is put there past the server.
fn entries(workspace: &Workspace, name: &str, table: &mut Table) -> Result<(), String> {
    let remote = Remote::new(workspace)?;
    let from = super::restic::names(workspace)?;
    let mut past = remote.environment.clone();
    past.insert("RCLONE_CONFIG_SAFE_REMOTE", workspace.word("store"));
    let words = [&["rclone", "copy", &from, "safe:many"], OPTIONS.as_slice()].concat();
    workspace.run(&words, &past)?;
    for _ in 0..workspace.plan.rounds {
        let words =
            ["rclone", "lsf", "-R", "--files-only", "--format", "pst", "--checkers", "8", "safe:many"];
        let (lasted, _) = workspace.run(&words, &remote.environment)?;
        table.note("fresh", name, lasted);
    }
    Ok(())
}
