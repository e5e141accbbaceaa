//! One service as the control plane knows it: its options, its values, its target.
//!
//! Owns what a fetched value or a resolved name makes of it. Decides nothing about time: see `rotation`.

mod fitness;
mod gauges;
mod place;
mod snapshot;
mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Outage, ServiceId, ServiceRuntime, SessionRef};
use protocol::{Credential, Generation};
use tracing::{info, warn};

use fitness::unfit;
use trouble::Trouble;

use crate::endpoints::{Endpoints, Place};
use crate::fetch::{Answer, Failure, Sources, describe};
use crate::leases::{self, Holds, Leased, Replacing};
use crate::options::Options;
use crate::providers::FetchError;
use crate::rotation::{Outcome, Replaced, Rotation, Rules, Schedule};
use crate::store::Entry;
use crate::values::Values;

/// One service.
pub(crate) struct ServiceState {
    pub id: ServiceId,
    pub options: Options,
    pub sources: Arc<Sources>,
    /// Counts the sources: an answer to an earlier one's question is none.
    pub epoch: u64,
    /// Counts the answers that have brought values.
    pub answers: u64,
    pub rotation: Rotation<SessionRef>,
    pub runtime: Arc<ServiceRuntime>,
    /// Whether the newest values are from sources of an earlier file.
    is_foreign: bool,
    /// The newest values, and what was made of them.
    values: Option<Values>,
    credential: Option<Arc<Credential>>,
    /// Earlier ones that may stand in for it.
    older: Vec<Arc<Credential>>,
    /// Which of them is in force.
    in_force: Option<Generation>,
    /// How often a session was told to try another credential than the one that it had.
    pub retried: u64,
    /// How often the target has accepted a newer one.
    pub rotations: u64,
    /// The leases that the newest values hang on.
    pub holds: Holds,
    /// How often they are replaced because the target does not take them.
    pub replacing: Replacing,
    /// When the leases end that open sessions may have begun with.
    pub leased: Leased,
    /// When each that may be in force has come.
    came: Vec<(Generation, Instant)>,
    /// Whether that is not the newest one.
    is_stood_in: bool,
    /// The newest credential that the target has accepted.
    accepted: Option<Generation>,
    /// Whether it was said that the target takes no credential that there is.
    is_rejected: bool,
    /// What the target said when it refused the newest one.
    refusal: Option<Arc<[u8]>>,
    /// Why its values do not come, if they do not.
    trouble: Trouble,
    /// The store that does not answer, if that is why.
    outage: Option<Arc<Outage>>,
    /// Whether the next one will fail too.
    is_hopeless: bool,
    /// What was said about the values already.
    said: BTreeSet<String>,
    place: Place,
    endpoints: Endpoints,
}

impl ServiceState {
    pub(crate) fn new(
        id: ServiceId,
        options: Options,
        sources: Arc<Sources>,
        runtime: Arc<ServiceRuntime>,
    ) -> Self {
        let rotation = Rotation::new(sources.is_fixed(), rules(&options, &sources));
        Self {
            id,
            options,
            epoch: 0,
            answers: 0,
            rotation,
            sources,
            runtime,
            is_foreign: false,
            values: None,
            credential: None,
            older: Vec::new(),
            in_force: None,
            is_stood_in: false,
            accepted: None,
            retried: 0,
            rotations: 0,
            holds: Vec::new(),
            leased: Leased::default(),
            replacing: Replacing::default(),
            is_rejected: false,
            came: Vec::new(),
            refusal: None,
            trouble: Trouble::default(),
            outage: None,
            is_hopeless: false,
            said: BTreeSet::new(),
            place: Place::Unknown,
            endpoints: Endpoints::default(),
        }
    }

    /// Takes other options and sources: those of a new file. `keeps_values` says that the values in force may stay
    /// until newer ones have come: those of other sources are not this service's.
    pub(crate) fn reconfigure(
        &mut self,
        options: Options,
        sources: Arc<Sources>,
        runtime: Arc<ServiceRuntime>,
        keeps_values: bool,
    ) {
        let replaced = match sources.is_same(&self.sources) {
            true => Replaced::Nothing,
            false if keeps_values => Replaced::Values,
            false => Replaced::All,
        };
        self.rotation.on_sources_replaced(sources.is_fixed(), rules(&options, &sources), replaced);
        self.epoch += 1;
        if replaced == Replaced::All {
            self.forget();
        }
        if replaced != Replaced::Nothing {
            self.trouble.end();
            self.is_foreign = true;
        }
        self.is_hopeless = false;
        self.options = options;
        self.sources = sources;
        self.runtime = runtime;
        self.said.clear();
    }

    /// Why the service would be without the credential that it has if `entry` took its place.
    pub(crate) fn loses_credential(&self, entry: &Entry) -> Option<String> {
        if self.missing().is_some() || entry.sources.is_same(&self.sources) {
            return None;
        }
        match &entry.answer {
            Some(Answer { result: Ok(_), .. }) => None,
            Some(Answer { result: Err(failures), .. }) => Some(describe(failures)),
            None => Some("its values did not come in time".to_owned()),
        }
    }

    /// Which store does not give its values, if one does not.
    pub(crate) fn outage(&self) -> Option<&Outage> {
        self.outage.as_deref()
    }

    /// A store of its does not give its values, or all do. Whether clients are to be told something else from now on.
    pub(crate) fn set_outage(&mut self, outage: Option<Outage>) -> bool {
        if self.outage.as_deref() == outage.as_ref() {
            return false;
        }
        self.outage = outage.map(Arc::new);
        self.credential.is_none()
    }

    /// Takes what a fetch has brought. `generation` is for values that are new.
    pub(crate) fn on_answer(&mut self, answer: Answer, generation: Generation) -> (Outcome, Schedule) {
        let over_at = leases::over_at(&answer.holds);
        let hold = leases::hold(&answer.holds);
        let holds = std::mem::replace(&mut self.holds, answer.holds);
        let round = match answer.result {
            Ok(round) => round,
            Err(failures) => {
                self.is_hopeless = self.sources.is_hopeless(&failures);
                let is_gone = failures.iter().any(|failure| matches!(failure.error, FetchError::Gone(_)));
                let is_silent = |failure: &Failure| matches!(failure.error, FetchError::Unavailable(_));
                // Else its breaker has spoken for a store that nobody has asked.
                let is_word = !answer.asked.is_empty() || !failures.iter().all(is_silent);
                self.on_failure(&describe(&failures), is_word, is_gone);
                return (if is_gone { Outcome::Gone } else { Outcome::Failed }, Schedule::default());
            }
        };
        self.answers += 1;
        self.is_hopeless = false;
        for note in round.notes {
            self.say(note);
        }
        if self.values.as_ref().is_some_and(|values| values.is_same(&round.values)) {
            let newest = self.credential.as_ref().map(|credential| credential.generation());
            self.leased.put(newest, over_at);
            self.on_success();
            return (Outcome::Unchanged, round.schedule);
        }
        let credential = round.values.credential(generation, hold);
        let protocol = self.options.protocol;
        // What cannot even be sent is no reason to give up what works, unless that is from somewhere else.
        let known = self.credential.as_deref().filter(|_| !self.is_foreign);
        if let Some(words) = unfit(protocol, known, &credential) {
            // A lease that came with it goes back.
            self.holds = holds;
            self.on_failure(&format!("the value that the store has now is no use: {words}"), true, false);
            return (Outcome::Failed, Schedule::default());
        }
        self.on_success();
        self.leased.put(Some(generation), over_at);
        for finding in protocol.check(&credential) {
            self.say(finding.words);
        }
        let destination = |credential: &Arc<Credential>| protocol.destination(credential);
        let same_target = self.credential.as_ref().map(destination) == Some(destination(&credential));
        if self.credential.is_some() {
            let versions = round.versions.join(", ");
            let colon = if versions.is_empty() { "" } else { ": " };
            info!(service = self.options.name, "the credential has changed{colon}{versions}");
        }
        self.values = Some(round.values);
        self.older.extend(self.credential.replace(credential));
        self.refusal = None;
        (Outcome::Changed { generation, same_target }, round.schedule)
    }

    /// The target refused `generation` in these words.
    pub(crate) fn on_refused(&mut self, generation: Generation, words: Option<Arc<[u8]>>) {
        if self.credential.as_ref().is_some_and(|newest| newest.generation() == generation) {
            self.refusal = words;
        }
    }

    /// What the target said when it refused the newest credential.
    pub(crate) fn refusal(&self) -> Option<Arc<[u8]>> {
        self.refusal.clone()
    }

    /// A credential that is in force or may be tried.
    pub(crate) fn generation(&self, generation: Generation) -> Option<&Arc<Credential>> {
        self.credential.iter().chain(&self.older).find(|known| known.generation() == generation)
    }

    /// Does what the rotation has decided about which credential is in force and who may prove it. Whether the data
    /// plane has to be told.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        self.runtime.set_open(self.rotation.open(now));
        let stand_in = self.rotation.stand_in();
        self.older.retain(|older| self.rotation.keeps(older.generation()));
        let newest = self.credential.as_ref().map(|newest| newest.generation());
        self.came.retain(|(known, _)| Some(*known) == newest || self.rotation.keeps(*known));
        if let Some(newest) = newest.filter(|newest| self.came.iter().all(|(known, _)| known != newest)) {
            self.came.push((newest, now));
        }
        self.say_whether_rejected(stand_in.is_some(), now);
        let in_force = self.rotation.in_force().filter(|generation| self.generation(*generation).is_some());
        if in_force == self.in_force {
            return false;
        }
        let (service, is_stand_in) = (&self.options.name, in_force.is_some() && in_force == stand_in);
        match (self.is_stood_in, is_stand_in) {
            (false, true) => {
                warn!(
                    service,
                    "the target refuses the new credential; the last one that worked stays in use"
                );
            }
            (true, false) if !self.is_rejected => info!(service, "the new credential is in use"),
            _ => {}
        }
        self.is_stood_in = is_stand_in;
        self.in_force = in_force;
        true
    }

    /// The newest credential, if the target has accepted it for the first time, and an earlier one before.
    pub(crate) fn take_succession(&mut self, now: Instant) -> Option<Generation> {
        let newest = self.credential.as_ref()?.generation();
        if self.rotation.open(now) != Some(newest) || self.accepted == Some(newest) {
            return None;
        }
        let succeeds = self.accepted.replace(newest).is_some();
        self.rotations += u64::from(succeeds);
        succeeds.then_some(newest)
    }

    /// Says once that nothing works that there is, and once that something does again.
    fn say_whether_rejected(&mut self, has_stand_in: bool, now: Instant) {
        let service = &self.options.name;
        let is_rejected = self.rotation.is_refused() && !has_stand_in;
        let works = self.rotation.open(now).is_some();
        if is_rejected && !self.is_rejected && self.is_stood_in {
            warn!(service, "the target accepts neither the new credential nor the last one that worked");
        } else if is_rejected && !self.is_rejected && self.holds.iter().any(Option::is_some) {
            warn!(service, "the target refuses what is leased: it is replaced");
        } else if is_rejected && !self.is_rejected {
            warn!(service, "the target refuses the credential, and there is no other");
        } else if self.is_rejected && works {
            info!(service, "the target accepts the credential");
        }
        self.is_rejected = is_rejected || self.is_rejected && !works;
    }

    /// Says why open sessions end, if there are any.
    pub(crate) fn say_that_sessions_end(&self, words: &str) {
        if !self.is_idle() {
            info!(service = self.options.name, "{words}");
        }
    }

    fn on_success(&mut self) {
        self.is_foreign = false;
        if self.trouble.end() {
            let again = if self.credential.is_some() { " again" } else { "" };
            info!(service = self.options.name, "the credential was fetched{again}");
        }
    }

    fn on_failure(&mut self, reason: &str, is_word: bool, is_gone: bool) {
        let service = &self.options.name;
        let is_news = self.trouble.on_failure(reason, is_word);
        let has_one = self.credential.is_some();
        // Where nothing may be stale, it may be over already.
        let stays = if has_one && !self.options.rules.stale_max.is_zero() {
            "; the last value stays in use"
        } else {
            ""
        };
        if has_one && is_gone {
            warn!(service, "{reason}; the store has withdrawn the value");
        } else if is_news {
            warn!(service, "{reason}{stays}");
        }
    }

    fn say(&mut self, words: String) {
        if !self.said.contains(&words) {
            warn!(service = self.options.name, "{words}");
            self.said.insert(words);
        }
    }

    /// The values must not be used any more.
    pub(crate) fn withdraw(&mut self) {
        let reason = self.trouble.reason().unwrap_or("no other has come");
        warn!(service = self.options.name, "the credential's time is over: {reason}");
        self.forget();
    }

    fn forget(&mut self) {
        self.values = None;
        self.credential = None;
        self.holds.clear();
        self.older.clear();
        self.refusal = None;
    }

    /// Whether the service has no credential and never will.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.is_hopeless && self.credential.is_none()
    }

    /// Why the service has no credential, if it has none.
    pub(crate) fn missing(&self) -> Option<&str> {
        match &self.credential {
            Some(_) => None,
            None => Some(self.trouble.reason().unwrap_or("it is being fetched")),
        }
    }
}

/// The service's rules; nobody waits for another answer of sources that have but one.
fn rules(options: &Options, sources: &Sources) -> Rules {
    let grace = if sources.is_constant() { Duration::ZERO } else { options.rules.grace };
    Rules { grace, ..options.rules }
}
