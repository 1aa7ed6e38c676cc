//! Holds what programs and daemons really said against docs/openrpc.json: requests, answers,
//! errors, notifications.

use std::collections::{BTreeMap, BTreeSet};

use parsec_tests::openrpc;
use parsec_tests::recorder::{Line, Recorder};

use crate::judge::faults;
use crate::judges::Judges;

/// Lines of several taps get connection numbers that don't collide.
const CONNECTIONS_PER_TAP: usize = 1_000;

/// The lines of one of several taps.
pub(crate) fn of(index: usize, recorder: &Recorder) -> Vec<Line> {
    let number = |line: Line| Line { connection: line.connection + index * CONNECTIONS_PER_TAP, ..line };
    recorder.lines().into_iter().map(number).collect()
}

/// What was seen, by name.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: BTreeSet<String>,
    pub(crate) refused: BTreeSet<String>,
    pub(crate) told: BTreeSet<String>,
}

/// Checks every line.
pub(crate) fn check(lines: &[Line]) -> Seen {
    let judges = Judges::new(&openrpc::committed());
    let mut seen = Seen::default();
    let mut asked = BTreeMap::new();
    for line in lines {
        let said = &line.said;
        let name = said["method"].as_str().map(str::to_owned);
        let id = said["id"].as_u64().map(|id| (line.connection, id));
        let found = match (name, id) {
            (Some(name), Some(id)) if line.asked => {
                let judge =
                    judges.takes.get(&name).unwrap_or_else(|| panic!("{name} is not in the document"));
                let found = (faults(judge, &said["params"]), name.clone());
                asked.insert(id, name);
                found
            }
            (Some(name), None) if !line.asked => {
                let judge =
                    judges.tells.get(&name).unwrap_or_else(|| panic!("{name} is not in the document"));
                seen.told.insert(name.clone());
                (faults(judge, &said["params"]), name)
            }
            (None, Some(id)) if !line.asked => {
                let name = asked.remove(&id).unwrap_or_else(|| panic!("nobody asked for {said}"));
                if let Some(error) = said.get("error") {
                    seen.refused.insert(error["data"]["name"].as_str().unwrap().to_owned());
                    (faults(&judges.problem, &error["data"]), name)
                } else {
                    seen.answered.insert(name.clone());
                    (faults(&judges.gives[&name], &said["result"]), name)
                }
            }
            _ => panic!("neither request nor answer nor notification: {said}"),
        };
        assert_eq!(found.0, Vec::<String>::new(), "{}: {said}", found.1);
    }
    seen
}
