//! One more certificate costs no copy of the log.

use parsec_protocol::lab::Organisation;

use super::log_sync::followed;
use super::*;

#[test]
fn one_more_certificate_is_taken_in_without_a_copy_of_the_log() {
    let founded = Organisation::of_seed(1).unwrap();
    let [first, second] = &founded.envelopes[..] else { panic!("a founding has two certificates") };
    let log = Mutex::new(Arc::new(VerifiedLog::empty(founded.log.organisation().clone(), founded.root)));
    let place = |log: &Mutex<Arc<VerifiedLog>>| Arc::as_ptr(&log.lock().unwrap());
    let before = place(&log);

    let judged = log.lock().unwrap().judge(first).unwrap();
    assert!(followed(&log, judged));
    assert_eq!(place(&log), before, "it was copied");

    // Whoever looks at it keeps what they see; what was judged for one state is no part of another.
    let seen = Arc::clone(&log.lock().unwrap());
    let (judged, again) = (seen.judge(second).unwrap(), seen.judge(second).unwrap());
    assert!(followed(&log, judged));
    assert_eq!((seen.count(), log.lock().unwrap().count()), (1, 2));
    assert!(!followed(&log, again));
    assert_eq!(log.lock().unwrap().count(), 2);
}
