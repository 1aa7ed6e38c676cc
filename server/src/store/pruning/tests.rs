//! What everybody takes up is counted right whatever happens, time takes away what is over, and the
//! file stays as small as what is in it.

use parsec_protocol::ids::{AttemptId, Invited, Token, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::attempt::{Earlier, Side};
use parsec_protocol::relay::{EndReason, GreeterIds, InvitationStatus};

use super::*;
use crate::budgets::{Budgets, Share, Taken, Whose, Wish};
use crate::errors::Refusal;
use crate::invitations::{self as rules, Attempt, Invitation, Start};
use crate::store::sqlite::{Connection, Transaction, change, open_writer, read};
use crate::store::{invitations as rows, usage};

const DAY: u64 = 24 * 60 * 60;
const BEGINNING: Timestamp = Timestamp(1_700_000_000_000_000);

/// Numbers of a seed, the same on each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id.iter_mut().for_each(|byte| *byte = u8::try_from(self.roll(256)).unwrap());
        id
    }
}

/// A database with one organisation, at a time of its own.
struct Site {
    folder: tempfile::TempDir,
    sql: Connection,
    organisation: OrganisationId,
    now: Timestamp,
    dice: Dice,
}

impl Site {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sql = open_writer(&folder.path().join("db")).unwrap();
        // What survives a power cut is another test's matter, and takes most of the time.
        sql.pragma_update(None, "synchronous", "OFF").unwrap();
        let organisation: OrganisationId = "acme".parse().unwrap();
        change(&sql, |tx| tx.reserve(&organisation, Hash::of(&[]), BEGINNING)).unwrap();
        Self { folder, sql, organisation, now: BEGINNING, dice: Dice(seed) }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus_seconds(seconds);
    }

    fn invitation(&mut self, maker: u8, days: u64) -> Invitation {
        let user = UserId::from_bytes([maker; 16]);
        let administrator = maker < 3;
        Invitation {
            token: Token::from_bytes(self.dice.id()),
            invited: if administrator {
                Invited::User(format!("m{}@acme.test", self.dice.roll(100_000)).parse().unwrap())
            } else {
                Invited::Device(user)
            },
            created_by: user,
            created: self.now,
            expires: self.now.plus_seconds(days * DAY),
            status: InvitationStatus::Pending,
            mismatches: 0,
            attempts: 0,
            pool: if administrator { Pool::Administrators } else { Pool::Others },
        }
    }

    fn insert(&mut self, maker: u8, days: u64) -> Token {
        let invitation = self.invitation(maker, days);
        self.store(&invitation);
        invitation.token
    }

    /// One change, in the transaction that is open, if there is one.
    fn change<T>(&self, work: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>) -> T {
        if self.sql.is_autocommit() {
            return change(&self.sql, |tx| work(tx)).unwrap();
        }
        work(&mut Transaction::new(&self.sql, &mut Vec::new())).unwrap()
    }

    fn store(&self, invitation: &Invitation) {
        self.change(|tx| rows::insert(tx, &self.organisation, invitation, self.now));
    }

    fn load(&self, token: &Token) -> Option<Loaded> {
        self.change(|tx| rows::load(tx, &self.organisation, token, self.now))
    }

    fn is_due(&self) -> bool {
        read(&self.sql, |tx| tx.is_due(self.now)).unwrap()
    }

    /// Starts an attempt and deposits this many steps of this many bytes.
    fn attempt(&mut self, token: &Token, steps: u8, bytes: usize) {
        let id = AttemptId::from_bytes(self.dice.id());
        let mut loaded = self.load(token).unwrap();
        let now = self.now;
        let start = rules::start(
            &mut loaded.invitation,
            None,
            loaded.newest.as_mut(),
            now,
            (id, Hash::of(&[b"secret"])),
            now,
        );
        let Ok(Start::New(attempt)) = start else { return };
        self.change(|tx| {
            loaded.save(tx)?;
            tx.insert_attempt(&self.organisation, token, &attempt)
        });
        let loaded = self.load(token).unwrap();
        let mut chosen = self.change(|tx| loaded.with_attempt(tx, &id)).unwrap();
        chosen.attempt.state.greeter = Some(GreeterIds {
            user: UserId::from_bytes([1; 16]),
            device: parsec_protocol::ids::DeviceId::from_bytes([1; 16]),
        });
        self.change(|tx| chosen.save(tx));
        for step in 0..steps {
            let side = if step % 2 == 0 { Side::Claimer } else { Side::Greeter };
            let content = vec![step; bytes + usize::from(step)];
            let hash = Hash::of(&[&content]);
            assert_eq!(chosen.attempt.state.deposit(side, step, Earlier::Nothing), Ok(true));
            self.change(|tx| {
                tx.insert_step(&self.organisation, token, chosen.attempt.number, step, (hash, &content))?;
                chosen.save(tx)
            });
        }
    }

    fn piece(&self) -> Piece {
        self.change(|tx| piece(tx, self.now))
    }

    fn prune(&self) {
        while self.piece().more {}
    }

    fn number(&self, query: &str) -> u64 {
        self.sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }

    fn usage(&self) -> Vec<(Vec<u8>, i64, i64, i64, i64)> {
        let mut select = self
            .sql
            .prepare("SELECT member, pool, live, stored, bytes FROM usage ORDER BY member, pool")
            .unwrap();
        let rows =
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// What the triggers keep is what the rows say.
    fn adds_up(&self) {
        let kept = self.usage();
        self.change(|tx| tx.recount(&self.organisation));
        assert_eq!(kept, self.usage());
    }

    fn taken(&self, member: Option<u8>, pool: Pool) -> Taken {
        let member = member.map(|member| UserId::from_bytes([member; 16]));
        read(&self.sql, |tx| tx.taken(&self.organisation, member.as_ref(), pool)).unwrap()
    }

    fn admit(&self, like: &Invitation, wish: Wish, budgets: &Budgets) -> Result<(), Refusal> {
        change(&self.sql, |tx| usage::admit(tx, &self.organisation, like, wish, budgets, self.now))
    }

    /// The file's size, with everything in it.
    fn size(&self) -> u64 {
        self.sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        std::fs::metadata(self.folder.path().join("db")).unwrap().len()
    }
}

/// Every row of the right kind and the right sum, after anything in any order.
#[test]
fn usage_adds_up_to_the_rows_whatever_happens() {
    for seed in 1..=8 {
        let mut site = Site::new(seed);
        let mut tokens: Vec<Token> = Vec::new();
        for _ in 0..150 {
            let any = |site: &mut Site, tokens: &[Token]| {
                let most = u64::try_from(tokens.len()).unwrap().max(1);
                tokens.get(usize::try_from(site.dice.roll(most)).unwrap()).copied()
            };
            match site.dice.roll(9) {
                0..=2 => {
                    let (maker, days) =
                        (u8::try_from(1 + site.dice.roll(6)).unwrap(), 1 + site.dice.roll(30));
                    let token = site.insert(maker, days);
                    tokens.push(token);
                }
                3 | 4 => {
                    let (steps, bytes) = (site.dice.roll(10), site.dice.roll(5_000));
                    if let Some(token) = any(&mut site, &tokens)
                        && site.load(&token).is_some()
                    {
                        site.attempt(&token, u8::try_from(steps).unwrap(), usize::try_from(bytes).unwrap());
                    }
                }
                5 => {
                    let Some(mut loaded) = any(&mut site, &tokens).and_then(|token| site.load(&token)) else {
                        continue;
                    };
                    if rules::cancel(&mut loaded.invitation, loaded.newest.as_mut()) == Ok(true) {
                        site.change(|tx| loaded.save(tx));
                    }
                }
                6 => {
                    let Some(mut loaded) = any(&mut site, &tokens).and_then(|token| site.load(&token)) else {
                        continue;
                    };
                    let Some(attempt) = loaded.newest.as_mut() else { continue };
                    let reason = EndReason::CodeMismatch;
                    if rules::cancel_attempt(&mut loaded.invitation, attempt, reason) == Ok(true) {
                        site.change(|tx| loaded.save(tx));
                    }
                }
                7 => {
                    let seconds = site.dice.roll(4 * DAY);
                    site.pass(seconds);
                    site.piece();
                }
                _ => {
                    let like = site.invitation(4, 1);
                    let tight = Share { live: 2, bytes: 9_000 };
                    let budgets = Budgets { administrator: tight, member: tight, organisation: tight };
                    let _ = site.admit(&like, Wish::Invitation, &budgets);
                }
            }
            site.adds_up();
        }
        // In the end nothing is left, of sealed attempts neither.
        for _ in 0..3 {
            site.pass(190 * DAY);
            site.prune();
            site.adds_up();
        }
        for table in ["invitation", "attempt", "step", "usage"] {
            assert_eq!(site.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}, seed {seed}");
        }
    }
}

/// Steps go with the attempt's end, by whatever it ends; all of it a week after the invitation's.
#[test]
fn steps_of_expired_attempts_go_by_themselves_and_what_is_over_a_week_later() {
    let mut site = Site::new(1);
    let left = site.insert(4, 1);
    site.attempt(&left, 7, 60_000);
    let open = site.insert(4, 30);
    site.attempt(&open, 7, 1_000);
    let bytes = "SELECT ifnull(sum(length(bytes)), 0) FROM step";
    assert!(site.number(bytes) > 7 * 61_000);
    let empty = Piece::default();
    assert_eq!((site.piece(), site.is_due()), (empty, false), "nothing is due");

    site.pass(DAY);
    assert!(site.is_due());
    assert_eq!(site.piece().expired, 1);
    assert_eq!(site.number(bytes), 7 * 1_000 + 21, "only of the open one");
    let loaded = site.load(&left).unwrap();
    assert_eq!(loaded.invitation.status, InvitationStatus::Expired);
    assert_eq!(
        loaded.newest.as_ref().map(|attempt: &Attempt| attempt.state.ended),
        Some(Some(EndReason::InvitationEnded))
    );

    site.pass(7 * DAY - 1);
    assert_eq!(site.piece().gone, 0);
    site.pass(1);
    assert_eq!(site.piece().gone, 1);
    assert_eq!(site.load(&left), None);
    assert!(site.load(&open).is_some());
    site.adds_up();
}

/// A piece is a whole: whoever is killed between two goes on with the next.
#[test]
fn a_crash_between_two_pieces_is_harmless() {
    let mut site = Site::new(1);
    for _ in 0..3 * PIECE_ROWS {
        let token = site.insert(4, 1);
        site.attempt(&token, 3, 100);
    }
    site.pass(8 * DAY);
    let mut pieces = 0;
    loop {
        // Half a piece, and the power is cut.
        say_begin(&site.sql);
        let mut changed = Vec::new();
        piece(&mut Transaction::new(&site.sql, &mut changed), site.now).unwrap();
        drop(std::mem::replace(&mut site.sql, Connection::open_in_memory().unwrap()));
        site.sql = open_writer(&site.folder.path().join("db")).unwrap();
        site.adds_up();
        assert!(site.number("SELECT count(*) FROM step s LEFT JOIN attempt a USING (organisation, token) WHERE a.number IS NULL") == 0);
        let done = site.piece();
        assert!(done.expired + done.gone <= u64::try_from(PIECE_ROWS).unwrap());
        pieces += 1;
        if !done.more {
            break;
        }
    }
    assert!(pieces > 2, "{pieces}");
    site.pass(8 * DAY);
    site.prune();
    assert_eq!(site.number("SELECT count(*) FROM invitation"), 0);
}

fn say_begin(sql: &Connection) {
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
}

#[test]
fn what_is_over_makes_room_and_what_is_live_does_not() {
    let mut site = Site::new(1);
    let budgets = Budgets {
        member: Share { live: 2, bytes: 100_000 },
        administrator: Share { live: 3, bytes: 1_000_000 },
        organisation: Share { live: 4, bytes: 1_000_000 },
    };
    // Made and cancelled, again and again: the member is never kept from inviting, and eight are
    // kept.
    for _ in 0..40 {
        let like = site.invitation(5, 90);
        site.admit(&like, Wish::Invitation, &budgets).unwrap();
        site.store(&like);
        let mut loaded = site.load(&like.token).unwrap();
        rules::cancel(&mut loaded.invitation, None).unwrap();
        site.change(|tx| loaded.save(tx));
        assert!(site.taken(Some(5), Pool::Others).stored <= budgets.member.stored());
    }
    // Two that can be used are all that there may be.
    for number in 0..3 {
        let like = site.invitation(5, 1);
        let answer = site.admit(&like, Wish::Invitation, &budgets);
        assert_eq!(answer.is_ok(), number < 2);
        if answer.is_ok() {
            site.store(&like);
        } else {
            assert_eq!(answer, Err(Whose::Member.spent().into()));
        }
    }
    // Another one's share is another one's, until all of them together have theirs.
    for (maker, allowed) in [(6, true), (6, true), (7, false)] {
        let like = site.invitation(maker, 1);
        let answer = site.admit(&like, Wish::Invitation, &budgets);
        match allowed {
            true => site.store(&like),
            false => assert_eq!(answer, Err(Whose::Pool.spent().into())),
        }
    }
    // Which is nothing to the administrators.
    let like = site.invitation(1, 1);
    site.admit(&like, Wish::Invitation, &budgets).unwrap();
    // Time makes room at once, before the next piece comes.
    site.pass(DAY);
    let like = site.invitation(7, 1);
    site.admit(&like, Wish::Invitation, &budgets).unwrap();
    site.adds_up();
    // Bytes have their bound too.
    assert_eq!(site.admit(&like, Wish::Bytes(100_000), &budgets), Ok(()));
    assert_eq!(site.admit(&like, Wish::Bytes(100_001), &budgets), Err(Whose::Member.spent().into()));
}

/// Invitations made and left, with ceremonies that were begun and given up: for a long time as
/// large as after a short one (docs/assurance.md, P9).
#[test]
fn the_file_stays_as_large_as_what_is_in_it() {
    let each_day =
        if std::env::var_os("PARSEC_FULL").is_some_and(|value| value == "1") { 200_u8 } else { 12 };
    let mut site = Site::new(1);
    let mut sizes = Vec::new();
    for day in 1..=400_u64 {
        say_begin(&site.sql);
        // The same on every day, so that nothing but what stays can make a difference.
        for number in 0..each_day {
            let token = site.insert(1 + number % 40, 30);
            match number % 4 {
                0 => {}
                1 => site.attempt(&token, 3, 200),
                _ => site.attempt(&token, 8, 100 * usize::from(number)),
            }
        }
        site.sql.execute_batch("COMMIT").unwrap();
        site.pass(DAY);
        site.prune();
        if day % 40 == 0 {
            sizes.push(site.size());
        }
    }
    let (first, last) = (sizes[0], *sizes.last().unwrap());
    let most = sizes.iter().copied().max().unwrap();
    assert!(most * 10 <= first * 11 && last * 10 <= first * 11, "{sizes:?}");
    site.adds_up();
    // And when everybody has gone, the file shrinks.
    for _ in 0..2 {
        site.pass(200 * DAY);
        site.prune();
    }
    assert!(site.size() * 4 < first, "{} of {first}", site.size());
    println!(
        "figure P9: 400 days, {each_day} invitations a day made and left: {} KiB after 40 days, {} KiB at the end, {} KiB when all had gone",
        first / 1024,
        last / 1024,
        site.size() / 1024
    );
}

#[test]
fn a_row_that_cannot_be_read_keeps_no_other_from_going() {
    let mut site = Site::new(1);
    let damaged = site.insert(4, 1);
    let sound = site.insert(4, 2);
    site.sql.execute("UPDATE invitation SET mismatches = -1 WHERE token = ?1", [damaged.as_bytes()]).unwrap();
    site.pass(2 * DAY);
    assert_eq!(site.piece().expired, 1);
    assert!(site.load(&sound).unwrap().invitation.is_final());
    assert!(!site.is_due(), "it is not tried again at once");
    site.pass(DAY);
    assert!(site.is_due());
}
