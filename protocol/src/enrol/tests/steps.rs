//! The honest ceremony, and inputs that don't fit.

use super::*;

#[test]
fn a_new_user_comes_in() {
    let world = World::new();
    let mut pair = Pair::fair(&world, &world.bob(), false, 1);
    pair.run_to(&world, Point::End);
    let device = pair.c.kept.as_ref().unwrap();
    let publication = pair.g.published.as_ref().unwrap();
    assert!(pair.c.done && pair.c.closed.is_none() && pair.g.closed.is_none());
    assert_eq!(device.certificates, publication.certificates);
    assert_eq!(device.receipt, publication.receipt);
    let log = world.log.extended(publication.certificates.iter().map(Vec::as_slice)).unwrap();
    let (user, terminal) = (log.user(&device.user).unwrap(), log.device(&device.device).unwrap());
    assert_eq!(user.encryption_key, device.user_key.encryption_key());
    assert_eq!(terminal.verify_key, device.signing_key.verify_key());
    assert_eq!((user.profile, device.profile), (Profile::Standard, Profile::Standard));
    assert_eq!((device.name.as_str(), device.device_label.as_str()), ("Bob", "desk"));
    assert_eq!(device.directory_key.expose(), world.directory_key.expose());
    assert_eq!(device.root, world.founded.root);
    assert!(device.first_device && !device.typed_codes);
}

#[test]
fn a_second_terminal_comes_in() {
    let world = World::new();
    let mut pair = Pair::fair(&world, &world.second_terminal(), true, 2);
    pair.run_to(&world, Point::End);
    let device = pair.c.kept.as_ref().unwrap();
    assert_eq!(pair.g.published.as_ref().unwrap().certificates.len(), 1);
    assert_eq!(device.user_key.expose(), world.user_key.expose());
    assert_eq!(device.manifest_key.expose(), world.manifest_key.expose());
    assert_eq!(device.user, world.founded.user);
    assert_eq!((device.name.as_str(), device.profile), ("Alice", Profile::Administrator));
    assert!(!device.first_device && device.typed_codes);
}
