//! `--plain`: what is said so that it can be read aloud, line by line, or through a magnifying
//! glass.
//!
//! Decides how layout becomes words: a table becomes one fact a line, indentation and padding go.
//! Refuses to drop a fact: whatever stands in the other form stands here too.

use crate::text::escaped;

/// Text without layout: no indentation, no padding, no line that only draws.
pub(crate) fn flat(text: &str) -> String {
    let spoken = |line: &str| line.is_empty() || line.chars().any(char::is_alphanumeric);
    let words = |line: &str| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    text.split('\n')
        .map(words)
        .filter(|line| spoken(line) || line.chars().count() > DRAWN_CHARS_MAX)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Characters of a line that draws, such as `|` between two links of a chain. A longer line without
/// a letter or digit came from somebody, and stays.
const DRAWN_CHARS_MAX: usize = 1;

/// Rows as `Heading: cell` lines, with an empty line between two rows. Empty cells are left out; a
/// row whose first cell is empty goes on with the one above, as a person's second device does.
pub(crate) fn records(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = Vec::new();
    for row in rows {
        if !lines.is_empty() && row.first().is_some_and(|cell| !cell.is_empty()) {
            lines.push(String::new());
        }
        let facts = headings.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        lines.extend(facts.map(|(heading, cell)| format!("{}: {}", sentence_case(heading), escaped(cell))));
    }
    lines.join("\n")
}

/// `WRONG CODES` is read letter by letter by some voices; `Wrong codes` is not.
fn sentence_case(heading: &str) -> String {
    let mut letters = heading.chars();
    letters.next().map(|first| first.to_string() + &letters.as_str().to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn layout_goes_and_words_stay() {
        assert_eq!(flat("  Root key:  ab cd\n    |\n\n  n)  none"), "Root key: ab cd\n\nn) none");
        assert_eq!(flat("..."), "...", "a name without letters is still a name");
    }

    #[test]
    fn a_table_is_one_fact_a_line() {
        let rows = [row(&["1", "alice", "desk"]), row(&["", "", "tablet"]), row(&["2", "bob", ""])];
        assert_eq!(
            records(&["USER", "FULL NAME", "LABEL"], &rows),
            "User: 1\nFull name: alice\nLabel: desk\nLabel: tablet\n\nUser: 2\nFull name: bob"
        );
        assert_eq!(records(&["A"], &[row(&["x\nB: forged"])]).lines().count(), 1);
    }
}
