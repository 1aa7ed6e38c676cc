//! Draws screens as SVG: text in rows of one width, beside each other.
//!
//! Decides how a picture looks on light and dark pages: a dark window with light letters on both.
//! Refuses everything that could act: no script, no style sheet, no font or image from elsewhere;
//! text is escaped.

use std::fmt::Write as _;

use super::{COLUMNS, Screen};

/// Width of a character, in user units; a row's text is stretched or squeezed to fit, whatever font
/// the reader has.
const CELL: u32 = 8;
/// Height of a row.
const ROW: u32 = 18;
/// Space between a window's edge and its text, and between windows.
const MARGIN: u32 = 16;
/// Height of a window's title bar.
const BAR: u32 = 32;

/// The picture of some screens.
#[must_use]
pub fn draw(screens: &[Screen]) -> String {
    let columns = u32::from(COLUMNS);
    let rows = screens.iter().map(|screen| screen.rows.len()).max().unwrap_or(0);
    let window = columns * CELL + 2 * MARGIN;
    let height = BAR + u32::try_from(rows).unwrap_or(0) * ROW + 2 * MARGIN;
    let count = u32::try_from(screens.len()).unwrap_or(0);
    let width = count * (window + MARGIN) - MARGIN;
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <title>The two screens of a ceremony</title>\n\
         <desc>Made by cargo xtask screenshots from a real enrolment. Don't edit.</desc>\n"
    );
    for (at, screen) in (0..count).zip(screens) {
        let left = at * (window + MARGIN);
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"0\" width=\"{window}\" height=\"{height}\" rx=\"8\" fill=\"#1f2430\" stroke=\"#70798c\"/>"
        );
        let title = escaped(&screen.title);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"22\" fill=\"#9aa5b8\" font-weight=\"bold\">{title}</text>",
            left + MARGIN
        );
        for (number, row) in (0_u32..).zip(&screen.rows).filter(|(_, row)| !row.is_empty()) {
            let text = row.trim_start();
            let indent = u32::try_from(row.chars().count() - text.chars().count()).unwrap_or(0);
            let length = u32::try_from(text.chars().count()).unwrap_or(0);
            let heading = if row.starts_with("You are the ") { " font-weight=\"bold\"" } else { "" };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" textLength=\"{}\" fill=\"#e6e9ef\" xml:space=\"preserve\"{heading}>{}</text>",
                left + MARGIN + indent * CELL,
                BAR + MARGIN + number * ROW,
                length * CELL,
                escaped(text)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The texts of a picture that [`draw`] made, without what is at their beginning and end.
#[must_use]
pub fn texts(svg: &str) -> Vec<String> {
    let rows = svg
        .lines()
        .filter_map(|line| line.strip_prefix("<text ")?.split_once('>')?.1.strip_suffix("</text>"));
    rows.map(plain).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn plain(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_can_be_read_again_and_nothing_of_it_acts() {
        let rows = vec!["  <script>alert(\"&\")</script>".to_owned(), String::new(), "K7EM".to_owned()];
        let svg = draw(&[Screen { title: "a & b".into(), rows }]);
        assert_eq!(texts(&svg), ["a & b", "<script>alert(\"&\")</script>", "K7EM"]);
        assert!(!svg.contains("<script"), "{svg}");
    }
}
