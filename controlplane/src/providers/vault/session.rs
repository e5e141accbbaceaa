//! The logins of one store: which token serves, and when it is renewed or replaced.
//!
//! Owns the decisions, on a time that is given. Asks nobody.
//!
//! ```text
//!   nobody ──login──► known ──2/3 of its time──► renewed ─┐
//!     ▲  ▲              │ ▲                               │
//!     │  └─ its end ────┤ └───────────────────────────────┘
//!     │                 │ renewed for less than before, or not renewable: at 2/3 of what is left
//!     └─ token refused ─┴──────────────────────────────────────────────────► login, the old one serves meanwhile
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Secret;

use super::grant::Grant;
use super::site::Site;
use super::token::{Origin, Token};
use crate::values::Value;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Session {
    present: Option<Login>,
    /// Earlier logins whose tokens may live on, for leases hang on them.
    past: Vec<Login>,
    logins: u64,
    /// In a row.
    refusals: u32,
    /// What the last of them had shown, as a number that tells it from others.
    refused_proof: Option<u64>,
    /// What the store said to it.
    refused_words: String,
    rest_until: Option<Instant>,
    /// Nobody who is in a hurry ends the rest earlier.
    hurried_until: Option<Instant>,
    /// How often something else was shown during a rest since the last login that has worked.
    news: u32,
    /// How often somebody was in a hurry since the last login that has worked.
    hurries: u32,
    is_over: bool,
}

/// A token that we have been given.
struct Login {
    token: Arc<Token>,
    number: u64,
    began: Instant,
    /// How long it was to live at first.
    lasts: Option<Duration>,
    ends_at: Option<Instant>,
    /// When it has to be renewed or replaced.
    due_at: Option<Instant>,
    can_renew: bool,
    /// When the last lease ends that hangs on it.
    leases_until: Option<Instant>,
}

/// What to do for a fetch.
pub(super) enum Step {
    /// This token serves.
    Use(Arc<Token>),
    /// Log in; if that does not work out, this token serves.
    LogIn(Option<Arc<Token>>),
    /// The store has refused us too often: nobody logs in for so long.
    Rest(Duration),
    /// The store is closed.
    Over,
}

/// What to do for a login whose renewal is due.
pub(super) enum Due {
    /// Nothing before then.
    At(Instant),
    /// Renew its token.
    Renew(Arc<Token>),
    /// It is not renewed any more.
    Never,
}

impl Session {
    /// What a fetch does now that goes to `site`.
    pub(super) fn next(&mut self, site: &Site, now: Instant) -> Step {
        if self.is_over {
            return Step::Over;
        }
        // A setting that comes from elsewhere may lead elsewhere: what was given there is not shown here.
        self.past.extend(self.present.take_if(|login| !login.token.is_from(site)));
        self.present.take_if(|login| login.ends_at.is_some_and(|end| end <= now));
        let meanwhile = match &self.present {
            Some(login) if login.can_renew || login.due_at.is_none_or(|due| now < due) => {
                return Step::Use(Arc::clone(&login.token));
            }
            Some(login) => Some(Arc::clone(&login.token)),
            None => None,
        };
        match (self.rest_until.filter(|until| now < *until), meanwhile) {
            (None, meanwhile) => Step::LogIn(meanwhile),
            (Some(_), Some(token)) => Step::Use(token),
            (Some(until), None) => Step::Rest(until - now),
        }
    }

    /// A login that was asked for at `asked` has worked.
    pub(super) fn on_login(&mut self, grant: Grant, site: Arc<Site>, asked: Instant) -> Arc<Token> {
        self.refusals = 0;
        self.hurries = 0;
        self.news = 0;
        self.refused_proof = None;
        self.rest_until = None;
        self.logins += 1;
        let Grant { token: secret, lasts, renewable, is_revocable } = grant;
        let number = self.logins;
        let origin = Origin::Login { number, site, is_revocable };
        // It stays for a while, so it goes where secrets lie.
        let token = Arc::new(Token { secret: Secret::new(Value::new(secret)), origin });
        let mut login = Login {
            token: Arc::clone(&token),
            number,
            began: asked,
            lasts,
            ends_at: None,
            due_at: None,
            can_renew: renewable && lasts.is_some(),
            leases_until: None,
        };
        login.lives(lasts, asked);
        self.past.extend(self.present.replace(login));
        self.past.retain(|login| login.ends_at.is_none_or(|end| asked < end));
        let surplus = self.past.len().saturating_sub(PAST_MAX);
        self.past.drain(..surplus);
        token
    }

    /// The store has refused a login.
    pub(super) fn on_login_refused(&mut self, proof: u64, words: &str, now: Instant) {
        self.refusals = self.refusals.saturating_add(1);
        self.refused_proof = Some(proof);
        words.clone_into(&mut self.refused_words);
        if let Some(more) = self.refusals.checked_sub(REFUSALS_MAX) {
            self.rest_until = Some(now + (REST * (1 << more.min(8))).min(REST_MAX));
            self.hurried_until = Some(now + REST);
        }
    }

    /// Somebody has set things right, perhaps: the present rest is no longer than the first one. If the store refuses us again, the
    /// next is longer all the same. Whoever is in a hurry all the time is not believed.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.can_hurry(now) {
            self.hurries += 1;
            self.rest_until = self.hurried_until;
        }
    }

    /// Whether a hurry would make the present rest shorter.
    pub(super) fn can_hurry(&self, now: Instant) -> bool {
        let is_longer =
            self.rest_until > self.hurried_until && self.rest_until.is_some_and(|until| now < until);
        is_longer && self.hurries < HURRIES_MAX
    }

    /// The store does not know the token of this login any more.
    pub(super) fn on_token_refused(&mut self, number: u64) {
        // It may live all the same, and leases hang on it.
        self.past.extend(self.present.take_if(|login| login.number == number));
    }

    /// What to do for this login now.
    pub(super) fn due(&self, number: u64, now: Instant) -> Due {
        match self.present.as_ref().filter(|login| login.number == number && login.can_renew) {
            Some(Login { ends_at: Some(end), .. }) if *end <= now => Due::Never,
            Some(Login { due_at: Some(at), .. }) if now < *at => Due::At(*at),
            Some(Login { due_at: Some(_), token, .. }) => Due::Renew(Arc::clone(token)),
            _ => Due::Never,
        }
    }

    /// A renewal that was asked for at `asked` has worked.
    pub(super) fn on_renewed(&mut self, number: u64, grant: &Grant, asked: Instant) {
        let Some(login) = self.present.as_mut().filter(|login| login.number == number) else { return };
        // A store prolongs a token up to a time that was set when it was made; near that, it gives less and less.
        let is_short = grant.lasts < login.lasts.map(|lasts| lasts / 2);
        login.can_renew = grant.renewable && grant.lasts.is_some() && !is_short;
        login.lives(grant.lasts, asked);
    }

    /// A renewal has not worked: the store was away, or (`is_refused`) does not prolong this token.
    pub(super) fn on_renewal_failed(&mut self, number: u64, is_refused: bool, now: Instant) {
        let Some(login) = self.present.as_mut().filter(|login| login.number == number) else { return };
        login.can_renew &= !is_refused;
        if let Some(end) = login.ends_at.filter(|_| !is_refused) {
            login.due_at = Some(now + (end.saturating_duration_since(now) / 4).max(RETRY_MIN));
        }
    }

    /// When the token of this login ends as of now, and whether that may be put off: what hangs on it ends with it.
    pub(super) fn end_of(&self, number: u64) -> Option<(Instant, bool)> {
        let login = self.find(number)?;
        Some((login.ends_at?, login.can_renew))
    }

    /// Whether this login is so young that another one would hardly fare better.
    pub(super) fn is_young(&self, number: u64, now: Instant) -> bool {
        self.find(number).is_some_and(|login| now < login.began + YOUTH)
    }

    /// What the store said to the last login that it has refused.
    pub(super) fn refused_words(&self) -> &str {
        &self.refused_words
    }

    /// Whether this is another proof than the one that was refused last, so that it may be tried before the rest is over. Whoever
    /// shows something else each time is not believed for ever.
    pub(super) fn is_news(&mut self, proof: u64) -> bool {
        let is_news = self.refused_proof != Some(proof) && self.news < NEWS_MAX;
        self.news += u32::from(is_news);
        is_news
    }

    /// The token of this login, if it may live.
    pub(super) fn token_of(&self, number: u64) -> Option<Arc<Token>> {
        self.find(number).map(|login| Arc::clone(&login.token))
    }

    fn find(&self, number: u64) -> Option<&Login> {
        self.present.iter().chain(&self.past).find(|login| login.number == number)
    }

    /// A lease hangs on the token of this login, and lives until then.
    pub(super) fn on_leased(&mut self, number: u64, until: Instant) {
        let mut all = self.present.iter_mut().chain(&mut self.past);
        if let Some(login) = all.find(|login| login.number == number) {
            login.leases_until = login.leases_until.max(Some(until));
        }
    }

    /// Nobody asks any more. Gives the tokens that are ours, still live, and need not live on: what hangs on them ends with them.
    pub(super) fn close(&mut self, now: Instant) -> Vec<Arc<Token>> {
        self.is_over = true;
        let all = self.past.drain(..).chain(self.present.take());
        let has_leases = |login: &Login| login.leases_until.is_some_and(|until| now < until);
        let all = all.filter(|login| !(has_leases(login) && login.token.keeps_leases()));
        all.filter(|login| login.ends_at.is_none_or(|end| now < end)).map(|login| login.token).collect()
    }
}

impl Login {
    fn lives(&mut self, lasts: Option<Duration>, from: Instant) {
        self.ends_at = lasts.map(|lasts| from + lasts);
        self.due_at = lasts.map(|lasts| from + lasts * 2 / 3);
    }
}

/// In a row. A store locks an account after five, or what its operator has set.
const REFUSALS_MAX: u32 = 3;

/// Without a login after that; then twice as long each time.
const REST: Duration = Duration::from_secs(60);

/// Stores lock an account after a few refusals.
const HURRIES_MAX: u32 = 3;

/// A person who sets things right needs a few.
const NEWS_MAX: u32 = 8;

/// More than the quarter of an hour in which stores count failures.
const REST_MAX: Duration = Duration::from_secs(16 * 60);

/// Of a login.
const YOUTH: Duration = Duration::from_secs(60);

/// Between two tries of a renewal.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// Logins that are over and whose tokens may live.
const PAST_MAX: usize = 8;

#[cfg(test)]
mod tests;
