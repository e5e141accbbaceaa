//! Asking stores that speak HTTP.
//!
//! Owns what all of them have in common: the way to a store and the settings about it, a client that lives as long as a fetch, the
//! bounds on time, tries and answers, and a reader of JSON. Knows no store, and not what answers mean.

pub(crate) mod client;
pub(crate) mod header;
pub(crate) mod json;
pub(crate) mod keys;
pub(crate) mod line;
pub(crate) mod look;
pub(crate) mod pem;
mod proxy;
pub(crate) mod quote;
pub(crate) mod said;
pub(crate) mod tls;
pub(crate) mod tries;
mod wire;
