//! The checks, in the order of docs/assurance.md: what each is about, and the command that shows
//! it.
//!
//! Decides nothing else: what a figure must be, the test that prints it decides.

use super::{Found, Site, builds, supply};

/// One check.
pub(super) struct Check {
    /// Its name, as in docs/assurance.md.
    pub(super) id: &'static str,
    /// What it is about, in a line.
    pub(super) what: &'static str,
    /// How it is shown.
    pub(super) how: How,
}

/// How a check is shown.
pub(super) enum How {
    /// By tests that print its figure.
    Tests(&'static [Test]),
    /// By a command of the workspace that prints it.
    Xtask(&'static [&'static str]),
    /// By the tests that its row of docs/assurance/safes.md names.
    Documented,
    /// Here.
    Own(fn(&Site<'_>) -> std::io::Result<Found>),
}

/// A test of a package: of its library (`lib`) or of one of its files of tests.
pub(super) struct Test {
    pub(super) package: &'static str,
    pub(super) target: &'static str,
    pub(super) name: &'static str,
}

const fn check(id: &'static str, what: &'static str, how: How) -> Check {
    Check { id, what, how }
}

const fn test(package: &'static str, target: &'static str, name: &'static str) -> Test {
    Test { package, target, name }
}

const P: &str = "parsec-protocol";
const D: &str = "parsecd";
const S: &str = "parsec-metadata";
const T: &str = "parsec-tests";

/// All of them.
pub(super) const CHECKS: &[Check] = &[
    // --- somebody in the middle
    check(
        "M1",
        "full interception, attentive people",
        How::Tests(&[test(P, "lib", "m1_nobody_in_the_middle")]),
    ),
    check(
        "M2",
        "no advantage hidden in the codes: counted with codes of 10 bits",
        How::Xtask(&["sabotage", "--ceremony", "codes-10"]),
    ),
    check(
        "M3",
        "one defence taken away at a time: the attack wins, and its checks notice",
        How::Xtask(&["sabotage", "--ceremony"]),
    ),
    check("M4", "one bound field differs on one side", How::Tests(&[test(P, "lib", "m4_a_field")])),
    check(
        "M5",
        "keys of small order, zero, or with a second spelling",
        How::Tests(&[test(P, "lib", "bad_keys_are_refused_before_any_code")]),
    ),
    check(
        "M6",
        "nonces and commitments of other lengths, or used twice",
        How::Tests(&[test(P, "lib", "nonces_and_commitments_have_32_bytes")]),
    ),
    check(
        "M7",
        "reflected, roles swapped, spliced, replayed",
        How::Tests(&[test(P, "lib", "m7_no_message")]),
    ),
    check(
        "M8",
        "a wrong code, or none",
        How::Tests(&[test(P, "lib", "a_wrong_choice_is_final_and_sends_nothing")]),
    ),
    check("M9", "restarts after the commitment", How::Tests(&[test(P, "lib", "m9_nobody")])),
    check("M10", "messages held back past the limit", How::Tests(&[test(P, "lib", "m10_what")])),
    check("M11", "words forged by the server", How::Tests(&[test(P, "lib", "m11_no")])),
    check("M12", "the first check passes by luck", How::Tests(&[test(P, "lib", "m12_half")])),
    check(
        "M13",
        "moved to the other transport, or to another end of it",
        How::Tests(&[test(P, "lib", "m13_no")]),
    ),
    check("M14", "decoys", How::Tests(&[test(P, "lib", "decoys_keep_their_distance_and_tell_nothing")])),
    check(
        "M15",
        "codes and secrets in files and logs",
        How::Tests(&[
            test(T, "hostile", "secrets::nothing_secret_is_readable_anywhere"),
            test(T, "hostile", "safes_left::"),
        ]),
    ),
    check(
        "M16",
        "the game of the codes, solved; the machines, explored",
        How::Tests(&[test(P, "odds", ""), test(P, "lib", "tests::model::")]),
    ),
    check(
        "M17",
        "message 7 and its boxes, with the channel given away",
        How::Tests(&[test(P, "lib", "enrol::tests::boxes::"), test(P, "cross_use", "")]),
    ),
    // --- the server
    check("S1", "public keys replaced", How::Tests(&[test(P, "log_server", "replaced")])),
    check(
        "S2",
        "signers unknown, revoked, in a circle, of another kind or organisation; depth",
        How::Tests(&[
            test(P, "log_author", ""),
            test(P, "log_kinds", ""),
            test(P, "log_server", "depth_10_000"),
        ]),
    ),
    check(
        "S3",
        "rolled back",
        How::Tests(&[
            test(P, "log_server", "rollback"),
            test(T, "api", "events::a_log_that_was_rolled_back_is_an_alarm"),
        ]),
    ),
    check(
        "S4",
        "two histories for two members",
        How::Tests(&[test(P, "lib", "a_fork_is_found_at_the_first_head_that_is_exchanged")]),
    ),
    check(
        "S5",
        "certificates left out, moved, sent twice",
        How::Tests(&[
            test(P, "log_server", "duplicates"),
            test(P, "log_server", "reorder"),
            test(P, "log_server", "drop"),
        ]),
    ),
    check(
        "S6",
        "revoking and certifying at once",
        How::Tests(&[test(S, "revocation", "nothing_by_the_revoked_gets_in_after_the_revocation")]),
    ),
    check(
        "S11",
        "a hundred claimers of one invitation",
        How::Tests(&[test(S, "invitations", "of_a_hundred_claimers_at_once_one_gets_the_attempt")]),
    ),
    check(
        "S12",
        "a link fetched in advance",
        How::Tests(&[test(S, "invitations", "a_thousand_previews_leave_the_invitation_as_it_was")]),
    ),
    check(
        "S13",
        "what server and devices store, searched for secrets",
        How::Tests(&[
            test(T, "hostile", "secrets::nothing_secret_is_readable_anywhere"),
            test(T, "hostile", "safes_left::"),
        ]),
    ),
    check("S14", "sealed things that were changed", How::Tests(&[test(P, "mutated", "")])),
    check("S15", "wrong clocks", How::Tests(&[test(T, "system", "clock::")])),
    check("S16", "keys that change, recovery devices", How::Tests(&[test(P, "log_keys", "")])),
    check(
        "S17",
        "items of a safe that break a rule, or that attackers would have",
        How::Tests(&[test(P, "safe_rules", ""), test(P, "safe_attacks", ""), test(T, "safes", "ends::")]),
    ),
    check("S18", "honest lives of a safe", How::Tests(&[test(P, "safe_model", "")])),
    check(
        "S19",
        "changes of devices that were away",
        How::Tests(&[
            test(P, "lib", "safes::rebase::tests::vectors::"),
            test(P, "lib", "safes::rebase::tests::random::"),
        ]),
    ),
    check(
        "S20",
        "records that fold wrongly",
        How::Tests(&[test(P, "lib", "safes::rebase::tests::folding::")]),
    ),
    check(
        "S21",
        "safes, under a server that lies and a member who means harm",
        How::Tests(&[test(T, "hostile", "safes::")]),
    ),
    check(
        "S22",
        "one safe, explored: every order, an honest and a hostile server, a defence less at a time",
        How::Tests(&[test(P, "lib", "safes::tests::walks::")]),
    ),
    check("S23", "a safe in the lab: who notices what", How::Tests(&[test(P, "lib", "lab::safes::")])),
    check("S31", "random lives of a safe, and weakened devices", How::Tests(&[test(P, "safe_runs", "")])),
    check("S32", "random lives of safes with the real programs", How::Tests(&[test(T, "safes", "random::")])),
    // --- input
    check(
        "B1",
        "inputs that nobody meant, for everything that reads",
        How::Tests(&[test(T, "hostile", "fuzz::")]),
    ),
    check("B3", "read, written, read again", How::Tests(&[test(P, "records", "the_checks_are_needed")])),
    check(
        "B4",
        "unknown, doubled, huge, deep",
        How::Tests(&[test(T, "api", "malformed::every_malformed_request_is_refused_by_name")]),
    ),
    check(
        "B5",
        "an independent reader of logs, receipts, codes and safes",
        How::Tests(&[test(P, "checker", ""), test(P, "checker_safes", ""), test(T, "safes", "checked::")]),
    ),
    check(
        "B6",
        "mutation testing: what decides about keys, changed in one place at a time",
        How::Xtask(&["mutants"]),
    ),
    check("B7", "names of files that do harm elsewhere", How::Tests(&[test(T, "safes", "names::")])),
    check("B8", "contents of every size, from and to everything", How::Tests(&[test(T, "safes", "sizes::")])),
    // --- crashes
    check(
        "C1",
        "killed at a system call",
        How::Tests(&[
            test(D, "lib", "every_sync_and_rename_may_be_the_last"),
            test(D, "lib", "a_change_of_password_is_whole_whenever_it_is_killed"),
        ]),
    ),
    check(
        "C2",
        "system calls that fail",
        How::Tests(&[test(D, "lib", "every_write_may_fail_or_be_the_last")]),
    ),
    check(
        "C3",
        "a full disk, a read-only one",
        How::Tests(&[
            test(D, "lib", "a_full_disk_costs_nothing_that_was_there"),
            test(D, "lib", "a_disk_that_became_read_only_is_said"),
        ]),
    ),
    check(
        "C4",
        "writes that were not synced",
        How::Tests(&[test(D, "lib", "a_torn_write_ahead_log_loses_nothing_acknowledged")]),
    ),
    check(
        "C5",
        "an enrolment cut at every message",
        How::Tests(&[
            test(T, "crash", "kills::whoever_is_killed_at_whatever_message_nobody_is_half_enrolled"),
            test(T, "p2p", "partitions::partitions_at_random"),
        ]),
    ),
    check(
        "C6",
        "the server killed under load",
        How::Tests(&[test(T, "crash", "killed_server::what_a_killed_server_has_acknowledged_is_there_once")]),
    ),
    check(
        "C7",
        "a handler that panics, memory that runs out",
        How::Tests(&[
            test(D, "lib", "a_method_that_fails_costs_its_own_request_alone"),
            test(D, "lib", "a_bug_while_the_store_is_held"),
            test(S, "lib", "a_bug_in_one_request_is_no_trouble"),
            test(T, "crash", "short_of_memory::"),
        ]),
    ),
    check(
        "C8",
        "how a key file is written",
        How::Tests(&[test(D, "lib", "a_key_file_is_written_aside_synced_renamed_and_its_folder_synced")]),
    ),
    check("C9", "stores of earlier formats", How::Tests(&[test(D, "lib", "version_2_opens")])),
    check(
        "C10",
        "a safe's life killed at a system call",
        How::Tests(&[
            test(D, "lib", "every_sync_and_rename_in_the_life_of_a_safe_may_be_the_last"),
            test(D, "lib", "a_piece_is_synced_and_named_before_its_row_is_written"),
        ]),
    ),
    check(
        "C11",
        "system calls that fail in a safe's life",
        How::Tests(&[test(D, "lib", "every_write_in_the_life_of_a_safe_may_fail_or_be_the_last")]),
    ),
    check(
        "C12",
        "a safe cut at every message",
        How::Tests(&[
            test(
                T,
                "crash",
                "safe_kills::whoever_is_killed_at_whatever_message_about_a_safe_nothing_saved_is_lost",
            ),
            test(T, "crash", "prune_kills::"),
        ]),
    ),
    check(
        "C13",
        "full disks of a device, a caller and a server while safes are used",
        How::Tests(&[
            test(D, "lib", "a_full_disk_costs_no_piece_that_waits"),
            test(D, "lib", "a_read_only_disk_gives_pieces_and_takes_none"),
            test(T, "crash", "safe_disks::"),
        ]),
    ),
    // --- load
    check("P1", "many ceremonies through one server", How::Tests(&[test(T, "load", "many::")])),
    check("P2", "a large organisation read from nothing", How::Tests(&[test(P, "large", "")])),
    check(
        "P6",
        "floods of invitations and calls",
        How::Tests(&[
            test(S, "invitations", "pending_invitations_have_a_quota"),
            test(S, "budgets", "outsiders_at_the_end_of_their_budgets_are_in_no_administrators_way"),
            test(S, "requests", "one_address_that_asks_too_much_is_told_to_wait_and_members_are_served"),
        ]),
    ),
    check("P7", "half an hour of ceremonies: growth", How::Tests(&[test(T, "load", "soak::")])),
    check(
        "P8",
        "a flood of connections and of one member's calls",
        How::Tests(&[test(T, "load", "flood::")]),
    ),
    check(
        "P9",
        "400 days of invitations made and left: the database's file",
        How::Tests(&[test(S, "lib", "the_file_stays_as_large_as_what_is_in_it")]),
    ),
    check(
        "P10",
        "half an hour of three devices in a safe: growth",
        How::Tests(&[test(T, "load", "soak_safes::")]),
    ),
    // --- what it is made of
    check("X1", "licences, sources and open advisories of every package", How::Own(supply::policy)),
    check("X2", "versions in which known holes are closed", How::Own(supply::versions)),
    check("X3", "parsecd without libp2p: packages and unsafe code", How::Own(builds::size)),
    check("X4", "no unsafe code of our own", How::Own(supply::unsafe_code)),
    check("X5", "two clean builds are identical", How::Own(builds::reproducible)),
    check("X6", "bill of materials", How::Own(builds::materials)),
    check("X7", "builds without a network", How::Own(builds::offline)),
    check("X8", "features of the cryptography are on", How::Own(supply::features)),
    check("X9", "no secrets in the repository or its history", How::Own(supply::secrets)),
    // --- safes: classes of attack
    check("T1", "a folder's key of the server's own", How::Documented),
    check("T2", "a member's public key exchanged", How::Documented),
    check("T3", "somebody more, or less, in a ring", How::Documented),
    check("T4", "older suites and formats, unknown ones", How::Documented),
    check("T6", "changed ciphertext", How::Documented),
    check("T7", "pieces cut, lengthened, left out, doubled, in another order", How::Documented),
    check("T8", "pieces of other files, versions, safes, epochs", How::Documented),
    check("T9", "renamed, moved, put elsewhere by the server", How::Documented),
    check("T10", "sizes, times, kinds changed", How::Documented),
    check("T11", "a file or folder put in", How::Documented),
    check("T12", "wrapped keys that can be changed, and who says why they don't open", How::Documented),
    check("T13", "a private key exchanged under its public half", How::Documented),
    check("T14", "two contents under one key and nonce", How::Documented),
    check("T15", "an earlier state shown", How::Documented),
    check("T16", "two states shown to two devices", How::Documented),
    check("T17", "news held back", How::Documented),
    check("T18", "a removed, lowered or revoked writer, with the server's help", How::Documented),
    check("T19", "a removed member reads on", How::Documented),
    check("T20", "a stolen device reads, or writes, on", How::Documented),
    check("T21", "a reader and the server write together", How::Documented),
    check("T22", "one ciphertext, two contents", How::Documented),
    check("T23", "a wrong key, or none, given to a member", How::Documented),
    check("T24", "records of nonsense by a member", How::Documented),
    check("T25", "sizes and edits recognised", How::Documented),
    check("T26", "a known file confirmed", How::Documented),
    check("T27", "a contributor destroys everything", How::Documented),
    check("T28", "names that steer, links that lead out", How::Documented),
    check("T29", "bombs", How::Documented),
    check("T30", "plaintext left on the disk", How::Documented),
    check("T31", "a ciphertext or signature used for something else", How::Documented),
    check("T32", "live data let go", How::Documented),
    // --- safes: what people complain of elsewhere
    check("K1", "a round trip for each folder, minutes to list", How::Documented),
    check("K2", "an import hides everything until its last file", How::Documented),
    check("K5", "files that wait until the next login, after an answer that was lost", How::Documented),
    check("K6", "nothing to pin for offline, a limit of the cache that is none", How::Documented),
    check("K7", "one damaged bundle or manifest locks all members out", How::Documented),
    check("K9", "a folder \"in conflict\" for months", How::Documented),
    check("K10", "memory that grows with the file", How::Documented),
    check("K11", "a quota that never comes back, or that one member takes for all", How::Documented),
    check(
        "K12",
        "the same folder made twice, or renamed to one name: contents lost or mixed",
        How::Documented,
    ),
    check("K15", "names swapped by the server, an accepted risk", How::Documented),
    check("K16", "plain text left after locking", How::Documented),
    check("K17", "a new version that can't read, or writes ciphertext over files", How::Documented),
    check("K18", "a rename that damages metadata", How::Documented),
    check("K19", "many small files, hours", How::Documented),
    check("K20", "a client that deletes everything, or takes a full disk for a removal", How::Documented),
    check("K21", "a newer content silently written over", How::Documented),
    check("K23", "a full cache that ends the program or loses data", How::Documented),
    check(
        "K24",
        "uploads behind one's back that lose or resurrect what was renamed or removed meanwhile",
        How::Documented,
    ),
    check("K27", "two names that differ in case or spelling: one lost", How::Documented),
    check("K28", "conflict files that stay on one machine, or are shown on one", How::Documented),
    check("K29", "a rename that sends the file again", How::Documented),
    check("K30", "an encrypted device that waits for one that is gone", How::Documented),
    check("K32", "damage after a crash that nobody finds", How::Documented),
];
