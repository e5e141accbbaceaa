//! What stores are told of the service that they are asked for.
//!
//! Owns where that comes from: the file, or stores that were asked before.

use std::collections::BTreeMap;

use protocol::SecretMemory;

use super::ask::Ask;
use super::{Answered, Sources};
use crate::providers::FetchError;

impl Sources {
    /// What `ask` has to be told, of the file and of what has come so far.
    pub(super) fn parameters(
        &self,
        ask: &Ask,
        answers: &[Option<Answered>],
    ) -> Result<BTreeMap<&'static str, String>, FetchError> {
        let parameter = |name: &&'static str| {
            let text = self.text(name, answers).ok_or_else(|| {
                FetchError::Unasked(format!(
                    "{}: it must be told the service's `{name}`, which is not there",
                    ask.place
                ))
            });
            Ok((*name, text?))
        };
        ask.provider.parameters().iter().map(parameter).collect()
    }

    /// The value `name` as text.
    fn text(&self, name: &str, answers: &[Option<Answered>]) -> Option<String> {
        let fetched = || {
            self.asks.iter().zip(answers).find_map(|(ask, answer)| {
                let (_, item) = ask.names.iter().find(|(known, _)| known == name)?;
                let (piece, _) = answer.as_ref()?;
                piece.as_ref().ok()?.values.get(*item)
            })
        };
        let value = self.literals.get(name).or_else(fetched)?;
        String::from_utf8(value.bytes().to_vec()).ok()
    }
}
