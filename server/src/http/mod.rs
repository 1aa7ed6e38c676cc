//! The one entry: every request comes in through [`handle`] and goes out through it.
//!
//! Decides order: what call it is, whether its sender asks too much, then the family's own checks.
//! Logs the call's pattern, never a path, a header or a body.

mod admission;
mod anonymous;
mod authenticated;
mod body;
mod connection_limits;
mod connections;
mod device_events;
pub(crate) mod directory;
mod events;
mod installing;
mod invited;
mod presence;
mod recovery;
mod registering;
mod repairing;
mod route;
mod safes;
mod shares;
mod signed;
mod user_keys;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use parsec_protocol::relay::{HEADER_SERVER, SERVER_GENERATION};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use connection_limits::ConnectionLimits;
pub(crate) use connections::Limited;
pub(crate) use presence::Presence;
pub(crate) use safes::TurnsOver;
pub(crate) use signed::Nonces;

use crate::budgets::Budgets;
use crate::clock::Clock;
use crate::errors::Refusal;
use crate::install::Programs;
use crate::mail::Mailer;
use crate::mail_queue::MailQueue;
use crate::objects::Folder;
use crate::quota::{Key, Quota};
use crate::reload::Current;
use crate::safes::Quotas;
use crate::store::Store;
use crate::watchers::Watchers;
use route::Route;

/// How long a request may take, its body's arrival included. Event streams are only opened within
/// it.
const REQUEST_WAIT: Duration = Duration::from_secs(60);

/// The bytes of large objects.
pub(crate) struct Objects {
    pub(crate) store: Folder,
    /// Held for reading from when files get their names until their rows are there; for writing
    /// while files go whose rows have gone.
    pub(crate) publishing: RwLock<()>,
}

/// What all requests share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) clock: Clock,
    pub(crate) quota: Quota,
    pub(crate) budgets: Budgets,
    pub(crate) safe_quotas: Quotas,
    pub(crate) turns_over: TurnsOver,
    pub(crate) past_logs: crate::safes::PastLogs,
    pub(crate) objects: Objects,
    /// Whether it was told that the objects' disk is all but full, and nothing has fitted since.
    pub(crate) is_short_of_room: AtomicBool,
    pub(crate) nonces: Nonces,
    pub(crate) presence: Presence,
    pub(crate) mailer: Current<Mailer>,
    pub(crate) mail_queue: MailQueue,
    /// Where newcomers get the programs.
    pub(crate) install: Current<Programs>,
    /// How the world reaches this server, without a slash at its end.
    pub(crate) public_url: String,
    /// Cancelled when the server stops: streams end.
    pub(crate) stopping: CancellationToken,
    /// Work that outlives its request: sending mail.
    pub(crate) tasks: TaskTracker,
    /// Whether `x-forwarded-for` is the proxy's word.
    pub(crate) behind_proxy: bool,
    /// After a restore: nothing new enters a log, repairs do.
    pub(crate) repairs_only: bool,
    /// Who is connected.
    pub(crate) connection_limits: Arc<ConnectionLimits>,
}

/// Answers one request.
pub(crate) async fn handle(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let in_flight = app.connection_limits.serve(&peer);
    let receiving = in_flight.as_ref().map(connection_limits::InFlight::receiving);
    let request = request.map(|body| connections::lasting(body, receiving));
    let method = request.method().clone();
    let route = Route::of(&method, request.uri());
    let pattern = route.as_ref().map_or("none", Route::pattern);

    let answer = match route {
        Ok(route) => {
            let address = client_address(&app, peer.ip(), request.headers());
            let answering = Box::pin(answer(Arc::clone(&app), route, address, request));
            match tokio::time::timeout(REQUEST_WAIT, answering).await {
                Ok(answer) => answer,
                Err(_) => Err(Refusal::UNAVAILABLE),
            }
        }
        Err(code) => Err(code.into()),
    };
    let refused = answer.as_ref().err().map_or("", |refusal| refusal.code.name());
    let mut response = answer.unwrap_or_else(|refusal| body::refusal(refusal, app.clock.now()));
    // What a client knows us by: a log-in page or a proxy that stands in our place says nothing for
    // us.
    response.headers_mut().insert(HEADER_SERVER, HeaderValue::from_static(SERVER_GENERATION));
    tracing::info!(
        method = known_method(&method),
        route = pattern,
        status = response.status().as_u16(),
        refused,
        microseconds = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    response.map(|body| connections::lasting(body, in_flight))
}

async fn answer(app: Arc<App>, route: Route, address: IpAddr, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    match route {
        Route::Health => Ok(body::done()),
        Route::Landing(organisation) => {
            app.quota.take(&Key::address(address))?;
            let offers = app.install.get().offers().await;
            Ok(crate::welcome::landing(&organisation, &offers, &app.public_url))
        }
        Route::Install(name) => {
            app.quota.take(&Key::address(address))?;
            installing::answer(&app, name, &parts).await
        }
        Route::Bootstrap(organisation) => {
            app.quota.take(&Key::address(address))?;
            anonymous::bootstrap(&app, organisation, address, &parts, body).await
        }
        Route::Standing(organisation) => {
            app.quota.take(&Key::address(address))?;
            anonymous::standing(&app, organisation, address, body).await
        }
        Route::Invited(organisation, call) => {
            app.quota.take(&Key::address(address))?;
            invited::answer(app, organisation, call, address, &parts, body).await
        }
        // Whom these are charged to, and when, is `admission`'s to say.
        Route::Member(organisation, call) => {
            // Of all calls the one with the largest body and the most signatures: its address pays,
            // whoever signs.
            if call.is_repair() {
                app.quota.take(&Key::address(address))?;
            }
            authenticated::answer(app, organisation, call, address, &parts, body).await
        }
    }
}

/// Whose request this is, for rates: the connection's other end, or what the proxy added last.
fn client_address(app: &App, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !app.behind_proxy {
        return peer;
    }
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
    last.and_then(|text| text.trim().parse().ok()).unwrap_or(peer)
}

/// The methods by name; an invented one is not echoed into the log.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        _ => "other",
    }
}
