//! Manual pages in roff, from the same definitions that parse the command line.
//!
//! Decides the chapters of a page and what is escaped in it. Refuses nothing; what is hidden is
//! left out. The pages of the other programs are made by this file too: tests/tests/cli/man.rs
//! takes it in, so that all three look alike.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// Text that the definitions don't have.
pub(crate) struct Chapter<'a> {
    pub(crate) title: &'a str,
    pub(crate) entries: &'a [Entry<'a>],
}

/// One piece of a chapter.
pub(crate) enum Entry<'a> {
    Text(&'a str),
    /// A name and what it means.
    Item(&'a str, &'a str),
    /// What to type, as it stands.
    Shown(&'a str),
}

/// A whole page.
pub(crate) fn page(command: &Command, section: u8, chapters: &[Chapter<'_>]) -> String {
    let mut command = command.clone();
    command.build();
    let name = command.get_name().to_owned();
    let about = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    let mut out = String::new();
    line(
        &mut out,
        &format!(
            ".TH {} {section} \"\" \"Parsec {}\" \"Parsec\"",
            roff(&name.to_uppercase()),
            roff(command.get_version().unwrap_or_default())
        ),
    );
    line(&mut out, ".SH NAME");
    line(&mut out, &format!("{} \\- {}", roff(&name), roff(&about(command.get_about()))));
    line(&mut out, ".SH SYNOPSIS");
    synopsis(&mut out, &mut command);
    line(&mut out, ".SH DESCRIPTION");
    text(&mut out, &about(command.get_long_about().or_else(|| command.get_about())));
    if command.has_subcommands() {
        line(&mut out, ".SH COMMANDS");
        commands(&mut out, &mut command, "");
    }
    let everywhere = |argument: &&Arg| shows(argument);
    line(&mut out, ".SH OPTIONS");
    command.get_arguments().filter(everywhere).for_each(|argument| option(&mut out, argument));
    for Chapter { title, entries } in chapters {
        line(&mut out, &format!(".SH {}", roff(title)));
        for entry in *entries {
            match entry {
                Entry::Text(words) => text(&mut out, words),
                Entry::Item(name, words) => {
                    line(&mut out, ".TP");
                    line(&mut out, &format!("\\fB{}\\fR", roff(name)));
                    line(&mut out, &roff(words));
                }
                Entry::Shown(typed) => shown(&mut out, typed),
            }
        }
    }
    out
}

/// Every command that does something, with its own options.
fn commands(out: &mut String, command: &mut Command, path: &str) {
    for inner in command.get_subcommands_mut() {
        if inner.is_hide_set() || inner.get_name() == "help" {
            continue;
        }
        let path = format!("{path} {}", inner.get_name());
        if inner.has_subcommands() {
            commands(out, inner, &path);
            continue;
        }
        line(out, &format!(".SS \"{}\"", roff(path.trim())));
        synopsis(out, inner);
        let words = inner.get_long_about().or_else(|| inner.get_about()).map(ToString::to_string);
        text(out, &words.unwrap_or_default());
        let own = |argument: &&Arg| shows(argument) && !argument.is_global_set();
        inner.get_arguments().filter(own).for_each(|argument| option(out, argument));
        if let Some(after) = inner.get_after_long_help().map(ToString::to_string) {
            shown(out, &after);
        }
    }
}

fn shows(argument: &Arg) -> bool {
    !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
}

fn synopsis(out: &mut String, command: &mut Command) {
    let usage = command.render_usage().to_string();
    let lines = usage.trim_start_matches("Usage:").lines().map(|usage| roff(usage.trim()));
    let lines: Vec<String> = lines.filter(|usage| !usage.is_empty()).collect();
    line(out, &lines.join("\n.br\n"));
}

fn option(out: &mut String, argument: &Arg) {
    let value = || {
        let names: Vec<String> =
            argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
        names.join(" ")
    };
    let takes = argument.get_action().takes_values();
    let may_be_left_out = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
    let name = match (argument.get_long(), argument.is_positional()) {
        (Some(long), _) if takes && may_be_left_out => {
            format!("\\fB{}\\fR[=\\fI{}\\fR]", roff(&format!("--{long}")), roff(&value()))
        }
        (Some(long), _) if takes => {
            format!("\\fB{}\\fR \\fI{}\\fR", roff(&format!("--{long}")), roff(&value()))
        }
        (Some(long), _) => {
            let short = argument.get_short().map(|short| format!("\\fB{}\\fR, ", roff(&format!("-{short}"))));
            format!("{}\\fB{}\\fR", short.unwrap_or_default(), roff(&format!("--{long}")))
        }
        (None, _) => format!("\\fI{}\\fR", roff(&value())),
    };
    line(out, ".TP");
    line(out, &name);
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string);
    let mut words = help.unwrap_or_default();
    let values = argument.get_possible_values();
    if takes && !argument.is_hide_possible_values_set() && !values.is_empty() {
        let each = values.iter().filter(|value| !value.is_hide_set()).map(|value| match value.get_help() {
            Some(help) => format!("{} ({help})", value.get_name()),
            None => value.get_name().to_owned(),
        });
        let _infallible = write!(words, "; one of {}", each.collect::<Vec<_>>().join(", "));
    }
    line(out, &roff(&words));
}

/// Paragraphs; a line that is indented is shown as it stands.
fn text(out: &mut String, words: &str) {
    for paragraph in words.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        paragraph_break(out);
        line(out, &roff(&paragraph.replace('\n', " ")));
    }
}

fn shown(out: &mut String, typed: &str) {
    paragraph_break(out);
    line(out, ".nf");
    typed.lines().for_each(|typed| line(out, &if typed.is_empty() { String::new() } else { roff(typed) }));
    line(out, ".fi");
}

/// A heading begins a paragraph by itself.
fn paragraph_break(out: &mut String) {
    let above = out.trim_end().rsplit('\n').next().unwrap_or_default();
    if !above.starts_with(".SH") && !above.starts_with(".SS") {
        line(out, ".PP");
    }
}

fn line(out: &mut String, words: &str) {
    out.push_str(words);
    out.push('\n');
}

/// Text that roff prints as it stands: no line of it is a request, no character an escape; what is
/// in backticks is bold.
fn roff(words: &str) -> String {
    let mut out = String::new();
    let mut bold = false;
    for c in words.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => {
                bold = !bold;
                out.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            c if c.is_ascii() => out.push(c),
            c => {
                let _infallible = write!(out, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    if out.starts_with('.') { format!("\\&{out}") } else { out }
}
