//! `org.server`: a server that has moved to another name or port.
//!
//! Decides that a device goes there only where its own log goes on: the new place must show every certificate that this device has
//! verified, up to its head, before anything is changed. Refuses another log, a shorter one, and silence; then the device stays with
//! the address it has. Whatever of its own is under way follows at its next call.

use std::sync::Arc;

use parsec_protocol::control::{OrgMoved, OrgServer, Problem};

use super::invitations;
use crate::engine::command::{Event, Handle};
use crate::os::blocking;
use crate::session::{Session, view};
use crate::store::Devices;

/// Moves a device to another address of its server.
///
/// # Errors
/// Why not; then nothing was changed.
pub(crate) async fn run(
    session: &Arc<Session>,
    devices: Arc<Devices>,
    handle: &Handle,
    request: &OrgServer,
) -> Result<OrgMoved, Problem> {
    let server = session.member.server();
    let there = server.elsewhere(&request.server)?;
    let address = there.address();
    let certificates = session.is_shown_at(&session.member.at(there.clone())).await?;
    let device = session.open.summary.device;
    if address != server.address() {
        // On disk first: a daemon that ends in between goes to the new place, which has shown that it is right.
        let kept = address.clone();
        blocking(move || devices.set_server(device, &kept)).await?;
        server.move_to(&there);
        handle.tell(Event::Moved(device, address.clone())).await;
        tracing::info!(%device, server = %address, certificates, "the device goes to another address");
    }
    let mut summary = session.open.summary.clone();
    summary.server = address;
    let links = invitations::links(session).await?;
    Ok(OrgMoved { device: view(&summary, Some(session)), certificates, links })
}
