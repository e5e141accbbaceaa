//! The values that one service authenticates with, as of one moment.
//!
//! Owns the pairing: all values of a [`Credential`] were fetched together, so a username never meets another
//! lease's password. Knows nothing of where values come from or when they end.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::any::Any;
use core::str;

use crate::Secret;

/// Counts the credentials of one service; a larger number is newer. Zero is never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Something that lasts as long as anybody uses a credential, such as a lease: whoever logs in keeps it until the session is
/// over.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// One service's values by name (`username`, `password`, `host`, …) at one generation.
pub struct Credential {
    generation: Generation,
    fields: BTreeMap<Box<str>, Secret>,
    hold: Option<Hold>,
}

impl Credential {
    /// A credential from values that were fetched together.
    pub fn new(generation: Generation, fields: BTreeMap<Box<str>, Secret>) -> Self {
        Self { generation, fields, hold: None }
    }

    /// The same credential, which keeps `hold`.
    #[must_use]
    pub fn holding(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    /// What is to be kept as long as the credential is used.
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// Which fetch of the service's values this is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The value of `name`; an empty value counts as not set.
    pub fn field(&self, name: &str) -> Option<&Secret> {
        self.fields.get(name).filter(|secret| !secret.is_empty())
    }

    /// Shows the value of `name` as text to `read`: `None` if it is not set, `Some(Err)` if it is not UTF-8.
    pub fn text<R>(&self, name: &str, read: impl FnOnce(&str) -> R) -> Option<Result<R, str::Utf8Error>> {
        self.field(name).map(|secret| secret.expose(|bytes| str::from_utf8(bytes).map(read)))
    }

    /// The values that are set, in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.fields.iter().filter(|(_, secret)| !secret.is_empty()).map(|(name, secret)| (&**name, secret))
    }
}
