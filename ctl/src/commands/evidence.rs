//! `trust log|export|fork|import|check-fork` and `receipt`: what can be shown to others, as files,
//! and what such files are worth.
//!
//! Decides how files are read and written: capped, never over one that is there; `-` is stdin and
//! stdout. Refuses to write a file that it would not accept itself, and to say more of one than was
//! checked: whose organisation it is about, the root key's fingerprint alone says.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use parsec_protocol::control::{
    DeviceSelector, EntryKind, FileBytes, FilePart, LogEntry, PART_MAX_BYTES, PART_MAX_CERTIFICATES,
    ProblemKind, ReceiptExport, ReceiptListResult, StatusResult, TrustExport, TrustExported, TrustFork,
    TrustImport, TrustImported, TrustLog, TrustLogResult, method,
};
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::fork::{Fork, ForkProof, Form, Word};
use parsec_protocol::evidence::receipt::{CheckedReceipt, EnrolmentReceipt, Method, Transport};
use parsec_protocol::evidence::{EVIDENCE_MAX_BYTES, EvidenceError};
use serde_json::{Value, json};

use super::admin::confirm;
use super::{Context, profile, short, trust};
use crate::args::{Receipt, Sure};
use crate::descriptor;
use crate::failure::{Done, Failure};
use crate::schema::{self, Change};
use crate::text::{escaped, grouped, moment};

/// Reads a file, and no more of it than evidence may have: what is larger is none.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        let text = format!("The file {} can't be read: {error}", escaped(path.display()));
        Failure::usage(text, "Name a file that is there and that you may read.")
    };
    let file = descriptor::open(path).map_err(failed)?;
    let bytes = descriptor::read(file, EVIDENCE_MAX_BYTES.saturating_add(1), false).map_err(failed)?;
    Ok(bytes.to_vec())
}

/// Whether a file is meant for whoever reads stdout.
fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Hands a file over: to stdout, with the words about it on stderr; or to a new file, with its
/// words as the result.
fn hand_over(
    context: &Context<'_>,
    schema: Change,
    path: &Path,
    bytes: &[u8],
    result: &Value,
    text: String,
) -> Result<(), Failure> {
    if is_stdout(path) {
        context.output.file(bytes)?;
        context.output.say(&text);
        return Ok(());
    }
    write(path, bytes)?;
    let done =
        Done::new(format!("The file {} was written.", escaped(path.display())), "It is there, and whole.");
    context.output.changed(schema, result, || text, done)
}

/// Refuses stdout before anything is asked where it can't take the file.
fn check_stdout(context: &Context<'_>, path: &Path) -> Result<(), Failure> {
    if is_stdout(path) { context.output.file(&[]) } else { Ok(()) }
}

/// Writes a new file; returns once it is on disk.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.map_err(|error| {
        Failure::usage(
            format!("The file {} can't be made: {error}", escaped(path.display())),
            "Name a file that does not exist yet, in a folder of yours.",
        )
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half of it would be taken for evidence that somebody has spoilt.
        let _removed = std::fs::remove_file(path);
        Failure::new(
            ProblemKind::DiskFailed,
            format!("{} can't be written: {error}", escaped(path.display())),
        )
    })
}

/// What a file is worth, if that is nothing.
fn worthless(path: &Path, error: &EvidenceError) -> Failure {
    Failure::new(ProblemKind::EvidenceInvalid, format!("{} shows nothing: {error}", escaped(path.display())))
}

/// The whole log, certificate by certificate.
pub(super) fn log(context: &Context<'_>, from: u64) -> Result<(), Failure> {
    let mut daemon = context.connect()?;
    let mut next = from;
    let mut all: Vec<LogEntry> = Vec::new();
    let (count, head) = loop {
        let asked = TrustLog { select: context.global.select(), from: next };
        let page: TrustLogResult = context.ask(&mut daemon, method::TRUST_LOG, &asked)?;
        // A daemon that sends nothing, or the same again, has said all.
        let last = page.entries.last().map(|entry| entry.position.saturating_add(1));
        all.extend(page.entries);
        match last {
            Some(last) if last > next && last < page.count => next = last,
            Some(_) | None => break (page.count, page.head),
        }
    };
    let result = TrustLogResult { count, head, entries: all };
    context.output.result(schema::TRUST_LOG, &result, || {
        let rows: Vec<Vec<String>> = result.entries.iter().map(row).collect();
        let heads = ["NUMBER", "TIME", "WHAT", "ABOUT", "SIGNED BY"];
        format!(
            "{}\n\n{} certificates. Log head: {}",
            context.output.table(&heads, &rows),
            result.count,
            grouped(&result.head)
        )
    })
}

fn row(entry: &LogEntry) -> Vec<String> {
    let what = match (entry.kind, entry.profile) {
        (EntryKind::User, Some(given)) => format!("member, {}", profile(given)),
        (EntryKind::User, None) => "member".to_owned(),
        (EntryKind::Device, _) => "device".to_owned(),
        (EntryKind::Profile, Some(given)) => format!("now {}", profile(given)),
        (EntryKind::Profile, None) => "profile".to_owned(),
        (EntryKind::UserRevoked, _) => "member revoked".to_owned(),
        (EntryKind::DeviceRevoked, _) => "device revoked".to_owned(),
        (EntryKind::UserKey, _) => "new key".to_owned(),
        (EntryKind::DirectoryKey, _) => "new key for names".to_owned(),
        (EntryKind::Unknown, _) => "something newer".to_owned(),
    };
    vec![entry.position.to_string(), moment(entry.time), what, entry.subject.clone(), entry.signed_by.clone()]
}

/// The log with this device's word for its end.
pub(super) fn export(context: &Context<'_>, path: &Path) -> Result<(), Failure> {
    check_stdout(context, path)?;
    let mut daemon = context.connect()?;
    let mut certificates = Vec::new();
    let export = loop {
        let asked = TrustExport { select: context.global.select(), from: certificates.len() as u64 };
        let part: TrustExported = context.ask(&mut daemon, method::TRUST_EXPORT, &asked)?;
        let nothing = part.certificates.is_empty() && part.head.is_none();
        certificates.extend(part.certificates.into_iter().map(|envelope| envelope.0));
        if let Some(head) = part.head {
            let made = LogExport::of_parts(part.organisation, part.root, certificates, &head.0);
            break made.map_err(|error| worthless(path, &error))?;
        }
        if nothing {
            return Err(Failure::new(ProblemKind::Internal, "The daemon left off in the middle of its log."));
        }
        context.output.say(&format!("{} certificates...", certificates.len()));
    };
    let log = export.verify().map_err(|error| worthless(path, &error))?;
    let (count, head) = (log.count(), log.head().hash.to_string());
    let result = json!({ "file": path, "organisation": export.organisation, "count": count, "head": head });
    let text = format!(
        "{}: {count} certificates, and this device's signature for their head {}.",
        escaped(path.display()),
        grouped(&head)
    );
    hand_over(context, schema::TRUST_EXPORT, path, &export.encode(), &result, text)
}

/// Gives an exported log to the daemon.
pub(super) fn import(context: &Context<'_>, path: &Path, sure: &Sure) -> Result<(), Failure> {
    context.output.say("Checking every certificate in the file...");
    let export = LogExport::decode(&read(path)?).map_err(|error| worthless(path, &error))?;
    let log = export.verify().map_err(|error| worthless(path, &error))?;
    let mut daemon = context.connect()?;
    let what = format!(
        "A log of {} with {} certificates, head {}{}.\n\
         What of it is new is added to this device's log, for good. Go on only if the file comes from a member you know.",
        export.organisation,
        log.count(),
        grouped(&log.head().hash.to_string()),
        if export.head.is_some() { ", signed by a member's device" } else { ", signed by nobody" },
    );
    confirm(context, &what, sure)?;
    let head = export.head_bytes().map(FileBytes);
    let envelopes: Vec<&[u8]> = export.certificates.iter().map(|envelope| envelope.as_slice()).collect();
    let (mut from, mut added) = (0_usize, 0_u64);
    let count = loop {
        let mut length = 0_usize;
        let fits = |envelope: &&&[u8]| {
            length = length.saturating_add(envelope.len());
            length <= PART_MAX_BYTES
        };
        let rest = envelopes.get(from..).unwrap_or_default();
        let part: Vec<_> = rest
            .iter()
            .take(PART_MAX_CERTIFICATES)
            .take_while(fits)
            .map(|it| FileBytes(it.to_vec()))
            .collect();
        let next = from.saturating_add(part.len());
        let asked = TrustImport {
            select: context.global.select(),
            organisation: export.organisation.clone(),
            root: export.root,
            from: from as u64,
            certificates: part,
            head: head.clone(),
        };
        let done: TrustImported = context.ask(&mut daemon, method::TRUST_IMPORT, &asked)?;
        added = added.saturating_add(done.added);
        if next >= envelopes.len() || next == from {
            break done.count;
        }
        context.output.say(&format!("{next} certificates..."));
        from = next;
    };
    let result = TrustImported { count, added };
    let text = match added {
        0 => format!("The file has nothing that this device did not know: {count} certificates."),
        added => format!("{added} certificates are new; this device's log has {count} now."),
    };
    let done = Done::new(&text, "`parsecctl trust log` shows the log.");
    context.output.changed(schema::TRUST_IMPORT, &result, || text.clone(), done)
}

/// The proof that goes with an alarm.
pub(super) fn fork(context: &Context<'_>, path: &Path, number: Option<u64>) -> Result<(), Failure> {
    check_stdout(context, path)?;
    let mut daemon = context.connect()?;
    let (select, alarm) = match number {
        // An alarm that was acknowledged is not shown any more; its proof is there all the same.
        Some(number) => (context.global.select(), number),
        None => {
            let status: StatusResult = daemon.call(method::STATUS, &parsec_protocol::control::Empty {})?;
            // Certificates that are missing at the server are an alarm, too, and no proof goes with
            // that.
            let proved: Vec<_> = status.alarms.into_iter().filter(|alarm| alarm.proof).collect();
            let (alarm, id) = trust::meant(&proved, None, &context.global.select())?;
            let device = alarm.device.map(|device| device.to_string());
            (DeviceSelector { device, organisation: None }, id)
        }
    };
    let mut file: Vec<u8> = Vec::new();
    loop {
        let asked = TrustFork { select: select.clone(), alarm, offset: file.len() as u64 };
        let part: FilePart = context.ask(&mut daemon, method::TRUST_FORK, &asked)?;
        file.extend_from_slice(&part.bytes.0);
        if part.bytes.0.is_empty() || file.len() as u64 >= part.length || file.len() > EVIDENCE_MAX_BYTES {
            break;
        }
    }
    let (proof, fork) = proof(path, &file)?;
    let mut result = fork_in_json(&proof, &fork);
    if let Value::Object(fields) = &mut result {
        fields.insert("file".to_owned(), json!(path));
        fields.insert("alarm".to_owned(), json!(alarm));
    }
    let text = format!(
        "{} has the proof that goes with alarm {alarm}. Anybody can check it:\n  parsecctl trust check-fork {}",
        escaped(path.display()),
        escaped(path.display())
    );
    hand_over(context, schema::TRUST_FORK, path, &file, &result, text)
}

fn proof(path: &Path, file: &[u8]) -> Result<(ForkProof, Fork), Failure> {
    let read = ForkProof::decode(file).and_then(|proof| proof.verify().map(|fork| (proof, fork)));
    read.map_err(|error| worthless(path, &error))
}

/// What a proof shows. Asks nobody.
pub(super) fn check_fork(context: &Context<'_>, path: &Path) -> Result<(), Failure> {
    let (proof, fork) = proof(path, &read(path)?)?;
    context.output.result(schema::TRUST_CHECK_FORK, &fork_in_json(&proof, &fork), || {
        let [one, other] = &fork.words;
        let whose = if one.device == other.device {
            "One device has signed both: it was used to lie, or somebody else has its key."
        } else {
            "Either the server showed the two devices different logs, or one of them made its own up, which takes its member's key."
        };
        format!(
            "It is a fork: there are two logs of {}, which can't both be true. They have {} certificates in common.\n\
             1. {}\n2. {}\n{whose}\n\
             It is about your organisation if this is its root key (`parsecctl trust show` ends with it):\n  SHA-256    {}",
            proof.organisation,
            fork.common,
            word(one),
            word(other),
            grouped(&proof.root.fingerprint().to_string())
        )
    })
}

const fn form(form: Form) -> &'static str {
    match form {
        Form::Certificate => "certificate",
        Form::Head => "head",
        Form::ForeignView => "foreign_view",
    }
}

fn word(word: &Word) -> String {
    let how = match word.form {
        Form::Certificate => "signed a certificate that has seen",
        Form::Head => "signed that its log passes through",
        Form::ForeignView => "signed a certificate, whose log is not in the file, that has seen",
    };
    format!(
        "Device {} of {} {how} {} certificates with the head\n   {} ({})",
        short(word.device),
        escaped(&word.email),
        word.head.count,
        grouped(&word.head.hash.to_string()),
        moment(word.time)
    )
}

fn fork_in_json(proof: &ForkProof, fork: &Fork) -> Value {
    let word = |word: &Word| {
        json!({
            "device": word.device,
            "email": word.email,
            "time": word.time,
            "count": word.head.count,
            "head": word.head.hash.to_string(),
            "form": form(word.form),
        })
    };
    let [one, other] = &fork.words;
    json!({
        "organisation": proof.organisation,
        "root_fingerprint": proof.root.fingerprint().to_string(),
        "common": fork.common,
        "words": [word(one), word(other)],
        "same_device": one.device == other.device,
    })
}

/// Runs `receipt …`.
pub(super) fn receipt(context: &Context<'_>, command: &Receipt) -> Result<(), Failure> {
    match command {
        Receipt::List => receipts(context),
        Receipt::Export { member_device, file } => export_receipt(context, member_device, file),
        Receipt::Verify { file, log } => verify_receipt(context, file, log.as_deref()),
    }
}

fn receipts(context: &Context<'_>) -> Result<(), Failure> {
    let result: ReceiptListResult = context.call(method::RECEIPT_LIST, &context.global.select())?;
    context.output.result(schema::RECEIPT_LIST, &result, || {
        if result.receipts.is_empty() {
            return "This device has let nobody in yet.".to_owned();
        }
        let row = |it: &parsec_protocol::control::ReceiptItem| {
            vec![short(it.device), it.subject.clone(), moment(it.time)]
        };
        let rows: Vec<Vec<String>> = result.receipts.iter().map(row).collect();
        context.output.table(&["DEVICE", "WHO", "CERTIFIED"], &rows)
    })
}

fn export_receipt(context: &Context<'_>, start: &str, path: &Path) -> Result<(), Failure> {
    check_stdout(context, path)?;
    let mut daemon = context.connect()?;
    let all: ReceiptListResult = context.ask(&mut daemon, method::RECEIPT_LIST, &context.global.select())?;
    let wanted = start.to_ascii_lowercase();
    let mut fits = all.receipts.iter().filter(|it| it.device.to_string().starts_with(&wanted));
    let device = match (fits.next(), fits.next()) {
        (Some(only), None) => only.device,
        (None, _) => {
            return Err(Failure::usage(
                "This device has no receipt of such a device",
                "`parsecctl receipt list` shows those it has.",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Failure::usage(
                "Several devices fit",
                "Give more of the id: `parsecctl user show` has it.",
            ));
        }
    };
    let asked = ReceiptExport { select: context.global.select(), device };
    let part: FilePart = context.ask(&mut daemon, method::RECEIPT_EXPORT, &asked)?;
    checked(path, &part.bytes.0)?;
    let text = format!(
        "{} has the receipt. Anybody can check it:\n  parsecctl receipt verify {}",
        escaped(path.display()),
        escaped(path.display())
    );
    let result = json!({ "file": path, "device": device });
    hand_over(context, schema::RECEIPT_EXPORT, path, &part.bytes.0, &result, text)
}

fn checked(path: &Path, file: &[u8]) -> Result<CheckedReceipt, Failure> {
    EnrolmentReceipt::decode(file)
        .and_then(|receipt| receipt.verify())
        .map_err(|error| worthless(path, &error))
}

/// What a receipt says, alone or beside a log. Asks nobody.
fn verify_receipt(context: &Context<'_>, path: &Path, log: Option<&Path>) -> Result<(), Failure> {
    let checked = checked(path, &read(path)?)?;
    if let Some(log) = log {
        let verified = LogExport::decode(&read(log)?).and_then(|export| export.verify());
        let verified = verified.map_err(|error| worthless(log, &error))?;
        checked.stands_in(&verified).map_err(|error| worthless(path, &error))?;
    }
    let CheckedReceipt { statement, user, email, .. } = &checked;
    let transport = match statement.transport {
        Transport::Relay => "relay",
        Transport::PeerToPeer => "p2p",
    };
    let method = match statement.method {
        Method::Picked => "picked",
        Method::Typed => "typed",
    };
    let result = json!({
        "organisation": statement.organisation,
        "root_fingerprint": statement.root.fingerprint().to_string(),
        "user": user,
        "email": email,
        "device": statement.device,
        "greeter": statement.greeter,
        "greeter_key": statement.greeter_key.to_string(),
        "time": statement.time,
        "transport": transport,
        "attempts": statement.attempts,
        "method": method,
        "bits": statement.bits,
        "heard": statement.heard,
        "seen": { "count": statement.seen.count, "head": statement.seen.hash.to_string() },
        "handshake": statement.handshake.to_string(),
        "in_log": log.is_some(),
    });
    context.output.result(schema::RECEIPT_VERIFY, &result, || {
        let who = match email {
            Some(email) => format!("{} as a new member, with device {}", escaped(email), short(statement.device)),
            None => format!("another device, {}, of member {}", short(statement.device), short(user)),
        };
        let proved = if log.is_some() {
            "The log has both devices with these keys."
        } else {
            "Whose the greeter's key is, only a log can say: give one with --log (`parsecctl trust export` makes it)."
        };
        format!(
            "Device {} let in {who}.\n\
             Certified:    {}\n\
             Codes:        {} bits; the greeter {method} the code it heard, and stated that the newcomer said aloud that the other was found\n\
             Transport:    {transport}, attempt {} that the greeter took part in\n\
             Log then:     {} certificates, head {}\n\
             Both signed:  greeter's key {}; newcomer's key {}\n\
             Root key:     {}\n\
             {proved}",
            short(statement.greeter),
            moment(statement.time),
            statement.bits,
            statement.attempts,
            statement.seen.count,
            grouped(&statement.seen.hash.to_string()),
            grouped(&statement.greeter_key.to_string()),
            grouped(&checked.device_key.to_string()),
            grouped(&statement.root.fingerprint().to_string())
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_written_over_and_a_large_one_is_not_read_whole() {
        let folder = std::env::temp_dir().join(format!("parsecctl-evidence-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        write(&path, b"one").unwrap();
        assert!(write(&path, b"two").is_err());
        assert_eq!(read(&path).unwrap(), b"one");
        let large = std::fs::File::create(folder.join("large")).unwrap();
        large.set_len(EVIDENCE_MAX_BYTES as u64 * 4).unwrap();
        let bytes = read(&folder.join("large")).unwrap();
        assert_eq!(bytes.len(), EVIDENCE_MAX_BYTES + 1);
        assert!(matches!(LogExport::decode(&bytes), Err(EvidenceError::Malformed(_))));
        assert!(read(&folder.join("absent")).is_err() && read(&folder).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
