//! restic: backups into a repository behind its REST server, which is rclone's.
//!
//! Decides that it doesn't compress, since nothing here can be, and that each round begins with an
//! empty repository and cache. What comes back, comes onto a device without a cache.

use super::super::SMALL_BYTES;
use super::super::table::Table;
use super::programs::{CountedPort, Environment, Serving, Workspace, free_port, over};
use crate::bench::said;

struct Repository<'a> {
    workspace: &'a Workspace,
    environment: Environment,
    _server: Serving,
    port: u16,
}

impl<'a> Repository<'a> {
    /// An empty one.
    fn new(workspace: &'a Workspace) -> Result<Self, String> {
        let store = workspace.empty("store")?.to_string_lossy().into_owned();
        let _ = workspace.empty("cache")?;
        let port = free_port()?;
        let environment = Environment::from([
            ("RESTIC_PASSWORD", "x".to_owned()),
            ("RESTIC_REPOSITORY", format!("rest:http://127.0.0.1:{port}/")),
            ("RESTIC_CACHE_DIR", workspace.word("cache")),
        ]);
        let words = ["rclone", "serve", "restic", &store, "--addr", &format!("127.0.0.1:{port}")];
        let server = workspace.serve(&words, &environment, port)?;
        workspace.run(&["restic", "-q", "init"], &environment)?;
        Ok(Self { workspace, environment, _server: server, port })
    }

    fn backup(&self, from: &str) -> Result<(f64, f64), String> {
        self.workspace.run(&["restic", "-q", "--compression", "off", "backup", from], &self.environment)
    }

    fn restore(&self) -> Result<(f64, f64), String> {
        let _ = self.workspace.empty("cache")?;
        let back = self.workspace.empty("back")?.to_string_lossy().into_owned();
        let came = self
            .workspace
            .run(&["restic", "-q", "restore", "latest", "--target", &back], &self.environment)?;
        self.workspace.remove("back");
        Ok(came)
    }
}

pub(super) fn measure(workspace: &Workspace, name: &str, table: &mut Table) -> Result<(), String> {
    if ["put", "get", "edit", "edit sent", "memory up", "memory down", "disk large"]
        .iter()
        .any(|row| table.wants(row))
    {
        for round in 0..workspace.plan.rounds {
            large(workspace, name, table, round + 1 == workspace.plan.rounds)?;
        }
    }
    if ["small shared", "small read", "disk small"].iter().any(|row| table.wants(row)) {
        let from = workspace.tree("small", workspace.plan.small)?.to_string_lossy().into_owned();
        for _ in 0..workspace.plan.rounds {
            let repository = Repository::new(workspace)?;
            let (up, _) = repository.backup(&from)?;
            table.note("small shared", name, up);
            let (down, _) = repository.restore()?;
            table.note("small read", name, up + down);
            let plain = (workspace.plan.small * SMALL_BYTES) as u64;
            table.note("disk small", name, over(&workspace.path("store"), plain));
        }
        workspace.remove("small");
    }
    if table.wants("fresh") {
        let from = names(workspace)?;
        let repository = Repository::new(workspace)?;
        repository.backup(&from)?;
        for _ in 0..workspace.plan.rounds {
            let _ = workspace.empty("cache")?;
            let (lasted, _) =
                workspace.run(&["restic", "-q", "ls", "-l", "latest"], &repository.environment)?;
            table.note("fresh", name, lasted);
        }
    }
    workspace.remove("store");
    workspace.remove("cache");
    Ok(())
}

fn large(workspace: &Workspace, name: &str, table: &mut Table, last: bool) -> Result<(), String> {
    let from = workspace.word("large");
    let repository = Repository::new(workspace)?;
    let (lasted, peak) = repository.backup(&from)?;
    table.note("put", name, workspace.rate(lasted));
    table.note("memory up", name, peak);
    table.note("disk large", name, over(&workspace.path("store"), workspace.bytes()));
    let (lasted, peak) = repository.restore()?;
    table.note("get", name, workspace.rate(lasted));
    table.note("memory down", name, peak);
    workspace.edit()?;
    let (lasted, _) = repository.backup(&from)?;
    table.note("edit", name, lasted);
    if last {
        let port = CountedPort::to(repository.port)?;
        let mut counted = repository.environment.clone();
        counted.insert("RESTIC_REPOSITORY", format!("rest:http://127.0.0.1:{}/", port.port()));
        workspace.edit()?;
        workspace.run(&["restic", "-q", "--compression", "off", "backup", &from], &counted)?;
        table.note("edit sent", name, port.kib());
    }
    Ok(())
}

/// A tree of as many files as a large tree of ours has entries, with next to nothing in them.
pub(super) fn names(workspace: &Workspace) -> Result<String, String> {
    let path = workspace.path("many");
    if !path.exists() {
        for number in 0..workspace.plan.entries {
            let folder = path.join(format!("d{:04}", number / 1_000));
            if number % 1_000 == 0 {
                std::fs::create_dir_all(&folder).map_err(said)?;
            }
            std::fs::write(folder.join(format!("f{number:06}")), format!("{number:08}")).map_err(said)?;
        }
    }
    Ok(path.to_string_lossy().into_owned())
}
