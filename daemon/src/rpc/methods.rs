//! The one table of methods: name, what it needs, what it does.
//!
//! Decides nothing else: a method reads its parameters and asks the loop. Refuses parameters it does not know, without
//! repeating them: they may hold a password that landed in the wrong field.

use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionMessage};
use parsec_protocol::control::{
    CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify, CeremonySelector, DeviceSelector,
    Empty, Problem, ProblemKind, method,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::object;
use crate::daemon::command::{Command, Handle};
use crate::enrolment::Act;
use crate::enrolment::view::is_over;

/// What somebody must be allowed to, to call a method. The socket of the user alone allows all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Sees what is there; changes nothing.
    Look,
    /// Takes part in ceremonies and invites.
    Enrol,
    /// Opens and closes devices, founds organisations.
    Own,
}

/// One row of the table.
struct Row {
    name: &'static str,
    right: Right,
    register: fn(&mut RpcModule<Handle>, &'static str) -> Result<(), jsonrpsee::core::RegisterMethodError>,
}

/// Reads parameters. None at all is the same as an empty object.
fn read<T: DeserializeOwned>(params: &Params<'_>) -> Result<T, ErrorObjectOwned> {
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
fn raw<T: Serialize>(result: &T) -> Result<Box<serde_json::value::RawValue>, ErrorObjectOwned> {
    serde_json::value::to_raw_value(result)
        .map_err(|_| object(&Problem::new(ProblemKind::Internal, "A result has no JSON.")))
}

/// A row whose method takes parameters and asks the loop one thing.
macro_rules! ask {
    ($name:ident, $right:ident, |$params:ident: $takes:ty| $command:expr) => {
        Row {
            name: method::$name,
            right: Right::$right,
            register: |module, name| {
                module
                    .register_async_method(name, |params, handle, _| async move {
                        let $params: $takes = read(&params)?;
                        handle
                            .ask($command)
                            .await
                            .map_err(|problem| object(&problem))
                            .and_then(|result| raw(&result))
                    })
                    .map(|_| ())
            },
        }
    };
}

/// The table.
const TABLE: &[Row] = &[
    ask!(STATUS, Look, |_none: Empty| Command::Status),
    ask!(ORG_BOOTSTRAP, Own, |params: _| |reply| Command::OrgBootstrap(params, reply)),
    ask!(DEVICE_LIST, Look, |_none: Empty| Command::DeviceList),
    ask!(DEVICE_UNLOCK, Own, |params: _| |reply| Command::DeviceUnlock(params, reply)),
    ask!(DEVICE_LOCK, Own, |params: DeviceSelector| |reply| Command::DeviceLock(params, reply)),
    ask!(INVITE_USER, Enrol, |params: _| |reply| Command::InviteUser(params, reply)),
    ask!(INVITE_DEVICE, Enrol, |params: _| |reply| Command::InviteDevice(params, reply)),
    ask!(INVITE_LIST, Look, |params: DeviceSelector| |reply| Command::InviteList(params, reply)),
    ask!(INVITE_CANCEL, Enrol, |params: _| |reply| Command::InviteCancel(params, reply)),
    ask!(GREET_START, Enrol, |params: _| |reply| Command::GreetStart(params, reply)),
    ask!(CLAIM_START, Enrol, |params: _| |reply| Command::ClaimStart(params, reply)),
    ask!(CEREMONY_LIST, Look, |_none: Empty| Command::CeremonyList),
    Row { name: method::CEREMONY_SHOW, right: Right::Look, register: register_show },
    ask!(CEREMONY_CHOOSE, Enrol, |params: CeremonyChoose| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Choose(params), reply)
    }),
    ask!(CEREMONY_IDENTIFY, Enrol, |params: CeremonyIdentify| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Identify(params), reply)
    }),
    ask!(CEREMONY_APPROVE, Enrol, |params: CeremonyApprove| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Approve(params), reply)
    }),
    ask!(CEREMONY_FINISH, Own, |params: CeremonyFinish| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Finish(params), reply)
    }),
    ask!(CEREMONY_CANCEL, Enrol, |params: CeremonySelector| |reply| {
        Command::CeremonyAct(params.ceremony, Act::Cancel, reply)
    }),
    ask!(USER_LIST, Look, |params: DeviceSelector| |reply| Command::UserList(params, reply)),
    ask!(TRUST_VERIFY, Look, |params: DeviceSelector| |reply| Command::TrustVerify(params, reply)),
    ask!(TRUST_SHOW, Look, |params: _| |reply| Command::TrustShow(params, reply)),
    Row { name: method::CEREMONY_WATCH, right: Right::Look, register: register_watch },
];

/// All methods, each asking the loop behind `handle`.
///
/// # Errors
/// Two methods have one name: a bug that every test would find.
pub fn module(handle: Handle) -> Result<RpcModule<Handle>, jsonrpsee::core::RegisterMethodError> {
    let mut module = RpcModule::new(handle);
    for row in TABLE {
        (row.register)(&mut module, row.name)?;
    }
    Ok(module)
}

/// Names and rights, for documents and tests.
pub fn table() -> impl Iterator<Item = (&'static str, Right)> {
    TABLE.iter().map(|row| (row.name, row.right))
}

fn register_show(
    module: &mut RpcModule<Handle>,
    name: &'static str,
) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module
        .register_async_method(name, |params, handle, _| async move {
            let CeremonySelector { ceremony } = read(&params)?;
            let watch = handle.ask(|reply| Command::CeremonyWatch(ceremony, reply)).await;
            let view = watch.map_err(|problem| object(&problem))?.borrow().clone();
            Ok::<_, ErrorObjectOwned>(view)
        })
        .map(|_| ())
}

fn register_watch(
    module: &mut RpcModule<Handle>,
    name: &'static str,
) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module
        .register_subscription(
            name,
            method::CEREMONY_CHANGED,
            method::CEREMONY_UNWATCH,
            |params, pending, handle, _| async move { watch(&params, pending, &handle).await },
        )
        .map(|_| ())
}

/// Sends every view that a slow reader doesn't miss, the present one first, until the ceremony has ended.
async fn watch(params: &Params<'_>, pending: PendingSubscriptionSink, handle: &Handle) {
    let asked = match read::<CeremonySelector>(params) {
        Ok(CeremonySelector { ceremony }) => {
            let asked = handle.ask(|reply| Command::CeremonyWatch(ceremony, reply)).await;
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

    #[test]
    fn names_are_unique_and_all_there() {
        let (events, _loop) = tokio::sync::mpsc::channel(1);
        let module = module(Handle::new(events)).unwrap();
        for (name, _) in table() {
            assert!(module.method(name).is_some(), "{name}");
        }
        assert!(module.method(method::CEREMONY_UNWATCH).is_some());
        assert_eq!(table().count() + 1, module.method_names().count());
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
