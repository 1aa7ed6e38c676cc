//! What a server says about a safe that is not so: refusals of every name, a place that is full, a
//! view that is too old for ever, a record that it took and forgot, answers that are none, too
//! long, or never come. Nothing that was saved is lost, and all of it goes out once the server is
//! honest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use minicbor::bytes::ByteVec;
use parsec_protocol::codec;
use parsec_protocol::control::{DeviceSelector, ProblemKind, Registration, SafeRole, SafeStanding, method};
use parsec_protocol::ids::SafeId;
use parsec_protocol::relay::{
    ErrorCode, JournalPage, LogPage, RecordAnswer, SafeList, SafeLogPage, SafeRepaired,
};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::private_folder;
use parsec_tests::fixture::{ALICE_EMAIL, ALICE_PASSWORD, BOB_EMAIL, Fixture};
use parsec_tests::lying::{Asked, asked, lies, refuses, refuses_all, says};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::safes::{Safe, is_well};
use parsec_tests::server::copy_database;

use super::{PLANS, Shared, alarm, founded, made, nudge, stopped_by, until_alarm};

fn alices(fixture: &Fixture) -> Safe<'_> {
    Safe { device: &fixture.alice, name: PLANS }
}

/// Every name that a refusal can have, to everything that is asked about a safe.
#[test]
fn no_refusal_that_is_a_lie_costs_what_was_saved() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    for code in ErrorCode::ALL {
        let told = Arc::new((AtomicUsize::new(0), Bell::default()));
        let tells = Arc::clone(&told);
        refuses_all(&fixture.proxy, move |request| {
            let refused = asked(request, safe).map(|_| *code);
            if refused.is_some() {
                let _ = tells.0.fetch_add(1, Ordering::SeqCst);
                tells.1.ring();
            }
            refused
        });
        let path = format!("/{}", code.name());
        let saved = alices(&fixture).put(&path, code.name().as_bytes(), 0).unwrap();
        assert!(saved.saved, "{}", code.name());
        nudge(&fixture.alice, safe);
        let once = || (told.0.load(Ordering::SeqCst) > 0).then_some(());
        told.1.until("a refusal", once).unwrap();
        if *code == ErrorCode::Revoked {
            // A device that is said to be revoked does nothing more until its person unlocks it
            // anew.
            let _ = fixture.alice.until_device(|device| device.registration == Registration::Revoked);
            let _: serde_json::Value =
                fixture.alice.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
            fixture.proxy.meddle(Arc::new(Honest));
            fixture.alice.unlock(ALICE_PASSWORD).unwrap();
            let _ = fixture.alice.until_device(|device| device.registration == Registration::Registered);
        }
        fixture.proxy.meddle(Arc::new(Honest));
        let synced = alices(&fixture).sync();
        assert_eq!((synced.standing, synced.role), (SafeStanding::Accepted, Some(SafeRole::Owner)));
        assert_eq!(alices(&fixture).get(&path).unwrap(), code.name().as_bytes());
    }
    assert_eq!(alices(&fixture).paths().unwrap().len(), ErrorCode::ALL.len());
    assert!(fixture.alice.status().alarms.is_empty(), "{:?}", fixture.alice.status().alarms);
}

/// That one is in a safe no more, the server says; its log does not. What waits is kept, and goes
/// out once the person takes the safe that is offered anew.
#[test]
fn a_server_that_puts_somebody_out_of_a_safe_loses_nothing() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    let _ = alices(&fixture).put_shared("/one", b"1");
    lies(&fixture.proxy, move |request, answer| {
        if asked(request, safe).is_some() {
            refuses(answer, ErrorCode::SafeUnknown);
        } else if request.method == "GET" && request.target.ends_with("/safes") {
            let mut list: SafeList = codec::decode(&answer.body, 1_000_000).unwrap();
            list.safes.iter_mut().for_each(|entry| entry.role = None);
            says(answer, &list);
        }
    });
    let saved = alices(&fixture).put("/two", b"2", 0).unwrap();
    assert!(saved.saved && !saved.shared, "{saved:?}");
    nudge(&fixture.alice, safe);
    let _ = fixture.alice.until_safe(|found| found.safe == safe && found.standing == SafeStanding::Left);
    let refused = alices(&fixture).put("/three", b"3", 0).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeRoleTooLow));
    // It is here, and can be looked at and taken out.
    assert_eq!(alices(&fixture).paths().unwrap(), ["/one", "/two"]);

    fixture.proxy.meddle(Arc::new(Honest));
    fixture.proxy.cut();
    let _ = fixture.alice.until_safe(|found| found.safe == safe && found.standing == SafeStanding::Offered);
    let id = safe.to_string();
    Safe { device: &fixture.alice, name: &id }.accept().unwrap();
    Safe { device: &fixture.alice, name: &id }.sync();
    assert_eq!(alices(&fixture).get("/two").unwrap(), b"2");
}

/// A server that answers a writer for ever that it has seen too little, or that the key is due.
#[test]
fn a_server_that_always_wants_something_newer_is_told_and_not_asked_without_end() {
    let shared = Shared::with(SafeRole::Reader);
    let safe = shared.safe;
    for code in [ErrorCode::Behind, ErrorCode::RekeyNeeded] {
        let asked_for = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked_for);
        refuses_all(&shared.fixture.proxy, move |request| {
            let writes = matches!(asked(request, safe), Some(Asked::NewRecord | Asked::NewCertificate));
            if writes {
                let _ = count.fetch_add(1, Ordering::SeqCst);
            }
            writes.then_some(code)
        });
        let path = format!("/{}", code.name());
        let saved = shared.alice().put(&path, b"waits", 0).unwrap();
        assert!(saved.saved && !saved.shared, "{saved:?}");
        stopped_by(&shared.fixture.alice, safe, ProblemKind::ServerBusy);
        assert!(asked_for.load(Ordering::SeqCst) > 0);
        let status = shared.fixture.alice.ctl(&["safe", "status", PLANS]).well().stdout;
        assert!(status.contains(&path), "{status}");
        let refused = shared.alice().unshare(BOB_EMAIL);
        assert!(refused.is_err(), "{refused:?}");
        shared.fixture.proxy.meddle(Arc::new(Honest));
        // By itself.
        let _ = shared
            .fixture
            .alice
            .until_safe(|found| found.safe == safe && found.waiting == 0 && is_well(found));
        assert_eq!(shared.alice().get(&path).unwrap(), b"waits");
    }
}

/// The organisation's room is used up, or the server says so; and what it says is too large.
#[test]
fn where_the_server_has_no_room_what_is_saved_waits_and_says_so() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    let cases = [
        (Asked::Put, ErrorCode::QuotaReached, ProblemKind::QuotaReached),
        (Asked::NewRecord, ErrorCode::QuotaReached, ProblemKind::QuotaReached),
        // It refuses what the protocol allows: its fault, and not that of what was put.
        (Asked::Put, ErrorCode::TooLarge, ProblemKind::ServerMisbehaved),
        (Asked::NewRecord, ErrorCode::TooLarge, ProblemKind::ServerMisbehaved),
    ];
    for (number, (what, code, kind)) in cases.into_iter().enumerate() {
        refuses_all(&fixture.proxy, move |request| (asked(request, safe) == Some(what)).then_some(code));
        let path = format!("/file-{number}");
        let saved = alices(&fixture).put(&path, b"waits", 0).unwrap();
        assert!(saved.saved && !saved.shared, "{saved:?}");
        let _ = fixture.alice.until_safe(|found| found.problem == Some(kind) && found.waiting == 1);
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("more");
        std::fs::write(&from, b"more").unwrap();
        let to = format!("{PLANS}:/more-{number}");
        let said = fixture.alice.ctl(&["safe", "put", from.to_str().unwrap(), &to, "--wait", "1"]);
        assert_eq!(said.code, 75, "{said:?}");
        fixture.proxy.meddle(Arc::new(Honest));
        let synced = alices(&fixture).sync();
        assert_eq!((synced.waiting, synced.problem), (0, None));
        assert_eq!(alices(&fixture).get(&path).unwrap(), b"waits");
    }
}

/// Says that it took records of a safe, and never had them; nor does it want them when they are
/// given back to it, or it does.
struct Forgets {
    safe: SafeId,
    seq: u64,
    on: AtomicBool,
    for_good: bool,
}

impl Meddler for Forgets {
    fn request(&self, request: &mut Request) -> Fate {
        if asked(request, self.safe) == Some(Asked::NewRecord) && self.on.load(Ordering::SeqCst) {
            "/v1/nowhere".clone_into(&mut request.target);
        }
        if self.for_good && request.target.ends_with("/repair") {
            "/v1/nowhere/again".clone_into(&mut request.target);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target == "/v1/nowhere" {
            says(answer, &RecordAnswer::Accepted { seq: self.seq });
        }
        if request.target == "/v1/nowhere/again" {
            says(answer, &SafeRepaired { log: 1, seq: self.seq, added: 1 });
        }
        Fate::Pass
    }
}

/// One that has it again as soon as it is given back has lost nothing for anybody.
#[test]
fn a_record_that_a_server_has_forgotten_is_given_back() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    let _ = alices(&fixture).put_shared("/one", b"1");
    let on = AtomicBool::new(true);
    fixture.proxy.meddle(Arc::new(Forgets { safe, seq: 3, on, for_good: false }));
    let _ = alices(&fixture).put("/two", b"2", 60).unwrap();
    let synced = alices(&fixture).sync();
    assert_eq!((synced.waiting, synced.problem), (0, None));
    fixture.proxy.meddle(Arc::new(Honest));
    let _ = alices(&fixture).put_shared("/three", b"3");
    assert!(fixture.alice.status().alarms.is_empty(), "{:?}", fixture.alice.status().alarms);
}

#[test]
fn a_server_that_takes_a_record_and_forgets_it_is_found_out() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    let _ = alices(&fixture).put_shared("/one", b"1");
    let on = AtomicBool::new(true);
    fixture.proxy.meddle(Arc::new(Forgets { safe, seq: 3, on, for_good: true }));
    let _ = alices(&fixture).put("/two", b"2", 60).unwrap();
    stopped_by(&fixture.alice, safe, ProblemKind::RolledBack);
    let told = alarm(&fixture.alice, ProblemKind::RolledBack);
    assert!(told.problem.message.contains("2 records of a safe, of which"), "{told:?}");
    assert_eq!(alices(&fixture).paths().unwrap(), ["/one", "/two"]);
}

/// Says that it has taken objects, and has not.
struct TakesNothing(AtomicBool);

impl Meddler for TakesNothing {
    fn request(&self, request: &mut Request) -> Fate {
        let objects = request.method == "PUT" && request.target.ends_with("/objects");
        if objects && self.0.load(Ordering::SeqCst) {
            "/v1/nowhere".clone_into(&mut request.target);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target == "/v1/nowhere" {
            answer.status = 204;
            answer.body.clear();
        }
        Fate::Pass
    }
}

/// Small ones and large ones, which go before their record is made: what a server said that it has,
/// it is asked for again, and gets again.
#[test]
fn objects_that_a_server_takes_and_forgets_are_sent_again() {
    let fixture = founded();
    let _ = made(&fixture.alice);
    // From then on the line is known to be fast.
    let _ = alices(&fixture).put_shared("/one", b"1");
    let lies = Arc::new(TakesNothing(AtomicBool::new(true)));
    fixture.proxy.meddle(Arc::<TakesNothing>::clone(&lies));
    let folder = fixture.path("folder");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..20 {
        std::fs::write(folder.join(number.to_string()), format!("number {number}")).unwrap();
    }
    let from = folder.to_str().unwrap();
    let _ = fixture.alice.ctl(&["safe", "put", "-r", "--saved", from, "Plans:/many"]).well();
    let large: Vec<u8> = (0..5_000_000_u32).map(|at| (at >> 3) as u8).collect();
    let large_saved = alices(&fixture).put("/large", &large, 0).unwrap();
    assert!(large_saved.saved);
    let _ = fixture.alice.until_safe(|safe| safe.problem == Some(ProblemKind::ServerMisbehaved));
    lies.0.store(false, Ordering::SeqCst);
    alices(&fixture).sync();
    assert_eq!(alices(&fixture).get("/many/7").unwrap(), b"number 7");
    assert!(alices(&fixture).get("/large").unwrap() == large);
}

/// Answers that are no answers: not the encoding, too long, promises of more than can be.
#[test]
fn answers_that_are_none_are_told_and_take_nothing_along() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    let _ = alices(&fixture).put_shared("/one", b"1");
    let endless = JournalPage { seq: u64::MAX, records: Vec::new() };
    let junk = JournalPage { seq: u64::MAX, records: vec![ByteVec::from(vec![7; 300_000]); 3] };
    let log = SafeLogPage { count: u64::MAX, certificates: vec![ByteVec::from(vec![0x82; 4_096]); 200] };
    let cases = [
        ("nothing", Asked::Journal(0), Vec::new(), ProblemKind::ServerMisbehaved),
        ("noise", Asked::Journal(0), vec![0xff; 1_000], ProblemKind::ServerMisbehaved),
        (
            "an array of 2^32",
            Asked::Journal(0),
            vec![0x9a, 0xff, 0xff, 0xff, 0xff],
            ProblemKind::ServerMisbehaved,
        ),
        ("three megabytes", Asked::Journal(0), vec![0x80; 3_000_000], ProblemKind::ServerMisbehaved),
        (
            "no records of very many",
            Asked::Journal(0),
            codec::encode(&endless),
            ProblemKind::ServerMisbehaved,
        ),
        ("records that are none", Asked::Journal(0), codec::encode(&junk), ProblemKind::ChainInvalid),
        ("certificates that are none", Asked::Log(0), codec::encode(&log), ProblemKind::ChainInvalid),
    ];
    for (what, place, body, kind) in cases {
        lies(&fixture.proxy, move |request, answer| {
            let same = matches!(
                (asked(request, safe), place),
                (Some(Asked::Journal(_)), Asked::Journal(_)) | (Some(Asked::Log(_)), Asked::Log(_))
            );
            if same {
                answer.status = 200;
                answer.body.clone_from(&body);
            }
        });
        stopped_by(&fixture.alice, safe, kind);
        assert_eq!(alices(&fixture).paths().unwrap(), ["/one"], "{what}");
        fixture.proxy.meddle(Arc::new(Honest));
        assert_eq!(alices(&fixture).sync().problem, None, "{what}");
    }
    let _ = until_alarm(&fixture.alice, ProblemKind::ChainInvalid);
}

/// Answers that do not come: the person goes on working, looks at what is here, and locks.
#[test]
fn a_server_that_never_answers_keeps_nobody_from_working_and_locking() {
    let fixture = founded();
    let safe = made(&fixture.alice);
    let _ = alices(&fixture).put_shared("/one", b"1");
    let held = Arc::new((Mutex::new(0_usize), Condvar::new(), AtomicBool::new(true)));
    let holds = Arc::clone(&held);
    lies(&fixture.proxy, move |request, _| {
        if asked(request, safe).is_some() {
            let (count, changed, held) = &*holds;
            let mut count = count.lock().unwrap();
            *count += 1;
            changed.notify_all();
            while held.load(Ordering::SeqCst) {
                count = changed.wait(count).unwrap();
            }
        }
    });
    let saved = alices(&fixture).put("/two", b"2", 0).unwrap();
    assert!(saved.saved && !saved.shared, "{saved:?}");
    nudge(&fixture.alice, safe);
    {
        let (count, changed, _) = &*held;
        let mut count = count.lock().unwrap();
        while *count == 0 {
            count = changed.wait(count).unwrap();
        }
    }
    assert_eq!(alices(&fixture).paths().unwrap(), ["/one", "/two"]);
    let _ = fixture.alice.ctl(&["safe", "list"]).well();
    let shown = fixture.alice.ctl(&["safe", "status", PLANS]).well().stdout;
    assert!(shown.contains("/two"), "{shown}");
    assert_eq!(alices(&fixture).get("/two").unwrap(), b"2", "what waits is here");
    let _: serde_json::Value = fixture.alice.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    {
        let _count = held.0.lock().unwrap();
        held.2.store(false, Ordering::SeqCst);
    }
    held.1.notify_all();
    fixture.proxy.meddle(Arc::new(Honest));
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let synced = alices(&fixture).sync();
    assert_eq!((synced.waiting, synced.problem), (0, None));
    let members = fixture.alice.ctl(&["safe", "members", PLANS]).well().stdout;
    assert!(members.contains(ALICE_EMAIL), "{members}");
}

/// A restore between the answers to two questions: by both together, the server seems to lack the
/// end of the journal alone, and what is given back doesn't go on there.
#[test]
fn a_restore_between_two_answers_is_repaired_and_no_alarm() {
    let mut shared = Shared::with(SafeRole::Manager);
    shared.bob.kill();
    let safe = shared.safe;
    let _ = shared.alice().put_shared("/before", b"before");
    let (folder, kept) = (shared.fixture.server.folder().to_owned(), shared.fixture.path("kept"));
    private_folder(&kept);
    shared.fixture.server.process().stop();
    copy_database(&folder, &kept);
    shared.fixture.server.restart();
    shared.fixture.proxy.set_upstream(shared.fixture.server.address());

    let _ = shared.alice().put_shared("/one", b"1");
    shared.alice().share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = shared.alice().put_shared("/two", b"2");
    shared.fixture.server.process().stop();
    copy_database(&kept, &folder);
    // The first answer about certificates is the one from before the restore.
    let once = AtomicBool::new(true);
    lies(&shared.fixture.proxy, move |request, answer| {
        if let Some(Asked::Log(from)) = asked(request, safe)
            && answer.status == 200
            && once.swap(false, Ordering::SeqCst)
        {
            says(answer, &LogPage { count: from as u64, certificates: Vec::new() });
        }
    });
    shared.fixture.server.restart();
    shared.fixture.proxy.set_upstream(shared.fixture.server.address());
    let synced = shared.alice().sync();
    assert_eq!((synced.waiting, synced.problem), (0, None));
    let _ = shared.alice().put_shared("/three", b"3");
    assert_eq!(shared.alice().paths().unwrap(), ["/before", "/one", "/three", "/two"]);
    let alarms = shared.fixture.alice.status().alarms;
    assert!(alarms.iter().all(|alarm| alarm.problem.message.contains("manifest")), "{alarms:?}");
}
