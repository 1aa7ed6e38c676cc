//! The table: a row for each measure, with our figure, its goal, and the others' beside it.
//!
//! Decides what a ratio is: how many times as good as the other, so that above 1 is better whether
//! a row counts seconds or bytes a second. Refuses to show a median of nothing.

use serde_json::{Value, json};

use crate::bench::{Goal, percentile, short};

/// Who is measured, beside whom the others stand.
pub(super) const PARSEC: &str = "parsec";

/// What a row is.
struct Kind {
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    goal: Option<Goal>,
}

const fn kind(name: &'static str, what: &'static str, unit: &'static str, goal: Option<Goal>) -> Kind {
    Kind { name, what, unit, goal }
}

const fn most(figure: f64) -> Option<Goal> {
    Some(Goal::value_at_most(figure))
}

const fn least(figure: f64) -> Option<Goal> {
    Some(Goal::value_at_least(figure))
}

/// All rows, in the order in which they are shown. Goals are for the whole work.
const KINDS: [Kind; 22] = [
    kind("seal", "seal and hash a large file, one core", "MB/s", least(1_500.0)),
    kind("put", "a large file until shared", "MB/s", least(400.0)),
    kind("get", "a large file, nothing of it here", "MB/s", least(600.0)),
    kind("get again", "the same once more", "MB/s", least(1_200.0)),
    kind("small shared", "files of 4 KiB until shared", "s", most(1.2)),
    kind("small listed", "the same until the second device lists them", "s", most(2.2)),
    kind("small read", "the same until all are read there", "s", None),
    kind("fresh", "a large tree on a device that has nothing of it", "s", most(2.0)),
    kind("fresh requests", "what it asked the server for that", "", most(40.0)),
    kind("first byte", "4 KiB anywhere in a large file", "ms", most(20.0)),
    kind("first byte far", "the same, 50 ms away", "ms", most(120.0)),
    kind("edit", "4 KiB changed in a large file until shared", "s", most(1.0)),
    kind("edit sent", "bytes that went to the server for it", "KiB", most(600.0)),
    kind("latency", "saved here until read there, 95 of 100", "s", most(0.5)),
    kind("memory idle", "daemon with a large tree and nothing to do", "MiB", most(64.0)),
    kind("memory up", "daemon while a large file goes up", "MiB", most(150.0)),
    kind("memory down", "daemon while a large file comes down", "MiB", most(150.0)),
    kind("memory server", "server with 8 uploads", "MiB", most(128.0)),
    kind("rekey large", "another key for one large safe", "s", most(0.5)),
    kind("rekey many", "another key for many safes of 20", "s", most(6.0)),
    kind("disk large", "server's bytes over those of a large file", "%", most(2.0)),
    kind("disk small", "the same of files of 4 KiB", "%", most(25.0)),
];

/// What was found for a row of somebody.
struct Found {
    who: String,
    figures: Vec<f64>,
    absent: Option<String>,
}

impl Found {
    fn median(&self) -> Option<f64> {
        let mut figures = self.figures.clone();
        (!figures.is_empty()).then(|| percentile(&mut figures, 0.5))
    }
}

/// Rows that are wanted, as far as they are measured.
pub(super) struct Table {
    rows: Vec<(Kind, Vec<Found>)>,
}

impl Table {
    /// The rows whose names begin so.
    pub(super) fn new(begins: &str) -> Self {
        let wanted = KINDS.into_iter().filter(|kind| kind.name.starts_with(begins));
        Self { rows: wanted.map(|kind| (kind, Vec::new())).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a row of this name is measured.
    pub(super) fn wants(&self, row: &str) -> bool {
        self.rows.iter().any(|(kind, _)| kind.name == row)
    }

    fn found(&mut self, row: &str, who: &str) -> Option<&mut Found> {
        let (_, all) = self.rows.iter_mut().find(|(kind, _)| kind.name == row)?;
        if !all.iter().any(|found| found.who == who) {
            all.push(Found { who: who.to_owned(), figures: Vec::new(), absent: None });
        }
        all.iter_mut().find(|found| found.who == who)
    }

    /// One figure of somebody.
    pub(super) fn note(&mut self, row: &str, who: &str, figure: f64) {
        if let Some(found) = self.found(row, who) {
            found.figures.push(figure);
            eprintln!("  {row}: {who} {}", short(figure));
        }
    }

    /// Why there is no figure; one that is there stays.
    pub(super) fn absent(&mut self, row: &str, who: &str, why: &str) {
        if let Some(found) = self.found(row, who).filter(|found| found.figures.is_empty()) {
            found.absent = Some(why.to_owned());
        }
    }

    /// Prints all rows.
    pub(super) fn print(&self, as_json: bool) {
        if !as_json {
            println!("{:<15} {:>9} {:<4}  {:<16} BESIDE", "NAME", "FIGURE", "", "GOAL");
        }
        for (kind, all) in &self.rows {
            if as_json {
                println!("{}", object(kind, all));
            } else {
                println!("{}", line(kind, all));
            }
        }
    }
}

/// How many times as good the first is.
fn ratio(kind: &Kind, ours: f64, theirs: f64) -> f64 {
    if kind.unit == "MB/s" { ours / theirs } else { theirs / ours }
}

fn ours(all: &[Found]) -> Option<&Found> {
    all.iter().find(|found| found.who == PARSEC)
}

fn is_met(kind: &Kind, figure: f64) -> Option<bool> {
    kind.goal.map(|goal| goal.is_met_by(figure))
}

fn line(kind: &Kind, all: &[Found]) -> String {
    let own = ours(all).and_then(Found::median);
    let figure = own.map_or_else(|| "-".to_owned(), short);
    let goal = kind.goal.map(|goal| {
        let met = match own.map(|own| goal.is_met_by(own)) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        format!("{} {met}", goal.in_words())
    });
    let absent = ours(all).and_then(|found| found.absent.as_deref());
    let mut beside: Vec<String> = absent.map(|why| format!("absent: {why}")).into_iter().collect();
    for found in all.iter().filter(|found| found.who != PARSEC) {
        beside.push(match (found.median(), own, &found.absent) {
            (Some(theirs), Some(own), _) => {
                format!("{} {} ({}×)", found.who, short(theirs), short(ratio(kind, own, theirs)))
            }
            (Some(theirs), None, _) => format!("{} {}", found.who, short(theirs)),
            (None, _, Some(why)) => format!("{}: {why}", found.who),
            (None, _, None) => continue,
        });
    }
    let text = format!(
        "{:<15} {:>9} {:<4}  {:<16} {}",
        kind.name,
        figure,
        kind.unit,
        goal.unwrap_or_default(),
        beside.join(", ")
    );
    text.trim_end().to_owned()
}

fn object(kind: &Kind, all: &[Found]) -> Value {
    let own = ours(all).and_then(Found::median);
    let beside = all.iter().filter(|found| found.who != PARSEC).map(|found| match found.median() {
        Some(theirs) => json!({
            "program": found.who,
            "value": theirs,
            "rounds": found.figures.len(),
            "ratio": own.map(|own| ratio(kind, own, theirs)),
        }),
        None => json!({ "program": found.who, "absent": found.absent }),
    });
    json!({
        "name": kind.name,
        "what": kind.what,
        "unit": kind.unit,
        "value": own,
        "rounds": ours(all).map_or(0, |found| found.figures.len()),
        "absent": ours(all).and_then(|found| found.absent.clone()),
        "goal": kind.goal,
        "met": own.and_then(|own| is_met(kind, own)),
        "beside": beside.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_one_is_better_whatever_a_row_counts() {
        let mut table = Table::new("");
        table.note("put", PARSEC, 300.0);
        table.note("put", "other", 200.0);
        table.note("edit", PARSEC, 2.0);
        table.note("edit", "other", 4.0);
        table.absent("get", "other", "not on this machine");
        table.absent("put", PARSEC, "comes too late");
        let of = |name: &str| {
            table
                .rows
                .iter()
                .find(|(kind, _)| kind.name == name)
                .map(|(kind, all)| (line(kind, all), object(kind, all)))
        };
        let (put, as_json) = of("put").unwrap();
        assert!(put.contains("≥ 400 MISSED") && put.ends_with("other 200 (1.50×)"), "{put}");
        assert_eq!((&as_json["met"], &as_json["beside"][0]["ratio"]), (&json!(false), &json!(1.5)));
        let (edit, _) = of("edit").unwrap();
        assert!(edit.ends_with("other 4.00 (2.00×)"), "{edit}");
        let (get, as_json) = of("get").unwrap();
        assert!(get.contains("not measured") && get.ends_with("other: not on this machine"), "{get}");
        assert_eq!((&as_json["value"], &as_json["met"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn rows_are_chosen_by_how_they_begin() {
        assert_eq!(Table::new("memory").rows.len(), 4);
        assert!(Table::new("nothing").is_empty());
        assert!(Table::new("get").wants("get again") && !Table::new("get").wants("put"));
    }
}
