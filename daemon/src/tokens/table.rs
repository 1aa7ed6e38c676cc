//! The tokens in memory, without disk or clock.
//!
//! Decides which secret is known, what a request for a token may ask, and whether a use is within
//! the token's rate and time: its end by the calendar, and by a clock that nobody sets while the
//! daemon runs. Refuses methods outside of the fixed list, lives beyond a year, names twice, and
//! more tokens than a person keeps track of.

use parsec_protocol::control::{Problem, ProblemKind, TokenCreate, TokenId, TokenView};
use parsec_protocol::ids::{IdError, Label, Timestamp};
use parsec_protocol::public_keys::Hash;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use super::{Granted, PLUGIN_METHODS};
use crate::problems;
use crate::store::TokenRecord;

/// Tokens at once: a person has a handful of plug-ins. The list stays small enough to be written
/// often.
const TOKENS_MAX: usize = 64;
/// Life of a token that is not told otherwise: a season, so that forgotten ones end.
const DAYS_DEFAULT: u32 = 90;
/// Longest life.
const DAYS_MAX: u32 = 365;
/// Calls a minute that are not told otherwise: two a second, for a plug-in that shows a state.
const RATE_DEFAULT: u32 = 120;
/// Most calls a minute: each is a line in the record of uses, and a hundred a second fill it in
/// minutes.
const RATE_MAX: u32 = 6_000;
/// Refusals that are written down of one token a minute; the rest is counted. A plug-in gone wild
/// must not push the uses of the others out of the record.
const REFUSALS_NOTED: u32 = 10;
/// The window in which calls and refusals are counted.
const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// How many of something there were in the last window.
#[derive(Debug, Default)]
pub(super) struct Window {
    began: Option<std::time::Duration>,
    count: u32,
}

impl Window {
    /// Counts one more if there are fewer than `most`. `now` is since any fixed moment.
    pub(super) fn take(&mut self, most: u32, now: std::time::Duration) -> bool {
        if self.began.is_none_or(|began| now.saturating_sub(began) >= MINUTE) {
            (self.began, self.count) = (Some(now), 0);
        }
        let room = self.count < most;
        self.count += u32::from(room);
        room
    }
}

/// One token.
#[derive(Debug)]
struct Entry {
    record: TokenRecord,
    /// When it ends by the clock that nobody sets: setting the other one back must not lengthen a
    /// life.
    ends: std::time::Duration,
    cut: CancellationToken,
    calls: Window,
    refusals: Window,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct TokenTable(Vec<Entry>);

/// When something is asked: by the world's clock, and by one that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) time: Timestamp,
    pub(super) since_boot: std::time::Duration,
}

/// What became of a use.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) id: TokenId,
    pub(super) name: String,
    /// Why not.
    pub(super) refused: Option<ProblemKind>,
    /// Whether it is to be written down.
    pub(super) noted: bool,
}

fn invalid(text: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, text)
}

impl TokenTable {
    /// `now` is when they are read. What was noted last shows how late it was then at least.
    pub(super) fn new(records: Vec<TokenRecord>, now: Now) -> Self {
        let latest = records.iter().map(|record| record.last_used.max(record.created)).max().unwrap_or(0);
        let time = now.time.0.max(latest);
        let entry = |record: TokenRecord| Entry {
            ends: now.since_boot + std::time::Duration::from_micros(record.expires.saturating_sub(time)),
            record,
            cut: CancellationToken::new(),
            calls: Window::default(),
            refusals: Window::default(),
        };
        Self(records.into_iter().map(entry).collect())
    }

    pub(super) fn records(&self) -> Vec<TokenRecord> {
        self.0.iter().map(|entry| entry.record.clone()).collect()
    }

    pub(super) fn views(&self) -> Vec<TokenView> {
        self.0.iter().map(|entry| view(&entry.record)).collect()
    }

    /// A new token's record. Nothing is added yet: it is on disk first.
    pub(super) fn draft(
        &self,
        request: TokenCreate,
        id: String,
        secret: Hash,
        now: Timestamp,
    ) -> Result<TokenRecord, Problem> {
        let TokenCreate { name, mut methods, days, rate_per_minute } = request;
        // The same grammar as for people and devices: these names stand beside each other.
        let name: Label =
            name.parse().map_err(|error: IdError| invalid(problems::sentence(&error.to_string())))?;
        let name = name.as_str().to_owned();
        if self.0.iter().any(|entry| entry.record.name == name) {
            return Err(invalid("There is a token of this name."));
        }
        methods.sort_unstable();
        methods.dedup();
        if methods.is_empty() || !methods.iter().all(|method| PLUGIN_METHODS.contains(&method.as_str())) {
            return Err(invalid(format!("A token can allow: {}.", PLUGIN_METHODS.join(", "))));
        }
        let days = days.unwrap_or(DAYS_DEFAULT);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(invalid(format!("A token lives 1 to {DAYS_MAX} days.")));
        }
        let rate = rate_per_minute.unwrap_or(RATE_DEFAULT);
        if !(1..=RATE_MAX).contains(&rate) {
            return Err(invalid(format!("A token is used 1 to {RATE_MAX} times a minute.")));
        }
        if self.0.len() >= TOKENS_MAX {
            return Err(invalid(format!("There are {TOKENS_MAX} tokens: revoke one first.")));
        }
        let life = u64::from(days).saturating_mul(86_400).saturating_mul(Timestamp::SECOND);
        let expires = now.0.saturating_add(life);
        let (created, uses) = (now.0, 0);
        Ok(TokenRecord { id, name, secret, methods, created, expires, rate, uses, refused: 0, last_used: 0 })
    }

    pub(super) fn add(&mut self, record: TokenRecord, now: Now) -> TokenView {
        let shown = view(&record);
        self.0.extend(Self::new(vec![record], now).0);
        shown
    }

    /// Takes a token out and cuts off what runs with it.
    pub(super) fn remove(&mut self, id: &TokenId) -> Option<TokenRecord> {
        let at = self.0.iter().position(|entry| entry.record.id == id.0)?;
        let entry = self.0.remove(at);
        entry.cut.cancel();
        Some(entry.record)
    }

    /// The token of this secret. Looks at all of them and at each whole, so that the time tells
    /// nothing.
    pub(super) fn find(&self, secret: &Hash) -> Option<TokenId> {
        let mut found = None;
        for entry in &self.0 {
            let same: bool = entry.record.secret.as_bytes().as_slice().ct_eq(secret.as_bytes()).into();
            if same {
                found = Some(TokenId(entry.record.id.clone()));
            }
        }
        found
    }

    pub(super) fn granted(&self, id: &TokenId) -> Option<Granted> {
        let entry = self.0.iter().find(|entry| entry.record.id == id.0)?;
        Some(Granted {
            id: id.clone(),
            expires: Timestamp(entry.record.expires),
            ends: entry.ends,
            cut: entry.cut.clone(),
            methods: entry.record.methods.clone(),
        })
    }

    /// Counts a use, or that it was refused. Nothing if there is no such token (any more).
    pub(super) fn judge(&mut self, id: &TokenId, refused: Option<ProblemKind>, now: Now) -> Option<Judged> {
        let entry = self.0.iter_mut().find(|entry| entry.record.id == id.0)?;
        let expired = now.time.0 >= entry.record.expires || now.since_boot >= entry.ends;
        let refused = refused.or_else(|| expired.then_some(ProblemKind::TokenExpired)).or_else(|| {
            (!entry.calls.take(entry.record.rate, now.since_boot)).then_some(ProblemKind::RateLimited)
        });
        let noted = match refused {
            None => {
                entry.record.uses = entry.record.uses.saturating_add(1);
                entry.record.last_used = now.time.0;
                true
            }
            Some(_) => {
                entry.record.refused = entry.record.refused.saturating_add(1);
                entry.refusals.take(REFUSALS_NOTED, now.since_boot)
            }
        };
        Some(Judged { id: id.clone(), name: entry.record.name.clone(), refused, noted })
    }
}

fn view(record: &TokenRecord) -> TokenView {
    TokenView {
        id: TokenId(record.id.clone()),
        name: record.name.clone(),
        methods: record.methods.clone(),
        created: Timestamp(record.created),
        expires: Timestamp(record.expires),
        rate_per_minute: record.rate,
        uses: record.uses,
        refused: record.refused,
        last_used: (record.last_used > 0).then_some(Timestamp(record.last_used)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: u64 = 86_400 * Timestamp::SECOND;

    fn request(name: &str) -> TokenCreate {
        let methods = vec!["status.show".into()];
        TokenCreate { name: name.into(), methods, days: None, rate_per_minute: Some(2) }
    }

    fn at(time: u64, seconds: u64) -> Now {
        Now { time: Timestamp(time), since_boot: Duration::from_secs(seconds) }
    }

    fn table(names: &[&str]) -> TokenTable {
        let mut table = TokenTable::default();
        for name in names {
            let secret = Hash::of(&[name.as_bytes()]);
            let record = table.draft(request(name), (*name).to_owned(), secret, Timestamp(0)).unwrap();
            table.add(record, at(0, 0));
        }
        table
    }

    fn judged(table: &mut TokenTable, now: Now) -> Option<ProblemKind> {
        table.judge(&TokenId("a".into()), None, now).unwrap().refused
    }

    #[test]
    fn what_a_token_may_be() {
        let one = table(&["a"]);
        let refused = |change: &dyn Fn(&mut TokenCreate)| {
            let mut request = request("other");
            change(&mut request);
            one.draft(request, "x".into(), Hash::of(&[]), Timestamp(0)).is_err()
        };
        assert!(!refused(&|_| {}));
        for name in [
            "",
            " a",
            "a ",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}",
            &"x".repeat(65),
            "a\x1b[1m",
            "a  b",
            "a\u{a0}b",
        ] {
            assert!(refused(&|request| request.name = name.into()), "{name:?}");
        }
        assert!(refused(&|request| request.name = "a".into()), "taken");
        for methods in
            [vec![], vec!["invite.user"], vec!["status.show", "device.unlock"], vec!["events.unwatch"]]
        {
            assert!(refused(&|request| request.methods = methods.iter().map(|m| (*m).into()).collect()));
        }
        for days in [0, 366, u32::MAX] {
            assert!(refused(&|request| request.days = Some(days)), "{days}");
        }
        for rate in [0, RATE_MAX + 1] {
            assert!(refused(&|request| request.rate_per_minute = Some(rate)), "{rate}");
        }
        let names: Vec<_> = (0..TOKENS_MAX).map(|number| format!("n{number}")).collect();
        let full = table(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(full.draft(request("one more"), "x".into(), Hash::of(&[]), Timestamp(0)).is_err());
    }

    #[test]
    fn a_secret_names_its_token_until_that_is_removed() {
        let mut table = table(&["a", "b"]);
        assert_eq!(table.find(&Hash::of(&[b"b"])), Some(TokenId("b".into())));
        assert_eq!(table.find(&Hash::of(&[b"c"])), None);
        let granted = table.granted(&TokenId("b".into())).unwrap();
        assert!(granted.allows("status.show") && !granted.allows("device.list"));
        assert!(!granted.cut.is_cancelled());
        table.remove(&TokenId("b".into())).unwrap();
        assert!(granted.cut.is_cancelled());
        assert_eq!(table.find(&Hash::of(&[b"b"])), None);
        assert!(table.judge(&TokenId("b".into()), None, at(1, 1)).is_none());
    }

    #[test]
    fn the_rate_holds_and_comes_back() {
        let mut table = table(&["a"]);
        assert_eq!(judged(&mut table, at(1, 0)), None);
        assert_eq!(judged(&mut table, at(1, 30)), None);
        assert_eq!(judged(&mut table, at(1, 59)), Some(ProblemKind::RateLimited));
        assert_eq!(judged(&mut table, at(1, 60)), None);
        let view = &table.views()[0];
        assert_eq!((view.uses, view.refused, view.last_used), (3, 1, Some(Timestamp(1))));
    }

    #[test]
    fn it_ends_when_it_was_to_end() {
        let mut table = table(&["a"]);
        assert_eq!(judged(&mut table, at(90 * DAY - 1, 0)), None);
        assert_eq!(judged(&mut table, at(90 * DAY, 0)), Some(ProblemKind::TokenExpired));
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_no_life() {
        let mut table = table(&["a"]);
        let day = |days: u64| days * 86_400;
        assert_eq!(judged(&mut table, at(0, day(90) - 1)), None);
        assert_eq!(judged(&mut table, at(0, day(90))), Some(ProblemKind::TokenExpired));
        // Nor does one that was set back while no daemon ran, as far as anything was noted.
        let mut used = self::table(&["a"]);
        assert_eq!(judged(&mut used, at(80 * DAY, 0)), None);
        let mut again = TokenTable::new(used.records(), at(0, 0));
        assert_eq!(judged(&mut again, at(0, day(10) - 1)), None);
        assert_eq!(judged(&mut again, at(0, day(10))), Some(ProblemKind::TokenExpired));
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_written() {
        let mut table = table(&["a"]);
        let mut noted = 0;
        for _ in 0..1_000 {
            let refused =
                table.judge(&TokenId("a".into()), Some(ProblemKind::AccessDenied), at(1, 0)).unwrap();
            noted += u32::from(refused.noted);
        }
        assert_eq!((noted, table.views()[0].refused), (REFUSALS_NOTED, 1_000));
    }
}
