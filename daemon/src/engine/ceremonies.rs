//! The ceremonies of this daemon, under way or ended.
//!
//! Decides their numbers, and how many are kept. Refuses more than it can show.

use std::collections::BTreeMap;

use parsec_protocol::control::{CeremonyId, CeremonyView, Problem, ProblemKind, Role};
use parsec_protocol::ids::{DeviceId, OrganisationId, Token};
use tokio::sync::{mpsc, watch};

use crate::enrolment::view::{ViewPublisher, is_over};
use crate::enrolment::{REQUESTS_MAX, Request};
use crate::events::Hub;

/// Ceremonies under way at once. A person has one; a script at an enrolment desk some tens.
const LIVE_MAX: usize = 64;

/// A ceremony, under way or ended.
#[derive(Debug)]
struct Ceremony {
    view: watch::Receiver<CeremonyView>,
    requests: mpsc::Sender<Request>,
    /// The greeter's device; a claimer has none yet.
    device: Option<DeviceId>,
}

/// All ceremonies that are shown.
#[derive(Debug)]
pub(super) struct CeremonyTable {
    all: BTreeMap<CeremonyId, Ceremony>,
    next: u64,
    hub: Hub,
}

impl CeremonyTable {
    /// No ceremony yet.
    pub(super) const fn new(hub: Hub) -> Self {
        Self { all: BTreeMap::new(), next: 1, hub }
    }

    /// How many are under way.
    pub(super) fn live(&self) -> usize {
        self.all.values().filter(|it| !is_over(&it.view.borrow())).count()
    }

    /// All views as they are now.
    pub(super) fn views(&self) -> Vec<CeremonyView> {
        self.all.values().map(|ceremony| ceremony.view.borrow().clone()).collect()
    }

    /// Begins a ceremony and tells of it; the oldest of those ended make room. What publishes its
    /// view, and what people ask of it.
    ///
    /// # Errors
    /// `too_many_ceremonies`.
    pub(super) fn begin(
        &mut self,
        role: Role,
        organisation: OrganisationId,
        token: Option<Token>,
        device: Option<DeviceId>,
    ) -> Result<(ViewPublisher, mpsc::Receiver<Request>), Problem> {
        if self.live() >= LIVE_MAX {
            let text = format!("{LIVE_MAX} ceremonies are under way.");
            return Err(Problem::new(ProblemKind::TooManyCeremonies, text));
        }
        let id = CeremonyId(self.next);
        self.next = self.next.saturating_add(1);
        let shown = ViewPublisher::new(id, role, organisation, token);
        for gone in self.hub.ceremony_started(&shown.now()) {
            self.all.remove(&gone);
        }
        let shown = shown.told_to(self.hub.clone());
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        self.all.insert(id, Ceremony { view: shown.watch(), requests, device });
        Ok((shown, queue))
    }

    fn get(&self, id: CeremonyId) -> Result<&Ceremony, Problem> {
        self.all
            .get(&id)
            .ok_or_else(|| Problem::new(ProblemKind::CeremonyUnknown, "There is no ceremony of this number."))
    }

    /// A ceremony's view, for a program that watches it.
    ///
    /// # Errors
    /// `ceremony_unknown`.
    pub(super) fn watch(&self, id: CeremonyId) -> Result<watch::Receiver<CeremonyView>, Problem> {
        self.get(id).map(|ceremony| ceremony.view.clone())
    }

    /// The device that a ceremony speaks for, if there is such a ceremony and it has a device here.
    pub(super) fn device(&self, id: CeremonyId) -> Option<DeviceId> {
        self.get(id).ok().and_then(|ceremony| ceremony.device)
    }

    /// Whether a device is greeting.
    pub(super) fn greets(&self, device: DeviceId) -> bool {
        self.all.values().any(|it| it.device == Some(device) && !is_over(&it.view.borrow()))
    }

    /// A greeting of this invitation that is under way: two would take each other's messages.
    pub(super) fn greeting(&self, token: Token) -> Option<CeremonyView> {
        let mut views = self.all.values().map(|ceremony| ceremony.view.borrow().clone());
        views.find(|view| view.role == Role::Greeter && view.token == Some(token) && view.outcome.is_none())
    }

    /// Hands a person's request to a ceremony, which answers it; or answers why that can't be.
    pub(super) fn act(&self, id: CeremonyId, request: Request) {
        let not_now = |request: Request, text| {
            let _ = request.reply.send(Err(Problem::new(ProblemKind::NotNow, text)));
        };
        let ceremony = match self.get(id) {
            Ok(ceremony) => ceremony,
            Err(problem) => {
                let _ = request.reply.send(Err(problem));
                return;
            }
        };
        match ceremony.requests.try_send(request) {
            Ok(()) => {}
            // A full queue means that a program sends requests without waiting for answers.
            Err(mpsc::error::TrySendError::Full(request)) => {
                not_now(request, "Too many requests at once for this ceremony.");
            }
            Err(mpsc::error::TrySendError::Closed(request)) => not_now(request, "The ceremony has ended."),
        }
    }
}
