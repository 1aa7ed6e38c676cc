//! `org.server`: a server that has moved to another name or port.
//!
//! Decides that a device goes there only where its own log goes on: the new place must show every
//! certificate that this device has verified, up to its head, before anything is changed. Refuses
//! another log, a shorter one, and silence; then the device stays with the address it has. Whatever
//! of its own is under way follows at its next call.

use std::sync::Arc;

use parsec_protocol::control::{OrgMoved, OrgServer, Problem};

use super::invitations;
use crate::os::blocking_in;
use crate::session::{Session, view};
use crate::store::Devices;

/// Where a device goes from now on.
#[derive(Debug)]
pub struct Moved {
    /// The new address, or the old one if it is the same.
    pub address: String,
    /// Certificates that the server shows there.
    certificates: u64,
}

/// Moves a device to another address of its server.
///
/// # Errors
/// Why not; then nothing was changed.
pub async fn go(session: &Session, store: Arc<Devices>, request: &OrgServer) -> Result<Moved, Problem> {
    let server = session.member.server();
    let there = server.elsewhere(&request.server)?;
    let address = there.address();
    let certificates = session.is_shown_at(&session.member.at(there.clone())).await?;
    let device = session.open.summary.device;
    if address != server.address() {
        // On disk first: a daemon that ends in between goes to the new place, which has shown that
        // it is right.
        let kept = address.clone();
        blocking_in(&session.tasks, move || store.set_server(device, &kept)).await?;
        server.move_to(&there);
        tracing::info!(%device, server = %address, certificates, "the device goes to another address");
    }
    Ok(Moved { address, certificates })
}

/// The device at its new address, and the links of its open invitations anew.
///
/// # Errors
/// As [`invitations::links`].
pub async fn answer(session: &Arc<Session>, moved: Moved) -> Result<OrgMoved, Problem> {
    let links = invitations::links(session).await?;
    let mut summary = session.open.summary.clone();
    summary.server = moved.address;
    Ok(OrgMoved { device: view(&summary, Some(session)), certificates: moved.certificates, links })
}
