//! A flood against a real server: connections of one address that say nothing, and bursts of calls
//! by one member, for as long as the bursts last.
//!
//! Decides what the flood is, and how long the calls of another organisation's member take on the
//! calm server and meanwhile. Refuses an answer that is none: every call of the other member has to
//! be answered the first time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use parsec_protocol::ids::{Invited, Token};
use parsec_protocol::keys::random;
use parsec_protocol::relay::{ErrorCode, NewInvitation};
use parsecd::os::clock;
use parsecd::os::entropy::System;
use parsecd::transport::TransportError;
use parsecd::transport::behind;
use parsecd::transport::relay::Member;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

use crate::load::{self, Alice};
use crate::server::Server;

/// An address of loopback's own, where the silent ones come from: 127.0.0.1 is everybody else's.
const SILENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Calls of one burst, all at once: every other one lists all invitations, the rest want something
/// changed.
const BURST: usize = 16;
/// Descriptors besides those of the silent connections.
const DESCRIPTORS_BESIDES: u64 = 1_000;
/// The other member's calls of each kind on the calm server.
const CALM: usize = 200;

/// How large it is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections that say nothing.
    pub silent: usize,
    /// Bursts of the member's.
    pub bursts: usize,
    /// Invitations that the member lists, or as many as there may be.
    pub invitations: usize,
}

/// What 2,048 connections and 200 bursts are.
pub const FULL: Size = Size { silent: 2_048, bursts: 200, invitations: 1_000 };

/// What was seen.
#[derive(Debug, Default)]
pub struct FloodOutcome {
    /// Milliseconds of each of the other member's calls before.
    pub calm: Vec<f64>,
    /// And while the flood stood.
    pub flooded: Vec<f64>,
    /// The flooding member's calls that were answered, and that were told to wait or found no
    /// place.
    pub answered: usize,
    /// See [`Self::answered`].
    pub refused: usize,
}

/// Lets this process, and the programs it starts from now on, have so many connections.
///
/// # Errors
/// Where the system's limit is below.
pub fn make_room(size: &Size) -> Result<(), String> {
    let wanted = u64::try_from(size.silent).unwrap_or(u64::MAX).saturating_add(DESCRIPTORS_BESIDES);
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum })
        .map_err(|error| format!("{wanted} descriptors can't be had: {error}"))
}

/// Founds two organisations, floods from one, and asks from the other.
///
/// # Errors
/// In words; above all, that a call of the other member was not answered.
///
/// # Panics
/// If the organisations can't be founded.
pub async fn stand(server: &Server, size: Size) -> Result<FloodOutcome, String> {
    let [flooding, other] = ["acme", "bolt"].map(|name| (server.reserve(name), name.parse().unwrap()));
    let flooding = load::alice(&server.url(), &flooding.0, &flooding.1).await;
    let other = load::alice(&server.url(), &other.0, &other.1).await.member();
    invite(&flooding, size.invitations).await?;
    let mut seen = FloodOutcome::default();
    for _ in 0..CALM {
        seen.calm.extend(ask(&other).await?);
    }
    let silent = connect(server.address(), size.silent).await?;
    let mut flood = tokio::task::JoinSet::new();
    flood.spawn(burst(flooding.member(), size.bursts));
    loop {
        tokio::select! {
            biased;
            Some(done) = flood.join_next() => {
                (seen.answered, seen.refused) = done.map_err(|error| error.to_string())??;
                drop(silent);
                return Ok(seen);
            }
            took = ask(&other) => seen.flooded.extend(took?),
        }
    }
}

/// As many invitations as wanted, or as there may be.
async fn invite(alice: &Arc<Alice>, count: usize) -> Result<(), String> {
    let member = alice.member();
    for number in 0..count {
        let token = Token::from_bytes(random(&mut System).map_err(|error| error.to_string())?);
        let email = format!("eve{number}@acme.example");
        let invited = Invited::User(email.parse().map_err(|_| format!("not an address: {email}"))?);
        let expires = clock::now().plus_seconds(86_400);
        let made = member.invite(&NewInvitation { token, invited, expires, mail_link: None }).await;
        match made {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::MemberBudgetSpent) => return Ok(()),
            Err(error) => return Err(format!("invite: {error}")),
        }
    }
    Ok(())
}

async fn connect(to: SocketAddr, count: usize) -> Result<Vec<TcpStream>, String> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        socket.bind((SILENT, 0).into()).map_err(|error| error.to_string())?;
        held.push(socket.connect(to).await.map_err(|error| format!("a silent connection: {error}"))?);
    }
    Ok(held)
}

/// Whether that is an answer to a change that can't be made: nobody has this invitation.
fn answered(done: Result<(), TransportError>) -> Result<(), TransportError> {
    match done {
        Err(error) if error.code() == Some(ErrorCode::InvitationUnknown) => Ok(()),
        other => other,
    }
}

fn nobodys() -> Token {
    Token::from_bytes(random(&mut System).unwrap_or_default())
}

/// One call that reads and one that goes through the writer; how many milliseconds each took.
async fn ask(member: &Member) -> Result<[f64; 2], String> {
    let milliseconds = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let since = Instant::now();
    member.log_page(0, behind::Seen::NOTHING).await.map_err(|error| format!("the other's log: {error}"))?;
    let read = milliseconds(since);
    let since = Instant::now();
    answered(member.cancel_invitation(nobodys()).await)
        .map_err(|error| format!("the other's change: {error}"))?;
    Ok([read, milliseconds(since)])
}

async fn burst(member: Member, bursts: usize) -> Result<(usize, usize), String> {
    let (mut done, mut refused) = (0, 0);
    for _ in 0..bursts {
        let calls = (0..BURST).map(|number| {
            let member = &member;
            async move {
                if number % 2 == 0 {
                    member.invitations().await.map(|_| ())
                } else {
                    answered(member.cancel_invitation(nobodys()).await)
                }
            }
        });
        for answer in join_all(calls).await {
            match answer {
                Ok(()) => done += 1,
                Err(error) if error.passes() => refused += 1,
                Err(error) => return Err(format!("the flooding member: {error}")),
            }
        }
    }
    Ok((done, refused))
}
