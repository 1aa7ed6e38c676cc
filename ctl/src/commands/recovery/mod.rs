//! `recovery create|use|list|drill|revoke`; `sharing` has `share|give|collect`.
//!
//! Decides where a kit's words go and come from: the screen, a page in a file of its own that
//! exists before the kit does, the keyboard. Refuses to leave a kit behind whose words nobody has.

mod page;
mod sharing;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use parsec_host::output::reaches_nobody;
use parsec_protocol::control::{
    DeviceRevoke, KIT_WORDS, Member, ProblemKind, RecoveryCreate, RecoveryCreated, RecoveryDrill,
    RecoveryDrilled, RecoveryKit, RecoveryListResult, RecoveryUse, RecoveryUsed, SecretText, WordsFault,
    check_words, is_word, method,
};
use zeroize::Zeroizing;

use super::device::described;
use super::{Context, admin, short};
use crate::args::{KitPage, NewKit, Recovery, Sure, UseKit};
use crate::client::Connection;
use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::password;
use crate::prompt::Terminal;
use crate::schema;
use crate::secret_file;
use crate::text::{escaped, grouped, moment};

/// Fewest digits of a kit's id: fewer would fit by accident.
const KIT_PREFIX_MIN_DIGITS: usize = 4;
/// Where a person's kits can be seen; their words can't.
const SEE_KITS: &str = "`parsecctl recovery list` shows your kits.";

pub(super) fn run(context: &Context<'_>, command: Recovery) -> Result<(), Failure> {
    match command {
        Recovery::Create(new) => create(context, new),
        Recovery::Use(asked) => come_back(context, asked),
        Recovery::List => list(context),
        Recovery::Share(asked) => sharing::share(context, asked),
        Recovery::Give(asked) => sharing::give(context, asked),
        Recovery::Collect(asked) => sharing::collect(context, asked),
        Recovery::Drill { page } => drill(context, &page),
        Recovery::Revoke { kit, sure } => revoke(context, &kit, &sure),
    }
}

/// A file that is there, for a page that is not made yet.
struct Kept {
    path: PathBuf,
    file: File,
}

fn make_file(path: Option<PathBuf>) -> Result<Option<Kept>, Failure> {
    path.map(|path| secret_file::make(&path).map(|file| Kept { path, file })).transpose()
}

fn create(context: &Context<'_>, new: NewKit) -> Result<(), Failure> {
    let hidden = new.page.is_some() || new.svg.is_some();
    if !hidden && reaches_nobody() {
        return Err(Failure::not_made(
            "the words are shown once, and would be lost, so there is no kit",
            "Give the page a file: --page FILE.",
        ));
    }
    let mut daemon = context.connect()?;
    // The files first: if one can't be made, there is no kit whose words nobody has.
    let page = make_file(new.page)?;
    let svg = make_file(new.svg).inspect_err(|_| forget(page.as_ref()))?;
    let asked = RecoveryCreate { select: context.global.select(), label: new.label };
    let made: Result<RecoveryCreated, Failure> = context.ask(&mut daemon, method::RECOVERY_CREATE, &asked);
    let made = made.inspect_err(|_| [&page, &svg].into_iter().for_each(|kept| forget(kept.as_ref())))?;
    if !hidden {
        return show(context, &mut daemon, &made);
    }
    let text = page::text(&made);
    let picture = svg.is_some().then(|| page::svg(&made, &text)).transpose();
    let written = picture.and_then(|picture| {
        write(page.as_ref(), Some(&text))?;
        write(svg.as_ref(), picture.as_ref())
    });
    if let Err(failure) = written {
        [&page, &svg].into_iter().for_each(|kept| forget(kept.as_ref()));
        let left = undo(context, &mut daemon, &made);
        let what = format!("Kit {} was made; nobody has its words, so {left}.", short(made.kit.device));
        return Err(failure.after(Done::new(what, "Make it again, where its page can be written.")));
    }
    for Kept { path, .. } in [page, svg].into_iter().flatten() {
        context.output.say(&format!("The page is in {}.", escaped(path.display())));
    }
    let said = format!("The recovery kit {} is made.", short(made.kit.device));
    let result = serde_json::json!({
        "kit": made.kit, "organisation": made.organisation, "server": made.server, "email": made.email,
        "root_fingerprint": made.root_fingerprint,
    });
    context.output.changed(schema::RECOVERY_CREATE, &result, || said.clone(), Done::new(&said, SEE_KITS))?;
    context.output.say("Keep it where you would keep a passport, and away from this machine. Try it once: parsecctl recovery drill");
    Ok(())
}

/// Writes the page, durable when this returns.
fn write(kept: Option<&Kept>, content: Option<&Zeroizing<String>>) -> Result<(), Failure> {
    let (Some(Kept { path, file }), Some(content)) = (kept, content) else { return Ok(()) };
    let mut file = file;
    let ended = file.write_all(content.as_bytes()).and_then(|()| file.write_all(b"\n"));
    ended.and_then(|()| file.sync_all()).map_err(|error| {
        let text = format!("The page can't be written to {}: {error}", path.display());
        Failure::new(ProblemKind::DiskFailed, text)
    })
}

fn forget(kept: Option<&Kept>) {
    if let Some(kept) = kept {
        secret_file::remove(&kept.path);
    }
}

/// The page on stdout, everything about it on stderr.
fn show(context: &Context<'_>, daemon: &mut Connection, made: &RecoveryCreated) -> Result<(), Failure> {
    context
        .output
        .say("Write this page down, or print it: the words are shown this once, and kept nowhere.\n");
    let text = || page::text(made).to_string();
    context.output.result(schema::RECOVERY_CREATE.0, made, text).map_err(|failure| {
        let left = undo(context, daemon, made);
        let what = format!("Kit {} was made; nobody has its words, so {left}.", short(made.kit.device));
        failure
            .after(Done::new(what, "Make it again, with --page FILE or with an output that can be written."))
    })?;
    context.output.say("\nKeep it where you would keep a passport, and away from this machine. Try it once: parsecctl recovery drill");
    Ok(())
}

/// Takes back a kit whose words nobody has; says what became of it.
fn undo(context: &Context<'_>, daemon: &mut Connection, made: &RecoveryCreated) -> String {
    let asked = DeviceRevoke { select: context.global.select(), device: made.kit.device };
    let undone: Result<Member, Failure> = context.ask(daemon, method::DEVICE_REVOKE, &asked);
    match undone {
        Ok(_) => "the kit was revoked again".to_owned(),
        Err(_) => format!("revoke it: parsecctl recovery revoke {}", short(made.kit.device)),
    }
}

/// The words, and what else stands on the page.
fn words(context: &Context<'_>, page: &KitPage) -> Result<page::Read, Failure> {
    if let Some(path) = &page.page {
        let read = page::read(&password::read_page(path)?);
        check_words(&read.words).map_err(wrong)?;
        return Ok(read);
    }
    let instead = "Give the page, or the words alone, with --page FILE (or - for stdin).";
    let terminal = Terminal::open(context.global.no_input, context.output, "The kit's page", instead)?;
    context
        .output
        .say("The words as they stand on the page, some at a time or all; four letters of each are enough.");
    let mut typed = Zeroizing::new(String::new());
    loop {
        let count = page::words(&typed).count();
        if count >= KIT_WORDS {
            match check_words(&typed) {
                // The numbers of the page, where they were typed, too, mean nothing to the daemon.
                Ok(()) => return Ok(page::Read { organisation: None, server: None, words: typed }),
                Err(fault) => {
                    context.output.screen(&format!("  No: {fault}. All of them once more, please."));
                    typed = Zeroizing::new(String::new());
                    continue;
                }
            }
        }
        let line = terminal.shown_while_typed(&format!("Word {} of {KIT_WORDS}: ", count + 1))?;
        if let Some(other) = page::words(&line).find(|word| !is_word(word)) {
            context
                .output
                .screen(&format!("  {} is not in the list; this line once more, please.", escaped(other)));
            continue;
        }
        let mut more = Zeroizing::new(String::with_capacity(typed.len() + line.len() + 1));
        more.push_str(&typed);
        more.push_str(&line);
        more.push('\n');
        typed = more;
    }
}

/// What is wrong with the words of a file.
fn wrong(fault: WordsFault) -> Failure {
    Failure::new(ProblemKind::RecoveryWordsWrong, format!("These are no words of a recovery kit: {fault}"))
}

fn come_back(context: &Context<'_>, asked: UseKit) -> Result<(), Failure> {
    let is_stdin = |path: &PathBuf| descriptor::named(path) == Some(0);
    if asked.page.page.as_ref().is_some_and(is_stdin) && asked.password.is_stdin() {
        return Err(Failure::usage(
            "Only one of page and password can come from standard input",
            "Give the other with a file or another descriptor.",
        ));
    }
    // Before any question: nobody shall type 24 words for a daemon that isn't there.
    let mut daemon = context.connect()?;
    let missing = |what: &str, option: &str| {
        Failure::usage(format!("{what} is missing"), format!("Give it with {option}, as the page says."))
    };
    let named = asked.page.page.is_some();
    if !named && context.global.organisation.is_none() {
        return Err(missing("The organisation's name", "--organisation ORG"));
    }
    if !named && asked.server.is_none() {
        return Err(missing("The server's address", "--server URL"));
    }
    let read = words(context, &asked.page)?;
    let organisation = context.global.organisation.clone().or(read.organisation);
    let organisation =
        organisation.ok_or_else(|| missing("The organisation's name", "--organisation ORG"))?;
    let server =
        asked.server.or(read.server).ok_or_else(|| missing("The server's address", "--server URL"))?;
    let known = [organisation.as_str()];
    let password = password::choose(&asked.password, context.global.no_input, context.output, &known)?;
    context.output.say("Fetching and verifying the organisation's log...");
    let used: RecoveryUsed = daemon.call(
        method::RECOVERY_USE,
        &RecoveryUse {
            server,
            organisation: organisation.clone(),
            words: SecretText::new(read.words),
            device_label: asked.device_label,
            password,
            typed_codes: asked.typed_codes,
        },
    )?;
    let said = format!("{} is unlocked: you are back in {organisation}.", described(&used.device));
    back(context, schema::RECOVERY_USE, &used, &said)
}

/// What is said to somebody who is back.
fn back(
    context: &Context<'_>,
    schema: schema::Change,
    used: &RecoveryUsed,
    said: &str,
) -> Result<(), Failure> {
    let done = Done::new(said, "`parsecctl device list` shows it, `parsecctl safe list` your safes.");
    let text = || format!("{said}\nRoot key:  {}", grouped(&used.root_fingerprint));
    context.output.changed(schema, used, text, done)?;
    context.output.say(
        "\nYour safes come by themselves, in a few seconds: parsecctl safe list\nRevoke the devices that you have lost, which changes your key: parsecctl user show, parsecctl device revoke ID",
    );
    Ok(())
}

fn row(kit: &RecoveryKit) -> Vec<String> {
    let state = match (kit.revoked, kit.drilled, &kit.shared) {
        (true, _, _) => "revoked".to_owned(),
        (false, _, Some(shared)) => sharing::among(shared),
        (false, Some(drilled), None) => moment(drilled),
        (false, None, None) => "never, as far as this device knows".to_owned(),
    };
    vec![
        short(kit.device),
        kit.label.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string),
        moment(kit.created),
        kit.created_by.clone(),
        state,
    ]
}

fn list(context: &Context<'_>) -> Result<(), Failure> {
    let result: RecoveryListResult = context.call(method::RECOVERY_LIST, &context.global.select())?;
    context.output.result(schema::RECOVERY_LIST, &result, || {
        let kits = if result.kits.is_empty() {
            "No recovery kit. Make one with: parsecctl recovery create".to_owned()
        } else {
            let rows: Vec<Vec<String>> = result.kits.iter().map(row).collect();
            context.output.table(&["KIT", "LABEL", "MADE", "BY", "TRIED OR SHARED"], &rows)
        };
        match sharing::held(&result.held, context.output) {
            Some(held) => format!("{kits}\n\n{held}"),
            None => kits,
        }
    })
}

/// Revokes a kit of one's own, and no other device.
fn revoke(context: &Context<'_>, kit: &str, sure: &Sure) -> Result<(), Failure> {
    let result: RecoveryListResult = context.call(method::RECOVERY_LIST, &context.global.select())?;
    let asked = kit.to_ascii_lowercase();
    let fits = |kit: &&RecoveryKit| kit.device.to_string().starts_with(&asked);
    let mut found = result.kits.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(kit), None) if asked.len() >= KIT_PREFIX_MIN_DIGITS => {
            admin::revoke_device(context, &kit.device.to_string(), sure)
        }
        (None, _) | (Some(_), _) => Err(Failure::usage(
            format!("{} names none, or more than one, of your recovery kits", escaped(kit)),
            "Give the start of its id, 4 digits at least, as `parsecctl recovery list` shows it.",
        )),
    }
}

fn drill(context: &Context<'_>, page: &KitPage) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let read = words(context, page)?;
    context.output.say("Fetching and verifying the organisation's log...");
    let asked = RecoveryDrill { select: context.global.select(), words: SecretText::new(read.words) };
    let drilled: RecoveryDrilled = context.ask(&mut daemon, method::RECOVERY_DRILL, &asked)?;
    context.output.result(schema::RECOVERY_DRILL, &drilled, || {
        format!(
            "The kit {} opens everything: your key, your manifest and {} of your safes, under a log of {} certificates. Nothing was changed.",
            short(drilled.kit.device),
            drilled.safes,
            drilled.certificates
        )
    })
}
