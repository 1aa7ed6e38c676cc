//! `ceremony.show`, `ceremony.watch`: a ceremony as it is now, and as it goes on.
//!
//! Decides that a slow reader misses views and never the newest one, and that nothing is sent after
//! the end.

use std::sync::Arc;

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionMessage};
use parsec_protocol::control::{CeremonySelector, method};

use super::errors::object;
use super::methods::{MethodSpec, caller, read};
use crate::engine::command::{Command, Handle};
use crate::enrolment::view::is_over;
use crate::os::caller::Caller;

pub(super) fn register_show(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let CeremonySelector { ceremony } = read(&params)?;
            let watch =
                handle.ask(&caller, spec.needs, |reply| Command::CeremonyWatch(ceremony, reply)).await;
            let view = watch.map_err(|problem| object(&problem))?.borrow().clone();
            Ok::<_, ErrorObjectOwned>(view)
        })
        .map(|_| ())
}

pub(super) fn register_watch(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_subscription(
            spec.name,
            method::CEREMONY_CHANGED,
            method::CEREMONY_UNWATCH,
            move |params, pending, handle, extensions| async move {
                watch(&params, pending, &handle, spec, caller(&extensions)).await
            },
        )
        .map(|_| ())
}

/// Sends every view that a slow reader doesn't miss, the present one first, until the ceremony has
/// ended.
async fn watch(
    params: &Params<'_>,
    pending: PendingSubscriptionSink,
    handle: &Handle,
    spec: &MethodSpec,
    caller: Result<Arc<Caller>, ErrorObjectOwned>,
) {
    let asked = match caller.and_then(|caller| Ok((caller, read::<CeremonySelector>(params)?.ceremony))) {
        Ok((caller, ceremony)) => {
            let asked =
                handle.ask(&caller, spec.needs, |reply| Command::CeremonyWatch(ceremony, reply)).await;
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
