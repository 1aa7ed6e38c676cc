//! `net status|peers|ping`: the network as the daemon sees it.
//!
//! Decides how a way to a server or to another device looks to people, and when `ping` has
//! failed. Refuses a link as an argument.

use parsec_protocol::control::{
    Carrier, Direction, Empty, Listening, ListeningFor, NetPeers, NetPing, NetPinged, NetStatus, PeerView,
    PingResult, ProblemKind, SecretText, ServerReach, method,
};

use super::{Context, short};
use crate::args::Net;
use crate::failure::Failure;
use crate::output::Output;
use crate::password;
use crate::schema;
use crate::text::{escaped, moment};

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

pub(super) fn run(context: &Context<'_>, command: Net) -> Result<(), Failure> {
    match command {
        Net::Status => {
            let status: NetStatus = context.call(method::NET_STATUS, &Empty {})?;
            context.output.result(schema::NET_STATUS, &status, || described(&status, context.output))
        }
        Net::Peers => {
            let result: NetPeers = context.call(method::NET_PEERS, &Empty {})?;
            context.output.result(schema::NET_PEERS, &result, || peers(&result.peers, context.output))
        }
        Net::Ping { link_file } => {
            let link = link_file.map(|path| password::read_link(&path)).transpose()?.map(SecretText::new);
            let pinged: NetPinged = context.call(method::NET_PING, &NetPing { link })?;
            context.output.result(schema::NET_PING, &pinged, || tried(&pinged))?;
            failed(&pinged).map_or(Ok(()), |code| Err(Failure::Told(code)))
        }
    }
}

/// Everything in lines.
fn described(status: &NetStatus, output: &Output) -> String {
    let mut lines = vec![
        if status.p2p {
            "There is a peer-to-peer transport: devices can reach each other without the server."
        } else {
            "There is no peer-to-peer transport: the daemon was built or configured without it."
        }
        .to_owned(),
    ];
    lines.extend((!status.relays.is_empty()).then(|| format!("Relays: {}", list(&status.relays))));
    lines.push(String::new());
    lines.push(servers(&status.servers, output));
    lines.push(String::new());
    lines.push(places(&status.listening, output));
    lines.extend(status.direct.iter().map(|node| {
        format!(
            "Other devices of its safes are met by device {} at {}",
            short(node.device.to_string()),
            list(&node.addresses)
        )
    }));
    if status.waiting > 0 {
        lines.push(format!(
            "{} enrolment(s) wait for the newcomer's device or the server; they finish by themselves.",
            status.waiting
        ));
    }
    if status.pending > 0 {
        lines.push(format!(
            "{} device(s) of this machine are pending registration; it will happen by itself when the server can be reached.",
            status.pending
        ));
    }
    lines.join("\n")
}

fn list(texts: &[String]) -> String {
    texts.iter().map(escaped).collect::<Vec<_>>().join(", ")
}

fn servers(servers: &[ServerReach], output: &Output) -> String {
    if servers.is_empty() {
        return "No device on this machine, so there is no server to reach.".to_owned();
    }
    let rows: Vec<Vec<String>> = servers
        .iter()
        .map(|server| {
            let reachable = match server.reachable {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not asked yet",
            };
            vec![
                server.organisation.to_string(),
                server.server.clone(),
                reachable.to_owned(),
                server.since.map_or_else(|| UNKNOWN.to_owned(), moment),
                server.problem.as_ref().map(|problem| problem.message.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    output.table(&["ORGANISATION", "SERVER", "REACHABLE", "SINCE", "WHY"], &rows)
}

fn places(places: &[Listening], output: &Output) -> String {
    if places.is_empty() {
        return "This machine waits for no other device.".to_owned();
    }
    let rows: Vec<Vec<String>> = places
        .iter()
        .map(|place| {
            let purpose = match place.purpose {
                ListeningFor::Greeting => "a newcomer",
                ListeningFor::Receipt => "a newcomer's receipt",
                ListeningFor::Unknown => "something that this program is too old for",
            };
            vec![
                short(place.token),
                place.organisation.to_string(),
                purpose.to_owned(),
                if place.mdns { "yes" } else { "no" }.to_owned(),
                list(&place.addresses),
                list(&place.relays),
                place.peer.clone(),
            ]
        })
        .collect();
    let headings = ["INVITATION", "ORGANISATION", "WAITS FOR", "ANNOUNCED", "ADDRESSES", "RELAYS", "PEER"];
    output.table(&headings, &rows)
}

fn peers(peers: &[PeerView], output: &Output) -> String {
    if peers.is_empty() {
        return "No other device is connected.".to_owned();
    }
    let unknown = || UNKNOWN.to_owned();
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|peer| {
            let direction = match peer.direction {
                Direction::In => "in",
                Direction::Out => "out",
            };
            vec![
                peer.token.map_or_else(unknown, short),
                peer.ceremony.map_or_else(unknown, |id| id.0.to_string()),
                if peer.proven { "yes" } else { "not yet" }.to_owned(),
                direction.to_owned(),
                carrier(peer.carrier).to_owned(),
                moment(peer.since),
                peer.address.clone(),
                peer.peer.clone(),
            ]
        })
        .collect();
    let headings = ["INVITATION", "CEREMONY", "HOLDS THE LINK", "OPENED", "OVER", "SINCE", "ADDRESS", "PEER"];
    output.table(&headings, &rows)
}

const fn carrier(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Quic => "QUIC",
        Carrier::Tcp => "TCP",
        Carrier::Relay => "a relay",
        Carrier::Unknown => "something new",
    }
}

/// Each try in a line or three.
fn tried(pinged: &NetPinged) -> String {
    if pinged.servers.is_empty() && pinged.p2p.is_none() {
        return "No device on this machine, so there is no server to try.".to_owned();
    }
    let servers = pinged.servers.iter().map(|server| attempt(&escaped(&server.server), &server.ping));
    let peer = pinged.p2p.iter().map(|ping| attempt("The other device", ping));
    servers.chain(peer).collect::<Vec<_>>().join("\n")
}

fn attempt(what: &str, ping: &PingResult) -> String {
    let over = ping.carrier.map(|over| format!(", over {}", carrier(over))).unwrap_or_default();
    match (ping.reached, &ping.problem) {
        (true, _) => {
            let took =
                ping.micros.map(|micros| format!(" in {} ms", milliseconds(micros))).unwrap_or_default();
            format!("{what}: answers{took}{over}")
        }
        (false, Some(problem)) => format!(
            "{what}: no answer. {}\n  What to do: {}\n  ({})",
            escaped(&problem.message),
            escaped(&problem.hint),
            problem.name.name()
        ),
        (false, None) => format!("{what}: no answer."),
    }
}

/// Tenths of a millisecond are as fine as anybody cares for.
fn milliseconds(micros: u64) -> String {
    let tenths = micros / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// With what the command fails. Of the two ways that a link leads, one is enough; without a link,
/// every server counts.
fn failed(pinged: &NetPinged) -> Option<u8> {
    let mut silent = pinged.servers.iter().map(|server| &server.ping).filter(|ping| !ping.reached).map(code);
    match &pinged.p2p {
        Some(peer) if peer.reached || pinged.servers.iter().any(|server| server.ping.reached) => None,
        // What became of the server counts: the direct way is the second choice.
        Some(peer) => silent.next().or_else(|| Some(code(peer))),
        None => silent.max(),
    }
}

/// The exit code of a try that failed. A daemon that sent none, or 0, would turn it into a success.
fn code(ping: &PingResult) -> u8 {
    let sent = ping.problem.as_ref().map(|problem| problem.exit_code).filter(|code| *code > 0);
    sent.unwrap_or_else(|| ProblemKind::ServerUnreachable.exit_code())
}

#[cfg(test)]
mod tests {
    use parsec_protocol::control::{Problem, ServerPing};

    use super::*;

    fn reached(micros: u64, carrier: Option<Carrier>) -> PingResult {
        PingResult { reached: true, micros: Some(micros), carrier, problem: None }
    }

    fn silent(kind: ProblemKind) -> PingResult {
        PingResult { reached: false, micros: None, carrier: None, problem: Some(Problem::new(kind, "No.")) }
    }

    fn pinged(servers: Vec<PingResult>, p2p: Option<PingResult>) -> NetPinged {
        let servers = servers.into_iter().map(|ping| ServerPing { server: "https://a.test".into(), ping });
        NetPinged { servers: servers.collect(), p2p }
    }

    #[test]
    fn one_way_of_a_link_is_enough_and_every_server_counts() {
        let yes = || reached(1, None);
        let no = || silent(ProblemKind::ServerUnreachable);
        let away = || silent(ProblemKind::PeerUnreachable);
        assert_eq!(failed(&pinged(vec![yes()], Some(away()))), None);
        assert_eq!(failed(&pinged(vec![no()], Some(yes()))), None);
        assert_eq!(failed(&pinged(vec![no()], Some(away()))), Some(69));
        assert_eq!(failed(&pinged(vec![yes(), yes()], None)), None);
        assert_eq!(failed(&pinged(vec![yes(), no(), silent(ProblemKind::ServerTls)], None)), Some(76));
        assert_eq!(failed(&pinged(vec![], None)), None);
        let nameless = || PingResult { problem: None, ..no() };
        let lying = || PingResult { problem: no().problem.map(|it| Problem { exit_code: 0, ..it }), ..no() };
        assert_eq!(failed(&pinged(vec![nameless()], None)), Some(69));
        assert_eq!(failed(&pinged(vec![lying()], Some(lying()))), Some(69));
    }

    #[test]
    fn a_try_is_told_with_its_time_and_carrier_or_with_its_remedy() {
        assert_eq!(attempt("x", &reached(18_250, None)), "x: answers in 18.2 ms");
        assert_eq!(attempt("x", &reached(40, Some(Carrier::Quic))), "x: answers in 0.0 ms, over QUIC");
        let told = attempt("x", &silent(ProblemKind::PeerUnreachable));
        assert!(
            told.starts_with("x: no answer. No.\n  What to do: ") && told.ends_with("\n  (peer_unreachable)")
        );
    }
}
