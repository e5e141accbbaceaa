//! One request and what it is for.
//!
//! Owns a place with its address, the way there, and the values that are looked for in the answer. Asks once, and blocks.

use std::sync::Arc;
use std::time::Instant;

use protocol::{Secret, SecretMemory};
use ureq::http::{Method, Request};
use zeroize::Zeroizing;

use super::address;
use super::answer;
use super::id::{Id, Part};
use super::keys::{URL, check};
use super::proof::Proof;
use crate::providers::{FetchError, Item, Settings};
use crate::web::client::{CODED, Client, Sent};
use crate::web::line::Line;
use crate::web::quote::QUOTED;
use crate::web::said::{Values, Wrong};
use crate::web::tries::Host;

/// See the module's documentation.
pub(super) struct Question {
    /// Its address is the whole one.
    pub(super) line: Line,
    /// The values, all of one place.
    pub(super) items: Vec<Item>,
    pub(super) proof: Arc<Proof>,
}

impl Question {
    /// How errors call it.
    pub(super) fn name(&self) -> String {
        format!("Get \"{}\"", address::shown(&self.line.address.to_string()))
    }

    /// Asks, and looks for the values. Blocks.
    pub(super) fn ask(&self, deadline: Instant, host: &Host) -> Result<Found, FetchError> {
        let name = self.name();
        let unavailable = |reason: String| {
            let reason = if self.proof.is_in(&reason) { QUOTED.to_owned() } else { reason };
            FetchError::Unavailable(format!("{name}: {reason}"))
        };
        let ids = self.items.iter().map(|item| Id::parse(&item.id)).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(FetchError::Unusable)?;
        let client = Client::new(&self.line, deadline).map_err(unavailable)?;
        let request = Request::builder().method(Method::GET).uri(self.line.address.clone());
        let request = self.proof.put(request, ids.iter().any(|id| id.part != Part::Whole));
        let request = request.and_then(|request| request.body(()).ok());
        let request = request.ok_or_else(|| FetchError::Unusable(format!("{name}: it cannot be asked")))?;
        let answer = match client.run(request).map_err(unavailable)? {
            Sent::Answer(answer) => answer,
            Sent::Redirect(_) => return Err(answer::redirected(&name)),
            Sent::Coded => return Err(FetchError::Failing(format!("{name}: {CODED}"))),
        };
        host.rest(client.rest());
        let body = answer::read(&answer, &name)?;
        let values = ids.iter().zip(&self.items).map(|(id, item)| body.value(id.part, item.raw));
        let values = values.collect::<Result<_, _>>()?;
        // Whoever wants it byte for byte knows what it is.
        let is_whole = ids.iter().zip(&self.items).any(|(id, item)| id.part == Part::Whole && !item.raw);
        let note = (is_whole && body.is_object()).then(|| {
            format!("{name}: all of the answer is the value, and it is an object of JSON: name a part of it with `#/…`")
        });
        Ok(Found { values, note })
    }
}

/// What was asked for.
pub(super) struct Found {
    /// One value for each item, in their order.
    pub(super) values: Vec<Secret>,
    /// What whoever runs the broker should know.
    pub(super) note: Option<String>,
}

/// The way to `place`.
pub(super) fn line_to(
    place: &str,
    settings: &Settings,
    values: &Values,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Line, Wrong> {
    let address = match settings.fixed(URL) {
        Some(base) => address::below(&String::from_utf8_lossy(base.bytes()), place),
        None => address::absolute(place),
    };
    let address = address.map_err(|words| Wrong(format!("what is asked for {words}")))?;
    Line::of(address, |name| text(values, name), variable)
}

/// The text of a setting, which has a right look.
fn text(values: &Values, name: &'static str) -> Result<Option<Zeroizing<String>>, Wrong> {
    let Some(value) = values.get(name) else { return Ok(None) };
    value.expose(|bytes| {
        // The value is not shown: a proxy's address may hold a password.
        check(name, bytes).map_err(|words| Wrong(format!("`{name}` {words}")))?;
        let text = str::from_utf8(bytes).map_err(|_| Wrong(format!("`{name}` is no text")))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    })
}
