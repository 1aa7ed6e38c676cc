//! No circles: the modules of a crate, and the rooms they stand in, import in one direction.
//!
//! Decides on the paths that product code names, through re-exports. A folder's module and the
//! files below it may name each other: together they are one thing.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{Import, Source, is_test_path};

/// A module's path inside its crate; the crate itself is empty.
type Module = Vec<String>;
/// Which module names which, and where the first of these names stands.
type Graph = BTreeMap<Module, BTreeMap<Module, (String, usize)>>;

const REASON: &str =
    "two files that import each other are one file in two halves: neither is read, tested or moved alone";
const ROOM_REASON: &str =
    "a room that calls upward can't be used by what comes next: rooms are floors, and the arrows point down";

/// Checks one crate's folder: `daemon` for what is in daemon/src.
pub(crate) fn check(folder: &str, sources: &[Source]) -> Vec<Finding> {
    let files: Vec<&Source> = sources.iter().filter(|source| counts(folder, source)).collect();
    let graph = graph(folder, &files);
    let mut findings = found(&graph, REASON);
    findings.extend(found(&rooms(&graph), ROOM_REASON));
    findings
}

/// Whether a file is a module of the crate's library.
fn counts(folder: &str, source: &Source) -> bool {
    let inside = source.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix("/src/"));
    inside.is_some_and(|inside| inside != "main.rs") && !is_test_path(&source.path)
}

fn module(source: &Source) -> Module {
    source.module().1.into_iter().map(str::to_owned).collect()
}

/// Everything that resolving a path takes.
struct Names {
    modules: BTreeSet<Module>,
    /// What a module re-exports, by name, from where.
    exports: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Names {
    fn of(folder: &str, files: &[&Source]) -> Self {
        let modules: BTreeSet<Module> = files.iter().map(|source| module(source)).collect();
        let mut names = Self { modules, exports: BTreeMap::new() };
        for source in files {
            let here = module(source);
            let exports = source.imports().into_iter().filter(|import| import.public);
            let exports: BTreeMap<String, Module> = exports
                .filter_map(|import| {
                    Some((
                        import.name.clone(),
                        names.anchored(folder, &here, &import.path, &BTreeMap::new())?,
                    ))
                })
                .collect();
            names.exports.insert(here, exports);
        }
        names
    }

    /// A path from the crate's root, if it is one of this crate's.
    fn anchored(
        &self,
        folder: &str,
        here: &[String],
        path: &[String],
        aliases: &BTreeMap<String, Module>,
    ) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut base = here.to_vec();
        let mut rest = rest;
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                while rest.first().is_some_and(|next| next == "super") {
                    base.pop();
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
            name => {
                base.push(name.to_owned());
                if !self.modules.contains(&base) {
                    base = aliases.get(name).filter(|_| folder != name)?.clone();
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The module where what a path names is defined.
    fn home(&self, path: &[String]) -> Module {
        let mut path = path.to_vec();
        // A name is re-exported a few times at most.
        for _ in 0..8 {
            let length = (0..=path.len())
                .rev()
                .find(|length| path.get(..*length).is_some_and(|head| self.modules.contains(head)))
                .unwrap_or_default();
            let (at, rest) = path.split_at(length);
            let export = rest.first().and_then(|name| self.exports.get(at)?.get(name));
            match export {
                Some(there) if *there != path => {
                    let mut next = there.clone();
                    next.extend(rest.iter().skip(1).cloned());
                    path = next;
                }
                Some(_) | None => return at.to_vec(),
            }
        }
        path
    }
}

fn graph(folder: &str, files: &[&Source]) -> Graph {
    let names = Names::of(folder, files);
    let mut graph = Graph::new();
    for source in files {
        let here = module(source);
        let imports = source.imports();
        let aliases: BTreeMap<String, Module> = imports
            .iter()
            .filter_map(|Import { name, path, .. }| {
                Some((name.clone(), names.anchored(folder, &here, path, &BTreeMap::new())?))
            })
            .collect();
        for (line, path) in source.raw_paths() {
            let Some(path) = names.anchored(folder, &here, &path, &aliases) else { continue };
            let there = names.home(&path);
            let family = here.starts_with(&there) || there.starts_with(&here);
            if !family {
                let edges = graph.entry(here.clone()).or_default();
                edges.entry(there).or_insert_with(|| (source.path.clone(), line));
            }
        }
    }
    graph
}

/// The same between the folders at the top.
fn rooms(graph: &Graph) -> Graph {
    let mut rooms = Graph::new();
    for (from, edges) in graph {
        for (to, place) in edges {
            let (Some(from), Some(to)) = (from.first(), to.first()) else { continue };
            if from != to {
                let edges = rooms.entry(vec![from.clone()]).or_default();
                edges.entry(vec![to.clone()]).or_insert_with(|| place.clone());
            }
        }
    }
    rooms
}

/// Every name that is on a circle: what it leads to leads back.
fn found(graph: &Graph, reason: &'static str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (from, edges) in graph {
        for (to, (path, line)) in edges.iter().filter(|(to, _)| leads(graph, to, from)) {
            let what = format!("`{}` names `{}`, which leads back", from.join("::"), to.join("::"));
            findings.push(Finding::new(path, *line, what, reason));
        }
    }
    findings
}

/// Whether one module names another, by way of others or at once.
fn leads(graph: &Graph, from: &Module, to: &Module) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        if at == to {
            return true;
        }
        next.extend(graph.get(at).into_iter().flat_map(BTreeMap::keys).filter(|there| seen.insert(there)));
    }
    false
}
