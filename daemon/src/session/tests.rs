//! One more certificate costs no copy of the log.

use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, UserSeed};

use super::log_sync::followed;
use super::*;
use crate::os::entropy::System;

#[test]
fn one_more_certificate_is_taken_in_without_a_copy_of_the_log() {
    let organisation = "acme".parse().unwrap();
    let key = DeviceSigningKey::random(&mut System).unwrap();
    let founder = Founder {
        organisation: &organisation,
        email: &"alice@example.org".parse().unwrap(),
        name: &"Alice".parse().unwrap(),
        device_label: &"desk".parse().unwrap(),
        user_seed: &UserSeed::random(&mut System).unwrap(),
        device_seed: &DeviceSeed::random(&mut System).unwrap(),
        signing_key: &key,
        directory_key: &DirectoryKey::random(&mut System).unwrap(),
    };
    let founded = found(&founder, parsec_protocol::ids::Timestamp(1), &mut System).unwrap();
    let [first, second] = &founded.certificates[..] else { panic!("a founding has two certificates") };
    let log = Mutex::new(Arc::new(VerifiedLog::empty(organisation, founded.root)));
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
