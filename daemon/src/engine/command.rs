//! The closed set of things that can happen to the daemon, and how a request reaches its loop.
//!
//! Decides that whatever changes the daemon's state is one of these values, handled one after the other.

use std::sync::Arc;

use parsec_protocol::control::{
    CeremonyId, CeremonyListResult, CeremonyView, ClaimStart, DeviceForget, DeviceListResult, DevicePassword,
    DeviceRestore, DeviceRevoke, DeviceSelector, DeviceUnlock, DeviceView, DoctorResult, Empty, FilePart,
    GreetStart, InviteCancel, InviteDevice, InviteListResult, InviteResult, InviteUser, Member, NetPeers,
    NetPing, NetPinged, NetStatus, OrgBootstrap, OrgBootstrapped, OrgMoved, OrgServer, Problem,
    ReceiptExport, ReceiptListResult, Registration, StatusResult, TrustAcknowledge, TrustAcknowledged,
    TrustExport, TrustExported, TrustFork, TrustImport, TrustImported, TrustLog, TrustLogResult,
    TrustRepaired, TrustShow, TrustShowResult, TrustVerifyResult, UserListResult, UserProfile, UserRevoke,
    UserShow, UserShowResult,
};
use parsec_protocol::ids::DeviceId;
use tokio::sync::{mpsc, oneshot, watch};

use super::unlock::{Given, Tried};
use crate::enrolment::Act;
use crate::events::{Hub, Reason};
use crate::os::caller::{Caller, CallerSession};
use crate::problems;
use crate::session::Session;
use crate::store::{DeviceSummary, OpenDevice};
use crate::tokens::Desk;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// What a local program asks: one for each method.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the method of the same name; docs/local-api.md says what it does")]
pub enum Command {
    Status(Reply<StatusResult>),
    Doctor(Reply<DoctorResult>),
    OrgBootstrap(OrgBootstrap, Reply<OrgBootstrapped>),
    OrgServer(OrgServer, Reply<OrgMoved>),
    DeviceList(Reply<DeviceListResult>),
    DeviceUnlock(DeviceUnlock, Reply<DeviceView>),
    DeviceLock(DeviceSelector, Reply<DeviceView>),
    DevicePassword(DevicePassword, Reply<DeviceView>),
    DeviceForget(DeviceForget, Reply<Empty>),
    DeviceRestore(DeviceRestore, Reply<DeviceView>),
    DeviceRevoke(DeviceRevoke, Reply<Member>),
    InviteUser(InviteUser, Reply<InviteResult>),
    InviteDevice(InviteDevice, Reply<InviteResult>),
    InviteList(DeviceSelector, Reply<InviteListResult>),
    InviteCancel(InviteCancel, Reply<Empty>),
    GreetStart(GreetStart, Reply<CeremonyView>),
    ClaimStart(ClaimStart, Reply<CeremonyView>),
    CeremonyList(Reply<CeremonyListResult>),
    CeremonyWatch(CeremonyId, Reply<watch::Receiver<CeremonyView>>),
    CeremonyAct(CeremonyId, Act, Reply<CeremonyView>),
    UserList(DeviceSelector, Reply<UserListResult>),
    UserShow(UserShow, Reply<UserShowResult>),
    UserRevoke(UserRevoke, Reply<Member>),
    UserProfile(UserProfile, Reply<Member>),
    TrustVerify(DeviceSelector, Reply<TrustVerifyResult>),
    TrustShow(TrustShow, Reply<TrustShowResult>),
    TrustAcknowledge(TrustAcknowledge, Reply<TrustAcknowledged>),
    TrustLog(TrustLog, Reply<TrustLogResult>),
    TrustExport(TrustExport, Reply<TrustExported>),
    TrustImport(TrustImport, Reply<TrustImported>),
    TrustRepair(DeviceSelector, Reply<TrustRepaired>),
    TrustFork(TrustFork, Reply<FilePart>),
    ReceiptList(DeviceSelector, Reply<ReceiptListResult>),
    ReceiptExport(ReceiptExport, Reply<FilePart>),
    NetStatus(Reply<NetStatus>),
    NetPeers(Reply<NetPeers>),
    NetPing(NetPing, Reply<NetPinged>),
    /// Nothing but the question whether the caller may hand on what concerns every device on this machine.
    HandOn(Reply<Empty>),
}

/// What a request needs beside the right to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// That the caller's session has given the password (docs/decisions/0012).
    Confirmation,
}

/// Who asks, and what the table of methods says about what they ask.
#[derive(Debug)]
pub struct Asker {
    /// Who.
    pub caller: Arc<Caller>,
    /// Beside the right, which the socket has checked.
    pub needs: Needs,
    /// Where a refusal goes, whatever the answer would have been.
    pub refuse: oneshot::Sender<Problem>,
}

/// For whom a device was opened, and whose word that was.
#[derive(Debug)]
pub enum OpenedFor {
    /// `org.bootstrap`
    Founding(Reply<OrgBootstrapped>, Option<CallerSession>),
    /// A claim that kept its keys; it waits for nothing.
    Claim(Option<CallerSession>),
}

impl OpenedFor {
    /// The session that gave the password.
    #[must_use]
    pub const fn by(&self) -> Option<&CallerSession> {
        match self {
            Self::Founding(_, by) | Self::Claim(by) => by.as_ref(),
        }
    }
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A local program asks.
    Command(Asker, Command),
    /// A password that somebody gave has been tried.
    Tried(Given, Tried),
    /// A device's keys came into memory for the first time: a founding, a claim.
    Opened(Box<OpenDevice>, OpenedFor),
    /// Its stored log has been verified.
    Started(Arc<Session>, OpenedFor),
    /// Somebody says whether a device is certified.
    Registered(DeviceId, Registration),
    /// A device has found itself in the verified log.
    Certified(DeviceId),
    /// A device's server is at another address.
    Moved(DeviceId, String),
    /// What is on disk after a founding that did not succeed: an unfinished device may be there.
    Listed(Vec<DeviceSummary>),
    /// A device is to be locked, and nothing runs for it any more.
    Closed(DeviceId, Reason),
    /// A device's folder is gone, or could not be removed.
    Forgotten(DeviceSummary, Result<(), Problem>, Reply<Empty>),
}

/// Events that may wait for the loop. Clients are bounded by the socket, tasks by their owners; the loop never blocks.
pub const EVENTS_MAX: usize = 256;

/// The way to the loop.
#[derive(Debug, Clone)]
pub struct Handle {
    events: mpsc::Sender<Event>,
    tokens: Desk,
    hub: Hub,
}

impl Handle {
    /// Speaks to the loop that reads the other end.
    #[must_use]
    pub const fn new(events: mpsc::Sender<Event>, tokens: Desk, hub: Hub) -> Self {
        Self { events, tokens, hub }
    }

    /// What the loop tells everybody.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Asks the loop for somebody and waits for its answer.
    ///
    /// # Errors
    /// The answer's problem; `confirmation_required`; `shutting_down` if there is no loop any more.
    pub async fn ask<T>(
        &self,
        caller: &Arc<Caller>,
        needs: Needs,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let (refuse, refused) = oneshot::channel();
        let asker = Asker { caller: Arc::clone(caller), needs, refuse };
        self.tell(Event::Command(asker, command(reply))).await;
        match answer.await {
            Ok(answer) => answer,
            // The loop drops one of the two; both, if it has ended.
            Err(_) => Err(refused.await.unwrap_or_else(|_| problems::stopping())),
        }
    }

    /// Where plug-ins' tokens are recognised and counted.
    #[must_use]
    pub const fn tokens(&self) -> &Desk {
        &self.tokens
    }

    /// Reports something to the loop.
    pub async fn tell(&self, event: Event) {
        // Without a loop the daemon is stopping, and nobody waits for this.
        let _ = self.events.send(event).await;
    }
}
