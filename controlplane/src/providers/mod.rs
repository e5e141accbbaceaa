//! The registry: every kind of secret store the broker can ask.
//!
//! Owns what a provider is: what it is asked, what it answers, and the causes of its failures. Knows no store.
//! Configuration walks [`ALL`]; a new kind of store is one file here and one entry in the list.

mod command;
mod env;
mod file;
mod http;
mod local;
mod vault;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Secret;

pub use crate::fetch_error::FetchError;
pub use crate::settings::Settings;
pub(crate) use command::is_program;
pub(crate) use file::read_whole;
pub use http::{answer_for_fuzz as http_answer_for_fuzz, id_for_fuzz as http_id_for_fuzz};
pub use vault::{
    answer_for_fuzz as vault_answer_for_fuzz, grant_for_fuzz as vault_grant_for_fuzz,
    id_for_fuzz as vault_id_for_fuzz,
};

/// Every kind, in the order of the documentation.
pub static ALL: &[&dyn Kind] =
    &[&env::Env, &file::File, &local::Local, &command::Command, &vault::Vault, &http::Http];

/// The kind that the configuration calls `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Kind> {
    ALL.iter().copied().find(|kind| kind.name() == name)
}

/// A kind of secret store: an entry of [`ALL`].
pub trait Kind: Send + Sync {
    /// The word for it in the configuration (`from: file`): also the name of the store of this kind that needs no settings.
    fn name(&self) -> &'static str;

    /// Whether `id` is something that a store of this kind can be asked for. The words of a refusal go to whoever wrote the
    /// file.
    fn check_id(&self, id: &str) -> Result<(), String>;

    /// The same for a store that has settings of some names, and not others: `has` says which.
    fn check_id_with(&self, id: &str, has: &dyn Fn(&str) -> bool) -> Result<(), String> {
        let _ = has;
        self.check_id(id)
    }

    /// What of `id` people may see: part of it may be a secret.
    fn shown(&self, id: &str) -> String {
        id.to_owned()
    }

    /// Whether it drops a newline at the end of a value that is not wanted raw.
    fn trims(&self) -> bool {
        false
    }

    /// The settings that a store of this kind takes.
    fn settings(&self) -> &'static [KnownSetting] {
        &[]
    }

    /// What is wrong with settings that are right each for itself: one that needs another, two that cannot both be.
    fn check_settings(&self, written: &Written<'_>) -> Vec<Conflict> {
        let _ = written;
        Vec::new()
    }

    /// What a store with these settings must be told of a service before it can answer: names of values that are no secrets.
    fn parameters(&self, written: &Written<'_>) -> Vec<&'static str> {
        let _ = written;
        Vec::new()
    }

    /// A store with these settings.
    fn open(&self, settings: Settings) -> Arc<dyn Provider>;
}

/// A setting that a kind of store knows.
#[derive(Clone, Copy, Debug)]
pub struct KnownSetting {
    /// Its key in the file.
    pub name: &'static str,
    /// Whether no store can do without it.
    pub is_required: bool,
    /// Whether it is a list.
    pub is_list: bool,
    /// Whether it must stand in the file itself: what must be known before anything is asked for, and is no secret.
    pub is_fixed: bool,
    /// Whether anybody may see it: a certificate.
    pub is_public: bool,
    /// Who may see what stands in the file.
    pub shown: Shown,
    /// Another setting, without which this one means nothing.
    pub partner: Option<&'static str>,
    /// What is wrong with a value that stands in the file.
    pub check: fn(&[u8]) -> Result<(), &'static str>,
}

/// What of a setting that stands in the file people are shown who ask what the file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing: it may be a secret.
    Never,
    /// Of a list the first value: a program, and not what it is given.
    First,
    /// All of it, if it looks like a path: it may have been mistaken for the secret that lies there.
    Path,
    /// All of it: a name, a time.
    Always,
}

impl KnownSetting {
    /// One value, which may be missing and may be anything.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            is_required: false,
            is_list: false,
            is_fixed: false,
            is_public: false,
            shown: Shown::Never,
            partner: None,
            check: |_| Ok(()),
        }
    }
}

/// The settings of one store as they stand in the file, each with those of its values that stand there, too.
pub struct Written<'a>(pub Vec<(&'a str, Vec<&'a Secret>)>);

impl Written<'_> {
    /// Whether it is there, wherever its value comes from.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// Its value, if that stands in the file and is text. Not for secrets.
    pub fn word(&self, name: &str) -> Option<String> {
        self.values(name).next()?.expose(|bytes| String::from_utf8(bytes.to_vec()).ok())
    }

    /// Those of its values that stand in the file.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter(move |(known, _)| *known == name).flat_map(|(_, values)| values.iter().copied())
    }
}

/// Settings that do not go together.
pub struct Conflict {
    /// The one that is wrong, or missing.
    pub setting: &'static str,
    /// A sentence about it.
    pub words: String,
    /// The remedy.
    pub help: String,
}

/// One secret store.
pub trait Provider: Send + Sync {
    /// Fetches every value of `request` in one round: what comes back belongs together. It either has all values
    /// or fails, within a time that the provider bounds itself.
    fn fetch(&self, request: Request) -> Fetching;

    /// What it must be told with each request: see [`Kind::parameters`].
    fn parameters(&self) -> &[&'static str] {
        &[]
    }

    /// What of `id` is asked for at once: values whose ids have the same place belong together and come in one request, those
    /// of others do not, and may have leases of their own.
    fn place<'i>(&self, id: &'i str) -> &'i str {
        let _ = id;
        ""
    }

    /// The host that is asked for `id`, in a store of several: each may be away while the others answer.
    fn host<'i>(&self, id: &'i str) -> Option<&'i str> {
        let _ = id;
        None
    }

    /// Asks for `time` more of a lease of this store. What it grants counts from before it was asked. A refusal that is not for
    /// now ([`FetchError::is_for_now`]) is final: another lease takes its place.
    fn renew(&self, lease: &Lease, time: Duration) -> Renewing {
        let _ = (lease, time);
        Box::pin(async { Err(FetchError::Unsupported("its leases cannot be renewed".to_owned())) })
    }

    /// Gives a lease back: its values are none any more.
    fn revoke(&self, lease: &Lease) -> Revoking {
        let _ = lease;
        Box::pin(async { Err(FetchError::Unsupported("its leases cannot be given back".to_owned())) })
    }

    /// Whether what it has said once it will always say, so that nobody need wait for another answer.
    fn is_constant(&self) -> bool {
        false
    }

    /// Whether what it gives may be a lease.
    fn gives_leases(&self) -> bool {
        false
    }

    /// Whether nobody says when a value changes, so that it must be asked for again and again.
    fn must_be_asked(&self) -> bool {
        false
    }

    /// Somebody has set things right, perhaps: what rests because it was refused may be tried once more before its time.
    fn hurry(&self) {}

    /// What is wrong with `item` as of now, as far as a look tells, for whoever checks a file.
    fn look(&self, item: &Item) -> Option<Flaw> {
        let _ = item;
        None
    }

    /// Lets go of what the store holds for us, a login say. It has been asked for the last time. Whoever calls it does not wait
    /// for ever.
    fn close(&self) -> Closing {
        Box::pin(std::future::ready(()))
    }

    /// The path whose change means that the value of `id` may have changed, for stores that live in files.
    fn watch_path(&self, id: &str) -> Option<PathBuf> {
        let _ = id;
        None
    }
}

/// What is wrong with one value where it lies.
pub struct Flaw {
    /// A sentence that names what it is about.
    pub words: String,
    /// The remedy.
    pub help: String,
    /// Whether it cannot be had as it is.
    pub is_fatal: bool,
}

/// A fetch under way.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send>>;

/// A farewell under way.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;
/// A renewal under way.
pub type Renewing = Pin<Box<dyn Future<Output = Result<Granted, FetchError>> + Send>>;

/// A lease on its way back.
pub type Revoking = Pin<Box<dyn Future<Output = Result<(), FetchError>> + Send>>;

/// What a provider is asked for: all values that one service wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The values, each once.
    pub items: Vec<Item>,
    /// What [`Provider::parameters`] names, as the service has it now.
    pub parameters: BTreeMap<&'static str, String>,
}

impl Request {
    /// A request of a store that need not be told anything.
    pub fn of(items: Vec<Item>) -> Self {
        Self { items, parameters: BTreeMap::new() }
    }
}

/// One value of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What the provider calls it: a path, a variable's name.
    pub id: String,
    /// Whether the value is wanted byte for byte, without the clean-up that suits a person's editor.
    pub raw: bool,
    /// Whether anybody may read it: a certificate.
    pub is_public: bool,
}

/// What a provider has answered.
pub struct Fetched {
    /// One value for each item of the request, in its order.
    pub values: Vec<Secret>,
    /// Which version of the values this is, where the store counts them.
    pub version: Option<u64>,
    /// The lease that all values hang on, where the store gives one.
    pub lease: Option<Lease>,
    /// When to ask again although nobody has said that anything changed.
    pub refetch_at: Option<Instant>,
    /// From when on the values must not be used any more, although no newer ones have come.
    pub usable_until: Option<Instant>,
    /// What the operator should know about where the values lie: one sentence each, never a value.
    pub notes: Vec<String>,
}

impl Fetched {
    /// Values that nothing is known about but that they are the present ones.
    pub fn new(values: Vec<Secret>) -> Self {
        Self { values, version: None, lease: None, refetch_at: None, usable_until: None, notes: Vec::new() }
    }
}

/// A store's promise about how long values live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The store's name for it.
    pub id: String,
    /// How long the values live, counted from before the store was asked.
    pub duration: Duration,
    /// Whether its life can be prolonged.
    pub renewable: bool,
    /// Which of the provider's logins it was given to, by a number of the provider's: it ends with that one.
    pub login: u64,
    /// When it is given back.
    pub revoke: Revoke,
}

/// When a lease is given back to its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// As soon as another one is in its place and the last session that uses it has ended, and when the broker stops.
    Unused,
    /// When the broker stops.
    AtStop,
    /// Not at all: it ends by itself.
    Never,
}

/// The setting that says so.
pub(crate) const REVOKE: &str = "revoke";

/// What a renewal has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// How long the values live from now on.
    pub duration: Duration,
    /// Whether their life can be prolonged again.
    pub renewable: bool,
    /// Whether this is the last of their life, and other values would live longer.
    pub is_last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_kind_by_its_own_name_alone() {
        for kind in ALL {
            let found = by_name(kind.name()).expect("listed kinds are found");
            assert_eq!(found.name(), kind.name());
            assert_eq!(ALL.iter().filter(|other| other.name() == kind.name()).count(), 1);
        }
        assert!(by_name("keychain").is_none());
    }
}
