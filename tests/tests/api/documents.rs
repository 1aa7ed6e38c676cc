//! Keeps docs/local-api.md true: every method and error is in it, and every example is one that the
//! types accept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use parsec_protocol::codec;
use parsec_protocol::control::{
    CacheSet, CacheView, CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify,
    CeremonyListResult, CeremonySelector, CeremonyView, ClaimStart, DeviceForget, DeviceListResult,
    DevicePassword, DeviceRestore, DeviceRevoke, DeviceSelector, DeviceUnlock, DeviceView, DoctorResult,
    Empty, Event, EventItem, EventsWatch, FileChanged, FileConflicts, FileConflictsResult, FileEntry,
    FileGet, FileGetMany, FileGot, FileHistory, FileHistoryResult, FileList, FileListResult, FileMakeFolder,
    FileMove, FilePart, FilePins, FilePinsResult, FilePut, FilePutMany, FileRemove, FileRestore,
    FileRestoreTree, FileSelector, FileTreeRestored, FileUnpin, FileUnpinned, FilesChanged, FilesGot,
    FmInvoke, FmInvoked, FmMenu, FmMenuResult, FmStatus, FmStatusResult, GreetStart, Hello, HelloResult,
    InviteCancel, InviteDevice, InviteListResult, InviteResult, InviteUser, MarkedMount, Member,
    MountListResult, MountMark, MountSelector, MountStart, MountUnmark, MountView, NetPeers, NetPing,
    NetPinged, NetStatus, OrgBootstrap, OrgBootstrapped, OrgMoved, OrgServer, Outcome, Pin, Problem,
    ProblemKind, ReceiptExport, ReceiptListResult, RecoveryCombine, RecoveryCreate, RecoveryCreated,
    RecoveryDrill, RecoveryDrilled, RecoveryGive, RecoveryListResult, RecoveryShare, RecoveryShared,
    RecoveryUse, RecoveryUsed, SafeConfirm, SafeConfirmed, SafeCreate, SafeExport, SafeExported, SafeImport,
    SafeImported, SafeListResult, SafeLog, SafeLogResult, SafeMembersResult, SafePrune, SafePruned,
    SafeRename, SafeRetention, SafeRoom, SafeRoomResult, SafeSelector, SafeShare, SafeShared, SafeShowResult,
    SafeStatus, SafeStatusResult, SafeSync, SafeSynced, SafeUnshare, SafeUnshared, SafeUsage,
    SafeUsageResult, SafeVerified, SafeVerify, SafeView, StatusResult, TokenCreate, TokenCreated,
    TokenListResult, TokenSelector, TokenUses, TokenUsesResult, TrashList, TrashListResult, TrashRestore,
    TrustAcknowledge, TrustAcknowledged, TrustExport, TrustExported, TrustFork, TrustImport, TrustImported,
    TrustLog, TrustLogResult, TrustRepaired, TrustShow, TrustShowResult, TrustVerifyResult, UserListResult,
    UserProfile, UserRekeyed, UserRevoke, UserShow, UserShowResult, method, schema,
};
use parsec_protocol::relay::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, to_value};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/local-api.md");
    std::fs::read_to_string(path).unwrap()
}

/// Every line of JSON in the document, each of its own.
fn examples() -> Vec<Value> {
    let text = document();
    let lines = text.lines().filter(|line| line.starts_with(r#"{"jsonrpc""#));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Reads a value as `T` and writes it again: nothing in it was passed over.
fn is<T: DeserializeOwned + Serialize>(value: &Value) {
    let read: T = from_value(value.clone()).unwrap_or_else(|error| panic!("{error} in {value}"));
    let written = to_value(read).unwrap();
    for (name, field) in value.as_object().unwrap() {
        assert_eq!(Some(field), written.get(name), "{name} in {value}");
    }
    // What the type has and the example has not must be something that may be left out.
    let absent = written.as_object().unwrap().iter().filter(|(name, _)| value.get(name).is_none());
    for (name, field) in absent {
        let default =
            field.is_null() || field == false || field.as_object().is_some_and(serde_json::Map::is_empty);
        assert!(default, "{name} is missing in {value}");
    }
}

/// What the method takes and gives.
fn check(name: &str, parameters: &Value, result: &Value) {
    match name {
        method::STATUS => (is::<Empty>(parameters), is::<StatusResult>(result)),
        method::ORG_BOOTSTRAP => (is::<OrgBootstrap>(parameters), is::<OrgBootstrapped>(result)),
        method::ORG_SERVER => (is::<OrgServer>(parameters), is::<OrgMoved>(result)),
        method::DEVICE_LIST => (is::<Empty>(parameters), is::<DeviceListResult>(result)),
        method::DEVICE_UNLOCK => (is::<DeviceUnlock>(parameters), is::<DeviceView>(result)),
        method::DEVICE_LOCK => (is::<DeviceSelector>(parameters), is::<DeviceView>(result)),
        method::INVITE_USER => (is::<InviteUser>(parameters), is::<InviteResult>(result)),
        method::INVITE_DEVICE => (is::<InviteDevice>(parameters), is::<InviteResult>(result)),
        method::INVITE_LIST => (is::<DeviceSelector>(parameters), is::<InviteListResult>(result)),
        method::INVITE_CANCEL => (is::<InviteCancel>(parameters), is::<Empty>(result)),
        method::GREET_START => (is::<GreetStart>(parameters), is::<CeremonyView>(result)),
        method::CLAIM_START => (is::<ClaimStart>(parameters), is::<CeremonyView>(result)),
        method::CEREMONY_LIST => (is::<Empty>(parameters), is::<CeremonyListResult>(result)),
        method::CEREMONY_SHOW | method::CEREMONY_CANCEL => {
            (is::<CeremonySelector>(parameters), is::<CeremonyView>(result))
        }
        method::CEREMONY_CHOOSE => (is::<CeremonyChoose>(parameters), is::<CeremonyView>(result)),
        method::CEREMONY_IDENTIFY => (is::<CeremonyIdentify>(parameters), is::<CeremonyView>(result)),
        method::CEREMONY_APPROVE => (is::<CeremonyApprove>(parameters), is::<CeremonyView>(result)),
        method::CEREMONY_FINISH => (is::<CeremonyFinish>(parameters), is::<CeremonyView>(result)),
        method::USER_LIST => (is::<DeviceSelector>(parameters), is::<UserListResult>(result)),
        method::TRUST_VERIFY => (is::<DeviceSelector>(parameters), is::<TrustVerifyResult>(result)),
        method::TRUST_SHOW => (is::<TrustShow>(parameters), is::<TrustShowResult>(result)),
        method::TRUST_REPAIR => (is::<DeviceSelector>(parameters), is::<TrustRepaired>(result)),
        method::TRUST_ACKNOWLEDGE => (is::<TrustAcknowledge>(parameters), is::<TrustAcknowledged>(result)),
        method::TRUST_LOG => (is::<TrustLog>(parameters), is::<TrustLogResult>(result)),
        method::TRUST_EXPORT => (is::<TrustExport>(parameters), is::<TrustExported>(result)),
        method::TRUST_IMPORT => (is::<TrustImport>(parameters), is::<TrustImported>(result)),
        method::TRUST_FORK => (is::<TrustFork>(parameters), is::<FilePart>(result)),
        method::RECEIPT_LIST => (is::<DeviceSelector>(parameters), is::<ReceiptListResult>(result)),
        method::RECEIPT_EXPORT => (is::<ReceiptExport>(parameters), is::<FilePart>(result)),
        method::CEREMONY_WATCH => (is::<CeremonySelector>(parameters), assert!(result.is_u64())),
        method::HELLO => (is::<Hello>(parameters), is::<HelloResult>(result)),
        method::DISCOVER => (is::<Empty>(parameters), assert!(result.get("openrpc").is_some())),
        method::DEVICE_PASSWORD => (is::<DevicePassword>(parameters), is::<DeviceView>(result)),
        method::DEVICE_FORGET => (is::<DeviceForget>(parameters), is::<Empty>(result)),
        method::DEVICE_RESTORE => (is::<DeviceRestore>(parameters), is::<DeviceView>(result)),
        method::USER_SHOW => (is::<UserShow>(parameters), is::<UserShowResult>(result)),
        method::DEVICE_REVOKE => (is::<DeviceRevoke>(parameters), is::<Member>(result)),
        method::USER_REKEY => (is::<DeviceSelector>(parameters), is::<UserRekeyed>(result)),
        method::USER_REVOKE => (is::<UserRevoke>(parameters), is::<Member>(result)),
        method::USER_PROFILE => (is::<UserProfile>(parameters), is::<Member>(result)),
        method::TOKEN_CREATE => (is::<TokenCreate>(parameters), is::<TokenCreated>(result)),
        method::TOKEN_LIST => (is::<Empty>(parameters), is::<TokenListResult>(result)),
        method::TOKEN_REVOKE => (is::<TokenSelector>(parameters), is::<Empty>(result)),
        method::TOKEN_USES => (is::<TokenUses>(parameters), is::<TokenUsesResult>(result)),
        method::DOCTOR => (is::<Empty>(parameters), is::<DoctorResult>(result)),
        method::NET_STATUS => (is::<Empty>(parameters), is::<NetStatus>(result)),
        method::NET_PEERS => (is::<Empty>(parameters), is::<NetPeers>(result)),
        method::NET_PING => (is::<NetPing>(parameters), is::<NetPinged>(result)),
        method::EVENTS_WATCH => (is::<EventsWatch>(parameters), assert!(result.is_u64())),
        method::CEREMONY_UNWATCH | method::EVENTS_UNWATCH => {
            (assert!(parameters.is_array()), assert!(result.is_boolean()))
        }
        method::SAFE_CREATE => (is::<SafeCreate>(parameters), is::<SafeView>(result)),
        method::SAFE_LIST => (is::<DeviceSelector>(parameters), is::<SafeListResult>(result)),
        method::SAFE_SHOW => (is::<SafeSelector>(parameters), is::<SafeShowResult>(result)),
        method::SAFE_MEMBERS => (is::<SafeSelector>(parameters), is::<SafeMembersResult>(result)),
        method::SAFE_SHARE => (is::<SafeShare>(parameters), is::<SafeShared>(result)),
        method::SAFE_UNSHARE => (is::<SafeUnshare>(parameters), is::<SafeUnshared>(result)),
        method::SAFE_TAKEOVER => (is::<SafeSelector>(parameters), is::<SafeShared>(result)),
        method::SAFE_ACCEPT | method::SAFE_LEAVE => (is::<SafeSelector>(parameters), is::<SafeView>(result)),
        method::SAFE_RENAME => (is::<SafeRename>(parameters), is::<FileChanged>(result)),
        method::SAFE_STATUS => (is::<SafeStatus>(parameters), is::<SafeStatusResult>(result)),
        method::SAFE_SYNC => (is::<SafeSync>(parameters), is::<SafeSynced>(result)),
        method::SAFE_CONFIRM => (is::<SafeConfirm>(parameters), is::<SafeConfirmed>(result)),
        method::FILE_LIST => (is::<FileList>(parameters), is::<FileListResult>(result)),
        method::FILE_STAT => (is::<FileSelector>(parameters), is::<FileEntry>(result)),
        method::FILE_MAKE_FOLDER => (is::<FileMakeFolder>(parameters), is::<FileChanged>(result)),
        method::FILE_MOVE | method::FILE_COPY => (is::<FileMove>(parameters), is::<FileChanged>(result)),
        method::FILE_REMOVE => (is::<FileRemove>(parameters), is::<FileChanged>(result)),
        method::FILE_PUT => (is::<FilePut>(parameters), is::<FileChanged>(result)),
        method::FILE_GET => (is::<FileGet>(parameters), is::<FileGot>(result)),
        method::FILE_HISTORY => (is::<FileHistory>(parameters), is::<FileHistoryResult>(result)),
        method::FILE_PIN => (is::<FileSelector>(parameters), is::<Pin>(result)),
        method::FILE_UNPIN => (is::<FileUnpin>(parameters), is::<FileUnpinned>(result)),
        method::FILE_PINS => (is::<FilePins>(parameters), is::<FilePinsResult>(result)),
        method::CACHE_SHOW | method::CACHE_CLEAR => {
            (is::<DeviceSelector>(parameters), is::<CacheView>(result))
        }
        method::CACHE_SET => (is::<CacheSet>(parameters), is::<CacheView>(result)),
        method::MOUNT_START => (is::<MountStart>(parameters), is::<MountView>(result)),
        method::MOUNT_LIST => (is::<DeviceSelector>(parameters), is::<MountListResult>(result)),
        method::MOUNT_WAIT => (is::<MountSelector>(parameters), is::<Empty>(result)),
        method::MOUNT_MARK => (is::<MountMark>(parameters), is::<MarkedMount>(result)),
        method::MOUNT_UNMARK => (is::<MountUnmark>(parameters), is::<Empty>(result)),
        method::FM_STATUS => (is::<FmStatus>(parameters), is::<FmStatusResult>(result)),
        method::FM_MENU => (is::<FmMenu>(parameters), is::<FmMenuResult>(result)),
        method::FM_INVOKE => (is::<FmInvoke>(parameters), is::<FmInvoked>(result)),
        method::FILE_RESTORE => (is::<FileRestore>(parameters), is::<FileChanged>(result)),
        method::FILE_RESTORE_TREE => (is::<FileRestoreTree>(parameters), is::<FileTreeRestored>(result)),
        method::SAFE_LOG => (is::<SafeLog>(parameters), is::<SafeLogResult>(result)),
        method::SAFE_RETENTION => (is::<SafeRetention>(parameters), is::<FileChanged>(result)),
        method::SAFE_PRUNE => (is::<SafePrune>(parameters), is::<SafePruned>(result)),
        method::SAFE_VERIFY => (is::<SafeVerify>(parameters), is::<SafeVerified>(result)),
        method::SAFE_EXPORT => (is::<SafeExport>(parameters), is::<SafeExported>(result)),
        method::SAFE_IMPORT => (is::<SafeImport>(parameters), is::<SafeImported>(result)),
        method::SAFE_ROOM => (is::<SafeRoom>(parameters), is::<SafeRoomResult>(result)),
        method::SAFE_USAGE => (is::<SafeUsage>(parameters), is::<SafeUsageResult>(result)),
        method::TRASH_LIST => (is::<TrashList>(parameters), is::<TrashListResult>(result)),
        method::TRASH_RESTORE => (is::<TrashRestore>(parameters), is::<FileChanged>(result)),
        method::RECOVERY_CREATE => (is::<RecoveryCreate>(parameters), is::<RecoveryCreated>(result)),
        method::RECOVERY_SHARE => (is::<RecoveryShare>(parameters), is::<RecoveryShared>(result)),
        method::RECOVERY_GIVE => (is::<RecoveryGive>(parameters), is::<InviteResult>(result)),
        method::RECOVERY_COMBINE => (is::<RecoveryCombine>(parameters), is::<RecoveryUsed>(result)),
        method::RECOVERY_LIST => (is::<DeviceSelector>(parameters), is::<RecoveryListResult>(result)),
        method::RECOVERY_DRILL => (is::<RecoveryDrill>(parameters), is::<RecoveryDrilled>(result)),
        method::RECOVERY_USE => (is::<RecoveryUse>(parameters), is::<RecoveryUsed>(result)),
        method::FILE_PUT_MANY => (is::<FilePutMany>(parameters), is::<FilesChanged>(result)),
        method::FILE_GET_MANY => (is::<FileGetMany>(parameters), is::<FilesGot>(result)),
        method::FILE_CONFLICTS => (is::<FileConflicts>(parameters), is::<FileConflictsResult>(result)),
        other => panic!("{other} is no method"),
    };
}

#[test]
fn every_example_of_the_local_api_is_right() {
    let examples = examples();
    let mut shown = BTreeSet::new();
    for request in examples.iter().filter(|example| example.get("params").is_some()) {
        let name = request["method"].as_str().unwrap();
        shown.insert(name.to_owned());
        if name == method::CEREMONY_CHANGED {
            is::<CeremonyView>(&request["params"]["result"]);
            continue;
        }
        if name == method::EVENTS_ITEM {
            let item = &request["params"]["result"];
            is::<EventItem>(item);
            assert_ne!(from_value(item.clone()).ok(), Some(EventItem::Unknown), "{item}");
            assert_ne!(from_value(item["event"].clone()).ok(), Some(Event::Unknown), "{item}");
            continue;
        }
        let answer =
            examples.iter().find(|other| other["id"] == request["id"] && other.get("result").is_some());
        check(name, &request["params"], &answer.unwrap_or_else(|| panic!("{name} has no answer"))["result"]);
    }
    let mut names: BTreeSet<_> = schema::SHAPES.iter().map(|shape| shape.name.to_owned()).collect();
    names.extend(schema::SHAPES.iter().filter_map(|shape| Some(shape.follows?.notification.to_owned())));
    assert_eq!(shown, names);
}

/// Whoever follows events finds every type in the table.
#[test]
fn every_event_is_in_the_table() {
    let schema = parsec_tests::openrpc::sent::<Event>();
    let types =
        schema["oneOf"].as_array().unwrap().iter().map(|one| one["properties"]["type"]["const"].as_str());
    let types: BTreeSet<_> = types.map(|name| name.unwrap().to_owned()).collect();
    let text = document();
    let section = text.split("## Following events").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows =
        section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let told: BTreeSet<_> =
        rows.flat_map(|names| names.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(told, types);
}

#[test]
fn problems_are_written_as_they_are_sent() {
    for example in examples() {
        let outcome = &example["result"]["outcome"];
        let mut problems = vec![example["error"]["data"].clone()];
        if let Ok(Outcome::Failed { problem }) = from_value(outcome.clone()) {
            problems.push(to_value(problem).unwrap());
        }
        for value in problems.into_iter().filter(|value| !value.is_null()) {
            let problem: Problem = from_value(value.clone()).unwrap();
            assert_eq!(to_value(Problem::new(problem.name, problem.message.clone())).unwrap(), value);
        }
    }
}

#[test]
fn every_error_is_in_the_table() {
    let text = document();
    let rows: Vec<_> =
        text.split("## Errors").nth(1).unwrap().lines().filter(|l| l.starts_with("| `")).collect();
    let wanted: Vec<_> = ProblemKind::ALL.iter().map(|kind| row(*kind)).collect();
    let all = wanted.join("\n");
    assert_eq!(rows, wanted.iter().map(String::as_str).collect::<Vec<_>>(), "the table should be:\n{all}");
}

fn row(kind: ProblemKind) -> String {
    let fault = to_value(kind.fault()).unwrap();
    let retry = if kind.retryable() { "yes" } else { "no" };
    format!(
        "| `{}` | {} | {retry} | {} | {} |",
        kind.name(),
        fault.as_str().unwrap(),
        kind.exit_code(),
        kind.hint()
    )
}

/// A stranger writes the other side from this table.
#[test]
fn every_error_of_the_server_is_in_the_protocol() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.split("| code | status |").nth(1).unwrap();
    let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| ")?.rsplit_once(" | ")).collect();
    let rows: Vec<_> = rows.into_iter().map(|(row, _)| row.to_owned()).collect();
    let number = |code: ErrorCode| u64::from(*codec::encode(&code).last().unwrap());
    let wanted = ErrorCode::ALL
        .iter()
        .map(|code| format!("{} | {} | `{}`", number(*code), code.status(), code.name()));
    assert_eq!(rows, wanted.collect::<Vec<_>>());
}

/// Documents don't point at files that are not there.
#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![root.join("docs")];
    let mut files: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)).into();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = target.is_empty() || target.contains("://");
            assert!(
                outside || file.parent().unwrap().join(target).exists(),
                "{} -> {target}",
                file.display()
            );
        }
    }
}

/// A case of docs/assurance.md names tests that are there: a test that was renamed would leave a
/// promise that nobody keeps.
#[test]
fn the_tests_that_the_assurance_page_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("docs/assurance.md")).unwrap();
    let part = text.split("## What went wrong once").nth(1).unwrap().split("\n## ").next().unwrap();
    names_what_is_there(root, part, 40);
}

/// The same of the classes of attack on safes.
#[test]
fn the_tests_that_the_page_of_attacks_on_safes_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("docs/assurance/safes.md")).unwrap();
    names_what_is_there(root, &text, 50);
}

/// The rows of tables name files that are there, in one column, with the functions.
fn names_what_is_there(root: &Path, part: &str, rows_min: usize) {
    let is_row = |line: &&str| {
        line.starts_with("| ")
            && !["| case", "| class", "| complaint", "| what it says", "| point"]
                .iter()
                .any(|it| line.starts_with(it))
    };
    let rows: Vec<_> = part.lines().filter(is_row).collect();
    assert!(rows.len() > rows_min, "{} rows", rows.len());
    for row in rows {
        // Twins may stand behind the tests.
        let names_a_place = |cell: &&str| ["`T/", "`S/", "`D/", "`P/"].iter().any(|at| cell.contains(at));
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let shown = row.split('|').rfind(names_a_place).unwrap_or(last);
        let mut file = PathBuf::new();
        let mut named = 0;
        for place in shown.split('`').skip(1).step_by(2) {
            let (path, function) =
                place.split_once("::").map_or((place, None), |(path, it)| (path, Some(it)));
            let shorts =
                [("T/", "tests/tests/"), ("S/", "server/"), ("D/", "daemon/src/"), ("P/", "protocol/")];
            let path = shorts.into_iter().fold(path.to_owned(), |path, (short, long)| {
                path.strip_prefix(short).map(|rest| format!("{long}{rest}")).unwrap_or(path)
            });
            if path.contains('*') {
                continue;
            }
            if path != "…" {
                file = root.join(&path);
            }
            assert!(file.exists() || file.with_extension("rs").exists(), "{row}: no {}", file.display());
            if let Some(function) = function {
                let text = std::fs::read_to_string(&file).unwrap();
                assert!(text.contains(&format!("fn {function}(")), "{row}: no {function}");
            }
            named += 1;
        }
        assert!(named > 0 || shown.contains("P8"), "{row} names nothing");
    }
}
