//! The history of the store's format.
//!
//! Decides the version (`user_version` = number of steps taken) and takes each missing step in a
//! transaction of its own, so that a power cut leaves a version that exists. Refuses a store of a
//! later version. A step is frozen once released: plain SQL that uses no type of the program, which
//! changes.

use rusqlite::Connection;

use super::StoreError;

/// One step each, oldest first. Never edited, only added to.
const STEPS: [&str; 18] = [
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
    include_str!("0004.sql"),
    include_str!("0005.sql"),
    include_str!("0006.sql"),
    include_str!("0007.sql"),
    include_str!("0008.sql"),
    include_str!("0009.sql"),
    include_str!("0010.sql"),
    include_str!("0011.sql"),
    include_str!("0012.sql"),
    include_str!("0013.sql"),
    include_str!("0014.sql"),
    include_str!("0015.sql"),
    include_str!("0016.sql"),
    include_str!("0017.sql"),
    include_str!("0018.sql"),
];

/// The newest version this program knows.
const KNOWN: u32 = 18;
const _: () = assert!(KNOWN as usize == STEPS.len());

/// Brings the store to the newest version.
pub(super) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
        .map(|version| u32::try_from(version).unwrap_or(u32::MAX))?;
    if found > KNOWN {
        return Err(StoreError::TooNew { found, known: KNOWN });
    }
    for (version, step) in (1..=KNOWN).zip(STEPS) {
        if version > found {
            let transaction = connection.transaction()?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parsec_protocol::public_keys::Hash;

    /// Editing a released step would give two stores of one version two shapes.
    #[test]
    fn steps_are_frozen() {
        let digests = STEPS.map(|step| Hash::of(&[step.as_bytes()]).to_string());
        assert_eq!(
            digests,
            [
                "261be74c7d6d394adbb46bb5eda357a37e5b8f6fd2e22f80fd6c41d56fca2faf",
                "722801b552eb0227f9d23135b2f416e1b341448070d513ebb9515cd0dba5893b",
                "6e3e679afae1f1dec6b54322bf5950479c7669582f07fa350c549ffd907407d9",
                "524c3bc628a181452203ef2dcac5d7d521a02cd24d1fea4233aad6697809c7c7",
                "955565301807074d343f59c2e4463f1e9a4d5c9df35d578d67f602a9a4b26b01",
                "2a74b285f80ebfb26e72a003265ed4bb25908873ff2ff2e21e91aad3e89c86f6",
                "9d8f1be993521c4011d7c3c7d8756de1da0a8f6618d9922e538c4d3f3b038b25",
                "eae94a10e514e45d3c4485bd67fa16d5f9dd6d59d8a666572037362076c79b90",
                "6320a8115ea4b09eceb7d2d9afb127b2169234112e2c7d7e57f16621e00fc15d",
                "c2cba698265c50ef0dd4be33a75ebc883a6a127470f66a442b8e312697ce66c8",
                "e7bc5d5daed710a791395db35b0567b21e677071d03cadb33ddc2691adad13cd",
                "2a6c8ff4d61bddeffd6b9f795a7815e81156cebbe04429cab7f89071e077c27a",
                "b930def7b4316102436325dd663bc6d9dc7b8e7f0295f371b7183a1ffaf29b54",
                "fb7eba97e639bcf497457e96890ff4cfff6de71b95cdf0a2a530d51ef080a902",
                "620a4fc5d44f6eb4f2544c8d76578a463d89c6b9587506376c314b7d502a2529",
                "dd7deeaf8bb356a4f94e834992144ff84612e795b183ddc526754abdda545b5a",
                "33e0daad74c2363292f537ded2a7631cfcf12e8ea3469d07e6ac07aa1dc04518",
                "deda9cb333aca869fba69217cd0f0379da079595006bec38fd501b06ef8a7767",
            ]
        );
    }

    #[test]
    fn a_later_version_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        run(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", KNOWN + 1).unwrap();
        assert!(matches!(run(&mut connection), Err(StoreError::TooNew { found: 19, known: 18 })));
        connection.pragma_update(None, "user_version", -1).unwrap();
        assert!(matches!(run(&mut connection), Err(StoreError::TooNew { .. })));
    }
}
