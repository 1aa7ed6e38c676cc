//! A server that says to be behind what a member's device has verified: one that catches up, and
//! one that says so for ever, to hide that it has rolled back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parsec_protocol::codec;
use parsec_protocol::control::ProblemKind;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::relay::{ErrorBody, ErrorCode};
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};

/// Answers so many reads of the log with a refusal, whatever they say to know.
struct Lags {
    code: ErrorCode,
    most: usize,
    refused: AtomicUsize,
}

impl Lags {
    fn over(fixture: &Fixture, code: ErrorCode, most: usize) -> Arc<Self> {
        let lags = Arc::new(Self { code, most, refused: AtomicUsize::new(0) });
        fixture.proxy.meddle(Arc::clone(&lags) as Arc<dyn Meddler>);
        lags
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst).min(self.most)
    }
}

impl Meddler for Lags {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        let reads = request.method == "GET" && request.target.contains("/log?") && answer.status == 200;
        if reads && self.refused.fetch_add(1, Ordering::SeqCst) < self.most {
            answer.status = self.code.status();
            // It would have its readers wait for ever, too.
            let error = ErrorBody { code: self.code, server_time: Timestamp(1), retry_after: u32::MAX };
            answer.body = codec::encode(&error);
        }
        Fate::Pass
    }
}

#[test]
fn a_server_that_is_behind_is_waited_for_and_hides_no_rollback() {
    let fixture = Fixture::found(FixtureOptions::default());
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
    // A replica that lags, and one that has not even heard of this device.
    for code in [ErrorCode::Behind, ErrorCode::NotAuthenticated] {
        let lags = Lags::over(&fixture, code, 2);
        assert_eq!(fixture.alice.verify().unwrap().count, 2);
        assert_eq!(lags.refused(), 2);
        assert!(fixture.alice.status().alarms.is_empty(), "{}", code.name());
    }
    // One that never shows what it has: its readers are not held up for ever, and are told.
    let hides = Lags::over(&fixture, ErrorCode::Behind, usize::MAX);
    let refused = fixture.alice.verify().unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::RolledBack));
    let alarms = fixture.alice.status().alarms;
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0].problem.message.contains("lacks some of the 2 certificates"), "{alarms:?}");
    assert!(alarms[0].problem.hint.contains("parsecctl trust repair"), "{alarms:?}");
    // It has had its time: the next is told at once.
    let before = hides.refused();
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    assert_eq!(hides.refused(), before + 1);
    // Nothing was given up for its word.
    fixture.proxy.meddle(Arc::new(Honest));
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
}
