//! What the unit tests of this folder share: an entry of a file.

use protocol::Secret;

use crate::providers::Settings;
use crate::settings::Setting;
use crate::values::Value;
use crate::web::said::Values;

/// An entry whose values stand in the file.
pub(super) fn settings(entry: &[(&'static str, &str)]) -> (Settings, Values) {
    let secret = |text: &str| Secret::from_heap(text.as_bytes().to_vec());
    let literal = |text: &str| Setting::Literal(Value::new(secret(text)));
    let settings = Settings::new(entry.iter().map(|(name, value)| ((*name).to_owned(), literal(value))));
    (settings, entry.iter().map(|(name, value)| (*name, secret(value))).collect())
}
