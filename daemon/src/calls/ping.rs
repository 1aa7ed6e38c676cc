//! `net.ping`: how long a server takes to answer, and the device that a link leads to.
//!
//! Decides that a server has answered when it says itself that it is well: the error of a proxy
//! before it is none. Refuses to start an attempt, and to wait longer than a person does.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use parsec_protocol::control::{NetPinged, PingResult, Problem, ProblemKind, SecretText, ServerPing};
use parsec_protocol::ids::OrganisationId;
use parsec_protocol::relay::path;
use reqwest::Method;
use tokio::time::{Instant, timeout};

use crate::enrolment::p2p;
use crate::network::Net;
use crate::problems;
use crate::transport::http::{Call, Client, Server};

/// Longest wait for an answer: who tries the network sits before it.
pub(crate) const WAIT: Duration = Duration::from_secs(5);
/// Servers that are tried at the same time: more would make each other slow, and the measure wrong.
const AT_ONCE: usize = 4;

/// Tries the servers of this machine's devices.
pub(crate) async fn servers(
    net: &Net,
    client: Client,
    known: &BTreeSet<(OrganisationId, String)>,
    wait: Duration,
) -> NetPinged {
    let addresses: BTreeSet<&String> = known.iter().map(|(_, address)| address).collect();
    let pings: Vec<_> =
        addresses.into_iter().map(|address| ping_server(net, client.clone(), known, address, wait)).collect();
    NetPinged { servers: stream::iter(pings).buffered(AT_ONCE).collect().await, p2p: None }
}

/// Tries the server and the device that a link leads to.
pub(crate) async fn link(
    net: &Net,
    client: Client,
    known: &BTreeSet<(OrganisationId, String)>,
    link: &SecretText,
    wait: Duration,
) -> Result<NetPinged, Problem> {
    let link = problems::link_in(link)?;
    let peer = async {
        timeout(wait, p2p::ping_peer(net, &link)).await.unwrap_or_else(|_| {
            let text = format!("The other device did not answer in {} seconds.", wait.as_secs());
            Err(Problem::new(ProblemKind::PeerUnreachable, text))
        })
    };
    let (server, peer) = tokio::join!(ping_server(net, client, known, link.server.as_str(), wait), peer);
    let p2p = match peer {
        Ok((carrier, took)) => PingResult { carrier: Some(carrier), ..answered(took) },
        Err(problem) => silent(problem),
    };
    Ok(NetPinged { servers: vec![server], p2p: Some(p2p) })
}

/// Asks a server whether it is there. What is found of a server of this machine's devices is noted.
async fn ping_server(
    net: &Net,
    client: Client,
    known: &BTreeSet<(OrganisationId, String)>,
    address: &str,
    wait: Duration,
) -> ServerPing {
    let begun = Instant::now();
    let asked = async {
        let server = Server::new(client, address)?;
        server.call(Call::new(Method::GET, path::HEALTH.to_owned())).await.map_err(Problem::from)
    };
    let found = timeout(wait, asked).await.unwrap_or_else(|_| {
        let text = format!("It did not answer in {} seconds.", wait.as_secs());
        Err(Problem::new(ProblemKind::ServerUnreachable, text))
    });
    let took = begun.elapsed();
    let found = found.map(|_| ());
    for (organisation, server) in known.iter().filter(|(_, server)| server == address) {
        net.server_seen(organisation, server, found.clone());
    }
    let ping = match found {
        Ok(()) => answered(took),
        Err(problem) => silent(problem),
    };
    ServerPing { server: address.to_owned(), ping }
}

fn answered(took: Duration) -> PingResult {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    PingResult { reached: true, micros: Some(micros), carrier: None, problem: None }
}

const fn silent(problem: Problem) -> PingResult {
    PingResult { reached: false, micros: None, carrier: None, problem: Some(problem) }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use zeroize::Zeroizing;

    use super::*;
    use crate::network::Settings;

    /// A server that says this to whoever comes, or nothing at all.
    async fn server(answer: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                if let Some(answer) = answer {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                open.push(stream);
            }
        });
        address
    }

    fn net() -> (Net, Client) {
        (Net::new(Settings::default()), Client::new(None).unwrap())
    }

    fn known(places: &[(&str, &str)]) -> BTreeSet<(OrganisationId, String)> {
        places
            .iter()
            .map(|(organisation, server)| (organisation.parse().unwrap(), (*server).to_owned()))
            .collect()
    }

    const WELL: &str = "HTTP/1.1 204 No Content\r\nparsec-server: 1\r\n\r\n";

    #[tokio::test]
    async fn each_server_is_tried_once_and_what_is_found_is_noted_for_all_its_organisations() {
        let (net, client) = net();
        let well = server(Some(WELL)).await;
        let proxy = server(Some("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")).await;
        let known = known(&[("acme", &well), ("other", &well), ("third", &proxy)]);
        let pinged = servers(&net, client, &known, WAIT).await;
        let found = |address: &str| {
            let fits: Vec<_> = pinged.servers.iter().filter(|it| it.server == address).collect();
            assert_eq!(fits.len(), 1, "{pinged:?}");
            fits[0].ping.clone()
        };
        assert!(found(&well).reached && found(&well).micros.is_some_and(|micros| micros > 0));
        let failed = found(&proxy);
        assert_eq!((failed.reached, failed.micros), (false, None));
        assert_eq!(failed.problem.unwrap().name, ProblemKind::ServerFailed);
        assert_eq!(pinged.p2p, None);
        let reached: Vec<_> = net.reach(known.clone()).into_iter().map(|reach| reach.reachable).collect();
        assert_eq!(reached, [Some(true), Some(true), Some(false)]);
    }

    #[tokio::test]
    async fn one_that_takes_the_connection_and_says_nothing_is_not_waited_for() {
        let (net, client) = net();
        let silent = server(None).await;
        let begun = Instant::now();
        let pinged = servers(&net, client, &known(&[("acme", &silent)]), Duration::from_millis(50)).await;
        // The client by itself would wait a minute.
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        let problem = pinged.servers[0].ping.problem.clone().unwrap();
        assert_eq!(problem.name, ProblemKind::ServerUnreachable);
    }

    #[tokio::test]
    async fn a_link_leads_two_ways_and_a_strangers_server_is_not_noted() {
        let (net, client) = net();
        let well = server(Some(WELL)).await;
        let link = |text: String| SecretText::new(Zeroizing::new(text));
        // An invitation of 16 and a secret of 32 zero bytes, without addresses.
        let payload = "hQEAUAAAAAAAAAAAAAAAAAAAAABYIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgA";
        let good = link(format!("{well}/join/acme#{payload}"));
        let pinged = super::link(&net, client.clone(), &known(&[]), &good, WAIT).await.unwrap();
        assert!(pinged.servers.len() == 1 && pinged.servers[0].ping.reached, "{pinged:?}");
        assert!(pinged.p2p.is_some_and(|peer| !peer.reached && peer.problem.is_some()));
        assert_eq!(net.reach(known(&[("acme", &well)]))[0].reachable, None);
        let bad = super::link(&net, client, &known(&[]), &link(format!("{well}/join/acme")), WAIT).await;
        assert_eq!(bad.unwrap_err().name, ProblemKind::LinkMalformed);
    }
}
