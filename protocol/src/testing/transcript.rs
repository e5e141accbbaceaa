//! Handshakes written down: who sends what, and what the machine does about it.
//!
//! Owns the script and its playing, whole or cut into pieces; a step of it is `step.rs`'s. Knows no protocol.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::play::play_step;
use super::step::Step;
use super::{Cut, Driver, Wire, hex};
use crate::tls::{TlsPeer, TlsPolicy};
use crate::{ChannelBinding, CleartextPassword, ClientTls, Dial, Error, Protocol, Route, Side, Transport};

/// A handshake from its first byte to its end. Each step is checked against what the machine really does.
pub struct Transcript {
    /// What it shows, as a sentence.
    pub name: &'static str,
    route: Route,
    transport: Transport,
    credential: Vec<(&'static str, Vec<u8>)>,
    steps: Vec<Step>,
    /// Whether it shows where permission is asked for; else it is given at once.
    shows_permission: bool,
    /// Why it cannot be cut: what counts is what comes together.
    whole: Option<&'static str>,
}

impl Transcript {
    /// A transcript for a service whose credential is `username=svc`, `password=pencil`.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            route: Route::new("books".into()),
            transport: Transport::Tcp,
            credential: alloc::vec![("username", b"svc".to_vec()), ("password", b"pencil".to_vec())],
            steps: Vec::new(),
            shows_permission: false,
            whole: None,
        }
    }

    /// Sets a field of the credential; an empty value takes it away.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: &[u8]) -> Self {
        self.credential.retain(|(other, _)| *other != name);
        self.credential.push((name, value.to_vec()));
        self
    }

    /// Sets where a password may be sent in clear.
    #[must_use]
    pub fn cleartext_password(mut self, rule: CleartextPassword) -> Self {
        self.route.cleartext_password = Some(rule);
        self
    }

    /// Sets whether a login without channel binding will do.
    #[must_use]
    pub fn channel_binding(mut self, rule: ChannelBinding) -> Self {
        self.route.channel_binding = rule;
        self
    }

    /// Sets whether clients speak inside TLS.
    #[must_use]
    pub fn client_tls(mut self, mode: ClientTls) -> Self {
        self.route.client_tls = mode;
        self
    }

    /// Sets what the client comes over; else it is TCP.
    #[must_use]
    pub fn client_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Lets a server's key be asked for.
    #[must_use]
    pub fn allow_public_key_retrieval(mut self) -> Self {
        self.route.allow_public_key_retrieval = true;
        self
    }

    /// Says why this one cannot be cut into pieces.
    #[must_use]
    pub fn whole(mut self, reason: &'static str) -> Self {
        self.whole = Some(reason);
        self
    }

    /// The client sends these bytes.
    #[must_use]
    pub fn client(self, bytes: impl Wire) -> Self {
        self.step(Step::Sends(Side::Client, bytes.into_bytes()))
    }

    /// The target sends these bytes.
    #[must_use]
    pub fn target(self, bytes: impl Wire) -> Self {
        self.step(Step::Sends(Side::Target, bytes.into_bytes()))
    }

    /// The client is sent exactly this, no more and no less, since the last look.
    #[must_use]
    pub fn to_client(self, bytes: impl Wire) -> Self {
        self.step(Step::IsSent(Side::Client, bytes.into_bytes()))
    }

    /// The target is sent exactly this, no more and no less, since the last look.
    #[must_use]
    pub fn to_target(self, bytes: impl Wire) -> Self {
        self.step(Step::IsSent(Side::Target, bytes.into_bytes()))
    }

    /// The machine wants the credential and gets it.
    #[must_use]
    pub fn credential(self) -> Self {
        self.step(Step::Credential)
    }

    /// The machine wants a connection to the service's target and gets one.
    #[must_use]
    pub fn connection(self, transport: Transport) -> Self {
        self.step(Step::Connection(Dial::Service, transport))
    }

    /// The machine wants a connection to each open session's target and gets one.
    #[must_use]
    pub fn connection_of_open_sessions(self, transport: Transport) -> Self {
        self.step(Step::Connection(Dial::OpenSessions, transport))
    }

    /// The machine wants TLS by this policy and gets it from this peer.
    #[must_use]
    pub fn tls(self, policy: TlsPolicy, peer: TlsPeer) -> Self {
        self.step(Step::Tls(policy, peer))
    }

    /// The machine wants TLS with the client and gets it. What the client has sent and the machine has not used is what
    /// begins TLS; what it sends from now on stands for what is inside.
    #[must_use]
    pub fn accepts_tls(self) -> Self {
        self.step(Step::AcceptTls)
    }

    /// The machine wants keys for this salt and gets them.
    #[must_use]
    pub fn keys(self, salt: &[u8], iterations: u32) -> Self {
        self.step(Step::Keys { salt: salt.to_vec(), iterations })
    }

    /// The machine wants parsec's key for this salt, and gets one of a single round.
    #[must_use]
    pub fn derives(self, salt: impl Wire, iterations: u32) -> Self {
        self.step(Step::Parsec { salt: salt.into_bytes(), iterations })
    }

    /// The machine wants the password encrypted with this key and gets that; nothing is "it cannot be done".
    #[must_use]
    pub fn encrypts(self, key: impl Wire, ciphertext: impl Wire) -> Self {
        self.step(Step::Rsa { key: key.into_bytes(), ciphertext: ciphertext.into_bytes() })
    }

    /// The machine says that the target refused the credential.
    #[must_use]
    pub fn is_refused(self, certain: bool) -> Self {
        self.step(Step::Refused { certain })
    }

    /// The driver tries again with other values in the credential.
    #[must_use]
    pub fn retry(self, fields: &[(&'static str, &[u8])]) -> Self {
        let fields = fields.iter().map(|(name, value)| (*name, value.to_vec())).collect();
        self.step(Step::Retry(fields))
    }

    /// The driver has no better credential, and the machine says this.
    #[must_use]
    pub fn gives_up(self, error: impl Into<Error>) -> Self {
        self.step(Step::GiveUp(None, error.into()))
    }

    /// The machine asks whether it may prove the credential, and may. A transcript with this or
    /// [`Transcript::is_not_permitted`] shows every place where it asks.
    #[must_use]
    pub fn is_permitted(mut self) -> Self {
        self.shows_permission = true;
        self.step(Step::Permission)
    }

    /// The machine asks whether it may prove the credential, and may not: somebody else was refused in these words.
    #[must_use]
    pub fn is_not_permitted(mut self, words: impl Wire, error: impl Into<Error>) -> Self {
        self.shows_permission = true;
        self.step(Step::GiveUp(Some(words.into_bytes()), error.into()))
    }

    /// The machine waits for permission, and is given another credential instead: whether it takes that.
    #[must_use]
    pub fn renews(self, fields: &[(&'static str, &[u8])], takes: bool) -> Self {
        let fields = fields.iter().map(|(name, value)| (*name, value.to_vec())).collect();
        self.step(Step::Renewed(fields, takes))
    }

    /// The client is not waited for any longer: whether the target's half goes on alone. If it does, it ends in
    /// [`Transcript::relays`].
    #[must_use]
    pub fn goes_on_alone(self, goes: bool) -> Self {
        self.step(Step::GoesAlone(goes))
    }

    /// The target's half has come to an end alone, and now the client goes on.
    #[must_use]
    pub fn client_goes_on(self) -> Self {
        self.step(Step::GoesOn)
    }

    /// The machine fails, and the driver has it say farewell.
    #[must_use]
    pub fn fails(self, error: impl Into<Error>) -> Self {
        self.step(Step::Fails(error.into()))
    }

    /// Something outside fails, and the driver has the machine say farewell.
    #[must_use]
    pub fn fails_outside(self, error: impl Into<Error>) -> Self {
        self.step(Step::FailsOutside(error.into()))
    }

    /// The machine waits for `side`.
    #[must_use]
    pub fn waits(self, side: Side) -> Self {
        self.step(Step::Waits(side))
    }

    /// Both legs are up, and nothing has been read of what comes behind.
    #[must_use]
    pub fn relays(self, from_client: impl Wire, from_target: impl Wire) -> Self {
        let (from_client, from_target) = (from_client.into_bytes(), from_target.into_bytes());
        self.step(Step::Relays { from_client, from_target })
    }

    /// In a session that is watched, the client sends `bytes`, of which these pass.
    #[must_use]
    pub fn passes(self, bytes: impl Wire, passed: impl Wire) -> Self {
        self.step(Step::Passes(bytes.into_bytes(), passed.into_bytes()))
    }

    /// In a session that is watched, the target says something.
    #[must_use]
    pub fn answers(self) -> Self {
        self.step(Step::Answered)
    }

    /// The machine has nothing more to say and waits for the target's end.
    #[must_use]
    pub fn lingers(self) -> Self {
        self.step(Step::Lingers)
    }

    /// The driver begins again with the next address.
    #[must_use]
    pub fn next_address(self) -> Self {
        self.step(Step::Again)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// What the peers send, for fuzzing to begin with.
    pub fn sent(&self, side: Side) -> impl Iterator<Item = &[u8]> {
        self.steps.iter().filter_map(move |step| match step {
            Step::Sends(sender, bytes) if *sender == side => Some(&**bytes),
            _ => None,
        })
    }

    /// Every way to cut this transcript, and the whole one.
    pub fn cuts(&self) -> Vec<Cut> {
        let mut cuts = alloc::vec![Cut::Whole];
        if self.whole.is_some() {
            return cuts;
        }
        cuts.push(Cut::Bytes);
        let sends = self.steps.iter().filter_map(|step| match step {
            Step::Sends(_, bytes) => Some(bytes.len()),
            _ => None,
        });
        for (step, len) in sends.enumerate() {
            cuts.extend((1..len).map(|at| Cut::At(step, at)));
        }
        cuts
    }

    /// Whether it shows something that [`Transcript::cuts`] leaves out, and why.
    pub fn is_whole(&self) -> Option<&'static str> {
        self.whole
    }

    /// Plays the transcript. The error names the step that went otherwise.
    pub fn play(&self, protocol: &dyn Protocol, cut: Cut) -> Result<(), String> {
        let mut driver = Driver::start_over(self.transport, protocol, &Arc::new(self.route.clone()), [0; 32]);
        if self.shows_permission {
            driver.hold_permission();
        }
        let mut fields = self.credential.clone();
        let mut sends = 0;
        for (number, step) in self.steps.iter().enumerate() {
            let played = match step {
                Step::Sends(side, bytes) => {
                    cut.deliver(&mut driver, *side, bytes, sends);
                    sends += 1;
                    Ok(())
                }
                Step::Retry(changes) => {
                    for (name, value) in changes {
                        fields.retain(|(other, _)| other != name);
                        fields.push((name, value.clone()));
                    }
                    driver.retry([0; 32]);
                    Ok(())
                }
                step => play_step(&mut driver, step, &fields),
            };
            played.map_err(|what| format!("'{}', {cut:?}, step {number}: {what}", self.name))?;
        }
        match (&*driver.to_client, &*driver.to_target) {
            ([], []) => Ok(()),
            (client, target) => Err(format!(
                "'{}', {cut:?}: at the end, the client is sent {} and the target {}",
                self.name,
                hex(client),
                hex(target)
            )),
        }
    }
}
