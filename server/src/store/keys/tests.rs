//! How many boxes a user can have, whatever its devices put.

use parsec_protocol::chain::organisation::certificate::{DeviceKind, Profile};
use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::public_keys::VerifyKey;

use super::*;
use crate::store::rows::{DeviceToAdd, UserToAdd};
use crate::store::{Standalone, StoreError};

fn device(number: u64) -> DeviceId {
    DeviceId::from_bytes((u128::from(number) << 64).to_be_bytes())
}

fn key(number: u64) -> KeyHash {
    KeyHash::from_bytes(*Hash::of(&[&number.to_be_bytes()]).as_bytes())
}

/// Boxes for earlier keys have a bound; a change of the key is never refused for want of room, nor
/// is a box for the present key.
#[test]
fn boxes_of_earlier_keys_are_bounded_and_in_no_changes_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = Standalone::for_test(&folder.path().join("db"));
    let organisation: OrganisationId = "acme".parse().unwrap();
    let user = UserId::from_bytes([1; 16]);
    let sealed: ByteVec = vec![7; SECRET_BOX_BYTES].into();
    let upload = KeyBoxUpload { replaces: None, sealed: sealed.clone() };
    let keys: Vec<KeyHash> = (0..6).map(key).collect();
    let of = |number: usize| KeyOf { organisation: &organisation, user: &user, key: &keys[number] };
    let done: Result<(), Refusal> = store.change(|tx| {
        tx.reserve(&organisation, Hash::of(&[]), Timestamp(0))?;
        let email = "a@acme.test".parse().unwrap();
        let (profile, first) = (Profile::Standard, key(0));
        tx.insert_user(
            &organisation,
            &UserToAdd { user: &user, email: &email, encryption_key: &first, profile, position: 0 },
        )?;
        for number in 0..OTHER_BOXES_MAX {
            let verify_key = VerifyKey::from_bytes(*key(number).as_bytes());
            let (device, encryption_key) = (device(number), key(1_000 + number));
            let kind = DeviceKind::Device;
            tx.insert_device(
                &organisation,
                &DeviceToAdd {
                    device: &device,
                    user: &user,
                    verify_key: &verify_key,
                    encryption_key: &encryption_key,
                    kind,
                    position: 0,
                },
            )?;
        }
        tx.change_user_key(&organisation, &user, &key(1), &[])?;
        tx.change_user_key(&organisation, &user, &key(2), &[])?;
        for number in 0..OTHER_BOXES_MAX {
            put_box(tx, of(0), &device(number), &upload)?;
        }
        assert_eq!(put_box(tx, of(1), &device(0), &upload), Err(ErrorCode::QuotaReached.into()));
        // One that is there may be replaced, and the present key has its own room.
        let other =
            KeyBoxUpload { replaces: Some(Hash::of(&[&sealed])), sealed: vec![8; SECRET_BOX_BYTES].into() };
        put_box(tx, of(0), &device(0), &other)?;
        for number in 0..OTHER_BOXES_MAX {
            put_box(tx, of(2), &device(number), &upload)?;
        }
        let boxes: Vec<_> = (0..OTHER_BOXES_MAX)
            .map(|number| DeviceBox { device: device(number), sealed: sealed.clone() })
            .collect();
        for (number, past) in [(3, None), (4, Some(&sealed)), (5, None)] {
            tx.change_user_key(&organisation, &user, &keys[number], &[])?;
            hand_over(tx, of(number), &keys[number - 1], &boxes, past)?;
            assert!(tx.other_boxes(of(number))? <= OTHER_BOXES_MAX);
        }
        Ok(())
    });
    done.unwrap();
    let left: Result<u64, StoreError> = store.read(|tx| tx.other_boxes(of(5)));
    assert_eq!(left.unwrap(), OTHER_BOXES_MAX);
}
