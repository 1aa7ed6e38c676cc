//! The one table of methods: name, what it needs, what it does.
//!
//! Decides nothing else: a method reads its parameters and asks the loop. Refuses parameters it does not know, without
//! repeating them: they may hold a password that landed in the wrong field.

use std::sync::Arc;

use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Extensions, PendingSubscriptionSink, RpcModule, SubscriptionMessage};
use parsec_protocol::control::{
    CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify, CeremonySelector, DeviceSelector,
    Empty, Problem, ProblemKind, method,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::object;
use super::{events, hello, redact, tokens};
use crate::engine::command::{Command, Handle, Needs};
use crate::enrolment::Act;
use crate::enrolment::view::is_over;
use crate::os::caller::Caller;

/// What somebody must be allowed to, to call a method. The user's own socket allows all of it, the plug-in socket
/// [`Right::Anyone`] and, of [`Right::Watch`], what a token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Asks what this is.
    Anyone,
    /// Sees that something goes on. A plug-in may be given it.
    Watch,
    /// Sees what is there, people's names and codes included; changes nothing.
    Look,
    /// Takes part in ceremonies (the greeter's answer needs a confirmation), and takes back what was given.
    Enrol,
    /// Signs in the user's name: invites and vouches. Needs the confirmation of a person at the caller's session.
    Vouch,
    /// Opens and closes devices, founds organisations, gives plug-ins their tokens.
    Own,
}

impl Right {
    /// Its name in `rpc.hello`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Watch => "watch",
            Self::Look => "look",
            Self::Enrol => "enrol",
            Self::Vouch => "vouch",
            Self::Own => "own",
        }
    }

    /// Who signs in the user's name must have given the password.
    const fn needs(self) -> Needs {
        match self {
            Self::Vouch => Needs::Confirmation,
            Self::Anyone | Self::Watch | Self::Look | Self::Enrol | Self::Own => Needs::Nothing,
        }
    }
}

/// Registers a method under the name of its row.
type Register = fn(&mut RpcModule<Handle>, &'static Row) -> Result<(), jsonrpsee::core::RegisterMethodError>;

/// One row of the table.
pub(super) struct Row {
    /// `noun.verb`
    pub(super) name: &'static str,
    /// What calling it takes.
    pub(super) right: Right,
    /// What it takes beside.
    pub(super) needs: Needs,
    /// A subscription's other method, which ends it.
    pub(super) ends: Option<&'static str>,
    register: Register,
}

/// Reads parameters. None at all is the same as an empty object.
pub(super) fn read<T: DeserializeOwned>(params: &Params<'_>) -> Result<T, ErrorObjectOwned> {
    let refuse = |text: String| object(&Problem::new(ProblemKind::InvalidRequest, text));
    let text = params.as_str().unwrap_or("{}");
    if !text.trim_start().starts_with('{') {
        return Err(refuse("Parameters are given by name, in an object.".into()));
    }
    serde_json::from_str(text).map_err(|error| {
        // serde's words may quote a value; the place says enough.
        refuse(format!("The parameters are not what this method takes (column {}).", error.column()))
    })
}

/// A result's text. Not a clone of the result: links in it are wiped when it is dropped.
pub(super) fn raw<T: Serialize>(result: &T) -> Result<Box<serde_json::value::RawValue>, ErrorObjectOwned> {
    serde_json::value::to_raw_value(result)
        .map_err(|_| object(&Problem::new(ProblemKind::Internal, "A result has no JSON.")))
}

/// Who asks, as the connection noted it.
pub(super) fn caller(extensions: &Extensions) -> Result<Arc<Caller>, ErrorObjectOwned> {
    let missing = || object(&Problem::new(ProblemKind::Internal, "A request came from nobody."));
    extensions.get::<Arc<Caller>>().cloned().ok_or_else(missing)
}

/// A row whose method takes parameters and asks the loop one thing. After `=>`: what is shown of the result to whom.
macro_rules! ask {
    ($name:ident, $right:ident, |$params:ident: $takes:ty| $command:expr) => {
        ask!($name, $right, Right::$right.needs(), |$params: $takes| $command => |_: &Caller, result| result)
    };
    ($name:ident, $right:ident, |$params:ident: $takes:ty| $command:expr => $shown:expr) => {
        ask!($name, $right, Right::$right.needs(), |$params: $takes| $command => $shown)
    };
    ($name:ident, $right:ident, $needs:expr, |$params:ident: $takes:ty| $command:expr => $shown:expr) => {
        Row {
            name: method::$name,
            right: Right::$right,
            needs: $needs,
            ends: None,
            register: |module, row| {
                module
                    .register_async_method(row.name, move |params, handle, extensions| async move {
                        let caller = caller(&extensions)?;
                        let $params: $takes = read(&params)?;
                        handle
                            .ask(&caller, row.needs, $command)
                            .await
                            .map_err(|problem| object(&problem))
                            .and_then(|result| raw(&$shown(&caller, result)))
                    })
                    .map(|_| ())
            },
        }
    };
}

/// A row that does something else than ask the loop once.
const fn special(name: &'static str, right: Right, register: Register) -> Row {
    Row { name, right, needs: right.needs(), ends: None, register }
}

/// The table.
pub(super) const TABLE: &[Row] = &[
    special(method::HELLO, Right::Anyone, register_hello),
    special(method::DISCOVER, Right::Anyone, super::discover::register),
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
    ask!(DEVICE_REVOKE, Vouch, |params: _| |reply| Command::DeviceRevoke(params, reply)),
    ask!(INVITE_USER, Vouch, |params: _| |reply| Command::InviteUser(params, reply)),
    ask!(INVITE_DEVICE, Vouch, |params: _| |reply| Command::InviteDevice(params, reply)),
    ask!(INVITE_LIST, Look, |params: DeviceSelector| |reply| Command::InviteList(params, reply)),
    ask!(INVITE_CANCEL, Enrol, |params: _| |reply| Command::InviteCancel(params, reply)),
    ask!(GREET_START, Vouch, |params: _| |reply| Command::GreetStart(params, reply)),
    ask!(CLAIM_START, Enrol, |params: _| |reply| Command::ClaimStart(params, reply)),
    ask!(CEREMONY_LIST, Watch, |_none: Empty| Command::CeremonyList => redact::ceremonies),
    special(method::CEREMONY_SHOW, Right::Look, register_show),
    // The greeter's answer is half of the vouching: whoever gives it in the person's place can pick the code of somebody in
    // the middle. A claimer has no device yet, and so nothing to confirm with.
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
    ask!(USER_LIST, Look, |params: DeviceSelector| |reply| Command::UserList(params, reply)),
    ask!(USER_SHOW, Look, |params: _| |reply| Command::UserShow(params, reply)),
    ask!(USER_REVOKE, Vouch, |params: _| |reply| Command::UserRevoke(params, reply)),
    ask!(USER_PROFILE, Vouch, |params: _| |reply| Command::UserProfile(params, reply)),
    ask!(TRUST_VERIFY, Look, |params: DeviceSelector| |reply| Command::TrustVerify(params, reply)),
    ask!(TRUST_SHOW, Look, |params: _| |reply| Command::TrustShow(params, reply)),
    // It makes a warning to the person go away.
    ask!(TRUST_ACKNOWLEDGE, Own, Needs::Confirmation, |params: _| |reply| {
        Command::TrustAcknowledge(params, reply)
    } => |_: &Caller, result| result),
    ask!(TRUST_LOG, Look, |params: _| |reply| Command::TrustLog(params, reply)),
    ask!(TRUST_EXPORT, Look, |params: _| |reply| Command::TrustExport(params, reply)),
    // What was imported can't be taken back, and moves this device away from every other log.
    ask!(TRUST_IMPORT, Own, Needs::Confirmation, |params: _| |reply| {
        Command::TrustImport(params, reply)
    } => |_: &Caller, result| result),
    // This device stands for it that the log had these certificates, and warnings to the person go away.
    ask!(TRUST_REPAIR, Own, Needs::Confirmation, |params: DeviceSelector| |reply| {
        Command::TrustRepair(params, reply)
    } => |_: &Caller, result| result),
    ask!(TRUST_FORK, Look, |params: _| |reply| Command::TrustFork(params, reply)),
    ask!(RECEIPT_LIST, Look, |params: DeviceSelector| |reply| Command::ReceiptList(params, reply)),
    ask!(RECEIPT_EXPORT, Look, |params: _| |reply| Command::ReceiptExport(params, reply)),
    ask!(DOCTOR, Look, |_none: Empty| Command::Doctor),
    ask!(NET_STATUS, Look, |_none: Empty| Command::NetStatus),
    ask!(NET_PEERS, Look, |_none: Empty| Command::NetPeers),
    // Not `look`: it sends something to the places that a link names.
    ask!(NET_PING, Enrol, |params: _| |reply| Command::NetPing(params, reply)),
    Row {
        ends: Some(method::CEREMONY_UNWATCH),
        ..special(method::CEREMONY_WATCH, Right::Look, register_watch)
    },
    Row {
        ends: Some(method::EVENTS_UNWATCH),
        ..special(method::EVENTS_WATCH, Right::Watch, events::register)
    },
    Row {
        // It hands rights on to a program that nobody watches.
        needs: Needs::Confirmation,
        ..special(method::TOKEN_CREATE, Right::Own, tokens::register_create)
    },
    special(method::TOKEN_LIST, Right::Look, tokens::register_list),
    special(method::TOKEN_REVOKE, Right::Own, tokens::register_revoke),
    special(method::TOKEN_USES, Right::Look, tokens::register_uses),
];

/// All methods, each asking the loop behind `handle`.
///
/// # Errors
/// Two methods have one name: a bug that every test would find.
pub fn module(handle: Handle) -> Result<RpcModule<Handle>, jsonrpsee::core::RegisterMethodError> {
    let mut module = RpcModule::new(handle);
    for row in TABLE {
        (row.register)(&mut module, row)?;
    }
    Ok(module)
}

/// Names and rights, for documents and tests.
pub fn table() -> impl Iterator<Item = (&'static str, Right)> {
    TABLE.iter().map(|row| (row.name, row.right))
}

/// The row of a method, or of the subscription that it ends.
pub(super) fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name || row.ends == Some(name))
}

fn register_hello(
    module: &mut RpcModule<Handle>,
    row: &'static Row,
) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module
        .register_async_method(row.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let said = hello::hello(&caller, &handle, read(&params)?).await;
            said.map_err(|problem| object(&problem)).and_then(|result| raw(&result))
        })
        .map(|_| ())
}

fn register_show(
    module: &mut RpcModule<Handle>,
    row: &'static Row,
) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module
        .register_async_method(row.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let CeremonySelector { ceremony } = read(&params)?;
            let watch = handle.ask(&caller, row.needs, |reply| Command::CeremonyWatch(ceremony, reply)).await;
            let view = watch.map_err(|problem| object(&problem))?.borrow().clone();
            Ok::<_, ErrorObjectOwned>(view)
        })
        .map(|_| ())
}

fn register_watch(
    module: &mut RpcModule<Handle>,
    row: &'static Row,
) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module
        .register_subscription(
            row.name,
            method::CEREMONY_CHANGED,
            method::CEREMONY_UNWATCH,
            move |params, pending, handle, extensions| async move {
                watch(&params, pending, &handle, row, caller(&extensions)).await
            },
        )
        .map(|_| ())
}

/// Sends every view that a slow reader doesn't miss, the present one first, until the ceremony has ended.
async fn watch(
    params: &Params<'_>,
    pending: PendingSubscriptionSink,
    handle: &Handle,
    row: &Row,
    caller: Result<Arc<Caller>, ErrorObjectOwned>,
) {
    let asked = match caller.and_then(|caller| Ok((caller, read::<CeremonySelector>(params)?.ceremony))) {
        Ok((caller, ceremony)) => {
            let asked = handle.ask(&caller, row.needs, |reply| Command::CeremonyWatch(ceremony, reply)).await;
            asked.map_err(|problem| object(&problem))
        }
        Err(error) => Err(error),
    };
    let mut view = match asked {
        Ok(view) => view,
        Err(error) => return pending.reject(error).await,
    };
    let Ok(sink) = pending.accept().await else { return };
    loop {
        let now = view.borrow_and_update().clone();
        let Ok(message) = serde_json::value::to_raw_value(&now) else { return };
        if sink.send(SubscriptionMessage::from(message)).await.is_err() || is_over(&now) {
            return;
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() {
                return;
            },
            () = sink.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Hub;

    #[test]
    fn names_are_unique_and_all_there() {
        let (events, _loop) = tokio::sync::mpsc::channel(1);
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::TokenStore::open(&folder.path().join("data")).unwrap();
        let hub = Hub::new(Vec::new()).unwrap();
        let (_, desk) = crate::tokens::Keeper::new(store, hub.clone());
        let module = module(Handle::new(events, desk, hub)).unwrap();
        for name in TABLE.iter().flat_map(|row| [Some(row.name), row.ends]).flatten() {
            assert!(module.method(name).is_some(), "{name}");
        }
        // Nothing is registered that has no row, and so no right.
        for name in module.method_names() {
            assert!(row(name).is_some(), "{name}");
        }
    }

    #[tokio::test]
    async fn no_parameters_are_left_out_null_or_an_empty_object() {
        let (events, _loop) = tokio::sync::mpsc::channel(1);
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::TokenStore::open(&folder.path().join("data")).unwrap();
        let hub = Hub::new(Vec::new()).unwrap();
        let (_, desk) = crate::tokens::Keeper::new(store, hub.clone());
        let module = module(Handle::new(events, desk, hub)).unwrap();
        for (params, taken) in [
            ("", true),
            (r#","params":null"#, true),
            (r#","params":{}"#, true),
            (r#","params":[]"#, false),
            (r#","params":[null]"#, false),
            (r#","params":{"x":null}"#, false),
        ] {
            let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"rpc.discover"{params}}}"#);
            let (answer, _) = module.raw_json_request(&request, 1).await.unwrap();
            assert_eq!(answer.get().contains("\"result\""), taken, "{params}: {}", answer.get());
        }
    }

    #[test]
    fn what_signs_in_the_users_name_needs_a_confirmation() {
        let vouching = [
            method::INVITE_USER,
            method::INVITE_DEVICE,
            method::GREET_START,
            method::CEREMONY_APPROVE,
            method::DEVICE_REVOKE,
            method::USER_REVOKE,
            method::USER_PROFILE,
        ];
        for row in TABLE {
            let needs = vouching.contains(&row.name)
                || matches!(
                    row.name,
                    method::CEREMONY_CHOOSE
                        | method::ORG_SERVER
                        | method::TOKEN_CREATE
                        | method::TRUST_ACKNOWLEDGE
                        | method::TRUST_IMPORT
                        | method::TRUST_REPAIR
                );
            assert_eq!(row.needs == Needs::Confirmation, needs, "{}", row.name);
        }
    }

    #[test]
    fn unknown_fields_are_refused_and_not_repeated() {
        let params = Params::new(Some(r#"{"selekt":{},"password":"hunter2hunter2"}"#));
        let error = read::<parsec_protocol::control::DeviceUnlock>(&params).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(read::<Empty>(&Params::new(None)).is_ok());
        assert!(read::<Empty>(&Params::new(Some("[]"))).is_err());
    }
}
