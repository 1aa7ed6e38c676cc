//! rclone's `crypt` over a WebDAV server, which is rclone's own, too.
//!
//! Decides that small files are a twentieth of ours: it paces its calls to WebDAV at a hundred a
//! second, three for each file, so its time for those is multiplied. An edit is told from what was
//! there by asking it to look at nothing but the file itself: WebDAV keeps no times.

use super::super::SMALL_BYTES;
use super::super::board::Board;
use super::programs::{Desk, Environment, Road, Serving, free_port, over};
use crate::bench::said;

/// Of so many small files, one is sent.
const PART: usize = 20;
/// Its options for all copies.
const OPTIONS: [&str; 4] = ["--transfers", "8", "--checkers", "8"];

struct Remote<'a> {
    desk: &'a Desk,
    environment: Environment,
    server: Serving,
    port: u16,
}

impl<'a> Remote<'a> {
    fn new(desk: &'a Desk) -> Result<Self, String> {
        let store = desk.empty("store")?.to_string_lossy().into_owned();
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let password = desk.told(&["rclone", "obscure", "correct horse"], &Environment::new())?;
        let environment = Environment::from([
            ("RCLONE_CONFIG", desk.word("rclone.conf")),
            ("RCLONE_CONFIG_SRV_TYPE", "webdav".to_owned()),
            ("RCLONE_CONFIG_SRV_URL", format!("http://{address}")),
            ("RCLONE_CONFIG_SRV_VENDOR", "other".to_owned()),
            ("RCLONE_CONFIG_SAFE_TYPE", "crypt".to_owned()),
            ("RCLONE_CONFIG_SAFE_REMOTE", "srv:".to_owned()),
            ("RCLONE_CONFIG_SAFE_PASSWORD", password),
        ]);
        std::fs::write(desk.path("rclone.conf"), "").map_err(said)?;
        let words = ["rclone", "serve", "webdav", &store, "--addr", &address];
        let server = desk.serve(&words, &environment, port)?;
        Ok(Self { desk, environment, server, port })
    }

    fn copy(&self, from: &str, to: &str, more: &[&str]) -> Result<(f64, f64), String> {
        let words = [&["rclone", "copy", from, to], OPTIONS.as_slice(), more].concat();
        self.desk.run(&words, &self.environment)
    }
}

pub(super) fn measure(desk: &Desk, name: &str, board: &mut Board) -> Result<(), String> {
    let remote = Remote::new(desk)?;
    if ["put", "get", "edit", "edit sent", "memory up", "memory down", "disk large"]
        .iter()
        .any(|row| board.wants(row))
    {
        large(desk, name, board, &remote)?;
    }
    drop(remote);
    if ["small shared", "small read", "disk small"].iter().any(|row| board.wants(row)) {
        small(desk, name, board)?;
    }
    if board.wants("fresh") {
        entries(desk, name, board)?;
    }
    desk.remove("store");
    Ok(())
}

fn large(desk: &Desk, name: &str, board: &mut Board, remote: &Remote<'_>) -> Result<(), String> {
    let from = desk.word("large");
    for round in 0..desk.plan.rounds {
        let (lasted, peak) = remote.copy(&from, &format!("safe:{round}"), &[])?;
        board.note("put", name, desk.rate(lasted));
        board.note("memory up", name, peak);
    }
    let plain = desk.bytes() * desk.plan.rounds as u64;
    board.note("disk large", name, over(&desk.path("store"), plain));
    for round in 0..desk.plan.rounds {
        let back = desk.empty("back")?.to_string_lossy().into_owned();
        let (lasted, peak) = remote.copy(&format!("safe:{round}"), &back, &[])?;
        board.note("get", name, desk.rate(lasted));
        board.note("memory down", name, peak);
    }
    desk.remove("back");
    board.note("memory server", name, remote.server.peak_mib());
    let road = Road::to(remote.port)?;
    let mut counted = remote.environment.clone();
    counted.insert("RCLONE_CONFIG_SRV_URL", format!("http://127.0.0.1:{}", road.port()));
    for _ in 0..desk.plan.rounds {
        desk.edit()?;
        let (lasted, _) = remote.copy(&from, "safe:0", &["--ignore-times"])?;
        board.note("edit", name, lasted);
    }
    desk.edit()?;
    let words = [&["rclone", "copy", &from, "safe:0", "--ignore-times"], OPTIONS.as_slice()].concat();
    desk.run(&words, &counted)?;
    board.note("edit sent", name, road.kib());
    Ok(())
}

fn small(desk: &Desk, name: &str, board: &mut Board) -> Result<(), String> {
    let files = (desk.plan.small / PART).max(50);
    let times = desk.plan.small as f64 / files as f64;
    let remote = Remote::new(desk)?;
    desk.remove("few");
    let from = desk.tree("few", files)?.to_string_lossy().into_owned();
    let (up, _) = remote.copy(&from, "safe:small", &[])?;
    board.note("small shared", name, up * times);
    let back = desk.empty("back")?.to_string_lossy().into_owned();
    let (down, _) = remote.copy("safe:small", &back, &[])?;
    board.note("small read", name, (up + down) * times);
    board.note("disk small", name, over(&desk.path("store"), (files * SMALL_BYTES) as u64));
    desk.remove("back");
    desk.remove("few");
    Ok(())
}

/// A client that has nothing lists a tree; the tree is put there past the server.
fn entries(desk: &Desk, name: &str, board: &mut Board) -> Result<(), String> {
    let remote = Remote::new(desk)?;
    let from = super::restic::names(desk)?;
    let mut past = remote.environment.clone();
    past.insert("RCLONE_CONFIG_SAFE_REMOTE", desk.word("store"));
    let words = [&["rclone", "copy", &from, "safe:many"], OPTIONS.as_slice()].concat();
    desk.run(&words, &past)?;
    for _ in 0..desk.plan.rounds {
        let words =
            ["rclone", "lsf", "-R", "--files-only", "--format", "pst", "--checkers", "8", "safe:many"];
        let (lasted, _) = desk.run(&words, &remote.environment)?;
        board.note("fresh", name, lasted);
    }
    Ok(())
}
