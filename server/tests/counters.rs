//! What the server counts is what is there: counters against rows, after every call of seeded
//! courses of calls, and after a restore, a repair and a pruning.
//!
//! No request counts rows; each change keeps the counters in its own statement. One that was
//! forgotten would sooner or later let somebody take too much, or end a log that is long enough to
//! others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;

use parsec_metadata::{list_organisations, prune_organisation};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::codec;
use parsec_protocol::ids::{Invited, Token};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{Completed, EndReason, LogRepaired, ManifestUpload, path};
use support::{Bench, Claim, DAY, Member, Newcomer, repair_with, sealed};

/// Courses of calls, and calls in each.
const COURSES: u64 = 3;
const CALLS: usize = 60;

/// Numbers of a seed, the same on each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(below).unwrap()).unwrap()
    }
}

/// Each counter beside the count that it stands for; rows where the two are not the same.
const COUNTED: [&str; 3] = [
    "SELECT id, certificates, users, devices, log_bytes, manifest_bytes, key_bytes, hex(head) FROM organisation
     EXCEPT SELECT id,
        (SELECT count(*) FROM certificate WHERE organisation = id),
        (SELECT count(*) FROM user WHERE organisation = id AND revoked = 0),
        (SELECT count(*) FROM device WHERE organisation = id AND revoked = 0),
        (SELECT coalesce(sum(length(envelope)), 0) FROM certificate WHERE organisation = id)
            + (SELECT coalesce(sum(length(receipt)), 0) FROM receipt WHERE organisation = id),
        (SELECT coalesce(sum(length(envelope)), 0) FROM manifest WHERE organisation = id),
        (SELECT coalesce(sum(length(key)), 0) FROM encryption_key WHERE organisation = id)
            + (SELECT coalesce(sum(length(sealed)), 0) FROM key_box WHERE organisation = id)
            + (SELECT coalesce(sum(length(sealed)), 0) FROM past_box WHERE organisation = id),
        hex((SELECT head FROM certificate WHERE organisation = id ORDER BY position DESC LIMIT 1))
     FROM organisation",
    "SELECT user, devices, devices_revoked, abandoned FROM user
     EXCEPT SELECT user,
        (SELECT count(*) FROM device d WHERE d.user = user.user),
        (SELECT count(*) FROM device d WHERE d.user = user.user AND d.revoked = 1),
        (SELECT count(*) FROM abandoned a WHERE a.user = user.user
            AND (a.device, a.user) NOT IN (SELECT device, user FROM device))
     FROM user",
    "SELECT member, pool, live, stored, bytes FROM usage
     EXCEPT SELECT member, pool, sum(status < 2), count(*), sum(
        256 + ifnull(length(email), 16)
        + (SELECT count(*) * 192 FROM attempt a WHERE a.token = i.token)
        + (SELECT ifnull(sum(64 + ifnull(length(bytes), 0)), 0) FROM step s WHERE s.token = i.token))
     FROM (SELECT created_by AS member, * FROM invitation UNION ALL SELECT x'' AS member, * FROM invitation) i
     GROUP BY member, pool",
];

fn number(sql: &rusqlite::Connection, query: &str) -> i64 {
    sql.query_row(query, [], |row| row.get(0)).unwrap()
}

#[track_caller]
fn add_up(database: &Path, when: &str) {
    let sql = rusqlite::Connection::open(database).unwrap();
    for query in COUNTED {
        assert!(!sql.prepare(query).unwrap().exists([]).unwrap(), "{when}: {query}");
    }
    // Nobody who has something is without a row.
    let makers = "SELECT count(*) FROM (SELECT DISTINCT organisation, created_by, pool FROM invitation)";
    assert_eq!(
        number(&sql, makers),
        number(&sql, "SELECT count(*) FROM usage WHERE member <> x''"),
        "{when}"
    );
}

fn database(bench: &Bench) -> std::path::PathBuf {
    bench.folder.path().join("db")
}

/// What a course has made so far.
struct Course {
    bench: Bench,
    dice: Dice,
    members: Vec<Member>,
    claims: Vec<(Claim, usize)>,
    tokens: Vec<(Token, usize)>,
    /// How often each kind of call was taken.
    taken: [u32; 13],
    made: u32,
}

impl Course {
    /// One call of any kind, which may be refused.
    async fn call(&mut self) {
        let kind = self.dice.roll(self.taken.len());
        let by = self.dice.roll(self.members.len());
        let (bench, member) = (&self.bench, &self.members[by]);
        self.made += 1;
        let email = format!("m{}@acme.test", self.made);
        let claim = (!self.claims.is_empty()).then(|| self.dice.roll(self.claims.len()));
        let status = match kind {
            0 | 1 => {
                let own = self.dice.roll(2) == 0;
                let invited =
                    if own { Invited::Device(member.user) } else { Invited::User(email.parse().unwrap()) };
                let asked = parsec_protocol::relay::NewInvitation {
                    token: Token::from_bytes(support::drawn()),
                    invited,
                    expires: bench.now().plus_seconds(DAY * u64::try_from(1 + self.dice.roll(9)).unwrap()),
                    mail_link: None,
                };
                let answer = member.post(bench, &path::invitations(&member.organisation), &asked).await;
                if answer.status == 200 {
                    self.tokens.push((asked.token, by));
                }
                answer.status
            }
            2 if !self.tokens.is_empty() => {
                let (token, by) = self.tokens[self.dice.roll(self.tokens.len())];
                let claim = Claim::new(&self.members[by], token);
                let status = claim.start(bench).await.status;
                if status == 200 {
                    claim.join(bench, &self.members[by]).await;
                    self.claims.push((claim, by));
                }
                status
            }
            3 | 4 if claim.is_some() => {
                let (claim, by) = &self.claims[claim.unwrap()];
                let content = vec![7; 1 + self.dice.roll(3_000)];
                let mut status = 0;
                for step in 0..=8 {
                    let answer = match step % 2 {
                        0 => claim.put(bench, step, &content).await,
                        _ => claim.greeter_put(bench, &self.members[*by], step, &content).await,
                    };
                    status = status.max(answer.status);
                    if self.dice.roll(4) == 0 {
                        break;
                    }
                }
                status
            }
            5 if claim.is_some() => {
                let (claim, by) = &self.claims[claim.unwrap()];
                let reason = [EndReason::CodeMismatch, EndReason::Cancelled][self.dice.roll(2)];
                claim.greeter_cancel(bench, &self.members[*by], reason).await.status
            }
            6 if claim.is_some() => {
                let (claim, by) = &self.claims[claim.unwrap()];
                let greeter = &self.members[*by];
                let invited = greeter.see(bench, &claim.token).await.invited;
                let (mut newcomer, seen) = (Newcomer::new(), greeter.head(bench).await);
                let completion = match &invited {
                    Invited::User(email) => newcomer.enrolment(greeter, seen, bench.now(), email.as_str()),
                    Invited::Share(..) => unreachable!("nobody is given a share here"),
                    Invited::Device(user) => {
                        newcomer.user = *user;
                        let device = greeter.certify(seen, bench.now(), newcomer.device_body());
                        let receipt = newcomer.receipt(std::slice::from_ref(&device), greeter.root);
                        parsec_protocol::relay::Completion {
                            keys: vec![newcomer.device_key.clone()],
                            certificates: vec![device],
                            receipt,
                        }
                    }
                };
                let status = claim.complete(bench, greeter, &completion).await.status;
                if status == 200 {
                    self.members.push(newcomer.member(&self.members[*by]));
                }
                status
            }
            7 => {
                let about = &self.members[self.dice.roll(self.members.len())];
                let (user, device) = (about.user, about.device);
                let profile =
                    [Profile::Administrator, Profile::Standard, Profile::Outsider][self.dice.roll(3)];
                let body = match self.dice.roll(4) {
                    0 => Body::UserRevoked { user },
                    1 => Body::DeviceRevoked { device },
                    _ => Body::ProfileChange { user, profile },
                };
                // The founder stays, to go on with.
                if user == self.members[0].user {
                    409
                } else {
                    self.members[0].change(bench, body).await.status
                }
            }
            8 => {
                let target = path::manifest(&member.organisation);
                let read = member.call(bench, "GET", &target, &[]).await;
                if read.status != 200 {
                    return;
                }
                let version = read.record::<parsec_protocol::relay::ManifestView>().version + 1;
                let envelope = vec![9; 40 + self.dice.roll(500)].into();
                let upload = ManifestUpload { version, envelope };
                member.call(bench, "PUT", &target, &codec::encode(&upload)).await.status
            }
            9 => {
                let member = &self.members[0];
                let mut change = member.key_change(bench).await;
                if self.dice.roll(3) == 0 {
                    change.past = None;
                }
                member.change_key(bench, &change).await.status
            }
            10 => {
                let member = &self.members[0];
                let log = member.verified(bench).await;
                let own = log.user(&member.user).unwrap();
                let key = own.keys[self.dice.roll(own.keys.len())].key;
                let target = path::key_box(&member.organisation, &member.user, &key, &member.device);
                let present = member.get(bench, &target).await;
                let replaces = (present.status == 200)
                    .then(|| present.record::<parsec_protocol::relay::KeyBox>().sealed)
                    .flatten()
                    .map(|sealed| Hash::of(&[&sealed]));
                let upload = parsec_protocol::relay::KeyBoxUpload { replaces, sealed: sealed() };
                member.put(bench, &target, &upload).await.status
            }
            11 => {
                let member = &self.members[0];
                let log = member.verified(bench).await;
                let own = log.user(&member.user).unwrap();
                let key = own.keys[self.dice.roll(own.keys.len())].key;
                let boxes = path::key_box(&member.organisation, &member.user, &key, &member.device);
                let present = member.get(bench, &boxes).await;
                let replaces = (present.status == 200)
                    .then(|| present.record::<parsec_protocol::relay::KeyBox>().past)
                    .flatten()
                    .map(|sealed| Hash::of(&[&sealed]));
                let upload = parsec_protocol::relay::KeyBoxUpload { replaces, sealed: sealed() };
                let target = path::past_box(&member.organisation, &member.user, &key);
                member.put(bench, &target, &upload).await.status
            }
            _ => {
                let profile = [Profile::Administrator, Profile::Standard][self.dice.roll(2)];
                if self.dice.roll(2) == 0 {
                    let newcomer = self.members[0].with(bench, &email, profile).await;
                    self.members.push(newcomer);
                } else {
                    let device = self.members[0].with_device(bench).await;
                    self.members.push(device);
                }
                200
            }
        };
        self.taken[kind] += u32::from(status < 300);
    }
}

#[tokio::test]
async fn counters_are_counts_after_every_call() {
    let mut taken = [0; 13];
    for seed in 1..=COURSES {
        let bench = Bench::start().await;
        let alice = bench.founded().await;
        let mut course = Course {
            bench,
            dice: Dice(seed),
            members: vec![alice],
            claims: Vec::new(),
            tokens: Vec::new(),
            taken,
            made: 0,
        };
        for number in 0..CALLS {
            course.call().await;
            add_up(&database(&course.bench), &format!("seed {seed}, call {number}"));
        }
        // Time ends some; the operator sweeps the rest that is over.
        course.bench.pass(5 * DAY);
        prune_organisation(&database(&course.bench), "acme").unwrap();
        add_up(&database(&course.bench), &format!("seed {seed}, pruned"));
        let listed = list_organisations(&database(&course.bench)).unwrap();
        assert_eq!(listed[0].certificates, course.members[0].log(&course.bench).await.count);
        taken = course.taken;
    }
    assert!(taken.iter().all(|count| *count > 0), "every kind of call was taken: {taken:?}");
}

#[tokio::test]
async fn counters_are_counts_after_a_restore_and_a_repair() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let copy = tempfile::tempdir().unwrap();
    let backup = copy.path().join("db");
    let sql = rusqlite::Connection::open(database(&bench)).unwrap();
    sql.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    alice.with_device(&bench).await;
    alice.change(&bench, Body::UserRevoked { user: carol.user }).await.record::<Completed>();
    let change = alice.key_change(&bench).await;
    alice.change_key(&bench, &change).await.record::<Completed>();
    let certificates = alice.log(&bench).await.certificates;

    let restored = Bench::with(|config| {
        std::fs::copy(&backup, &config.database).unwrap();
    })
    .await;
    add_up(&database(&restored), "restored");
    let held = usize::try_from(alice.log(&restored).await.count).unwrap();
    assert!(held < certificates.len());
    let empty = Head::empty(&alice.organisation, &alice.root);
    let from = certificates[..held].iter().fold(empty, |head, envelope| head.after(envelope));
    let repair = repair_with(from, certificates[held..].to_vec());
    let answer = alice.post(&restored, &path::log_repair(&alice.organisation), &repair).await;
    assert_eq!(answer.record::<LogRepaired>().count, certificates.len() as u64);
    add_up(&database(&restored), "repaired");
}
