//! What people get wrong, and what links get wrong: each has a stable name, an exit code and a way
//! on, and certifies nothing.

use std::sync::Arc;

use parsec_protocol::control::{
    ChoiceMode, DeviceSelector, Empty, InviteCancel, InviteListResult, ProblemKind, ProfileName, Stage,
    method,
};
use parsec_tests::ceremony::Bell;
use parsec_tests::fixture::{ALICE_EMAIL, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::metrics::figure;

fn invitations(fixture: &Fixture) -> InviteListResult {
    fixture.alice.call(method::INVITE_LIST, DeviceSelector::default()).unwrap()
}

/// One that was not offered and not said: the true one with its last two characters changed.
fn another(code: &str) -> String {
    let changed = |c: char| if c == 'A' { 'B' } else { 'A' };
    code.chars().enumerate().map(|(at, c)| if at < 2 { c } else { changed(c) }).collect()
}

#[test]
fn the_greeter_hears_another_code() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();

    // Picks a wrong one.
    let (claimer, mut greeter) = fixture.both(&bob, &invitation);
    let said = claimer.code_to_say().unwrap();
    let offered = greeter.stage(Stage::ChooseCode).unwrap().choices;
    assert_eq!(offered.len(), 4);
    let wrong = offered.iter().find(|choice| choice.code != said).unwrap().code.clone();
    let _ = greeter.choose(Some(&wrong), ChoiceMode::Picked);
    assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::CodeMismatch);
    assert_eq!(claimer.outcome().unwrap_err().name(), ProblemKind::PeerMismatch);
    fixture.nothing_certified(&bob);
    assert_eq!(invitations(&fixture).invitations[0].mismatches, 1);

    // Says that none fits.
    let (claimer, mut greeter) = fixture.both(&bob, &invitation);
    greeter.stage(Stage::ChooseCode).unwrap();
    let _ = greeter.choose(None, ChoiceMode::Picked);
    assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::CodeMismatch);
    assert_eq!(claimer.outcome().unwrap_err().name(), ProblemKind::PeerMismatch);

    // Types a wrong one. That was the third: the invitation is over.
    let (claimer, mut greeter) = fixture.both(&bob, &invitation);
    let said = claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    let _ = greeter.choose(Some(&another(&said)), ChoiceMode::Typed);
    assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::CodeMismatch);
    claimer.outcome().unwrap_err();
    let list = invitations(&fixture);
    assert_eq!((list.invitations[0].mismatches, list.invitations[0].status.as_str()), (3, "exhausted"));
    let bell = Arc::new(Bell::default());
    let ended = bob.claim(invitation.link.expose(), &bell).and_then(|side| side.outcome()).unwrap_err();
    assert_eq!(ended.name(), ProblemKind::InvitationExhausted);
    fixture.nothing_certified(&bob);
    figure(
        "M8",
        "between real programs: a wrong code, none, a mistyped one: 0 keys sent, both told, and the third burns the invitation",
    );

    // The way on: a new invitation.
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

#[test]
fn the_claimer_hears_another_code() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    for none in [false, true] {
        let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
        let said = claimer.code_to_say().unwrap();
        greeter.stage(Stage::ChooseCode).unwrap();
        greeter.choose(Some(&said), ChoiceMode::Picked).unwrap();
        let said = greeter.code_to_say().unwrap();
        let offered = claimer.stage(Stage::ChooseCode).unwrap().choices;
        let wrong = offered.iter().find(|choice| choice.code != said).unwrap().code.clone();
        let _ = claimer.choose((!none).then_some(wrong.as_str()), ChoiceMode::Picked);
        assert_eq!(claimer.outcome().unwrap_err().name(), ProblemKind::CodeMismatch);
        assert_eq!(greeter.outcome().unwrap_err().name(), ProblemKind::PeerMismatch);
        fixture.nothing_certified(&bob);
    }
    assert_eq!(invitations(&fixture).invitations[0].mismatches, 2);
}

#[test]
fn slips_that_end_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, mut greeter) = fixture.both(&bob, &invitation);
    let said = claimer.code_to_say().unwrap();
    greeter.stage(Stage::ChooseCode).unwrap();
    // The mark of this side's own code is not known to the person yet; the claimer's is.
    for (code, mode, name) in [
        ("K7", ChoiceMode::Typed, ProblemKind::CodeMalformed),
        ("K0I1", ChoiceMode::Typed, ProblemKind::CodeMalformed),
        (another(&said).as_str(), ChoiceMode::Picked, ProblemKind::ChoiceNotOffered),
    ] {
        assert_eq!(greeter.choose(Some(code), mode).unwrap_err().name(), name, "{code}");
    }
    assert_eq!(greeter.identify(Some("Me"), "mine").unwrap_err().name(), ProblemKind::NotNow);
    greeter.choose(Some(&format!(" {} ", said.to_lowercase())), ChoiceMode::Typed).unwrap();
    let from_alice = greeter.code_to_say().unwrap();
    claimer.stage(Stage::ChooseCode).unwrap();
    let wrong_way = claimer.choose(Some(&said), ChoiceMode::Typed).unwrap_err();
    assert_eq!(wrong_way.name(), ProblemKind::CodeOfWrongDirection);
    claimer.choose(Some(&from_alice), ChoiceMode::Picked).unwrap();
    claimer.stage(Stage::Identify).unwrap();
    // A name is needed.
    claimer.identify(None, "laptop").unwrap_err();
    claimer.identify(Some("Bob"), "laptop").unwrap();
    greeter.stage(Stage::Approve).unwrap();
    let unconfirmed: Result<Empty, _> = fixture.alice.call(
        method::CEREMONY_APPROVE,
        serde_json::json!({"ceremony": greeter.id(), "claimer_confirmed": false}),
    );
    assert_eq!(unconfirmed.unwrap_err().name(), Some(ProblemKind::NotConfirmed));
    greeter.approve(Some(ProfileName::Standard)).unwrap();
    claimer.stage(Stage::SetPassword).unwrap();
    assert_eq!(claimer.finish("short").unwrap_err().name(), ProblemKind::WeakPassword);
    claimer.finish(BOB.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
}

/// Nobody waits thirty days for a test: the end is moved in the server's own database, while it is
/// stopped.
#[test]
fn an_expired_link_says_so_to_both() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    fixture.server.kill();
    let database = rusqlite::Connection::open(fixture.server.folder().join("metadata.sqlite")).unwrap();
    let moved = database.execute("UPDATE invitation SET expires = created + 1", []).unwrap();
    assert_eq!(moved, 1);
    drop(database);
    fixture.restart_server();
    let said = bob.ctl_input(&["claim", "--json", "--link-file", "-"], invitation.link.expose());
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.stdout.contains("invitation_expired"), "{said:?}");
    let said = fixture.alice.ctl(&["greet", "--json", BOB_EMAIL]);
    assert!(said.code != 0 && said.stdout.contains("\"problem\""), "{said:?}");
    fixture.nothing_certified(&bob);
}

#[test]
fn links_that_do_not_work() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let link = invitation.link.expose();
    let (address, payload) = link.split_once('#').unwrap();
    let (server, _) = address.split_once("/join/").unwrap();
    // The payload of a link for a token that nobody has: the same but for one character in the
    // token.
    let mut strange = payload.to_owned().into_bytes();
    strange[10] = if strange[10] == b'A' { b'B' } else { b'A' };
    let strange = String::from_utf8(strange).unwrap();
    let links = [
        ("cut off", link[..link.len() - 9].to_owned(), ProblemKind::LinkMalformed, 65),
        ("no fragment", address.to_owned(), ProblemKind::LinkMalformed, 65),
        ("no link at all", "hello".to_owned(), ProblemKind::LinkMalformed, 65),
        (
            "plain http",
            format!("http://parsec.example/join/acme#{payload}"),
            ProblemKind::PlainHttpRefused,
            78,
        ),
        ("unknown token", format!("{address}#{strange}"), ProblemKind::InvitationUnknown, 68),
        (
            "nobody there",
            format!("http://127.0.0.1:1/join/acme#{payload}"),
            ProblemKind::ServerUnreachable,
            69,
        ),
        (
            "another organisation",
            format!("{server}/join/nobody#{payload}"),
            ProblemKind::InvitationUnknown,
            68,
        ),
    ];
    let refused = |what: &str, link: &str, name: ProblemKind, exit: i32| {
        // Where the server can't be reached, the other device would be looked for.
        let transport: &[&str] = if what == "nobody there" { &["--transport", "server"] } else { &[] };
        let said = bob.ctl_input(&[&["claim", "--json", "--link-file", "-"], transport].concat(), link);
        assert_eq!(said.code, exit, "{what}: {said:?}");
        assert!(said.stdout.contains(name.name()) || said.stderr.contains(name.name()), "{what}: {said:?}");
    };
    // Side by side: an invitation that a server doesn't know may be its greeter's, who is looked
    // for.
    std::thread::scope(|scope| {
        let refused = &refused;
        for (what, link, name, exit) in &links {
            scope.spawn(move || refused(what, link, *name, *exit));
        }
    });
    let parameters = InviteCancel { select: DeviceSelector::default(), token: invitation.token };
    fixture.alice.call::<Empty>(method::INVITE_CANCEL, parameters).unwrap();
    let said = bob.ctl_input(&["claim", "--json", "--link-file", "-"], link);
    assert_eq!(said.code, 69, "{said:?}");
    assert!(said.stdout.contains("invitation_cancelled"), "{said:?}");
    fixture.nothing_certified(&bob);
}

#[test]
fn a_member_is_not_invited_twice() {
    let fixture = Fixture::found(FixtureOptions::default());
    let refused = fixture.alice.invite(ALICE_EMAIL).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::AlreadyMember));
}

#[test]
fn two_claimers_and_two_greeters() {
    let fixture = Fixture::found(FixtureOptions::default());
    // Bob becomes an administrator, so that he may greet too.
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Administrator);
    claimer.finish(BOB.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();

    let carol = fixture.device("carol");
    let thief = fixture.device("thief");
    let invitation = fixture.alice.invite("carol@acme.example").unwrap();
    let bell = Arc::new(Bell::default());
    let claimer = carol.claim(invitation.link.expose(), &bell).unwrap();
    claimer.stage(Stage::WaitingForPeer).unwrap();
    let second = thief.claim(invitation.link.expose(), &bell).and_then(|side| side.outcome()).unwrap_err();
    assert_eq!(second.name(), ProblemKind::InvitationInUse);
    let _greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    claimer.code_to_say().unwrap();
    // Bob doesn't hold the link's secret, and Alice is greeting: he is told one or the other, and
    // nothing is disturbed.
    let other = bob.greet(invitation.token, &bell).and_then(|side| side.outcome()).unwrap_err();
    assert!(matches!(other.name(), ProblemKind::GreeterTaken | ProblemKind::InvitationUnknown), "{other:?}");
    assert!(claimer.end().is_none());
}
