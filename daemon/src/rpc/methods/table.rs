//! The one table of methods: name, what it needs, what it does.
//!
//! Decides nothing else: a method reads its parameters and asks the loop, or has work done with the
//! session that the loop chooses.

use parsec_protocol::control::{
    CacheSet, CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify, CeremonySelector,
    DeviceRevoke, DeviceSelector, Empty, FileConflicts, FileGet, FileGetMany, FileHistory, FileList,
    FileMakeFolder, FileMove, FilePins, FilePut, FilePutMany, FileRemove, FileRestore, FileRestoreTree,
    FileSelector, FileUnpin, InviteCancel, InviteDevice, InviteUser, MountMark, MountUnmark, ReceiptExport,
    RecoveryCreate, RecoveryDrill, RecoveryGive, RecoveryShare, SafeConfirm, SafeCreate, SafeExport,
    SafeImport, SafeLog, SafePrune, SafeRename, SafeRetention, SafeRoom, SafeSelector, SafeShare, SafeStatus,
    SafeSync, SafeUnshare, SafeUsage, SafeVerify, TrashList, TrashRestore, TrustAcknowledge, TrustExport,
    TrustFork, TrustImport, TrustLog, TrustShow, UserProfile, UserRevoke, UserShow, method,
};

use super::{MethodSpec, Permission, Register, caller, file, raw, read};
use crate::calls::admin::{self, Change};
use crate::calls::safes::{
    self, archiving, confirm, files, journal, keeping, membership, past, pruning, status, truth,
};
use crate::calls::{evidence, invitations, members, repair};
use crate::engine::command::{Command, Needs};
use crate::enrolment::Act;
use crate::os::caller::Caller;
use crate::recovery;
use crate::rpc::errors::object;
use crate::rpc::{ceremony, discover, events, fm, hello, mounts, redact, tokens};

/// A method that takes parameters and asks the loop one thing. After `=>`: what is shown of the
/// result to whom.
macro_rules! ask {
    ($name:ident, $may:ident, |$params:ident: $takes:ty| $command:expr) => {
        ask!($name, $may, Permission::$may.needs(), |$params: $takes| $command => |_: &Caller, result| result)
    };
    ($name:ident, $may:ident, |$params:ident: $takes:ty| $command:expr => $shown:expr) => {
        ask!($name, $may, Permission::$may.needs(), |$params: $takes| $command => $shown)
    };
    ($name:ident, $may:ident, $needs:expr, |$params:ident: $takes:ty| $command:expr => $shown:expr) => {
        MethodSpec {
            name: method::$name,
            permission: Permission::$may,
            needs: $needs,
            file: false,
            ends: None,
            register: |module, spec| {
                module
                    .register_async_method(spec.name, move |params, handle, extensions| async move {
                        let caller = caller(&extensions)?;
                        let $params: $takes = read(&params)?;
                        handle
                            .ask(&caller, spec.needs, $command)
                            .await
                            .map_err(|problem| object(&problem))
                            .and_then(|result| raw(&$shown(&caller, result)))
                    })
                    .map(|_| ())
            },
        }
    };
}

/// A method that needs nothing but the session of the device that is meant: its parameters are the
/// selector alone, or have one as `select`. The work runs once the loop has chosen the device and
/// seen what the caller's session must have confirmed; locking ends it.
macro_rules! on_session {
    ($name:ident, $may:ident, |$session:ident| $work:expr) => {
        on_session!($name, $may, Permission::$may.needs(), |$session| $work)
    };
    ($name:ident, $may:ident, |$session:ident, $params:ident: $takes:ty| $work:expr) => {
        on_session!($name, $may, Permission::$may.needs(), |$session, $params: $takes| $work)
    };
    ($name:ident, $may:ident, $needs:expr, |$session:ident| $work:expr) => {
        on_session!(@ $name, $may, $needs, $session, params: DeviceSelector, params.clone(), $work)
    };
    ($name:ident, $may:ident, $needs:expr, |$session:ident, $params:ident: $takes:ty| $work:expr) => {
        on_session!(@ $name, $may, $needs, $session, $params: $takes, $params.select.clone(), $work)
    };
    // One open file comes with the request.
    ($name:ident, $may:ident, |$session:ident, $params:ident: $takes:ty, $file:ident| $work:expr) => {
        on_session!(@ $name, $may, Permission::$may.needs(), $session, $params: $takes, $params.select.clone(),
            true, |extensions| $file, $work)
    };
    (@ $name:ident, $may:ident, $needs:expr, $session:ident, $params:ident: $takes:ty, $select:expr, $work:expr) => {
        on_session!(@ $name, $may, $needs, $session, $params: $takes, $select, false, |extensions|, $work)
    };
    (@ $name:ident, $may:ident, $needs:expr, $session:ident, $params:ident: $takes:ty, $select:expr,
        $with:literal, |$extensions:ident| $($file:ident)?, $work:expr) => {
        MethodSpec {
            name: method::$name,
            permission: Permission::$may,
            needs: $needs,
            file: $with,
            ends: None,
            register: |module, spec| {
                module
                    .register_async_method(spec.name, move |params, handle, $extensions| async move {
                        let caller = caller(&$extensions)?;
                        $(let $file = file(&$extensions)?;)?
                        let $params: $takes = read(&params)?;
                        let select = $select;
                        handle
                            .on_session(&caller, spec.needs, select, move |$session| async move { $work.await })
                            .await
                            .map_err(|problem| object(&problem))
                            .and_then(|result| raw(&result))
                    })
                    .map(|_| ())
            },
        }
    };
}

/// A method that does something else than ask the loop once.
const fn special(name: &'static str, permission: Permission, register: Register) -> MethodSpec {
    MethodSpec { name, permission, needs: permission.needs(), file: false, ends: None, register }
}

/// The table.
pub(super) const TABLE: &[MethodSpec] = &[
    special(method::HELLO, Permission::Anyone, hello::register),
    special(method::DISCOVER, Permission::Anyone, discover::register),
    ask!(STATUS, Watch, |_none: Empty| Command::Status => redact::status),
    ask!(ORG_BOOTSTRAP, Own, |params: _| |reply| Command::OrgBootstrap(params, reply)),
    // It decides whom this device asks from now on.
    ask!(ORG_SERVER, Own, Needs::Confirmation, |params: _| |reply| {
        Command::OrgServer(params, reply)
    } => |_: &Caller, result| result),
    ask!(DEVICE_LIST, Watch, |_none: Empty| Command::DeviceList),
    ask!(DEVICE_UNLOCK, Own, |params: _| |reply| Command::DeviceUnlock(params, reply)),
    ask!(DEVICE_LOCK, Own, |params: DeviceSelector| |reply| Command::DeviceLock(params, reply)),
    ask!(DEVICE_PASSWORD, Own, |params: _| |reply| Command::DevicePassword(params, reply)),
    ask!(DEVICE_FORGET, Own, |params: _| |reply| Command::DeviceForget(params, reply)),
    ask!(DEVICE_RESTORE, Own, |params: _| |reply| Command::DeviceRestore(params, reply)),
    on_session!(DEVICE_REVOKE, Vouch, |session, params: DeviceRevoke| {
        admin::run(&session, Change::DeviceRevoked(params.device))
    }),
    on_session!(INVITE_USER, Vouch, |session, params: InviteUser| invitations::user(&session, params)),
    on_session!(INVITE_DEVICE, Vouch, |session, params: InviteDevice| invitations::device(&session, params)),
    on_session!(INVITE_LIST, Look, |session| invitations::list(&session)),
    on_session!(INVITE_CANCEL, Enrol, |session, params: InviteCancel| {
        invitations::cancel(&session, params.token)
    }),
    ask!(GREET_START, Vouch, |params: _| |reply| Command::GreetStart(params, reply)),
    ask!(CLAIM_START, Enrol, |params: _| |reply| Command::ClaimStart(params, reply)),
    ask!(CEREMONY_LIST, Watch, |_none: Empty| Command::CeremonyList => redact::ceremonies),
    special(method::CEREMONY_SHOW, Permission::Look, ceremony::register_show),
    // The greeter's answer is half of the vouching: whoever gives it in the person's place can pick
    // the code of somebody in the middle. A claimer has no device yet, and so nothing to confirm
    // with.
    ask!(CEREMONY_CHOOSE, Enrol, Needs::Confirmation, |params: CeremonyChoose| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Choose(params), reply)
    } => |_: &Caller, result| result),
    ask!(CEREMONY_IDENTIFY, Enrol, |params: CeremonyIdentify| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Identify(params), reply)
    }),
    ask!(CEREMONY_APPROVE, Vouch, |params: CeremonyApprove| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Approve(params), reply)
    }),
    ask!(CEREMONY_FINISH, Own, |params: CeremonyFinish| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Finish(params), reply)
    }),
    ask!(CEREMONY_CANCEL, Enrol, |params: CeremonySelector| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Cancel, reply)
    }),
    on_session!(USER_LIST, Look, |session| members::list(&session)),
    on_session!(USER_SHOW, Look, |session, params: UserShow| members::user(&session, params.user.as_deref())),
    on_session!(USER_REVOKE, Vouch, |session, params: UserRevoke| {
        admin::run(&session, Change::UserRevoked(params.user))
    }),
    on_session!(USER_PROFILE, Vouch, |session, params: UserProfile| {
        admin::run(&session, Change::Profile(params.user, params.profile))
    }),
    on_session!(USER_REKEY, Vouch, |session| admin::rekey(&session)),
    on_session!(TRUST_VERIFY, Look, |session| members::verify(&session)),
    on_session!(TRUST_SHOW, Look, |session, params: TrustShow| {
        members::show(&session, params.user.as_deref())
    }),
    // It makes a warning to the person go away.
    on_session!(TRUST_ACKNOWLEDGE, Own, Needs::Confirmation, |session, params: TrustAcknowledge| {
        evidence::acknowledge(&session, params.alarm)
    }),
    on_session!(TRUST_LOG, Look, |session, params: TrustLog| evidence::log(&session, params.from)),
    on_session!(TRUST_EXPORT, Look, |session, params: TrustExport| evidence::export(&session, params.from)),
    // What was imported can't be taken back, and moves this device away from every other log.
    on_session!(TRUST_IMPORT, Own, Needs::Confirmation, |session, params: TrustImport| {
        evidence::import(&session, params)
    }),
    // This device stands for it that the log had these certificates, and warnings to the person go
    // away.
    on_session!(TRUST_REPAIR, Own, Needs::Confirmation, |session| repair::run(&session)),
    on_session!(TRUST_FORK, Look, |session, params: TrustFork| {
        evidence::fork(&session, params.alarm, params.offset)
    }),
    on_session!(RECEIPT_LIST, Look, |session| evidence::receipts(&session)),
    on_session!(RECEIPT_EXPORT, Look, |session, params: ReceiptExport| {
        evidence::receipt(&session, params.device)
    }),
    on_session!(SAFE_CREATE, Own, |session, params: SafeCreate| membership::create(&session, params)),
    on_session!(SAFE_LIST, Look, |session| status::list(&session)),
    on_session!(SAFE_SHOW, Look, |session, params: SafeSelector| status::show(&session, params)),
    on_session!(SAFE_MEMBERS, Look, |session, params: SafeSelector| membership::list(&session, params)),
    // Who is let in reads everything that the safe ever had.
    on_session!(SAFE_SHARE, Vouch, |session, params: SafeShare| membership::share(&session, params)),
    on_session!(SAFE_UNSHARE, Vouch, |session, params: SafeUnshare| membership::unshare(&session, params)),
    // Whoever owns a safe takes others out of it.
    on_session!(SAFE_TAKEOVER, Vouch, |session, params: SafeSelector| {
        membership::take_over(&session, params)
    }),
    on_session!(SAFE_ACCEPT, Own, |session, params: SafeSelector| membership::accept(&session, params)),
    on_session!(SAFE_LEAVE, Own, |session, params: SafeSelector| membership::leave(&session, params)),
    on_session!(SAFE_RENAME, Own, |session, params: SafeRename| files::rename_safe(&session, params)),
    on_session!(SAFE_STATUS, Look, |session, params: SafeStatus| status::status(&session, params)),
    on_session!(SAFE_SYNC, Look, |session, params: SafeSync| status::sync(&session, params)),
    // It takes files out of everybody's sight, or lets in what this device did not believe.
    on_session!(SAFE_CONFIRM, Own, Needs::Confirmation, |session, params: SafeConfirm| {
        confirm::run(&session, params)
    }),
    on_session!(FILE_LIST, Look, |session, params: FileList| files::list(&session, params)),
    on_session!(FILE_STAT, Look, |session, params: FileSelector| files::stat(&session, params)),
    on_session!(FILE_MAKE_FOLDER, Own, |session, params: FileMakeFolder| files::make_folder(
        &session, params
    )),
    on_session!(FILE_MOVE, Own, |session, params: FileMove| files::rename(&session, params)),
    on_session!(FILE_COPY, Own, |session, params: FileMove| files::copy(&session, params)),
    on_session!(FILE_REMOVE, Own, |session, params: FileRemove| files::remove(&session, params)),
    on_session!(FILE_PUT, Own, |session, params: FilePut, file| files::put(&session, params, file.into())),
    on_session!(FILE_GET, Look, |session, params: FileGet, file| files::get(&session, params, file.into())),
    on_session!(FILE_PUT_MANY, Own, |session, params: FilePutMany, file| files::put_many(
        &session,
        params,
        file.into()
    )),
    on_session!(FILE_GET_MANY, Look, |session, params: FileGetMany, file| files::get_many(
        &session,
        params,
        file.into()
    )),
    on_session!(FILE_CONFLICTS, Look, |session, params: FileConflicts| files::conflicts(&session, params)),
    // What it fetches costs room of this machine, and nothing of anybody else's.
    on_session!(FILE_PIN, Own, |session, params: FileSelector| keeping::pin(&session, params)),
    on_session!(FILE_UNPIN, Own, |session, params: FileUnpin| keeping::unpin(&session, params)),
    on_session!(FILE_PINS, Look, |session, params: FilePins| keeping::pins(&session, params)),
    on_session!(CACHE_SHOW, Look, |session| keeping::cache(&session)),
    on_session!(CACHE_SET, Own, |session, params: CacheSet| keeping::set_limit(&session, params)),
    on_session!(CACHE_CLEAR, Own, |session| keeping::clear(&session)),
    // What is in the safe, every program of the user's can read and write then, as their other
    // files.
    MethodSpec { file: true, ..special(method::MOUNT_START, Permission::Own, mounts::register_start) },
    on_session!(MOUNT_LIST, Look, |session| safes::mounts::list(&session)),
    special(method::MOUNT_WAIT, Permission::Look, mounts::register_wait),
    on_session!(MOUNT_MARK, Own, |session, params: MountMark| safes::mounts::mark(&session, params)),
    on_session!(MOUNT_UNMARK, Own, |session, params: MountUnmark| safes::mounts::unmark(&session, params)),
    special(method::FM_STATUS, Permission::Watch, fm::register_status),
    special(method::FM_MENU, Permission::Watch, fm::register_menu),
    // Not `own`, as `file.pin` is: a plug-in may be given it, and it costs room of this machine
    // that is taken back as easily.
    special(method::FM_INVOKE, Permission::Watch, fm::register_invoke),
    on_session!(FILE_HISTORY, Look, |session, params: FileHistory| past::history(&session, params)),
    on_session!(FILE_RESTORE, Own, |session, params: FileRestore| past::restore(&session, params)),
    on_session!(FILE_RESTORE_TREE, Own, |session, params: FileRestoreTree| {
        journal::restore_tree(&session, params)
    }),
    on_session!(SAFE_LOG, Look, |session, params: SafeLog| journal::log(&session, params)),
    // What is thrown away nobody brings back; and a shorter time throws away by itself.
    on_session!(SAFE_RETENTION, Own, Needs::Confirmation, |session, params: SafeRetention| {
        pruning::retain(&session, params)
    }),
    on_session!(SAFE_PRUNE, Own, Needs::Confirmation, |session, params: SafePrune| {
        pruning::prune(&session, params)
    }),
    // It puts back what was verified, here and there, and changes nothing that anybody sees.
    on_session!(SAFE_VERIFY, Look, |session, params: SafeVerify, file| truth::verify(&session, params, file)),
    // Sealed as it is stored: whoever opens it needs a member's key, as at the server.
    on_session!(SAFE_EXPORT, Look, |session, params: SafeExport, file| archiving::export(
        &session, params, file
    )),
    on_session!(SAFE_IMPORT, Own, |session, params: SafeImport, file| archiving::import(
        &session, params, file
    )),
    on_session!(SAFE_ROOM, Look, |session, params: SafeRoom| truth::room(&session, params)),
    on_session!(SAFE_USAGE, Look, |session, params: SafeUsage| truth::usage(&session, params)),
    on_session!(TRASH_LIST, Look, |session, params: TrashList| past::trash(&session, params)),
    on_session!(TRASH_RESTORE, Own, |session, params: TrashRestore| past::untrash(&session, params)),
    // Its words are as good as a device of the user's, with no password before it.
    on_session!(RECOVERY_CREATE, Vouch, |session, params: RecoveryCreate| recovery::create(&session, params)),
    on_session!(RECOVERY_SHARE, Vouch, |session, params: RecoveryShare| recovery::share(&session, params)),
    // It invites, as `invite.device` does; what is given is one's own share.
    on_session!(RECOVERY_GIVE, Vouch, |session, params: RecoveryGive| invitations::share(&session, params)),
    ask!(RECOVERY_COMBINE, Own, |params: _| |reply| Command::RecoveryCombine(params, reply)),
    on_session!(RECOVERY_LIST, Look, |session| recovery::list(&session)),
    on_session!(RECOVERY_DRILL, Enrol, |session, params: RecoveryDrill| recovery::drill(&session, params)),
    ask!(RECOVERY_USE, Own, |params: _| |reply| Command::RecoveryUse(params, reply)),
    ask!(DOCTOR, Look, |_none: Empty| Command::Doctor),
    ask!(NET_STATUS, Look, |_none: Empty| Command::NetStatus),
    ask!(NET_PEERS, Look, |_none: Empty| Command::NetPeers),
    // Not `look`: it sends something to the places that a link names.
    ask!(NET_PING, Enrol, |params: _| |reply| Command::NetPing(params, reply)),
    MethodSpec {
        ends: Some(method::CEREMONY_UNWATCH),
        ..special(method::CEREMONY_WATCH, Permission::Look, ceremony::register_watch)
    },
    MethodSpec {
        ends: Some(method::EVENTS_UNWATCH),
        ..special(method::EVENTS_WATCH, Permission::Watch, events::register)
    },
    MethodSpec {
        // It hands permissions on to a program that nobody watches.
        needs: Needs::Confirmation,
        ..special(method::TOKEN_CREATE, Permission::Own, tokens::register_create)
    },
    special(method::TOKEN_LIST, Permission::Look, tokens::register_list),
    special(method::TOKEN_REVOKE, Permission::Own, tokens::register_revoke),
    special(method::TOKEN_USES, Permission::Look, tokens::register_uses),
];
