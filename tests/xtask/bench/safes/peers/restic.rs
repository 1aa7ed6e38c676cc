//! restic: backups into a repository behind its REST server, which is rclone's.
//!
//! Decides that it doesn't compress, since nothing here can be, and that each round begins with an
//! empty repository and cache. What comes back, comes onto a device without a cache.

use super::super::SMALL_BYTES;
use super::super::board::Board;
use super::programs::{Desk, Environment, Road, Serving, free_port, over};
use crate::bench::said;

struct Repository<'a> {
    desk: &'a Desk,
    environment: Environment,
    _server: Serving,
    port: u16,
}

impl<'a> Repository<'a> {
    /// An empty one.
    fn new(desk: &'a Desk) -> Result<Self, String> {
        let store = desk.empty("store")?.to_string_lossy().into_owned();
        let _ = desk.empty("cache")?;
        let port = free_port()?;
        let environment = Environment::from([
            ("RESTIC_PASSWORD", "x".to_owned()),
            ("RESTIC_REPOSITORY", format!("rest:http://127.0.0.1:{port}/")),
            ("RESTIC_CACHE_DIR", desk.word("cache")),
        ]);
        let words = ["rclone", "serve", "restic", &store, "--addr", &format!("127.0.0.1:{port}")];
        let server = desk.serve(&words, &environment, port)?;
        desk.run(&["restic", "-q", "init"], &environment)?;
        Ok(Self { desk, environment, _server: server, port })
    }

    fn backup(&self, from: &str) -> Result<(f64, f64), String> {
        self.desk.run(&["restic", "-q", "--compression", "off", "backup", from], &self.environment)
    }

    fn restore(&self) -> Result<(f64, f64), String> {
        let _ = self.desk.empty("cache")?;
        let back = self.desk.empty("back")?.to_string_lossy().into_owned();
        let came =
            self.desk.run(&["restic", "-q", "restore", "latest", "--target", &back], &self.environment)?;
        self.desk.remove("back");
        Ok(came)
    }
}

pub(super) fn measure(desk: &Desk, name: &str, board: &mut Board) -> Result<(), String> {
    if ["put", "get", "edit", "edit sent", "memory up", "memory down", "disk large"]
        .iter()
        .any(|row| board.wants(row))
    {
        for round in 0..desk.plan.rounds {
            large(desk, name, board, round + 1 == desk.plan.rounds)?;
        }
    }
    if ["small shared", "small read", "disk small"].iter().any(|row| board.wants(row)) {
        let from = desk.tree("small", desk.plan.small)?.to_string_lossy().into_owned();
        for _ in 0..desk.plan.rounds {
            let repository = Repository::new(desk)?;
            let (up, _) = repository.backup(&from)?;
            board.note("small shared", name, up);
            let (down, _) = repository.restore()?;
            board.note("small read", name, up + down);
            let plain = (desk.plan.small * SMALL_BYTES) as u64;
            board.note("disk small", name, over(&desk.path("store"), plain));
        }
        desk.remove("small");
    }
    if board.wants("fresh") {
        let from = names(desk)?;
        let repository = Repository::new(desk)?;
        repository.backup(&from)?;
        for _ in 0..desk.plan.rounds {
            let _ = desk.empty("cache")?;
            let (lasted, _) = desk.run(&["restic", "-q", "ls", "-l", "latest"], &repository.environment)?;
            board.note("fresh", name, lasted);
        }
    }
    desk.remove("store");
    desk.remove("cache");
    Ok(())
}

fn large(desk: &Desk, name: &str, board: &mut Board, last: bool) -> Result<(), String> {
    let from = desk.word("large");
    let repository = Repository::new(desk)?;
    let (lasted, peak) = repository.backup(&from)?;
    board.note("put", name, desk.rate(lasted));
    board.note("memory up", name, peak);
    board.note("disk large", name, over(&desk.path("store"), desk.bytes()));
    let (lasted, peak) = repository.restore()?;
    board.note("get", name, desk.rate(lasted));
    board.note("memory down", name, peak);
    desk.edit()?;
    let (lasted, _) = repository.backup(&from)?;
    board.note("edit", name, lasted);
    if last {
        let road = Road::to(repository.port)?;
        let mut counted = repository.environment.clone();
        counted.insert("RESTIC_REPOSITORY", format!("rest:http://127.0.0.1:{}/", road.port()));
        desk.edit()?;
        desk.run(&["restic", "-q", "--compression", "off", "backup", &from], &counted)?;
        board.note("edit sent", name, road.kib());
    }
    Ok(())
}

/// A tree of as many files as a large tree of ours has entries, with next to nothing in them.
pub(super) fn names(desk: &Desk) -> Result<String, String> {
    let path = desk.path("many");
    if !path.exists() {
        for number in 0..desk.plan.entries {
            let folder = path.join(format!("d{:04}", number / 1_000));
            if number % 1_000 == 0 {
                std::fs::create_dir_all(&folder).map_err(said)?;
            }
            std::fs::write(folder.join(format!("f{number:06}")), format!("{number:08}")).map_err(said)?;
        }
    }
    Ok(path.to_string_lossy().into_owned())
}
