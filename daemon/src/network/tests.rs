//! The registries: what is put there is shown until its guard is gone, and none grows past its
//! bound.

use parsec_protocol::control::{Carrier, Direction, ListeningFor};
use parsec_protocol::ids::Token;

use super::*;

fn net() -> Net {
    Net::new(Settings::default())
}

fn place(number: u8) -> Listening {
    Listening {
        organisation: "acme".parse().unwrap(),
        token: Token::from_bytes([number; 16]),
        peer: format!("peer-{number}"),
        addresses: Vec::new(),
        relays: Vec::new(),
        mdns: true,
        purpose: ListeningFor::Greeting,
    }
}

fn peer(number: u8) -> PeerView {
    PeerView {
        token: None,
        ceremony: None,
        peer: format!("peer-{number}"),
        address: "/ip4/192.0.2.7/udp/4001/quic-v1".into(),
        direction: Direction::In,
        carrier: Carrier::Quic,
        proven: false,
        since: Timestamp(1),
    }
}

#[test]
fn an_entry_is_shown_while_its_guard_lives_and_as_it_was_changed_last() {
    let net = net();
    let first = net.listening(place(1)).unwrap();
    let second = net.listening(place(2)).unwrap();
    first.change(|place| place.addresses.push("/ip4/192.0.2.7/udp/4001/quic-v1".into()));
    let shown = net.clone().places();
    assert_eq!(shown.iter().map(|place| place.addresses.len()).collect::<Vec<_>>(), [1, 0]);
    drop(first);
    assert_eq!(net.places(), [place(2)]);
    drop(second);
    assert_eq!(net.places(), []);
}

#[test]
fn a_guard_outlives_whatever_else_comes_and_goes() {
    let net = net();
    let stays = net.peer(peer(0)).unwrap();
    for number in 1..100 {
        drop(net.peer(peer(number)).unwrap());
    }
    stays.change(|peer| peer.proven = true);
    assert_eq!(net.peers(), [PeerView { proven: true, ..peer(0) }]);
}

#[test]
fn a_full_registry_takes_nothing_until_one_is_gone() {
    let net = net();
    let mut held: Vec<_> = (0..PEERS_MAX).map(|_| net.peer(peer(1)).unwrap()).collect();
    assert_eq!(net.peer(peer(2)).map(drop), Err(Full));
    assert_eq!(net.peers().len(), PEERS_MAX);
    held.pop();
    let _back = net.peer(peer(2)).unwrap();
    assert_eq!(net.peers().last(), Some(&peer(2)));
}

#[test]
fn a_guard_whose_task_was_cut_off_leaves_nothing_behind() {
    let net = net();
    let guard = net.listening(place(1)).unwrap();
    let thread = std::thread::spawn(move || {
        let _guard = guard;
        panic!("as a task that fails");
    });
    assert!(thread.join().is_err());
    assert_eq!(net.places(), []);
    let _again = net.listening(place(1)).unwrap();
    assert_eq!(net.places().len(), 1);
}

#[test]
fn since_when_is_since_the_last_change_and_not_since_the_last_question() {
    let net = net();
    let acme: OrganisationId = "acme".parse().unwrap();
    let key = || [(acme.clone(), "https://a.test".to_owned())];
    let now = |net: &Net| net.reach(key()).pop().unwrap();
    assert_eq!((now(&net).reachable, now(&net).since), (None, None));
    let unreachable = || Err(Problem::new(ProblemKind::ServerUnreachable, "No."));
    let mut seen = Vec::new();
    for (time, found) in [(1, Ok(())), (2, Ok(())), (3, unreachable()), (4, unreachable()), (5, Ok(()))] {
        net.note(&acme, "https://a.test", found, Timestamp(time));
        let reach = now(&net);
        assert_eq!(reach.problem.is_some(), reach.reachable == Some(false));
        seen.push((reach.reachable, reach.since));
    }
    let wanted = [(true, 1), (true, 1), (false, 3), (false, 3), (true, 5)];
    assert_eq!(seen, wanted.map(|(reachable, since)| (Some(reachable), Some(Timestamp(since)))));
}

#[test]
fn servers_are_kept_apart_and_the_longest_unasked_makes_room() {
    let net = net();
    let acme: OrganisationId = "acme".parse().unwrap();
    let other: OrganisationId = "other".parse().unwrap();
    net.note(&acme, "https://first.test", Ok(()), Timestamp(1));
    net.note(&acme, "https://second.test", Ok(()), Timestamp(2));
    net.note(&acme, "https://first.test", Ok(()), Timestamp(3));
    for number in 2..SERVERS_MAX as u64 {
        net.note(&acme, &format!("https://{number}.test"), Ok(()), Timestamp(2 + number));
    }
    let known = |organisation: &OrganisationId, server: &str| {
        net.reach([(organisation.clone(), server.to_owned())]).pop().unwrap().reachable.is_some()
    };
    assert!(known(&acme, "https://second.test") && !known(&other, "https://first.test"));
    net.note(&other, "https://first.test", Ok(()), Timestamp(1_000));
    assert!(known(&other, "https://first.test") && known(&acme, "https://first.test"));
    assert!(!known(&acme, "https://second.test"), "it was asked longest ago");
    assert_eq!(net.servers.lock().unwrap().len(), SERVERS_MAX);
}

#[test]
fn only_the_p2p_transport_can_be_missing() {
    let net = net();
    assert!(net.permits(TransportChoice::Auto).is_ok() && net.permits(TransportChoice::Server).is_ok());
    assert_eq!(net.permits(TransportChoice::P2p).unwrap_err().name, ProblemKind::TransportUnavailable);
    assert!(!net.has_p2p(), "switched off is off");
}
