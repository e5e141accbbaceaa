//! What settings are worth at the moment.
//!
//! Owns the fetching of those that come from other stores. What the values mean is for others.

use std::collections::BTreeMap;

use protocol::{Secret, SecretMemory};

use crate::providers::{FetchError, Settings};

/// Values of settings, by their names.
pub(crate) type Values = BTreeMap<&'static str, Secret>;

/// Something that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

/// Those of these settings that stand in the file.
pub(crate) fn literals(settings: &Settings, names: &[&'static str]) -> Values {
    let value = |name| Some(Secret::from_heap(settings.fixed(name)?.bytes().to_vec()));
    names.iter().filter_map(|name| Some((*name, value(name)?))).collect()
}

/// What these settings are worth at the moment. Another store's verdict on its own value is none on ours.
pub(crate) async fn values(settings: &Settings, names: &[&'static str]) -> Result<Values, FetchError> {
    let mut values = Values::new();
    for &name in names {
        let value = settings.value(name).await;
        let value = value.map_err(|error| FetchError::Unavailable(format!("`{name}`: {error}")))?;
        values.extend(value.map(|value| (name, value)));
    }
    Ok(values)
}
