//! The peer-to-peer transport through a network that breaks: cut at each stage, or from some byte
//! on, with and without a daemon that is killed meanwhile; whole again, the ceremony goes on by
//! itself.
//!
//! Afterwards "the user's certificate is in the log" and "Bob can unlock keys that match it" are
//! both true, and the log has the two certificates of each Bob and no more. The seed is printed;
//! `PARSEC_SEED` repeats a run and `PARSEC_PARTITIONS` sets how many there are, `PARSEC_PARTITION`
//! picks one of them.

use std::collections::VecDeque;
use std::sync::Mutex;

use parsec_protocol::control::{InviteResult, Registration, Stage, TransportChoice};
use parsec_tests::ceremony::Side;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_PASSWORD};
use parsec_tests::network::{Namespace, Network, Office, Plan};
use parsec_tests::process::{Daemon, kill_by_id};
use parsec_tests::script::{self, Phone};
use parsec_tests::{alone, skip};

/// Runs of random partitions without `PARSEC_PARTITIONS`.
const PARTITIONS: usize = 12;
/// Side by side: they wait more than they work.
const WORKERS: usize = 12;
/// About what a whole ceremony carries in both directions, connection included.
const BYTES: usize = 36_000;
/// The switch's rules.
const TABLE: &str = "bridge test";

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Claimer,
    Greeter,
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Bob's cable is pulled when this side comes to this stage; put back when his device has
    /// noticed.
    Cable(Who, Stage),
    /// Everything after so many bytes is lost, until his device has noticed.
    After(usize),
    /// So many bytes get through, and so many after them don't.
    Hole(usize, usize),
}

#[derive(Debug, Clone, Copy)]
struct Case {
    number: usize,
    cut: Cut,
    /// Whose daemon is killed while the network is broken.
    victim: Option<Who>,
}

/// A network with an organisation, and a place that one Bob after the other sits at.
struct Lab {
    office: Office,
    home: Namespace,
    switch: Namespace,
    port: String,
    /// Certificates that the log must have.
    count: u64,
    _network: Network,
}

impl Lab {
    fn new() -> Self {
        let mut network = Network::new();
        let switch = network.switch("switch");
        let [server, alice, home] = ["server", "alice", "bob"].map(|name| network.namespace(name));
        network.cable(&server, "eth0", &switch, &["10.77.0.1/24"]);
        network.cable(&alice, "eth0", &switch, &["10.77.0.2/24"]);
        let port = network.cable(&home, "eth0", &switch, &["10.77.0.3/24"]);
        let plan = Plan {
            server: &server,
            address: "10.77.0.1",
            alice: &alice,
            daemon: Daemon::default(),
            options: &[],
        };
        Self { office: Office::found(&plan), home, switch, port, count: 2, _network: network }
    }

    /// What the kernel is to do by itself.
    fn lay(&self, cut: Cut) {
        let port = &self.port;
        let (until, from) = match cut {
            Cut::Cable(..) => return,
            Cut::After(from) => (String::new(), from),
            // Bytes that were lost count, too: the hole has an end.
            Cut::Hole(from, length) => (format!("quota over {} bytes accept;", from + length), from),
        };
        self.switch.filter(&format!(
            "table {TABLE} {{ counter lost {{}}\n\
             chain bob {{ {until} quota over {from} bytes counter name lost drop; }}\n\
             chain forward {{ type filter hook forward priority 0; iifname {port} jump bob; oifname {port} jump bob; }}\n}}\n"
        ));
    }

    fn heal(&self) {
        self.switch.unfilter(TABLE);
        self.home.plug("eth0");
    }

    /// Strikes when it is time; whether somebody was killed.
    fn strike(&self, case: Case, sides: [&Side; 2], processes: [u32; 2]) -> bool {
        let [claimer, greeter] = sides;
        let bell = claimer.bell();
        let over = || claimer.end().is_some() && greeter.end().is_some();
        match case.cut {
            Cut::Cable(who, stage) => {
                let side = if who == Who::Claimer { claimer } else { greeter };
                let there = || (over() || side.view().is_some_and(|view| view.stage == stage)).then_some(());
                bell.until("the moment to cut", there).unwrap();
                self.home.unplug("eth0");
            }
            Cut::After(_) | Cut::Hole(..) => {}
        }
        let noticed = || claimer.view().is_some_and(|view| view.note.is_some());
        let healed = matches!(case.cut, Cut::Hole(..));
        if !healed || case.victim.is_some() {
            bell.until("somebody to notice", || (over() || noticed()).then_some(())).unwrap();
        }
        if let Some(victim) = case.victim {
            kill_by_id(processes[usize::from(victim == Who::Greeter)]);
            bell.interrupt();
        } else if !healed {
            self.heal();
        }
        case.victim.is_some()
    }

    fn run(&mut self, case: Case) {
        println!("{case:?}");
        let email = format!("bob{}@acme.example", case.number);
        let mut bob = self.office.device(&self.home, &format!("b{}", case.number));
        let invitation = self.office.alice.invite_by(&email, TransportChoice::P2p).unwrap();
        let processes = [bob.process().id(), self.office.alice.process().id()];
        self.lay(case.cut);
        let (mut claimer, mut greeter) = self.office.meet(&bob, &invitation, invitation.link.expose());
        let bell = claimer.bell();
        let watched = [
            Side::attach(&bob.socket(), claimer.id(), &bell).unwrap(),
            Side::attach(&self.office.alice.socket(), greeter.id(), &bell).unwrap(),
        ];
        let (ended, killed) = std::thread::scope(|scope| {
            let strike = scope.spawn(|| self.strike(case, [&watched[0], &watched[1]], processes));
            let ended = script::play(&mut claimer, &mut greeter, BOB, Phone::default());
            (ended, strike.join().unwrap())
        });
        bell.resume();
        drop(watched);
        self.heal();
        let mut again = false;
        if !killed {
            let ends = ended.unwrap();
            assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{case:?}: {ends:?}");
        } else if case.victim == Some(Who::Claimer) {
            bob.restart();
            again = !after_claimer(case, &bob, &mut greeter);
        } else {
            self.office.alice.restart();
            self.office.alice.unlock(ALICE_PASSWORD).unwrap();
            again = !self.after_greeter(case, &email, &mut claimer);
        }
        drop((claimer, greeter));
        if again {
            self.start_again(case, &bob, &invitation);
        }
        self.is_whole(case, &bob, &email);
    }

    /// Alice's daemon is back, and her ceremony gone. What she signed goes on, and Bob with it; or
    /// else he gives up.
    fn after_greeter(&self, case: Case, email: &str, claimer: &mut Side) -> bool {
        let alice = &self.office.alice;
        let bell = claimer.bell();
        std::thread::scope(|scope| {
            let signed = scope.spawn(|| {
                // Once the device answers for the log it has taken up what it signed before.
                // Nothing is left to do: that is in the log, or nobody can ever finish it.
                alice.verify().unwrap();
                let _ = alice.until_device(|device| device.outbox == Some(0));
                alice.verify().unwrap();
                let known = alice.users().unwrap().users.iter().any(|user| user.email.to_string() == email);
                bell.interrupt();
                known
            });
            let ended = bell.until("Bob to come through", || {
                if claimer.view().is_some_and(|view| view.stage == Stage::SetPassword) {
                    let _ = claimer.finish(BOB_PASSWORD);
                }
                claimer.end()
            });
            let known = signed.join().unwrap();
            bell.resume();
            let end = match ended {
                Ok(end) => end,
                Err(_) if known => claimer.outcome(),
                Err(_) => {
                    let _ = claimer.cancel();
                    claimer.outcome()
                }
            };
            assert_eq!(end.is_ok(), known, "{case:?}: in the log: {known}, Bob: {end:?}");
            known
        })
    }

    fn start_again(&self, case: Case, bob: &Device, invitation: &InviteResult) {
        let (mut claimer, mut greeter) = self.office.meet(bob, invitation, invitation.link.expose());
        let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{case:?}, then again: {ends:?}");
    }

    /// Bob is enrolled as both see it, and the log has his two certificates and no third.
    fn is_whole(&mut self, case: Case, bob: &Device, email: &str) {
        let alice = &self.office.alice;
        let device = bob.until_device(|device| device.registration != Registration::Pending);
        assert_eq!(device.registration, Registration::Registered, "{case:?}");
        let _ = alice.until_device(|device| device.outbox == Some(0));
        self.count += 2;
        let verified = alice.verify().unwrap();
        assert_eq!(verified.count, self.count, "{case:?}: certificates in the log");
        let users = alice.users().unwrap().users;
        let known: Vec<_> = users.iter().filter(|user| user.email.to_string() == email).collect();
        assert_eq!(known.len(), 1, "{case:?}");
        bob.unlock(BOB_PASSWORD).unwrap_or_else(|failed| panic!("{case:?}: Bob can't unlock: {failed:?}"));
        bob.verify().unwrap_or_else(|failed| panic!("{case:?}: Bob's keys don't match: {failed:?}"));
        assert_eq!(known[0].devices.first().map(|known| known.device), Some(device.device), "{case:?}");
    }
}

/// Bob's daemon is back. If it had made its keys durable it goes on by itself, else the attempt is
/// lost.
fn after_claimer(case: Case, bob: &Device, greeter: &mut Side) -> bool {
    if bob.devices().is_empty() {
        let _ = greeter.cancel();
        assert!(greeter.outcome().is_err(), "{case:?}: enrolled a claimer without keys");
        return false;
    }
    match greeter.outcome() {
        Ok(_) => true,
        // What she ended before the receipt came is void for him, too.
        Err(ended) => panic!("{case:?}: Bob has his keys, but Alice: {ended:?}"),
    }
}

/// Runs them all; whether this machine can.
fn run_all(test: &str, cases: Vec<Case>) -> bool {
    if let Err(why) = Office::possible(true) {
        skip(test, why);
        return false;
    }
    let _machine = alone::on_the_machine();
    let cases = Mutex::new(VecDeque::from(cases));
    std::thread::scope(|scope| {
        for _ in 0..cases.lock().unwrap().len().min(WORKERS) {
            scope.spawn(|| {
                let mut lab = Lab::new();
                loop {
                    let next = cases.lock().unwrap().pop_front();
                    let Some(case) = next else { break };
                    lab.run(case);
                }
            });
        }
    });
    true
}

#[test]
fn whichever_stage_the_cable_is_pulled_at_the_ceremony_goes_on() {
    use Stage::{Approve, ChooseCode, Handshake, Identify, Registering, SayCode, SetPassword};
    use Stage::{WaitingForApproval, WaitingForPassword, WaitingForPeer};
    let claimer = [
        WaitingForPeer,
        Handshake,
        ChooseCode,
        SayCode,
        Identify,
        WaitingForApproval,
        SetPassword,
        Registering,
    ];
    let greeter = [Approve, WaitingForPassword];
    let stages = claimer.map(|stage| (Who::Claimer, stage)).into_iter();
    let stages = stages.chain(greeter.map(|stage| (Who::Greeter, stage)));
    let cases = stages.enumerate();
    let cases = cases
        .map(|(number, (who, stage))| Case { number, cut: Cut::Cable(who, stage), victim: None })
        .collect();
    let _ = run_all("the cable pulled at each stage", cases);
}

#[test]
fn partitions_at_random_leave_nobody_half_enrolled_and_nobody_registered_twice() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PARSEC_SEED").unwrap_or(0x5eed_0002);
    let wanted = number("PARSEC_PARTITIONS").map_or(PARTITIONS, |count| usize::try_from(count).unwrap());
    println!("seed {seed}, {wanted} partitions");
    let mut dice = Dice(seed);
    let cases = (0..wanted).map(|number| {
        let cut = match dice.below(3) {
            0 => {
                let who = if dice.below(2) == 0 { Who::Claimer } else { Who::Greeter };
                let stages = [Stage::Handshake, Stage::SayCode, Stage::ChooseCode];
                let more = match who {
                    Who::Claimer => [Stage::Identify, Stage::WaitingForApproval, Stage::SetPassword],
                    Who::Greeter => [Stage::Approve, Stage::WaitingForPassword, Stage::WaitingForPassword],
                };
                let all = [stages, more].concat();
                Cut::Cable(who, all[dice.below(all.len())])
            }
            1 => Cut::After(dice.below(BYTES)),
            _ => Cut::Hole(dice.below(BYTES), 200 + dice.below(20_000)),
        };
        let victim = match dice.below(5) {
            0 => Some(Who::Claimer),
            1 => Some(Who::Greeter),
            _ => None,
        };
        Case { number, cut, victim }
    });
    let one = number("PARSEC_PARTITION").map(|one| usize::try_from(one).unwrap());
    let cases: Vec<_> = cases.filter(|case| one.is_none_or(|one| one == case.number)).collect();
    let count = cases.len();
    if run_all("partitions at random", cases) {
        println!(
            "figure C5: {count} partitions of the peer-to-peer transport: 0 half enrolled, 0 registered twice"
        );
    }
}
