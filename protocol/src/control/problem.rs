//! Every error a local program can get: stable name, whose fault, what to do, whether to retry,
//! exit code.
//!
//! Decides the whole vocabulary in one table. A message says what happened this time; the hint is
//! the remedy.

use serde::{Deserialize, Serialize};

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The one who asked: other input would have worked.
    Caller,
    /// The other person or their device.
    Peer,
    /// The metadata server, or the way to it.
    Server,
    /// This machine: disk, clock, memory.
    Machine,
    /// The daemon: a bug.
    Daemon,
    /// Nobody can tell from here; somebody may be interfering.
    Interference,
}

/// Defines the table of problems.
macro_rules! problems {
    ($($name:ident $text:literal $fault:ident retry=$retry:literal exit=$exit:literal $hint:literal;)+) => {
        /// The name of an error. Names never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[allow(missing_docs, reason = "the name and the hint in the table say it")]
        pub enum ProblemKind {
            $(#[serde(rename = $text)] $name,)+
            /// A name that a newer daemon has. The fields beside it say the rest. Never sent.
            #[serde(other, rename = "other")]
            #[cfg_attr(feature = "schema", schemars(skip))]
            Other,
        }

        impl ProblemKind {
            /// All that are sent, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// Stable name of the problem, such as `wrong_password`.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $text,)+ Self::Other => "other" } }
            /// Whose fault it is.
            #[must_use]
            pub const fn fault(self) -> Fault { match self { $(Self::$name => Fault::$fault,)+ Self::Other => Fault::Daemon } }
            /// Whether the same request may work later.
            #[must_use]
            pub const fn retryable(self) -> bool { match self { $(Self::$name => $retry,)+ Self::Other => false } }
            /// The exit code of a CLI, by sysexits.
            #[must_use]
            pub const fn exit_code(self) -> u8 { match self { $(Self::$name => $exit,)+ Self::Other => 70 } }
            /// Advice for people: what to do next.
            #[must_use]
            pub const fn hint(self) -> &'static str { match self { $(Self::$name => $hint,)+ Self::Other => "Update this program: the daemon is newer." } }
        }
    };
}

// Exit codes (sysexits.h): 64 usage, 65 bad data, 66 no input, 68 no host/user, 69 unavailable, 70
// bug, 73 can't create, 74 I/O, 75 try again or resume, 76 protocol (codes differ, bad signature,
// fork), 77 not permitted, 78 configuration.
problems! {
    InvalidRequest "invalid_request" Caller retry=false exit=64 "See `parsecctl help` or docs/local-api.md for what this call takes.";
    UnknownMethod "unknown_method" Caller retry=false exit=64 "The daemon may be older or newer than this program: compare `parsecctl --version` with `parsecctl status`.";
    TooLarge "too_large" Caller retry=false exit=65 "Send less at once.";
    NotAllowed "not_allowed" Caller retry=false exit=77 "Ask an administrator of the organisation.";
    AccessDenied "access_denied" Caller retry=false exit=77 "Only the user who runs the daemon may use its socket.";
    DaemonUnreachable "daemon_unreachable" Machine retry=true exit=69 "Start it with `systemctl --user start parsecd`, or run `parsecd` in a terminal.";
    ShuttingDown "shutting_down" Daemon retry=true exit=75 "The daemon is stopping; start it again and repeat the command.";
    Internal "internal" Daemon retry=false exit=70 "This is a bug in Parsec. The daemon's log has the details; please report it.";

    ApiMismatch "api_mismatch" Caller retry=false exit=64 "The program and the daemon are of different generations: update the older one (`parsecctl --version`, `parsecd --version`).";
    ConfirmationRequired "confirmation_required" Caller retry=false exit=77 "Give the device's password in this terminal once: `parsecctl device unlock`.";
    TokenInvalid "token_invalid" Caller retry=false exit=77 "Make the plug-in a token with `parsecctl token create`, and give it in `rpc.hello`.";
    TokenExpired "token_expired" Caller retry=false exit=77 "Make a new one with `parsecctl token create`.";
    RateLimited "rate_limited" Caller retry=true exit=75 "Ask less often; events save asking.";
    TooManyGuesses "too_many_guesses" Caller retry=true exit=75 "Wait as long as the message says, then give the right password.";

    DeviceUnknown "device_unknown" Caller retry=false exit=68 "`parsecctl device list` shows the devices on this machine.";
    DeviceAmbiguous "device_ambiguous" Caller retry=false exit=64 "Name one with --device: `parsecctl device list` shows them.";
    DeviceLocked "device_locked" Caller retry=false exit=77 "Unlock it first: `parsecctl device unlock`.";
    DevicePending "device_pending" Caller retry=true exit=75 "The greeter's device has to register it first; it does so by itself once both are online.";
    DeviceVoid "device_void" Peer retry=false exit=76 "Its keys stay here and it goes on asking; `parsecctl device restore` takes it back. If the other person ended it, ask for a new invitation and remove this one: `parsecctl device forget`.";
    DeviceBusy "device_busy" Caller retry=true exit=75 "Wait until its ceremonies and its outbox are done, or say with --force that they don't matter.";
    WrongPassword "wrong_password" Caller retry=true exit=77 "Check the keyboard layout and try again. A forgotten password can't be recovered: come back with a recovery kit (`parsecctl recovery use`), or enrol this device anew.";
    WeakPassword "weak_password" Caller retry=false exit=65 "Use at least 8 characters; four random words are good.";
    KeyFileDamaged "key_file_damaged" Machine retry=false exit=65 "Restore the device's folder from a backup, or enrol this device anew.";
    StoreDamaged "store_damaged" Machine retry=false exit=65 "Restore the device's folder from a backup, or enrol this device anew.";
    StoreTooNew "store_too_new" Machine retry=false exit=78 "The store was written by a newer Parsec: install that version or a later one.";
    StoreTooOld "store_too_old" Machine retry=false exit=78 "The device was made by a Parsec that was never released: remove it with `parsecctl device forget`, and be enrolled anew.";
    DiskFull "disk_full" Machine retry=true exit=74 "Free some space and repeat the command; nothing was lost.";
    DiskFailed "disk_failed" Machine retry=true exit=74 "Look at the daemon's log and the disk; nothing that was acknowledged is lost.";
    OutOfMemory "out_of_memory" Machine retry=true exit=75 "Close other programs, or give the daemon more memory (`MemoryMax` of its unit), and repeat the command; nothing was lost.";
    UnsafePath "unsafe_path" Machine retry=false exit=78 "Parsec's folders must belong to you alone (mode 0700) and not be links.";
    NoRandomness "no_randomness" Machine retry=true exit=69 "The system's random source failed. Restart the machine.";

    LinkMalformed "link_malformed" Caller retry=false exit=65 "Copy the whole link, including everything after #.";
    LinkTooNew "link_too_new" Caller retry=false exit=78 "The link was made by a newer Parsec: update this one.";
    PlainHttpRefused "plain_http_refused" Caller retry=false exit=78 "Use the server's https address; plain http is accepted for this machine only.";
    ServerUnreachable "server_unreachable" Server retry=true exit=69 "Check the network and the server's address, then try again.";
    CertificateUntrusted "certificate_untrusted" Interference retry=false exit=76 "Check the address. If the organisation has an authority of its own, give its certificate to the daemon (`--ca-file`); if not, somebody may be in between.";
    CertificateOfAnother "certificate_of_another" Interference retry=false exit=76 "Use the server's name as its certificate has it; if that is what you did, tell the server's administrator: somebody may be in between.";
    CertificateExpired "certificate_expired" Server retry=false exit=76 "Check this machine's clock (`timedatectl`). If it is right, the server's administrator has to renew the certificate.";
    CertificateNotYetValid "certificate_not_yet_valid" Server retry=false exit=76 "Check this machine's clock (`timedatectl`). If it is right, tell the server's administrator.";
    ServerNotTls "server_not_tls" Caller retry=false exit=78 "Check the address and the port: what answers there is no https server.";
    ServerTls "server_tls" Interference retry=false exit=76 "The two ends agree on no way to encrypt, or something between them cut in. Try another network, and tell the server's administrator.";
    NotAServer "not_a_server" Server retry=true exit=69 "Open a page in a browser: the network may want you to log in first. If it does not, check the server's address and whether a proxy stands in between.";
    ServerFailed "server_failed" Server retry=true exit=69 "The server had a problem of its own; try again later or tell its administrator.";
    ServerMisbehaved "server_misbehaved" Server retry=false exit=76 "The server answered with something no honest server sends. Tell its administrator.";
    ServerBusy "server_busy" Server retry=true exit=75 "Too many requests; wait a moment and try again.";
    QuotaReached "quota_reached" Server retry=false exit=69 "The organisation, or its server, is full. Ask the server's administrator.";
    MemberBudgetSpent "member_budget_spent" Server retry=false exit=69 "Whoever invites cancels an invitation that nobody needs (`parsecctl invite list`, `parsecctl invite cancel`); what is over makes room by itself.";
    OrganisationBudgetSpent "organisation_budget_spent" Server retry=false exit=69 "An administrator of the organisation looks who has so many invitations (`parsecctl invite list`) and cancels what nobody needs; the server's administrator can allow more.";
    ClockWrong "clock_wrong" Machine retry=true exit=78 "Set this machine's clock (`timedatectl set-ntp true`), then try again.";

    PeerUnreachable "peer_unreachable" Peer retry=true exit=75 "Are both devices on the same network, and has the other side started? Keep both running, then try again.";
    TransportUnavailable "transport_unavailable" Caller retry=false exit=78 "The peer-to-peer transport is not built in, switched off, or without a network here. Use the server (`--transport server`).";
    TransportRefused "transport_refused" Caller retry=false exit=65 "Take the other transport (`--transport server`), or ask for a new invitation that has what the peer-to-peer one needs.";

    OrganisationUnknown "organisation_unknown" Caller retry=false exit=68 "Check the organisation's name and the server's address.";
    OrganisationExists "organisation_exists" Caller retry=false exit=73 "It was founded already. Ask one of its administrators for an invitation.";
    BootstrapRefused "bootstrap_refused" Caller retry=false exit=77 "Ask the server's administrator for a new bootstrap token.";
    AlreadyMember "already_member" Caller retry=false exit=65 "This address belongs to a member. For another device of theirs, they run `parsecctl invite device`.";
    InvitationUnknown "invitation_unknown" Caller retry=false exit=68 "Ask for a new invitation, or check the link.";
    InvitationInUse "invitation_in_use" Peer retry=true exit=75 "Somebody has already started with this link. If it wasn't you, tell the person who invited you, on the phone.";
    InvitationCancelled "invitation_cancelled" Peer retry=false exit=69 "Ask for a new invitation.";
    InvitationExpired "invitation_expired" Caller retry=false exit=69 "Ask for a new invitation.";
    InvitationExhausted "invitation_exhausted" Interference retry=false exit=76 "Too many wrong codes or attempts: somebody may be interfering. Talk to each other, then make a new invitation.";
    InvitationCompleted "invitation_completed" Caller retry=false exit=65 "The link has been used. If it wasn't you, tell an administrator at once.";
    GreeterTaken "greeter_taken" Peer retry=true exit=75 "Another member is already greeting; leave it to them, or wait until they have ended.";
    Revoked "revoked" Server retry=false exit=77 "This device or user has been revoked. Ask an administrator.";
    KeyChangeDue "key_change_due" Caller retry=true exit=75 "A device of yours was revoked, and whoever has it has your key. Connect to the server and run `parsecctl user rekey`, then go on.";
    UserKeyMissing "user_key_missing" Interference retry=true exit=69 "Unlock another device of yours: it hands this one your present key. If that doesn't help, run `parsecctl user rekey` there.";
    ManifestUntrusted "manifest_untrusted" Interference retry=false exit=76 "A device that has been revoked since wrote there, or the server shows something else than your devices wrote. What this device takes instead is what it had; tell an administrator.";
    DirectoryKeyMissing "directory_key_missing" Peer retry=true exit=75 "Names that were given since are shown as addresses until it comes, and no name is sealed. It is asked for again by itself; the server may have lost it, and the device that made it, or another administrator's, gives it back when it is unlocked. If the device that made it is not to be trusted, an administrator revokes it: then another key is made.";
    DirectoryKeyDue "directory_key_due" Server retry=true exit=75 "Ask again; nothing was signed, and the other side waits. If it stays so: what the message names is in the way (the server's operator, or another administrator who changes the log), and any administrator's device makes the key as well.";
    DirectoryUntrusted "directory_untrusted" Interference retry=false exit=76 "An administrator's device, or its program, handed out a wrong key for names; it was not taken. Ask that administrator; the next key for names puts it right.";
    RecoveryWordsWrong "recovery_words_wrong" Caller retry=true exit=65 "Compare the words with the page, one by one: 24 of them, in the order of their numbers; the first four letters of each are enough.";
    RecoveryKitUnknown "recovery_kit_unknown" Caller retry=false exit=68 "Check that organisation and server are those on the page. A kit that was revoked opens nothing any more: take another one, or ask a member who can invite you.";
    RecoveryKitOfAnother "recovery_kit_of_another" Interference retry=false exit=76 "Check that organisation and server are those on the page. If they are, somebody shows you an organisation that only looks like yours: go no further, and tell an administrator.";
    ShareUnknown "share_unknown" Caller retry=false exit=68 "`parsecctl recovery list` shows the shares that you hold, and your own kits. A kit that was revoked has no shares any more.";
    SharesMissing "shares_missing" Caller retry=false exit=75 "Ask further members who have a share: each runs `parsecctl recovery give`, and you `parsecctl recovery collect` with their link.";
    ShareFalse "share_false" Interference retry=false exit=76 "Somebody's share, or the server's, is not the one that the kit was split into: the message says whose. Ask another member for theirs, and tell an administrator.";
    NotAuthenticated "not_authenticated" Server retry=false exit=77 "The server doesn't know this device. If it was just enrolled, wait until the greeter has registered it.";

    CeremonyUnknown "ceremony_unknown" Caller retry=false exit=68 "It has ended, or the daemon was restarted. Start again with the same link or invitation.";
    NotNow "not_now" Caller retry=false exit=64 "The ceremony is at another step: look at its `stage` and `allowed`.";
    TooManyCeremonies "too_many_ceremonies" Caller retry=true exit=75 "End a running ceremony first.";
    CodeMismatch "code_mismatch" Interference retry=false exit=76 "The codes differ: either one was misheard or somebody is in between. Nothing was certified. Talk to each other, then start again.";
    CodeMalformed "code_malformed" Caller retry=true exit=65 "A code has 4 characters out of A-Z without I and O, and 2-9.";
    CodeOfWrongDirection "code_of_wrong_direction" Caller retry=true exit=65 "That is the code you read out yourself. Give the one you heard from the other person.";
    ChoiceNotOffered "choice_not_offered" Caller retry=true exit=65 "Give one of the codes shown, or say that none fits.";
    TypingRequired "typing_required" Caller retry=true exit=65 "This organisation requires the code to be typed as it was heard.";
    NotConfirmed "not_confirmed" Caller retry=true exit=65 "Ask the newcomer on the phone whether they found your code; only then confirm it.";
    Cancelled "cancelled" Caller retry=true exit=75 "Start again when both have time.";
    PeerCancelled "peer_cancelled" Peer retry=true exit=75 "Talk to each other, then start again.";
    PeerTimedOut "peer_timed_out" Peer retry=true exit=75 "No message came for ten minutes. Start again when both have time.";
    PeerMismatch "peer_mismatch" Interference retry=false exit=76 "The other side saw a code that differs: somebody may be in between. Nothing was certified. Talk to each other, then start again.";
    BadMessage "bad_message" Interference retry=false exit=76 "A message was not what the protocol allows: it was changed on the way, or the other program is broken. Start again.";
    WrongLink "wrong_link" Interference retry=false exit=76 "The two sides do not hold the same link. Check that it is the newest invitation and was copied whole.";
    ChainInvalid "chain_invalid" Interference retry=false exit=76 "The server's log fails verification. Do not go on; tell an administrator of the organisation.";
    RolledBack "rolled_back" Interference retry=false exit=76 "The server has forked the log or rolled it back. Do not go on; tell an administrator of the organisation. Where the server was restored from a backup, `parsecctl trust repair` puts back what it lost.";
    EvidenceInvalid "evidence_invalid" Caller retry=false exit=65 "Ask whoever made the file for another one; a file that was changed on the way shows nothing either.";
    AttemptLost "attempt_lost" Machine retry=true exit=75 "The ceremony was cut off before any key was kept. Start again with the same link.";

    SafeUnknown "safe_unknown" Caller retry=false exit=68 "`parsecctl safe list` shows the safes of this device. One that was shared with you a moment ago comes with the next word of the server.";
    SafeAmbiguous "safe_ambiguous" Caller retry=false exit=64 "Give the id, or more of its digits, as `parsecctl safe list` shows it.";
    SafeRoleTooLow "safe_role_too_low" Caller retry=false exit=77 "Ask an owner of the safe (`parsecctl safe members`) for a higher role.";
    SafeNotAccepted "safe_not_accepted" Caller retry=false exit=77 "Look who shares it (`parsecctl safe show`), and take it with `parsecctl safe accept`.";
    SafeLastOwner "safe_last_owner" Caller retry=false exit=77 "Make somebody else an owner first: `parsecctl safe share SAFE MEMBER --role owner`.";
    SafeNotOpen "safe_not_open" Caller retry=false exit=77 "Its owners have closed the safe for writing. Ask one of them.";
    SafeKeyMissing "safe_key_missing" Peer retry=true exit=75 "Any member who writes in the safe hands you its key as soon as their device is online; nothing is to do.";
    SafeUntrusted "safe_untrusted" Interference retry=false exit=76 "A device of a member, or its program, wrote what it must not; none of it was taken. Ask that member; an owner can take them out with `parsecctl safe unshare`.";
    SafeTakenOver "safe_taken_over" Peer retry=false exit=76 "Look who is in the safe (`parsecctl safe members`), and ask that member, and an administrator, whether its owners have really gone. Whoever owns it can take others out, and let them in again.";
    SafeTooNew "safe_too_new" Caller retry=false exit=78 "A member writes in this safe with a newer Parsec: update this one.";
    SafeFull "safe_full" Caller retry=false exit=69 "The safe has as many members, files or changes as one may have. Begin another safe.";
    RemovalWaits "removal_waits" Caller retry=false exit=75 "Look what would be removed (`parsecctl safe status`), and say whether it shall be: `parsecctl safe confirm SAFE`, or `--discard` to take it back.";
    PathNotFound "path_not_found" Caller retry=false exit=66 "`parsecctl safe ls` shows what is there.";
    PathExists "path_exists" Caller retry=false exit=73 "Take another name, or say that it may be written over (`--force`): the safe keeps the earlier contents.";
    NotAFolder "not_a_folder" Caller retry=false exit=65 "A file has nothing in it that could be listed or written to: name a folder.";
    IsAFolder "is_a_folder" Caller retry=false exit=65 "Name a file, or take the whole folder with `-r`.";
    NotAFile "not_a_file" Caller retry=false exit=65 "Only files have contents: look with `parsecctl safe stat` what it is.";
    FolderNotEmpty "folder_not_empty" Caller retry=false exit=65 "Take everything in it with `-r`.";
    NameInvalid "name_invalid" Caller retry=false exit=65 "A path starts with `/`; a name in it has 1 to 255 bytes, and is not `.` or `..`.";
    NotSharedYet "not_shared_yet" Server retry=true exit=75 "It is saved on this device and goes out by itself; `parsecctl safe status` says what it waits for.";
    ContentsChanged "contents_changed" Caller retry=true exit=75 "The file was written to while it was read, and nothing was kept. Repeat the command when it is at rest.";
    ContentsUnavailable "contents_unavailable" Server retry=true exit=75 "Try again when the server can be reached; `parsecctl safe pin` has contents brought here before.";
    ArchiveDamaged "archive_damaged" Caller retry=false exit=65 "The file is not whole, or is no archive of a safe. Take another copy of it; nothing was made of this one.";
    ArchiveUntrusted "archive_untrusted" Interference retry=false exit=76 "No honest device wrote this file, or it is of another organisation. Nothing was made of it; ask whoever gave it to you, and make a new archive with `parsecctl safe export --sealed`.";
    ContentsDamaged "contents_damaged" Interference retry=false exit=76 "What the server gave are not the contents that a member wrote, and none of it was let through. Tell its administrator; another device of a member may have them.";
    DescriptorMissing "descriptor_missing" Caller retry=false exit=64 "Pass one open file with the request, on the user's own socket (docs/local-api.md, *Contents*).";
}

/// An error as it travels: `data` of a JSON-RPC error, or the end of a ceremony.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Stable name of the problem, such as `wrong_password`.
    pub name: ProblemKind,
    /// What happened, in a sentence for people.
    pub message: String,
    /// Whose fault it is.
    pub fault: Fault,
    /// Advice for people: what to do next.
    pub hint: String,
    /// Whether the same request may work later.
    pub retryable: bool,
    /// The exit code of a CLI.
    pub exit_code: u8,
}

impl Problem {
    /// A problem with what happened this time.
    #[must_use]
    pub fn new(name: ProblemKind, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
            fault: name.fault(),
            hint: name.hint().to_owned(),
            retryable: name.retryable(),
            exit_code: name.exit_code(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_future_does_not_lose_the_rest() {
        let text = r#"{"name":"too_rainy","message":"m","fault":"peer","hint":"h.","retryable":true,"exit_code":75}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!((problem.name, problem.exit_code), (ProblemKind::Other, 75));
    }

    #[test]
    fn names_are_unique_and_hints_are_sentences() {
        let mut names: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert!(kind.hint().ends_with('.'), "{}", kind.name());
            assert!((64..=78).contains(&kind.exit_code()), "{}", kind.name());
        }
    }
}
