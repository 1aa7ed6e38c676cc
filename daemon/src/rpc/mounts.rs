//! `mount.start`: the one method whose descriptor is a device.
//!
//! Decides nothing about it: `mount` looks that it is `/dev/fuse`. That whoever asks is the user
//! that the daemon runs as, the socket has decided.

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parsec_protocol::control::MountStart;

use super::errors::object;
use super::methods::{MethodSpec, caller, device, raw, read};
use crate::calls::safes::mounts;
use crate::engine::command::Handle;

pub(super) fn register_start(
    module: &mut RpcModule<Handle>,
    spec: &'static MethodSpec,
) -> Result<(), RegisterMethodError> {
    module
        .register_async_method(spec.name, move |params, handle, extensions| async move {
            let caller = caller(&extensions)?;
            let device = device(&extensions)?;
            let params: MountStart = read(&params)?;
            let select = params.select.clone();
            let started = handle.on_session(&caller, spec.needs, select, move |session| async move {
                mounts::start(session, params, device).await
            });
            started.await.map_err(|problem| object(&problem)).and_then(|result| raw(&result))
        })
        .map(|_| ())
}
