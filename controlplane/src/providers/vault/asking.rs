//! One fetch, from settings to values.
//!
//! Owns what a store is asked and in which order: a login where one is due, the values, all of it once more where the store does
//! not know the token any more, and another try after an outage. What may block runs elsewhere; between two tries nothing is
//! held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::client::Client;
use super::grant::{Denial, Grant};
use super::keys::{LOGIN, OF_THE_WAY};
use super::lease;
use super::login::{self, Method};
use super::renewal;
use super::said::Said;
use super::session::{Session, Step};
use super::site::Site;
use super::store::{Failed, Store};
use super::token::{Origin, Token, TokenFrom, given, is_given};
use crate::clock;
use crate::environment;
use crate::providers::{FetchError, Fetched, Request, Settings};
use crate::web::client::Answer;
use crate::web::quote::{QUOTED, quotes};
use crate::web::said::{Values, Wrong, values};
use crate::web::tries::{self, Deadline, Tries};

/// Asks until there is an answer, as often as the settings allow.
pub(super) async fn fetch(store: Arc<Store>, request: Request) -> Result<Fetched, FetchError> {
    let asking = Asking::of(store).await?;
    let mut tries = Tries::new(asking.deadline.at(), asking.site.line.retries);
    loop {
        asking.store.host.wait(asking.deadline.at()).await?;
        let outcome = asking.ask(&request).await;
        if !tries.another(&outcome, &asking.store.host).await {
            return outcome;
        }
    }
}

/// The way to a store, and who we are there.
pub(super) struct Way {
    pub(super) site: Site,
    pub(super) method: Method,
    /// Where a token comes from that is not from a login.
    pub(super) token: TokenFrom,
}

impl Way {
    /// What settings with these values say about it, and the broker's environment where they are silent.
    pub(super) fn of(settings: &Settings, values: &Values) -> Result<Self, Wrong> {
        let said = Said { settings, values, variable: &environment::text };
        let login = said.get(LOGIN)?.and_then(|(word, _)| Method::of(&word));
        let method = login.unwrap_or(Method::Token);
        Ok(Self { site: Site::of(&said)?, method, token: TokenFrom::of(&said) })
    }
}

/// Who we are for one try.
struct Known {
    token: Arc<Token>,
    /// Whether it is from a login of this moment.
    is_fresh: bool,
    /// A newer login that has not worked.
    note: Option<String>,
}

impl Known {
    fn by(token: Arc<Token>) -> Self {
        Self { token, is_fresh: false, note: None }
    }
}

/// A fetch under way.
pub(super) struct Asking {
    store: Arc<Store>,
    site: Arc<Site>,
    method: Method,
    given: Option<Arc<TokenFrom>>,
    deadline: Deadline,
}

impl Asking {
    /// A question to `store`, as its settings are now.
    pub(super) async fn of(store: Arc<Store>) -> Result<Self, FetchError> {
        let values = values(&store.settings, &OF_THE_WAY).await?;
        let way = Way::of(&store.settings, &values).map_err(|wrong| FetchError::Unusable(wrong.0))?;
        let Way { site, method, token } = way;
        let deadline = Deadline::new(Instant::now() + site.line.timeout);
        let given = if method == Method::Token { Some(Arc::new(token)) } else { None };
        Ok(Self { store, site: Arc::new(site), method, given, deadline })
    }

    /// One try.
    async fn ask(&self, request: &Request) -> Result<Fetched, FetchError> {
        let ids: Vec<&str> = request.items.iter().map(|item| item.id.as_str()).collect();
        let work = ids.join(", ");
        let mut has_been_refused = false;
        loop {
            let Known { token, is_fresh, note } = self.token().await?;
            let (store, site) = (Arc::clone(&self.store), Arc::clone(&self.site));
            let (request, shown) = (request.clone(), Arc::clone(&token));
            let asked = clock::now();
            let read = move |deadline| store.read(&site, (&shown, is_fresh), &request, deadline);
            match (self.blocking(&work, read).await?, token.login()) {
                (Ok(mut fetched), _) => {
                    fetched.notes.extend(note);
                    return Ok(self.bounded(fetched, asked).await);
                }
                (Err(Failed::Fetch(error)), _) => return Err(untold(error, &token)),
                (Err(Failed::Token(words)), Some(number)) if !has_been_refused => {
                    let mut session = self.session().await?;
                    if self.store.is_mute() && session.is_young(number, clock::now()) {
                        let words = format!(
                            "{words}; whether it knows the token cannot be told: its policies do not allow auth/token/lookup-self"
                        );
                        return Err(untold(FetchError::Failing(words), &token));
                    }
                    has_been_refused = true;
                    session.on_token_refused(number);
                }
                (Err(Failed::Token(words)), _) => {
                    let help = "the store does not know our token, or not any more: get another one";
                    return Err(untold(FetchError::Failing(format!("{words}; {help}")), &token));
                }
            }
        }
    }

    /// A lease ends with the token that it hangs on. `asked` is before the store was asked for it.
    async fn bounded(&self, mut fetched: Fetched, asked: Instant) -> Fetched {
        let Some(lease) = &mut fetched.lease else { return fetched };
        if let Some((left, can_renew)) = self.left_of(lease.login, asked).await {
            // Where the token is not renewed, another login comes first, and then another lease.
            lease.renewable &= can_renew || lease.duration <= left + lease::tolerance(left);
            lease.duration = lease.duration.min(left);
        }
        self.note_lease(lease.login, asked + lease.duration).await;
        fetched
    }

    /// Says until when a lease lives that hangs on the token of `login`. Like [`Asking::left_of`] it waits for a login under way, however
    /// long that takes: what the store has given already must not be lost to a deadline.
    pub(super) async fn note_lease(&self, login: u64, until: Instant) {
        self.store.session.lock().await.on_leased(login, until);
    }

    /// How long the token of `login` lives from `asked` on, as of now, and whether that may be more.
    pub(super) async fn left_of(&self, login: u64, asked: Instant) -> Option<(Duration, bool)> {
        let (end, can_renew) = self.store.session.lock().await.end_of(login)?;
        Some((end.saturating_duration_since(asked), can_renew))
    }

    /// The token of `login`, if it may live.
    pub(super) async fn token_of(&self, login: u64) -> Result<Arc<Token>, FetchError> {
        if is_given(login) {
            let token = self.token().await?.token;
            let is_it = given(&token.secret) == login;
            let other = || FetchError::Denied("the token that it hangs on is not the present one".to_owned());
            return is_it.then_some(token).ok_or_else(other);
        }
        let token = self.session().await?.token_of(login);
        token.ok_or_else(|| FetchError::Denied("the login that it hangs on is over".to_owned()))
    }

    /// Writes `body` to `path` as whoever has `token`.
    pub(super) async fn put(
        &self,
        what: &'static str,
        path: &'static str,
        token: Arc<Token>,
        body: String,
    ) -> Result<Answer, FetchError> {
        // What a store has given is shown to that one alone, wherever the present one is.
        let site = match &token.origin {
            Origin::Login { site, .. } => site,
            Origin::Given => &self.site,
        };
        let (site, shown) = (Arc::clone(site), Arc::clone(&token));
        let put = move |deadline| lease::put(&site, &shown, deadline, (what, path, &body));
        self.blocking(what, put).await?.map_err(|error| untold(error, &token))
    }

    /// The token that serves now.
    async fn token(&self) -> Result<Known, FetchError> {
        if let Some(given) = &self.given {
            let token = match &**given {
                TokenFrom::Value(..) | TokenFrom::Nowhere => given.read(),
                TokenFrom::File(_) | TokenFrom::Home(_) => {
                    let given = Arc::clone(given);
                    self.blocking("token", move |_| given.read()).await?
                }
            };
            return Ok(Known::by(Arc::new(token.map_err(FetchError::Unavailable)?)));
        }
        let mut session = self.session().await?;
        if self.store.take_hurry() {
            session.hurry(clock::now());
        }
        match session.next(&self.site, clock::now()) {
            Step::Use(token) => Ok(Known::by(token)),
            Step::LogIn(meanwhile) => match (self.log_in(&mut session).await, meanwhile) {
                (Ok(token), _) => Ok(Known { is_fresh: true, ..Known::by(token) }),
                (Err(error), Some(token)) => {
                    let note = Some(format!("{error}; the last login serves until its end"));
                    Ok(Known { note, ..Known::by(token) })
                }
                (Err(error), None) => Err(error),
            },
            // What has changed since is another matter.
            Step::Rest(_) if session.is_news(self.proof().await?) => {
                self.log_in(&mut session).await.map(|token| Known { is_fresh: true, ..Known::by(token) })
            }
            // In minutes, so that the same is not said anew all the time.
            Step::Rest(time) => {
                let hint =
                    if session.can_hurry(clock::now()) { " (a reload makes that one minute)" } else { "" };
                Err(FetchError::Denied(format!(
                    "the store has refused our logins in a row and is left alone for up to {} min, for it locks accounts{hint}; it said: {}",
                    time.as_secs() / 60 + 1,
                    session.refused_words()
                )))
            }
            Step::Over => Err(FetchError::Unavailable("the store is not asked any more".into())),
        }
    }

    /// What a login would show now, as a number that tells it from others.
    async fn proof(&self) -> Result<u64, FetchError> {
        let values = values(&self.store.settings, self.method.takes()).await?;
        let (method, site) = (self.method, Arc::clone(&self.site));
        self.blocking("login", move |_| login::shown(method, &values, &site.line)).await
    }

    async fn log_in(&self, session: &mut Session) -> Result<Arc<Token>, FetchError> {
        let values = values(&self.store.settings, self.method.takes()).await?;
        let (store, site) = (Arc::clone(&self.store), Arc::clone(&self.site));
        let method = self.method;
        let asked = clock::now();
        // What is shown is read before it is sent: it may change meanwhile.
        let work = move |deadline| {
            let proof = login::shown(method, &values, &site.line);
            (log_in(&store, &site, method, &values, deadline), proof)
        };
        let (granted, proof) = self.blocking("login", work).await?;
        match granted {
            Ok(grant) => {
                let token = session.on_login(grant, Arc::clone(&self.site), asked);
                renewal::keep(&self.store, token.login().unwrap_or_default());
                Ok(token)
            }
            Err(Denial::Refused(words)) => {
                session.on_login_refused(proof, &words, clock::now());
                Err(FetchError::Denied(words))
            }
            Err(Denial::Failing(words)) => Err(FetchError::Unavailable(words)),
        }
    }

    async fn session(&self) -> Result<tokio::sync::MutexGuard<'_, Session>, FetchError> {
        let session = timeout_at(self.deadline.at().into(), self.store.session.lock()).await;
        session.map_err(|_| late(&self.site, "login"))
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(Instant) -> T + Send + 'static,
    ) -> Result<T, FetchError> {
        let name = format!("{}: {name}", self.site.line.address);
        tries::blocking(&self.store.host, (&format!("vault {name}"), &name), &self.deadline, work).await
    }
}

fn late(site: &Site, name: &str) -> FetchError {
    FetchError::Unavailable(format!("{}: {name}: i/o timeout", site.line.address))
}

/// Asks for a token. Blocks.
fn log_in(
    store: &Store,
    site: &Site,
    method: Method,
    values: &Values,
    deadline: Instant,
) -> Result<Grant, Denial> {
    let proof = method.proof(values).map_err(Denial::Failing)?;
    let client = Client::new(site, deadline).map_err(Denial::Failing)?;
    let answer = client.put(&proof.path, None, &proof.body).map_err(Denial::Failing)?;
    let granted = Grant::of(&answer, &format!("log in at '{}'", proof.path));
    if granted.is_err() {
        store.host.rest(client.rest());
    }
    granted.map_err(|denial| {
        let is_told = |words: &str| proof.secrets.iter().any(|secret| quotes(words, secret));
        let instead = || format!("log in at '{}': Code: {}. {QUOTED}", proof.path, answer.status);
        match denial {
            Denial::Refused(words) if answer.status == 403 && !is_told(&words) => {
                Denial::Refused(format!("{words} (which is what a `mount` that is not there says, too)"))
            }
            Denial::Refused(words) if is_told(&words) => Denial::Refused(instead()),
            Denial::Failing(words) if is_told(&words) => Denial::Failing(instead()),
            denial => denial,
        }
    })
}

/// The error, unless a token is in it.
fn untold(error: FetchError, token: &Token) -> FetchError {
    if quotes(&error.to_string(), &token.secret) { FetchError::Unavailable(QUOTED.to_owned()) } else { error }
}
