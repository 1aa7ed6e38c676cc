//! Each error name of docs/local-api.md is produced by its real cause: by a test here, or by the
//! one that the table names.
//!
//! A name that is new has no line in the table, and a test that was renamed or no longer speaks of
//! its name is not found: both fail. That the cause is the real one is what a reader of the test
//! sees.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{
    CeremonyId, CeremonySelector, CeremonyView, ChoiceMode, ClaimStart, DeviceSelector, DeviceUnlock,
    DeviceView, ProblemKind, ProfileName, SecretText, Stage, TransportChoice, method,
};
use parsec_protocol::relay::{CancelAttempt, EndReason};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, Founding};
use parsec_tests::fixture::{ALICE_EMAIL, ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::proxy::{Fate, Meddler, Request};
use parsec_tests::{ctl, installed, script, skip};

use ProblemKind as K;

/// Which test produces each name, by its file and function.
const SHOWN: &[(ProblemKind, &str, &str)] = &[
    (K::InvalidRequest, "tests/tests/api/events.rs", "a_device_is_forgotten_whole_and_not_by_mistake"),
    (K::UnknownMethod, HERE, "what_a_program_asks_wrongly"),
    (K::TooLarge, "daemon/src/rpc/tests.rs", "giant_lines_batches_and_http_end_the_connection"),
    (K::NotAllowed, "tests/tests/ceremony/revocation.rs", "what_may_not_be_said_is_not_signed"),
    (K::AccessDenied, "tests/tests/hostile/access.rs", "another_user_of_the_machine_is_refused"),
    (K::DaemonUnreachable, HERE, "what_a_program_asks_wrongly"),
    (K::ShuttingDown, "tests/tests/api/events.rs", "a_stopping_daemon_has_the_last_word"),
    (K::Internal, "daemon/src/rpc/tests.rs", "a_method_that_fails_costs_its_own_request_alone"),
    (K::ApiMismatch, HERE, "what_a_program_asks_wrongly"),
    (
        K::ConfirmationRequired,
        "tests/tests/ceremony/sessions.rs",
        "a_session_vouches_once_it_has_given_the_password",
    ),
    (
        K::TokenInvalid,
        "tests/tests/api/plugin_socket.rs",
        "a_token_opens_what_it_names_and_nothing_else_is_ever_open",
    ),
    // By a clock of the test's: a token lasts a day at least.
    (K::TokenExpired, "daemon/src/tokens/table.rs", "it_ends_when_it_was_to_end"),
    (
        K::RateLimited,
        "tests/tests/api/plugin_socket.rs",
        "every_use_is_on_record_and_revoking_cuts_off_at_once",
    ),
    (K::TooManyGuesses, "tests/tests/api/events.rs", "a_password_changes_and_guessing_gets_slow"),
    (K::DeviceUnknown, "tests/tests/api/events.rs", "a_device_is_forgotten_whole_and_not_by_mistake"),
    (K::DeviceAmbiguous, HERE, "of_several_devices_none_is_guessed"),
    (K::DeviceLocked, "tests/tests/api/locking.rs", "a_device_is_told_to_be_locked_once_its_keys_are_gone"),
    (
        K::DevicePending,
        "tests/tests/ceremony/unsigned_words.rs",
        "what_a_greeter_signed_is_set_aside_and_registered_once_the_server_takes_it",
    ),
    (
        K::DeviceVoid,
        "tests/tests/ceremony/unsigned_words.rs",
        "a_device_that_the_server_calls_void_is_registered_once_the_log_has_it",
    ),
    (K::DeviceBusy, "tests/tests/api/events.rs", "a_device_is_forgotten_whole_and_not_by_mistake"),
    (K::RecoveryWordsWrong, KITS, "wrong_words_and_other_kits_bring_nobody_back"),
    (K::RecoveryKitUnknown, KITS, "wrong_words_and_other_kits_bring_nobody_back"),
    (K::ShareUnknown, SHARES, "nobody_gives_what_they_do_not_have"),
    (K::SharesMissing, SHARES, "the_share_of_somebody_revoked_does_not_count"),
    (K::ShareFalse, SHARES, "a_server_that_changes_a_box_is_noticed_by_its_member"),
    (K::RecoveryKitOfAnother, KITS, "a_server_that_shows_another_organisation_is_noticed"),
    (K::WrongPassword, "tests/tests/api/events.rs", "a_password_changes_and_guessing_gets_slow"),
    (K::WeakPassword, "tests/tests/ceremony/wrong_answers.rs", "slips_that_end_nothing"),
    (
        K::KeyFileDamaged,
        "tests/tests/hostile/passwords.rs",
        "a_key_file_that_somebody_put_there_confirms_nothing",
    ),
    (K::StoreDamaged, HERE, "a_store_that_is_not_what_was_written"),
    (K::StoreTooNew, HERE, "a_store_that_is_not_what_was_written"),
    (K::StoreTooOld, HERE, "a_store_that_is_not_what_was_written"),
    (K::KeyChangeDue, "tests/tests/ceremony/user_key.rs", "no_new_device_is_given_a_key_that_a_thief_has"),
    (
        K::UserKeyMissing,
        "tests/tests/hostile/stolen_device.rs",
        "a_wrong_box_is_an_alarm_that_names_who_changed_the_key_and_other_work_goes_on",
    ),
    (
        K::DirectoryUntrusted,
        "tests/tests/hostile/directory_key.rs",
        "an_administrator_who_hands_out_a_wrong_box_is_named",
    ),
    (
        K::DirectoryKeyDue,
        "tests/tests/hostile/directory_due.rs",
        "no_name_is_sealed_where_the_next_key_cant_be_made",
    ),
    (
        K::DirectoryKeyMissing,
        "tests/tests/hostile/directory_key.rs",
        "a_server_that_withholds_a_ring_leaves_a_name_closed_until_it_gives_it",
    ),
    (
        K::ManifestUntrusted,
        "tests/tests/hostile/stolen_device.rs",
        "what_a_revoked_device_writes_into_the_manifest_is_shown_and_written_above",
    ),
    (K::DiskFull, "tests/tests/crash/disk.rs", "a_full_disk_is_named_and_costs_nothing_once_there_is_room"),
    (K::DiskFailed, HERE, "a_file_that_cant_be_opened_and_a_source_that_has_run_dry"),
    (
        K::OutOfMemory,
        "tests/tests/crash/short_of_memory.rs",
        "what_takes_more_memory_than_there_is_is_refused_and_the_others_are_served",
    ),
    (K::UnsafePath, "tests/tests/hostile/hostile_paths.rs", "wanted"),
    (K::NoRandomness, HERE, "a_file_that_cant_be_opened_and_a_source_that_has_run_dry"),
    (K::LinkMalformed, "tests/tests/ceremony/wrong_answers.rs", "links_that_do_not_work"),
    (K::LinkTooNew, HERE, "what_a_program_asks_wrongly"),
    (K::PlainHttpRefused, "tests/tests/ceremony/wrong_answers.rs", "links_that_do_not_work"),
    (K::ServerUnreachable, "tests/tests/ceremony/wrong_answers.rs", "links_that_do_not_work"),
    (
        K::CertificateUntrusted,
        "tests/tests/hostile/certificates.rs",
        "each_fault_of_a_certificate_is_named_on_the_default_transport_too",
    ),
    (
        K::CertificateOfAnother,
        "tests/tests/hostile/certificates.rs",
        "each_fault_of_a_certificate_is_named_on_the_default_transport_too",
    ),
    (
        K::CertificateExpired,
        "tests/tests/hostile/certificates.rs",
        "each_fault_of_a_certificate_is_named_on_the_default_transport_too",
    ),
    (
        K::CertificateNotYetValid,
        "tests/tests/hostile/certificates.rs",
        "each_fault_of_a_certificate_is_named_on_the_default_transport_too",
    ),
    (
        K::ServerNotTls,
        "tests/tests/hostile/certificates.rs",
        "each_fault_of_a_certificate_is_named_on_the_default_transport_too",
    ),
    (K::ServerTls, HERE, "two_ends_that_agree_on_no_way_to_encrypt"),
    (
        K::NotAServer,
        "tests/tests/hostile/certificates.rs",
        "what_answers_in_a_servers_place_is_not_called_dishonest",
    ),
    (K::ServerFailed, HERE, "a_server_in_trouble"),
    (
        K::ServerMisbehaved,
        "tests/tests/hostile/adversary.rs",
        "a_server_that_says_registered_makes_no_member",
    ),
    (K::ServerBusy, HERE, "a_server_that_is_asked_too_much"),
    (
        K::QuotaReached,
        "tests/tests/crash/disk.rs",
        "a_servers_full_disk_is_named_and_costs_nothing_once_there_is_room",
    ),
    (K::MemberBudgetSpent, HERE, "a_server_that_is_asked_too_much"),
    (K::OrganisationBudgetSpent, HERE, "a_server_that_is_asked_too_much"),
    (K::ClockWrong, "tests/tests/system/clock.rs", "a_wrong_clock_is_named_and_nothing_is_done"),
    (K::PeerUnreachable, HERE, "the_p2p_transport_has_reasons_of_its_own"),
    (K::TransportUnavailable, "tests/tests/p2p/net.rs", "a_daemon_that_is_told_so_has_no_p2p_transport"),
    (K::TransportRefused, HERE, "the_p2p_transport_has_reasons_of_its_own"),
    (K::OrganisationUnknown, HERE, "a_server_in_trouble"),
    (K::OrganisationExists, HERE, "an_organisation_is_founded_once"),
    (
        K::BootstrapRefused,
        "tests/tests/ceremony/unsigned_words.rs",
        "a_refused_founding_keeps_the_only_keys_of_what_may_exist",
    ),
    (K::AlreadyMember, "tests/tests/ceremony/wrong_answers.rs", "a_member_is_not_invited_twice"),
    (K::InvitationUnknown, "tests/tests/ceremony/wrong_answers.rs", "links_that_do_not_work"),
    (K::InvitationInUse, "tests/tests/ceremony/wrong_answers.rs", "two_claimers_and_two_greeters"),
    (K::InvitationCancelled, "tests/tests/ceremony/wrong_answers.rs", "links_that_do_not_work"),
    (K::InvitationExpired, "tests/tests/ceremony/wrong_answers.rs", "an_expired_link_says_so_to_both"),
    (K::InvitationExhausted, "tests/tests/ceremony/wrong_answers.rs", "the_greeter_hears_another_code"),
    (K::InvitationCompleted, HERE, "a_link_is_used_once"),
    (K::GreeterTaken, HERE, "two_devices_of_one_invitation"),
    (
        K::Revoked,
        "tests/tests/ceremony/revocation.rs",
        "a_revoked_device_is_told_in_the_middle_of_a_greeting_and_does_nothing_more",
    ),
    (K::NotAuthenticated, HERE, "a_server_in_trouble"),
    (K::CeremonyUnknown, HERE, "what_a_program_asks_wrongly"),
    (K::NotNow, "tests/tests/ceremony/wrong_answers.rs", "slips_that_end_nothing"),
    (K::TooManyCeremonies, HERE, "a_person_has_some_ceremonies_at_once_and_not_any_number"),
    (K::CodeMismatch, "tests/tests/ceremony/wrong_answers.rs", "the_greeter_hears_another_code"),
    (K::CodeMalformed, "tests/tests/ceremony/wrong_answers.rs", "slips_that_end_nothing"),
    (K::CodeOfWrongDirection, "tests/tests/ceremony/wrong_answers.rs", "slips_that_end_nothing"),
    (K::ChoiceNotOffered, "tests/tests/ceremony/wrong_answers.rs", "slips_that_end_nothing"),
    (
        K::TypingRequired,
        "tests/tests/ceremony/main_flow.rs",
        "where_codes_must_be_typed_a_picked_one_is_refused",
    ),
    (K::NotConfirmed, "tests/tests/ceremony/wrong_answers.rs", "slips_that_end_nothing"),
    (K::Cancelled, "tests/tests/api/locking.rs", "a_vouching_can_be_stopped_while_the_server_says_nothing"),
    (K::PeerCancelled, HERE, "the_other_side_stops_or_waits_too_long"),
    (K::PeerTimedOut, HERE, "the_other_side_stops_or_waits_too_long"),
    (K::PeerMismatch, "tests/tests/ceremony/wrong_answers.rs", "the_greeter_hears_another_code"),
    (
        K::BadMessage,
        "tests/tests/hostile/meddling.rs",
        "a_changed_message_ends_the_ceremony_and_certifies_nothing",
    ),
    (
        K::WrongLink,
        "tests/tests/hostile/meddling.rs",
        "a_changed_message_ends_the_ceremony_and_certifies_nothing",
    ),
    (
        K::ChainInvalid,
        "tests/tests/ceremony/revocation.rs",
        "nobody_believes_what_a_revoked_device_certifies_even_with_the_server_on_its_side",
    ),
    (K::RolledBack, "tests/tests/api/events.rs", "a_log_that_was_rolled_back_is_an_alarm"),
    (
        K::EvidenceInvalid,
        "tests/tests/ceremony/evidence.rs",
        "a_receipt_and_the_log_are_checked_where_there_is_no_daemon",
    ),
    (K::AttemptLost, HERE, "a_server_in_trouble"),
    (
        K::ArchiveDamaged,
        "tests/tests/hostile/safes/archives.rs",
        "a_hostile_archive_is_refused_and_nothing_is_made",
    ),
    (
        K::ArchiveUntrusted,
        "tests/tests/hostile/safes/archives.rs",
        "a_hostile_archive_is_refused_and_nothing_is_made",
    ),
    (K::ContentsDamaged, "daemon/src/contents/tests.rs", "nothing_that_is_wrong_is_written"),
    (K::SafeUntrusted, "daemon/src/contents/tests.rs", "nothing_that_is_wrong_is_written"),
    (K::SafeTakenOver, "tests/tests/safes/takeover.rs", "alarms"),
    (K::RemovalWaits, "tests/tests/safes/brake.rs", "many_removals_wait_for_a_person_and_nothing_else_does"),
    (K::SafeFull, "daemon/src/safes/refusals.rs", "what_a_safe_takes_no_more_has_a_name_of_its_own"),
    (K::SafeNotOpen, "daemon/src/safes/refusals.rs", "what_a_safe_takes_no_more_has_a_name_of_its_own"),
    (K::SafeKeyMissing, "daemon/src/safes/refusals.rs", "what_a_safe_takes_no_more_has_a_name_of_its_own"),
    (
        K::SafeTooNew,
        "tests/tests/hostile/safes/void.rs",
        "a_format_that_is_not_known_here_stops_and_says_that_the_program_is_too_old",
    ),
    (K::SafeUnknown, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::SafeAmbiguous, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::PathNotFound, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::PathExists, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::NotAFolder, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::IsAFolder, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::NotAFile, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::FolderNotEmpty, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::NameInvalid, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::ContentsChanged, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (K::DescriptorMissing, "tests/tests/api/safes.rs", "a_safe_and_a_path_are_named_rightly_or_refused"),
    (
        K::SafeRoleTooLow,
        "tests/tests/api/safes.rs",
        "a_role_allows_what_it_says_and_nothing_before_it_is_accepted",
    ),
    (
        K::SafeNotAccepted,
        "tests/tests/api/safes.rs",
        "a_role_allows_what_it_says_and_nothing_before_it_is_accepted",
    ),
    (
        K::SafeLastOwner,
        "tests/tests/api/safes.rs",
        "a_role_allows_what_it_says_and_nothing_before_it_is_accepted",
    ),
    (
        K::NotSharedYet,
        "tests/tests/api/safes.rs",
        "without_a_server_what_is_saved_waits_and_what_is_elsewhere_is_not_to_be_had",
    ),
    (
        K::ContentsUnavailable,
        "tests/tests/api/safes.rs",
        "without_a_server_what_is_saved_waits_and_what_is_elsewhere_is_not_to_be_had",
    ),
];

/// This file.
const KITS: &str = "tests/tests/safes/recovery.rs";
const SHARES: &str = "tests/tests/safes/shares.rs";
const HERE: &str = "tests/tests/api/errors.rs";

#[test]
fn each_name_has_a_test_that_produces_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for kind in ProblemKind::ALL {
        let shown: Vec<_> = SHOWN.iter().filter(|(name, ..)| name == kind).collect();
        assert_eq!(shown.len(), 1, "{}: one line in the table", kind.name());
        let (_, file, function) = shown[0];
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let body = ["\nfn ", "\nasync fn ", "\n    fn ", "\n    async fn "]
            .into_iter()
            .flat_map(|start| text.split(start));
        let mut bodies = body.filter(|body| body.starts_with(&format!("{function}(")));
        let body = bodies.next().unwrap_or_else(|| panic!("{}: no {function} in {file}", kind.name()));
        // Up to the next function, with what stands before it.
        let variant = format!("::{kind:?}");
        let named = body.contains(&variant) || body.contains(&format!("\"{}\"", kind.name()));
        assert!(named, "{}: {file}::{function} does not speak of it", kind.name());
    }
}

fn named<T: std::fmt::Debug>(result: Result<T, parsec_tests::rpc::Failed>) -> Option<ProblemKind> {
    result.unwrap_err().name()
}

/// The end of a claim that is over by itself.
fn claimed(device: &Device, link: &str, transport: TransportChoice) -> ProblemKind {
    let bell = Arc::new(Bell::default());
    device.claim_by(link, transport, &bell).and_then(|side| side.outcome()).unwrap_err().name()
}

fn database(fixture: &Fixture) -> PathBuf {
    fixture.server.folder().join("metadata.sqlite")
}

#[test]
fn what_a_program_asks_wrongly() {
    let fixture = Fixture::found(FixtureOptions::default());
    let nothing = serde_json::json!({});
    let call = |name: &str, parameters: &serde_json::Value| {
        named(fixture.alice.call::<serde_json::Value>(name, parameters.clone()))
    };
    assert_eq!(call("safe.open", &nothing), Some(K::UnknownMethod));
    assert_eq!(call(method::HELLO, &serde_json::json!({ "api": "3.0" })), Some(K::ApiMismatch));
    let unknown = CeremonySelector { ceremony: CeremonyId(99) };
    let shown = fixture.alice.call::<CeremonyView>(method::CEREMONY_SHOW, unknown);
    assert_eq!(named(shown), Some(K::CeremonyUnknown));
    // As a later version might write it.
    let link = SecretText::new("https://parsec.example/join/acme#ggKhAQI".to_owned().into());
    let claim = ClaimStart { link, transport: None };
    assert_eq!(named(fixture.alice.call::<CeremonyView>(method::CLAIM_START, claim)), Some(K::LinkTooNew));
    let nobody = fixture.path("nobody");
    parsec_tests::device::private_folder(&nobody);
    let said = ctl::run(&nobody, &["status", "--json"], "");
    assert_eq!(said.json()["problem"]["name"], K::DaemonUnreachable.name());
}

/// Founds another organisation on Alice's device.
fn found_again(
    fixture: &Fixture,
    device: &Device,
    organisation: &str,
    token: &str,
) -> Result<(), ProblemKind> {
    let founding = Founding {
        server: &fixture.proxy.url(),
        organisation,
        token,
        email: ALICE_EMAIL,
        name: "Alice",
        label: "desk",
        password: ALICE_PASSWORD,
        typed_codes: false,
    };
    device.found(&founding).map(|_| ()).map_err(|failed| failed.name().unwrap())
}

#[test]
fn of_several_devices_none_is_guessed() {
    let fixture = Fixture::found(FixtureOptions::default());
    let token = fixture.server.reserve("other");
    found_again(&fixture, &fixture.alice, "other", &token).unwrap();
    assert_eq!(named(fixture.alice.verify()), Some(K::DeviceAmbiguous));
}

#[test]
fn an_organisation_is_founded_once() {
    let fixture = Fixture::found(FixtureOptions::default());
    let late = fixture.device("late");
    assert_eq!(found_again(&fixture, &late, "acme", &fixture.bootstrap_token), Err(K::OrganisationExists));
}

#[test]
fn a_store_that_is_not_what_was_written() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let device = fixture.alice.devices()[0].device;
    let folder = fixture.alice.data().join("devices").join(format!("acme.{device}"));
    // As a later version writes it: the number behind the array's head.
    let about = folder.join("about");
    let good = std::fs::read(&about).unwrap();
    let mut later = good.clone();
    later[1] = 9;
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    std::fs::write(&about, &later).unwrap();
    assert_eq!(named(fixture.alice.unlock(ALICE_PASSWORD)), Some(K::StoreTooNew));
    std::fs::write(&about, &good).unwrap();
    // As a version before the first release wrote it.
    let file = folder.join("key.age");
    let present = std::fs::read(&file).unwrap();
    std::fs::write(&file, include_bytes!("../../../daemon/src/store/tests/former/v1/key.age")).unwrap();
    assert_eq!(named(fixture.alice.unlock("correct horse battery")), Some(K::StoreTooOld));
    std::fs::write(&file, present).unwrap();

    let store = folder.join("store.db");
    fixture.alice.kill();
    let whole = std::fs::read(&store).unwrap();
    std::fs::write(&store, &whole[..whole.len() / 3]).unwrap();
    fixture.alice.restart();
    assert_eq!(named(fixture.alice.unlock(ALICE_PASSWORD)), Some(K::StoreDamaged));
    fixture.alice.kill();
    std::fs::write(&store, &whole).unwrap();
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
}

/// Puts a limit to the number of files that a process has open.
fn files_of(process: u32, most: Option<usize>) {
    let to = most.map_or("1024".to_owned(), |most| most.to_string());
    let set =
        Command::new("prlimit").args(["--pid", &process.to_string(), &format!("--nofile={to}:")]).status();
    assert!(set.unwrap().success());
}

#[test]
fn a_file_that_cant_be_opened_and_a_source_that_has_run_dry() {
    const NAME: &str = "a_file_that_cant_be_opened_and_a_source_that_has_run_dry";
    if !installed("prlimit") || !installed("strace") {
        return skip(NAME, "prlimit or strace is missing");
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let process = fixture.alice.process().id();
    let mut client = fixture.alice.client().unwrap();
    client.call::<DeviceView>(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    files_of(process, Some(open - 1));
    let password = || SecretText::new(ALICE_PASSWORD.to_owned().into());
    let unlock = || DeviceUnlock { select: DeviceSelector::default(), password: password() };
    assert_eq!(named(client.call::<DeviceView>(method::DEVICE_UNLOCK, unlock())), Some(K::DiskFailed));
    files_of(process, None);
    client.call::<DeviceView>(method::DEVICE_UNLOCK, unlock()).unwrap();

    // From here on the system has no more to give.
    let mut tracer = Command::new("strace");
    tracer.args([
        "-f",
        "-qq",
        "-e",
        "trace=getrandom",
        "-e",
        "inject=getrandom:error=EIO",
        "-o",
        "/dev/null",
    ]);
    let mut tracer = tracer.args(["-p", &process.to_string()]).spawn().unwrap();
    let traced = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        !status.contains("TracerPid:\t0")
    };
    while !traced() {
        if tracer.try_wait().unwrap().is_some() {
            return skip(NAME, "no process may be traced here");
        }
        std::thread::yield_now();
    }
    let dry = named(fixture.alice.invite(BOB_EMAIL));
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    assert_eq!(dry, Some(K::NoRandomness));
    fixture.alice.invite(BOB_EMAIL).unwrap();
}

#[test]
fn two_ends_that_agree_on_no_way_to_encrypt() {
    // Speaks TLS so far as to refuse: an alert, handshake failure (RFC 8446, section 6.2).
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut hello = [0; 5];
            if std::io::Read::read_exact(&mut connection, &mut hello).is_err() {
                continue;
            }
            if hello[0] == b'!' {
                return;
            }
            let _ = std::io::Write::write_all(&mut connection, &[21, 3, 3, 0, 2, 2, 40]);
        }
    });
    let fixture = Fixture::found(FixtureOptions::default());
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (_, payload) = invitation.link.expose().split_once('#').unwrap();
    let link = format!("https://localhost:{port}/join/acme#{payload}");
    assert_eq!(claimed(&fixture.device("bob"), &link, TransportChoice::Server), K::ServerTls);
    std::io::Write::write_all(&mut std::net::TcpStream::connect(("127.0.0.1", port)).unwrap(), b"!!!!!")
        .unwrap();
    server.join().unwrap();
}

/// A proxy with an opinion about addresses.
struct Shouts;

impl Meddler for Shouts {
    fn request(&self, request: &mut Request) -> Fate {
        request.target = request.target.replace("/organisations/acme/", "/organisations/ACME/");
        Fate::Pass
    }
}

#[test]
fn a_server_in_trouble() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    // A table that is not there, in the middle of it.
    let broken = rusqlite::Connection::open(database(&fixture)).unwrap();
    broken.execute_batch("ALTER TABLE invitation RENAME TO elsewhere").unwrap();
    let failed = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::Server);
    assert_eq!(named(failed), Some(K::ServerFailed));
    broken.execute_batch("ALTER TABLE elsewhere RENAME TO invitation").unwrap();
    drop(broken);

    // Restored from before the attempt.
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (claimer, greeter) = fixture.both(&bob, &invitation);
    claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    fixture.server.kill();
    let older = rusqlite::Connection::open(database(&fixture)).unwrap();
    older.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM step; DELETE FROM attempt").unwrap();
    drop(older);
    fixture.restart_server();
    assert_eq!(claimer.outcome().unwrap_err().name(), K::AttemptLost);

    // Restored from before this member.
    fixture.server.kill();
    let older = rusqlite::Connection::open(database(&fixture)).unwrap();
    older.execute_batch("DELETE FROM device").unwrap();
    drop(older);
    fixture.restart_server();
    assert_eq!(named(fixture.alice.invite("carol@acme.example")), Some(K::NotAuthenticated));

    // And behind something that does not leave addresses as they are: no organisation is spelt so.
    fixture.proxy.meddle(Arc::new(Shouts));
    assert_eq!(named(fixture.alice.verify()), Some(K::OrganisationUnknown));
}

#[test]
fn a_server_that_is_asked_too_much() {
    let fixture = Fixture::found(FixtureOptions {
        server_options: &["--budget-administrator", "1:32", "--rate-limit-device", "1:10"],
        ..FixtureOptions::default()
    });
    fixture.alice.invite(BOB_EMAIL).unwrap();
    assert_eq!(named(fixture.alice.invite("carol@acme.example")), Some(K::MemberBudgetSpent));
    // Many programs of hers at once: what the last of them would have to wait for is longer than a
    // person waits.
    let ask = || fixture.alice.invite_by("carol@acme.example", TransportChoice::Server);
    let busy = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..30).map(|_| scope.spawn(|| named(ask()))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(busy.contains(&Some(K::ServerBusy)), "{busy:?}");

    let full = Fixture::found(FixtureOptions {
        server_options: &["--budget-organisation", "1:32"],
        ..FixtureOptions::default()
    });
    full.alice.invite(BOB_EMAIL).unwrap();
    assert_eq!(named(full.alice.invite("carol@acme.example")), Some(K::OrganisationBudgetSpent));
}

#[test]
fn the_p2p_transport_has_reasons_of_its_own() {
    let fixture = Fixture::found(FixtureOptions::default());
    let invitation = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::Server).unwrap();
    let bell = Arc::new(Bell::default());
    let greeted = fixture.alice.greet_by(invitation.token, TransportChoice::P2p, &bell);
    assert_eq!(greeted.and_then(|side| side.outcome()).unwrap_err().name(), K::TransportRefused);
    // Nobody greets for this one.
    let invitation = fixture.alice.invite_by("carol@acme.example", TransportChoice::P2p).unwrap();
    let ping = serde_json::json!({ "link": invitation.link.expose() });
    let found: serde_json::Value = fixture.device("carol").call(method::NET_PING, ping).unwrap();
    assert!(found.to_string().contains(K::PeerUnreachable.name()), "{found}");
}

#[test]
fn a_link_is_used_once() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, parsec_tests::fixture::BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let again = claimed(&fixture.device("again"), invitation.link.expose(), TransportChoice::Server);
    assert_eq!(again, K::InvitationCompleted);
}

#[test]
fn two_devices_of_one_invitation() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    // Her device's data, taken to another machine: the same link, by another device of hers.
    let tablet = fixture.device("tablet");
    let own = fixture.alice.invite_device().unwrap();
    let ends = fixture.enrol(&tablet, &own, parsec_tests::fixture::ALICE_AGAIN, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok(), "{ends:?}");
    let (claimer, greeter) = fixture.both(&bob, &invitation);
    claimer.code_to_say().unwrap();
    fixture.server.kill();
    let other = rusqlite::Connection::open(database(&fixture)).unwrap();
    let mine = tablet.devices()[0].device;
    other.execute("UPDATE attempt SET greeter_device = ?1", [mine.as_bytes()]).unwrap();
    drop(other);
    fixture.restart_server();
    drop(greeter);
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let bell = Arc::new(Bell::default());
    let taken = fixture.alice.greet(invitation.token, &bell).and_then(|side| side.outcome()).unwrap_err();
    assert_eq!(taken.name(), K::GreeterTaken);
}

#[test]
fn a_person_has_some_ceremonies_at_once_and_not_any_number() {
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let fixture = Fixture::found(FixtureOptions::default());
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (_, payload) = invitation.link.expose().split_once('#').unwrap();
    let link = format!("http://127.0.0.1:{port}/join/acme#{payload}");
    let bob = fixture.device("bob");
    let claim = || {
        let claim = ClaimStart {
            link: SecretText::new(link.clone().into()),
            transport: Some(TransportChoice::Server),
        };
        bob.call::<CeremonyView>(method::CLAIM_START, claim)
    };
    for _ in 0..64 {
        claim().unwrap();
    }
    assert_eq!(named(claim()), Some(K::TooManyCeremonies));
}

/// Says for the newcomer's program why it ended.
struct Ends(EndReason);

impl Meddler for Ends {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "POST" && request.target.ends_with("/cancel") {
            request.body = codec::encode(&CancelAttempt { reason: self.0 });
        }
        Fate::Pass
    }
}

#[test]
fn the_other_side_stops_or_waits_too_long() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    for (reason, kind) in [(EndReason::TimedOut, K::PeerTimedOut), (EndReason::Cancelled, K::PeerCancelled)] {
        fixture.proxy.meddle(Arc::new(Ends(reason)));
        let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
        script::up_to_password(
            &mut claimer,
            &mut greeter,
            parsec_tests::fixture::BOB,
            Some(ProfileName::Standard),
        );
        claimer.stage(Stage::SetPassword).unwrap();
        let _ =
            bob.call::<CeremonyView>(method::CEREMONY_CANCEL, CeremonySelector { ceremony: claimer.id() });
        assert_eq!(greeter.outcome().unwrap_err().name(), kind);
    }
}
