//! One connection: requests in, answers and notifications out.
//!
//! Decides how much one client may have under way: requests, subscriptions, the time a line takes.
//! Refuses more by closing, never by growing. What waits for a client to read it is `outgoing`'s.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use jsonrpsee::types::{Id, Params, Request, error};
use jsonrpsee::{ConnectionId, Extensions, MethodCallback, Methods, RawRpcResponse};
use parsec_protocol::control::{LINE_MAX_BYTES, ProblemKind, Socket};
use serde_json::value::RawValue;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::answer::{answer_line, error_line, refusal, refuse_frame, within_limit};
use super::authorize::Authorize;
use super::client::Client;
use super::connection_limits::Permit;
use super::errors;
use super::frame::{FrameError, Line, LineReader, Step};
use super::outgoing::{self, Out};
use super::passing::{Mailbox, PassingReader, RequestFile};
use super::request::{begun_id, read_request, subscription_id};
use crate::os::caller::Caller;

/// Requests one connection may have under way. A person's terminal has one, a script a few; reading
/// pauses meanwhile, so that their lines stay below 8 MiB.
pub(super) const IN_FLIGHT_MAX: usize = 8;
/// Subscriptions one connection may hold: one for each ceremony there can be, and some to spare.
pub(super) const SUBSCRIPTIONS_MAX: usize = 16;
/// Lines that are no requests before nothing more is read: a program that was mistaken that often
/// does not listen.
const MISTAKES_MAX: usize = 16;
/// How long a line may take from its first byte to its end. A program writes it at once; a person
/// pastes it.
const LINE_TIME: Duration = Duration::from_secs(10);
/// How long a connection may say nothing while nothing runs for it: longer than a person thinks
/// about a code.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long a connection is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For the end of a line.
    pub(super) line: Duration,
    /// For anything, while nothing runs.
    pub(super) idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { line: LINE_TIME, idle: IDLE }
    }
}

/// Notifications of one subscription between its source and this connection.
const NOTIFICATIONS_MAX: usize = 16;

/// A client, and what is served there. One for all requests of the connection.
pub(super) struct Visit {
    methods: Methods,
    /// What a method sees beside its parameters: the client.
    extensions: Extensions,
    authorizer: Arc<dyn Authorize>,
    client: Arc<Client>,
    /// Ids of the subscriptions of this connection: nobody else may end them. The library knows all
    /// connections by the same number.
    held: Mutex<BTreeSet<u64>>,
    permit: Arc<Permit>,
    timeouts: Timeouts,
    mistakes: AtomicUsize,
    /// Ends the reading.
    enough: CancellationToken,
}

impl Visit {
    pub(super) fn new(
        methods: &Methods,
        authorizer: Arc<dyn Authorize>,
        caller: Caller,
        permit: Permit,
        timeouts: Timeouts,
    ) -> Self {
        let (mut methods, client) = (methods.clone(), Arc::new(Client::new(caller)));
        methods.extensions_mut().insert(Arc::clone(&client));
        let extensions = methods.extensions().clone();
        let (permit, enough) = (Arc::new(permit), CancellationToken::new());
        Self {
            methods,
            extensions,
            authorizer,
            client,
            permit,
            timeouts,
            held: Mutex::default(),
            mistakes: AtomicUsize::default(),
            enough,
        }
    }

    /// Counts a line that is no request; after some, nothing more is read.
    fn mistaken(&self) {
        if self.mistakes.fetch_add(1, Ordering::Relaxed) >= MISTAKES_MAX {
            self.enough.cancel();
        }
    }

    /// Calls a method of the table: its answer, and for a subscription what follows. Nothing where
    /// the library can't read what was read here.
    async fn call(&self, request: &Request<'_>, line: &str, file: Option<OwnedFd>) -> Option<RawRpcResponse> {
        let id = request.id.clone();
        let mut extensions = self.extensions.clone();
        extensions.insert(RequestFile::new(file));
        let params = Params::new(request.params.as_deref().map(RawValue::get));
        // Cut off where a line ends, not here.
        let most = usize::MAX;
        let answer = match self.methods.method(&request.method)? {
            MethodCallback::Sync(call) => call(id, params, most, extensions),
            MethodCallback::Async(call) => {
                let (id, params) = (id.into_owned(), params.into_owned());
                call(id, params, ConnectionId(0), most, extensions).await
            }
            // What a subscription is given, the library alone can make.
            MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_) => {
                return self.methods.raw_json_request(line, NOTIFICATIONS_MAX).await.ok();
            }
        };
        Some((answer.into_json(), mpsc::channel(1).1))
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // Each change is one call: a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one client until it leaves, misbehaves, or `shutdown`, or its token is taken back.
pub(super) async fn serve(stream: UnixStream, visit: Visit, shutdown: CancellationToken) {
    let (reader, writer) = stream.into_split();
    let cut = visit.permit.cut().clone();
    let (out, waiting) = outgoing::to(writer, Arc::clone(&visit.permit));
    // Dropped with this call, and its tasks with it: nothing outlives the connection.
    let mut requests = JoinSet::new();
    let write = waiting.write();
    let client = Arc::clone(&visit.client);
    let visit = Arc::new(visit);
    let read = async {
        let mailbox = Mailbox::default();
        let reader = PassingReader::new(reader, mailbox.clone());
        let lines = LineReader::with_files(reader, LINE_MAX_BYTES, mailbox);
        read_requests(lines, &visit, out, &mut requests, &shutdown).await;
    };
    tokio::select! {
        () = cut.cancelled() => {}
        // Answers under way and subscriptions too: what was taken back ends now.
        () = client.revoked() => tracing::info!("closed the connection of a plug-in whose token is over"),
        // The writer ends when every sender is gone, which is when everything has been answered and
        // written.
        ((), ()) = async { tokio::join!(read, write) } => {}
    }
}

/// Takes requests until the end, then waits for those under way.
async fn read_requests(
    mut lines: LineReader<impl tokio::io::AsyncRead + Unpin>,
    visit: &Arc<Visit>,
    out: Out,
    requests: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let subscriptions = Arc::new(Semaphore::new(SUBSCRIPTIONS_MAX));
    // Ends the subscriptions when the client has said its last: they would go on for ever.
    let done = CancellationToken::new();
    let mut timer = Timer::new();
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = Arc::clone(&in_flight).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let line = tokio::select! {
            // A line that is there as well comes too late.
            biased;
            () = shutdown.cancelled() => break,
            () = visit.enough.cancelled() => break,
            line = next_line(&mut lines, &mut timer, &visit.permit, visit.timeouts) => line,
        };
        match line {
            Ok(Some(line)) => {
                let call = Call {
                    visit: Arc::clone(visit),
                    out: out.clone(),
                    done: done.clone(),
                    subscriptions: Arc::clone(&subscriptions),
                };
                requests.spawn(call.run(line, permit));
            }
            Ok(None) => break,
            Err(FrameError::NotUtf8) => {
                visit.mistaken();
                out.send(refusal(
                    Id::Null,
                    error::PARSE_ERROR_CODE,
                    ProblemKind::InvalidRequest,
                    "the line is not UTF-8",
                ));
            }
            Err(FrameError::Io(error)) => {
                tracing::debug!(%error, "a connection failed");
                break;
            }
            Err(other) => {
                out.send(refuse_frame(&other));
                break;
            }
        }
        while requests.try_join_next().is_some() {}
    }
    done.cancel();
    while requests.join_next().await.is_some() {}
}

/// The next line; nothing at the end, or when nothing has come for long and nothing runs.
async fn next_line(
    lines: &mut LineReader<impl tokio::io::AsyncRead + Unpin>,
    timer: &mut Timer,
    permit: &Permit,
    timeouts: Timeouts,
) -> Result<Option<Line>, FrameError> {
    let mut since = Instant::now();
    let mut unfinished = lines.is_unfinished();
    let mut _held = permit.hold_bytes(lines.held());
    let line = loop {
        permit.unfinished(unfinished);
        let deadline = since + if unfinished { timeouts.line } else { timeouts.idle };
        tokio::select! {
            step = lines.step() => match step {
                Ok(Step::Line(line)) => break Ok(Some(line)),
                Ok(Step::End) => break Ok(None),
                Ok(Step::More) => {
                    _held = permit.hold_bytes(lines.held());
                    // The clock starts with the first byte of a line, and empty lines don't set it
                    // back.
                    if lines.is_unfinished() && !unfinished {
                        (since, unfinished) = (Instant::now(), true);
                    }
                }
                Err(error) => break Err(error),
            },
            () = timer.reaches(deadline) => {
                if unfinished {
                    break Err(FrameError::TooSlow);
                }
                if permit.holds_nothing() {
                    tracing::debug!("closed a connection that was idle");
                    break Ok(None);
                }
                since = Instant::now();
            }
        }
    };
    permit.unfinished(false);
    line
}

/// A connection's timer. A deadline that moves away costs nothing until the old one has come: each
/// line sets one, and hardly any is reached.
struct Timer(Pin<Box<Sleep>>);

impl Timer {
    fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(IDLE)))
    }

    /// Waits until then. May be dropped at any await.
    async fn reaches(&mut self, deadline: Instant) {
        if self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        loop {
            self.0.as_mut().await;
            if Instant::now() >= deadline {
                return;
            }
            self.0.as_mut().reset(deadline);
        }
    }
}

/// One request and, for a subscription, what follows.
struct Call {
    visit: Arc<Visit>,
    out: Out,
    done: CancellationToken,
    subscriptions: Arc<Semaphore>,
}

impl Call {
    /// Whether an open file may come with a request: by the method's row, and from the user's own
    /// socket.
    fn takes_file(&self, method: &str) -> bool {
        self.visit.client.caller.socket == Socket::User && self.visit.authorizer.takes_file(method)
    }

    async fn run(self, line: Line, under_way: OwnedSemaphorePermit) {
        let Line { text: line, file } = line;
        let in_flight = (self.visit.permit.begin(false), self.visit.permit.hold_bytes(line.len()));
        let request: Request<'_> = match read_request(&line) {
            Ok(request) => request,
            Err(error) => {
                // The reader's own words may quote what was sent, a password for instance: say only
                // where.
                let text =
                    format!("not a JSON-RPC 2.0 request with an id (line 1, column {})", error.column());
                let code =
                    if error.is_data() { error::INVALID_REQUEST_CODE } else { error::PARSE_ERROR_CODE };
                self.visit.mistaken();
                self.out.send(refusal(Id::Null, code, ProblemKind::InvalidRequest, &text));
                return;
            }
        };
        let id = request.id.clone().into_owned();
        if file.is_some() && !self.takes_file(&request.method) {
            // Closed, and so is the connection: a program that passes files to whoever doesn't ask
            // for them is mistaken about whom it speaks to.
            drop(file);
            // Before it is told: what comes after the answer is read no more.
            self.visit.enough.cancel();
            let text = "no open file comes with this method";
            self.out.send(refusal(id, error::INVALID_REQUEST_CODE, ProblemKind::InvalidRequest, text));
            return;
        }
        let mut subscription = None;
        let mut ending = None;
        match self.visit.methods.method(&request.method) {
            None => {
                let code = error::METHOD_NOT_FOUND_CODE;
                self.out.send(refusal(id, code, ProblemKind::UnknownMethod, "there is no such method"));
                return;
            }
            Some(MethodCallback::Subscription(_)) => {
                match Arc::clone(&self.subscriptions).try_acquire_owned() {
                    Ok(share) => subscription = Some(share),
                    Err(_) => {
                        let code = error::TOO_MANY_SUBSCRIPTIONS_CODE;
                        let text = "this connection holds as many subscriptions as it may";
                        self.out.send(refusal(id, code, ProblemKind::InvalidRequest, text));
                        return;
                    }
                }
            }
            Some(MethodCallback::Unsubscription(_)) => ending = Some(subscription_id(&request)),
            Some(MethodCallback::Sync(_) | MethodCallback::Async(_)) => {}
        }
        if let Err(problem) = self.visit.authorizer.admit(&self.visit.client, &request.method).await {
            self.out.send(error_line(id, &errors::object(&problem)));
            return;
        }
        if ending.is_some_and(|ended| ended.is_none_or(|ended| !self.visit.held().contains(&ended))) {
            self.out.send(answer_line(id, false));
            return;
        }
        // Caught here, so that a panic in a method answers this request with an error and stops
        // there.
        let called = AssertUnwindSafe(self.visit.call(&request, &line, file)).catch_unwind();
        let Some((answer, mut notifications)) = called.await.ok().flatten() else {
            tracing::error!("a method failed without an answer");
            let code = error::INTERNAL_ERROR_CODE;
            self.out.send(refusal(id, code, ProblemKind::Internal, "the daemon failed at this request"));
            return;
        };
        // Known before the answer goes out, so that the client can end it at once.
        let begun = subscription.is_some().then(|| begun_id(answer.get())).flatten();
        self.visit.held().extend(begun);
        self.out.send(within_limit(id, String::from(Box::<str>::from(answer))));
        let watching = subscription.is_some().then(|| self.visit.permit.begin(true));
        drop((under_way, in_flight));
        if watching.is_some() {
            loop {
                // What is here already goes out before the end: the last event, for one.
                let notification = tokio::select! {
                    biased;
                    notification = notifications.recv() => notification,
                    () = self.done.cancelled() => break,
                };
                let Some(notification) = notification else { break };
                let line = Zeroizing::new(String::from(Box::<str>::from(notification)));
                self.out.notify(line, &self.done).await;
            }
        }
        if let Some(begun) = begun {
            self.visit.held().remove(&begun);
        }
    }
}
