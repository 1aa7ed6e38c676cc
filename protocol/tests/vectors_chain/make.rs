//! Makes the vectors, from seeds: the same bytes each time. Each has one fault, or none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    certificates, codec, directory, kits, logs, sealing, seals, signatures, splits, texts, user_keys,
};

/// The vectors so far, by file name without its end.
pub(crate) struct Set(BTreeMap<String, Value>);

impl Set {
    /// Adds one that gives or refuses what `verdict` says.
    pub(crate) fn put(
        &mut self,
        layer: &str,
        name: &str,
        about: &str,
        given: &Value,
        verdict: Result<Value, Value>,
    ) {
        let (gives, refuse) = match verdict {
            Ok(gives) => (gives, Value::Null),
            Err(refuse) => (Value::Null, refuse),
        };
        let vector =
            json!({"layer": layer, "about": about, "given": given, "gives": gives, "refuse": refuse});
        assert!(self.0.insert(format!("{layer}-{name}"), vector).is_none(), "{name} twice");
    }
}

/// All of them.
pub(crate) fn all() -> BTreeMap<String, Value> {
    let mut set = Set(BTreeMap::new());
    codec::codec_vectors(&mut set);
    certificates::certificates(&mut set);
    certificates::keys(&mut set);
    logs::logs(&mut set);
    seals::names(&mut set);
    seals::manifests(&mut set);
    sealing::keys(&mut set);
    sealing::boxes(&mut set);
    texts::labels(&mut set);
    texts::emails(&mut set);
    texts::hints(&mut set);
    signatures::requests(&mut set);
    signatures::receipts(&mut set);
    user_keys::boxes(&mut set);
    kits::kits(&mut set);
    directory::directory(&mut set);
    splits::plans(&mut set);
    splits::splits(&mut set);
    set.0
}
