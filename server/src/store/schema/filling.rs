//! Fills what 0002 adds to a database that has certificates already.
//!
//! Decides by the stored envelopes alone. Refuses a database whose envelopes can't be read: it was changed by something else, and what
//! this server would derive from it, readers would not.

use parsec_protocol::chain::certificate::{Body, Envelope};
use parsec_protocol::public::Hash;
use rusqlite::{Connection, params};

use super::OpenError;

/// Certificates held in memory at once: a few hundred kilobytes.
const PAGE: usize = 500;

/// Hashes of all certificates, and where each user's profile was given.
pub(super) fn fill(sql: &Connection) -> Result<(), OpenError> {
    let mut select = sql.prepare(
        "SELECT organisation, position, envelope FROM certificate
         WHERE (organisation, position) > (?1, ?2) ORDER BY organisation, position LIMIT ?3",
    )?;
    let mut hash =
        sql.prepare("UPDATE certificate SET hash = ?3 WHERE organisation = ?1 AND position = ?2")?;
    let mut given =
        sql.prepare("UPDATE user SET profile_position = ?3 WHERE organisation = ?1 AND user = ?2")?;
    let mut from = (String::new(), 0_i64);
    loop {
        // Read before anything is changed: what a statement sees of changes under it, SQLite leaves open.
        let page: Vec<(String, i64, Vec<u8>)> = select
            .query_map(params![from.0, from.1, i64::try_from(PAGE).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let Some((organisation, position, _)) = page.last() else { return Ok(()) };
        from = (organisation.clone(), *position);
        for (organisation, position, envelope) in &page {
            hash.execute(params![organisation, position, Hash::of(&[envelope]).as_bytes()])?;
            let payload = Envelope::decode(envelope).and_then(|envelope| envelope.payload());
            match payload.map_err(|_| OpenError::Damaged)?.body {
                Body::User { user, .. } => {
                    given.execute(params![organisation, user.as_bytes(), position])?;
                }
                // A server of 0001 took no others, so no profile has changed and no device has had a last word.
                Body::Device { .. }
                | Body::ProfileChange { .. }
                | Body::UserRevoked { .. }
                | Body::DeviceRevoked { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MIGRATIONS, open, open_reader, open_writer};
    use super::*;
    use parsec_protocol::chain::certificate::{Author, Head, Payload, Profile};
    use parsec_protocol::ids::{DeviceId, Timestamp, UserId};
    use parsec_protocol::public::{EncryptionKey, Signature, VerifyKey};
    use rusqlite::OpenFlags;

    /// Users of one organisation: more certificates than one page holds.
    const USERS: u16 = 400;

    fn id(number: u16) -> [u8; 16] {
        Hash::of(&[&number.to_be_bytes()]).as_bytes()[..16].try_into().unwrap()
    }

    fn envelope(organisation: &str, body: Body) -> Vec<u8> {
        let organisation = organisation.parse().unwrap();
        let seen = Head { count: 0, hash: Hash::of(&[]) };
        let payload = Payload { organisation, author: Author::Root, time: Timestamp(1), seen, body };
        payload.sign_with(|_, _| Signature::from_bytes([0; 64]))
    }

    /// A database as a server of 0001 left it.
    fn former(path: &std::path::Path) -> Connection {
        std::fs::write(path, b"").unwrap();
        let sql = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        sql.execute_batch(MIGRATIONS[0].script).unwrap();
        sql.pragma_update(None, "application_id", super::super::APPLICATION_ID).unwrap();
        sql.pragma_update(None, "user_version", 1).unwrap();
        sql
    }

    fn enrol(sql: &Connection, organisation: &str, number: u16) {
        let (user, device) = (UserId::from_bytes(id(number)), DeviceId::from_bytes(id(number)));
        let key = *Hash::of(&[&number.to_be_bytes()]).as_bytes();
        let address = format!("m{number}@acme.test");
        let certificates = [
            Body::User {
                user,
                email: address.parse().unwrap(),
                sealed_name: vec![7; 105].into(),
                encryption_key: EncryptionKey::from_bytes(key),
                profile: Profile::Standard,
            },
            Body::Device {
                device,
                user,
                sealed_label: vec![7; 105].into(),
                verify_key: VerifyKey::from_bytes(key),
            },
        ];
        for (position, body) in (2 * i64::from(number)..).zip(certificates) {
            sql.execute(
                "INSERT INTO certificate (organisation, position, envelope, head) VALUES (?1, ?2, ?3, x'00')",
                params![organisation, position, envelope(organisation, body)],
            )
            .unwrap();
        }
        sql.execute(
            "INSERT INTO user (organisation, user, email, encryption_key, profile) VALUES (?1, ?2, ?3, ?4, 1)",
            params![organisation, user.as_bytes(), address, key],
        )
        .unwrap();
        sql.execute(
            "INSERT INTO device (organisation, device, user, verify_key) VALUES (?1, ?2, ?3, ?4)",
            params![organisation, device.as_bytes(), user.as_bytes(), key],
        )
        .unwrap();
    }

    #[test]
    fn a_filled_database_of_the_first_schema_is_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let sql = former(&path);
        for (organisation, users) in [("acme", USERS), ("beta", 3), ("reserved", 0)] {
            sql.execute(
                "INSERT INTO organisation (id, bootstrap_hash, created) VALUES (?1, x'00', 0)",
                [organisation],
            )
            .unwrap();
            (0..users).for_each(|number| enrol(&sql, organisation, number));
        }
        drop(sql);
        drop(open_writer(&path).unwrap());
        drop(open_writer(&path).unwrap());

        let sql = open_reader(&path).unwrap();
        let rows: Vec<(Vec<u8>, Option<Vec<u8>>)> = sql
            .prepare("SELECT envelope, hash FROM certificate")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows.len(), 2 * usize::from(USERS) + 6);
        for (envelope, hash) in rows {
            assert_eq!(hash.as_deref(), Some(Hash::of(&[&envelope]).as_bytes().as_slice()));
        }
        for (organisation, users) in [("acme", USERS), ("beta", 3)] {
            for number in 0..users {
                let position: Option<i64> = sql
                    .query_row(
                        "SELECT profile_position FROM user WHERE organisation = ?1 AND user = ?2",
                        params![organisation, id(number)],
                        |row| row.get(0),
                    )
                    .unwrap();
                assert_eq!(position, Some(2 * i64::from(number)));
            }
        }
        let words: i64 = sql
            .query_row("SELECT count(*) FROM device WHERE last_word IS NOT NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(words, 0);
    }

    #[test]
    fn a_certificate_that_cannot_be_read_stops_it_and_the_file_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let sql = former(&path);
        sql.execute_batch(
            "INSERT INTO organisation (id, bootstrap_hash, created) VALUES ('acme', x'00', 0);
             INSERT INTO certificate (organisation, position, envelope, head) VALUES ('acme', 0, x'00', x'00')",
        )
        .unwrap();
        drop(sql);
        assert!(matches!(open_writer(&path), Err(OpenError::Damaged)));
        let version: i64 =
            open_reader(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 1);
    }
}
