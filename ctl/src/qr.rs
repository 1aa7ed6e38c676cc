//! `--qr`: the link as a picture that another device's camera reads off the screen.
//!
//! Decides size, border and colours. Refuses to draw where nobody looks or where a picture is
//! noise: with `--json`, `--plain` and without being asked, since who photographs it over a
//! shoulder has the link.

use std::io::{IsTerminal as _, stderr};

use clap::{Args, ValueEnum};
use parsec_protocol::control::ProblemKind;
use qrcode::{Color, EcLevel, QrCode};

use crate::failure::Failure;
use crate::output::Output;

/// White squares around the code; readers need four to find it (ISO/IEC 18004).
const QUIET_ZONE: usize = 4;

/// The option.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct QrOption {
    /// Show the link as a QR code, too. If your terminal shows no colours, say what its background
    /// is: dark or light
    #[arg(
        long,
        value_name = "BACKGROUND",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "any"
    )]
    qr: Option<Background>,
}

/// What the terminal's background is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Background {
    /// Any: the picture brings its own black and white
    Any,
    /// Dark, and no colours
    Dark,
    /// Light, and no colours
    Light,
}

impl QrOption {
    /// Whether it can be drawn at all, before anything is done that a link comes of.
    ///
    /// # Errors
    /// The run is for a program or for a screen reader.
    pub(crate) fn check(self, output: &Output) -> Result<(), Failure> {
        if self.qr.is_some() && (output.is_json() || output.is_plain()) {
            return Err(Failure::usage("A QR code can't be shown with --json or --plain", "Leave --qr out."));
        }
        Ok(())
    }

    /// Draws it on stderr, if it was asked for. The link itself stays alone on stdout.
    ///
    /// # Errors
    /// The link is too long for a QR code.
    pub(crate) fn show(self, link: &str, output: &Output) -> Result<(), Failure> {
        let Some(background) = self.qr else { return Ok(()) };
        let coloured = background == Background::Any && has_colours();
        output.say(if coloured || background != Background::Any {
            "\nScan it with the other device:\n"
        } else {
            "\nScan it with the other device. If its camera does not take it, use --qr=light:\n"
        });
        // Without colours a block is light on dark, or dark on light.
        let block_is_light = !coloured && background != Background::Light;
        output.qr_code(&drawn(link, block_is_light)?, coloured)
    }
}

/// Whether stderr is a terminal with colours that nobody switched off.
fn has_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    stderr().is_terminal() && !dumb && !set("NO_COLOR")
}

/// The rows of the picture, two squares a cell.
fn drawn(link: &str, block_is_light: bool) -> Result<Vec<String>, Failure> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).map_err(|error| {
        Failure::new(ProblemKind::TooLarge, format!("The link can't be shown as a QR code: {error}"))
    })?;
    let width = code.width();
    let colours = code.to_colors();
    let is_dark = |row: usize, column: usize| {
        let inside = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < width);
        match (inside(row), inside(column)) {
            (Some(row), Some(column)) => colours.get(row * width + column) == Some(&Color::Dark),
            _ => false,
        }
    };
    let side = width + 2 * QUIET_ZONE;
    let filled = |row: usize, column: usize| row < side && is_dark(row, column) != block_is_light;
    // The side is odd: below the last row there is half a cell. It belongs to the border where that
    // is drawn in blocks.
    let below = |row: usize, column: usize| if row < side { filled(row, column) } else { block_is_light };
    let cell = |row: usize, column: usize| match (filled(row, column), below(row + 1, column)) {
        (false, false) => ' ',
        (true, false) => '\u{2580}',
        (false, true) => '\u{2584}',
        (true, true) => '\u{2588}',
    };
    Ok((0..side).step_by(2).map(|row| (0..side).map(|column| cell(row, column)).collect()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::output::HALF_BLOCKS;

    const LINK: &str = "https://parsec.example.org/join/acme#u.AAECAwQFBgcICQoLDA0ODw.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    /// Pixels of a square in what the reader sees.
    const PIXELS: usize = 4;

    /// The picture as a camera sees it on such a screen, with a hand's breadth of screen around it;
    /// read by another library.
    fn read(rows: &[String], block_is_light: bool) -> Option<String> {
        let margin = 6;
        let side = rows[0].chars().count();
        let light = |row: usize, column: usize| {
            let inside =
                (margin..margin + side).contains(&column) && (margin..margin + 2 * rows.len()).contains(&row);
            let block = inside && {
                let c = rows[(row - margin) / 2].chars().nth(column - margin).unwrap();
                let half = HALF_BLOCKS.iter().position(|known| *known == c).unwrap();
                [[false, false], [true, false], [false, true], [true, true]][half][(row - margin) % 2]
            };
            block == block_is_light
        };
        let all = PIXELS * (side + 2 * margin + 1);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(all, all, |x, y| {
            if light(y / PIXELS, x / PIXELS) { 255 } else { 0 }
        });
        let grids = image.detect_grids();
        grids.first()?.decode().ok().map(|(_, text)| text)
    }

    #[test]
    fn another_library_reads_the_link_on_dark_and_on_light_screens() {
        for link in [LINK.to_owned(), "https://a/x".to_owned(), format!("{LINK}{}", "x".repeat(300))] {
            for block_is_light in [true, false] {
                let rows = drawn(&link, block_is_light).unwrap();
                assert_eq!(read(&rows, block_is_light).as_deref(), Some(link.as_str()), "{block_is_light}");
                assert!(read(&rows, !block_is_light).is_none_or(|text| text == link));
            }
        }
    }

    #[test]
    fn it_has_a_border_on_every_side() {
        let rows = drawn(LINK, true).unwrap();
        let white = |row: &String| row.chars().all(|c| c == '\u{2588}');
        assert!(
            rows[..2].iter().all(white) && rows[rows.len() - 2..].iter().all(white),
            "{}",
            rows.join("\n")
        );
        for row in &rows {
            assert!(
                row.starts_with("\u{2588}\u{2588}\u{2588}\u{2588}")
                    && row.ends_with("\u{2588}\u{2588}\u{2588}\u{2588}")
            );
        }
        let size = rows[0].chars().count();
        assert!(size <= 80, "{size} columns: a usual terminal has 80");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert_eq!(
            drawn(&"x".repeat(4000), true).unwrap_err().exit_code(),
            ProblemKind::TooLarge.exit_code()
        );
    }
}
