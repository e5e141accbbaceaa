//! Two halves driven as one handshake.
//!
//! Owns the carrying of values between a client half and a target half, in either order of speaking, and the
//! repetition of the target half alone. Knows no protocol: the values are the halves' own types.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::{
    Alone, Bug, Credential, Entropy, Error, Event, Failure, Handshake, Next, Output, Route, Side, Transport,
    Want, Watch,
};

/// The half that speaks to the application. It always begins; a protocol whose server speaks first begins by
/// giving the target half a value that means "dial".
pub trait ClientHalf: Send {
    /// What this half tells the target half: what the client asked for.
    type Request: Clone + Send;
    /// What it is told in return: what the server said.
    type Reply: Send;

    /// A half for one accepted connection, which came over `client`.
    fn new(route: &Arc<Route>, client: Transport, entropy: [u8; 32]) -> Self;

    /// The first step, before any input.
    fn start(&mut self, out: &mut Output) -> Result<ClientStep<Self::Request>, Error>;

    /// Answers this half's want.
    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<ClientStep<Self::Request>, Error>;

    /// Takes what the target half gave.
    fn take(&mut self, reply: Self::Reply, out: &mut Output) -> Result<ClientStep<Self::Request>, Error>;

    /// See [`Handshake::remark`].
    fn remark(&self) -> Option<&'static str> {
        None
    }

    /// See [`Handshake::farewell`].
    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output);
}

/// The half that speaks to the target. It needs no client: it can run again after a refused credential, or
/// before any client has come.
pub trait TargetHalf: Send {
    /// What it is told.
    type Request: Clone + Send;
    /// What it tells.
    type Reply: Send;

    /// A half for one connection to the target. `entropy` is never used twice.
    fn new(route: &Arc<Route>, entropy: [u8; 32]) -> Self;

    /// Answers this half's want.
    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<TargetStep<Self::Reply>, Error>;

    /// Takes what the client half gave; the first value begins the half's work.
    fn take(&mut self, request: Self::Request, out: &mut Output) -> Result<TargetStep<Self::Reply>, Error>;

    /// See [`Handshake::leaves_target_waiting`].
    fn leaves_target_waiting(&self) -> bool {
        false
    }

    /// See [`Handshake::go_on_alone`]. What it gives from then on says that it is done.
    fn go_on_alone(&mut self, out: &mut Output) -> Result<Alone<TargetStep<Self::Reply>>, Error> {
        let _ = out;
        Ok(Alone::No)
    }

    /// See [`Handshake::renew`].
    fn renew(&mut self, credential: &Arc<Credential>) -> bool {
        let _ = credential;
        false
    }

    /// What the client half is told when nobody has a better credential than one that was refused in these words.
    fn refused(words: Option<Arc<[u8]>>) -> Self::Reply;
}

/// What a client half does next.
pub enum ClientStep<R> {
    /// It waits for something of its own side.
    Want(Want),
    /// It has a value for the target half and goes on when that gives one back.
    Give(R),
    /// Both legs are up: see [`Next::Relay`].
    Relay(Option<Box<dyn Watch>>),
    /// See [`Next::Linger`].
    Linger,
}

/// What a target half does next.
pub enum TargetStep<R> {
    /// It waits for something of its own side.
    Want(Want),
    /// It has a value for the client half.
    Give(R),
    /// The server refused the credential. If nobody has a better one, the client half is given
    /// [`TargetHalf::refused`].
    Refused {
        /// See [`Handshake::refusal`].
        words: Option<Arc<[u8]>>,
        /// See [`Handshake::refusal_is_certain`].
        certain: bool,
    },
}

/// A client half and a target half that speak of the same values.
pub struct Pair<C: ClientHalf, T: TargetHalf<Request = C::Request, Reply = C::Reply>> {
    route: Arc<Route>,
    transport: Transport,
    client: C,
    target: Option<T>,
    target_entropy: [u8; 32],
    /// The first value that the client half gave: what a repeated target half begins with.
    request: Option<C::Request>,
    refusal: Option<Refusal>,
    /// The target half goes on alone, or has.
    is_alone: bool,
}

struct Refusal {
    words: Option<Arc<[u8]>>,
    certain: bool,
}

impl<C: ClientHalf, T: TargetHalf<Request = C::Request, Reply = C::Reply>> Pair<C, T> {
    /// A pair for one accepted connection, which came over `transport`.
    pub fn new(route: Arc<Route>, transport: Transport) -> Self {
        Self {
            transport,
            client: C::new(&route, transport, [0; 32]),
            target: None,
            target_entropy: [0; 32],
            request: None,
            refusal: None,
            is_alone: false,
            route,
        }
    }

    /// Follows the client half until somebody outside must act.
    fn on_client(&mut self, step: ClientStep<C::Request>, out: &mut Output) -> Result<Next, Error> {
        match step {
            ClientStep::Want(want) => Ok(Next::Want(Side::Client, want)),
            ClientStep::Relay(watch) => Ok(Next::Relay(watch)),
            ClientStep::Linger => Ok(Next::Linger),
            ClientStep::Give(_) if self.is_alone => self.begin_target(self.target_entropy, out),
            ClientStep::Give(request) => {
                if self.request.is_none() {
                    self.request = Some(request.clone());
                }
                let entropy = self.target_entropy;
                let target = self.target.get_or_insert_with(|| T::new(&self.route, entropy));
                let step = target.take(request, out)?;
                self.on_target(step, out)
            }
        }
    }

    /// Begins the target's half from the beginning, for what the client half asked for first.
    fn begin_target(&mut self, entropy: [u8; 32], out: &mut Output) -> Result<Next, Error> {
        let Some(request) = self.request.clone() else {
            return Err(Bug::UnexpectedEvent.into());
        };
        self.refusal = None;
        self.is_alone = false;
        let step = self.target.insert(T::new(&self.route, entropy)).take(request, out)?;
        self.on_target(step, out)
    }

    fn on_target(&mut self, step: TargetStep<C::Reply>, out: &mut Output) -> Result<Next, Error> {
        match step {
            TargetStep::Want(want) => Ok(Next::Want(Side::Target, want)),
            TargetStep::Refused { words, certain } => {
                self.refusal = Some(Refusal { words, certain });
                Ok(Next::Refused)
            }
            TargetStep::Give(_) if self.is_alone => Ok(Next::Relay(None)),
            TargetStep::Give(reply) => {
                let step = self.client.take(reply, out)?;
                self.on_client(step, out)
            }
        }
    }
}

impl<C: ClientHalf, T: TargetHalf<Request = C::Request, Reply = C::Reply>> Handshake for Pair<C, T> {
    fn start(&mut self, entropy: Entropy, out: &mut Output) -> Result<Next, Error> {
        out.used = 0;
        self.client = C::new(&self.route, self.transport, entropy.client);
        self.target_entropy = entropy.target;
        let step = self.client.start(out)?;
        self.on_client(step, out)
    }

    fn handle(&mut self, side: Side, event: Event<'_>, out: &mut Output) -> Result<Next, Error> {
        out.used = 0;
        match (side, &mut self.target) {
            (Side::Client, _) => {
                let step = self.client.handle(event, out)?;
                self.on_client(step, out)
            }
            (Side::Target, Some(target)) => {
                let step = target.handle(event, out)?;
                self.on_target(step, out)
            }
            (Side::Target, None) => Err(Bug::UnexpectedEvent.into()),
        }
    }

    fn retry(&mut self, entropy: [u8; 32], out: &mut Output) -> Result<Next, Error> {
        out.used = 0;
        self.begin_target(entropy, out)
    }

    fn refusal_is_certain(&self) -> bool {
        self.refusal.as_ref().is_some_and(|refusal| refusal.certain)
    }

    fn refusal(&self) -> Option<Arc<[u8]>> {
        self.refusal.as_ref()?.words.clone()
    }

    fn give_up(&mut self, said_before: Option<Arc<[u8]>>, out: &mut Output) -> Error {
        let words = match self.refusal.take() {
            Some(refusal) => refusal.words,
            None => said_before,
        };
        match self.client.take(T::refused(words), out) {
            Err(error) => error,
            Ok(_) => Bug::UnexpectedEvent.into(),
        }
    }

    fn remark(&self) -> Option<&'static str> {
        self.client.remark()
    }

    fn leaves_target_waiting(&self) -> bool {
        self.target.as_ref().is_some_and(TargetHalf::leaves_target_waiting)
    }

    fn go_on_alone(&mut self, entropy: [u8; 32], out: &mut Output) -> Result<Alone<Next>, Error> {
        let Some(target) = &mut self.target else { return Ok(Alone::No) };
        out.used = 0;
        let alone = target.go_on_alone(out)?;
        self.is_alone = !matches!(alone, Alone::No);
        self.target_entropy = entropy;
        Ok(match alone {
            Alone::No => Alone::No,
            Alone::UnderWay => Alone::UnderWay,
            Alone::Next(step) => Alone::Next(self.on_target(step, out)?),
        })
    }

    fn renew(&mut self, credential: &Arc<Credential>) -> bool {
        self.target.as_mut().is_some_and(|target| target.renew(credential))
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        self.client.farewell(failure, out);
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use super::{ClientHalf, ClientStep, Pair, TargetHalf, TargetStep};
    use crate::testing::{describe, route};
    use crate::{
        Bug, CleartextPassword, Denied, Entropy, Error, Event, Failure, Handshake, Next, Output, RequestId,
        Route, ServerMisbehaved, Side, Transport, Want,
    };

    /// Gives the first byte of each half's entropy on, and relays when it comes back as a capital.
    struct Caller(u8);

    impl ClientHalf for Caller {
        type Request = u8;
        type Reply = Vec<u8>;

        fn new(_: &Arc<Route>, _: Transport, entropy: [u8; 32]) -> Self {
            Self(entropy[0])
        }

        fn start(&mut self, _: &mut Output) -> Result<ClientStep<u8>, Error> {
            Ok(ClientStep::Want(Want::Bytes))
        }

        fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<ClientStep<u8>, Error> {
            let Event::Bytes(bytes) = event else { return Err(Bug::UnexpectedEvent.into()) };
            out.used = bytes.len();
            Ok(ClientStep::Give(self.0))
        }

        fn take(&mut self, reply: Vec<u8>, out: &mut Output) -> Result<ClientStep<u8>, Error> {
            let refused = reply.starts_with(b"no");
            out.client.extend(reply);
            if refused { Err(Denied::CredentialRefused.into()) } else { Ok(ClientStep::Relay(None)) }
        }

        fn farewell(&mut self, _: &Failure<'_>, out: &mut Output) {
            out.client.extend_from_slice(b"farewell");
        }
    }

    /// Says to the target what it was given and its own entropy, and hands the answer back.
    struct Callee(u8);

    impl TargetHalf for Callee {
        type Request = u8;
        type Reply = Vec<u8>;

        fn new(_: &Arc<Route>, entropy: [u8; 32]) -> Self {
            Self(entropy[0])
        }

        fn take(&mut self, request: u8, out: &mut Output) -> Result<TargetStep<Vec<u8>>, Error> {
            out.target.extend_from_slice(&[request, self.0]);
            Ok(TargetStep::Want(Want::Bytes))
        }

        fn refused(words: Option<Arc<[u8]>>) -> Vec<u8> {
            words.map_or_else(|| b"no".to_vec(), |words| words.to_vec())
        }

        fn handle(&mut self, event: Event<'_>, _: &mut Output) -> Result<TargetStep<Vec<u8>>, Error> {
            match event {
                Event::Bytes(b"no") => {
                    Ok(TargetStep::Refused { words: Some(Arc::from(*b"no")), certain: true })
                }
                Event::Bytes(b"perhaps") => {
                    Ok(TargetStep::Refused { words: Some(Arc::from(*b"no!")), certain: false })
                }
                Event::Bytes(b"prove it") => Ok(TargetStep::Want(Want::Permission)),
                Event::Bytes(b"?") => Err(ServerMisbehaved::UnexpectedMessage.into()),
                Event::Bytes(bytes) => Ok(TargetStep::Give(bytes.to_vec())),
                _ => Err(Bug::UnexpectedEvent.into()),
            }
        }
    }

    fn called() -> (Box<dyn Handshake>, Output) {
        let mut out = Output::default();
        let mut pair =
            Box::new(Pair::<Caller, Callee>::new(route(CleartextPassword::Verified), Transport::Tcp));
        let next = pair.start(Entropy { client: [b'c'; 32], target: [b't'; 32] }, &mut out);
        assert_eq!(describe(&next), "wants bytes of Client");
        let next = pair.handle(Side::Client, Event::Bytes(b"hello"), &mut out);
        assert_eq!((describe(&next).as_str(), out.used), ("wants bytes of Target", 5));
        assert_eq!(**out.target, *b"ct");
        out.target.clear();
        (pair, out)
    }

    #[test]
    fn values_cross_from_half_to_half() {
        let (mut pair, mut out) = called();
        let next = pair.handle(Side::Target, Event::Bytes(b"yes"), &mut out);
        assert!(matches!(next, Ok(Next::Relay(_))));
        assert_eq!((out.client, out.used), (b"yes".to_vec(), 0), "what was used before is not used again");
    }

    #[test]
    fn a_retry_repeats_the_target_half_with_fresh_entropy_and_the_same_request() {
        let (mut pair, mut out) = called();
        assert!(matches!(pair.handle(Side::Target, Event::Bytes(b"no"), &mut out), Ok(Next::Refused)));
        assert!(pair.refusal_is_certain());
        assert_eq!(describe(&pair.retry([b'2'; 32], &mut out)), "wants bytes of Target");
        assert_eq!(**out.target, *b"c2");
        assert!(!pair.refusal_is_certain());
        assert!(matches!(pair.handle(Side::Target, Event::Bytes(b"yes"), &mut out), Ok(Next::Relay(_))));
        assert_eq!(out.client, b"yes");
    }

    #[test]
    fn giving_up_tells_the_client_what_the_target_said_last() {
        let (mut pair, mut out) = called();
        assert!(matches!(pair.handle(Side::Target, Event::Bytes(b"no"), &mut out), Ok(Next::Refused)));
        pair.retry([b'2'; 32], &mut out).ok();
        assert!(matches!(pair.handle(Side::Target, Event::Bytes(b"perhaps"), &mut out), Ok(Next::Refused)));
        assert!(!pair.refusal_is_certain());
        assert_eq!(pair.refusal().as_deref(), Some(&b"no!"[..]));
        let said_before = Some(Arc::from(*b"no, earlier"));
        assert_eq!(pair.give_up(said_before, &mut out), Denied::CredentialRefused.into());
        assert_eq!(out.client, b"no!", "its own words come before those of others");
    }

    #[test]
    fn giving_up_before_anything_was_proven_tells_the_client_what_was_said_to_others() {
        let (mut pair, mut out) = called();
        let next = pair.handle(Side::Target, Event::Bytes(b"prove it"), &mut out);
        assert_eq!(describe(&next), "wants permission");
        assert_eq!(pair.refusal(), None);
        let said_before = Some(Arc::from(*b"no, earlier"));
        assert_eq!(pair.give_up(said_before, &mut out), Denied::CredentialRefused.into());
        assert_eq!(out.client, b"no, earlier");
    }

    #[test]
    fn a_retry_forgets_the_refusal_before_it() {
        let (mut pair, mut out) = called();
        assert!(matches!(pair.handle(Side::Target, Event::Bytes(b"no"), &mut out), Ok(Next::Refused)));
        pair.retry([b'2'; 32], &mut out).ok();
        assert_eq!(pair.refusal(), None);
    }

    #[test]
    fn a_failed_target_half_leaves_the_client_half_its_farewell() {
        let (mut pair, mut out) = called();
        let error = pair.handle(Side::Target, Event::Bytes(b"?"), &mut out).err();
        assert_eq!(error, Some(ServerMisbehaved::UnexpectedMessage.into()));
        let failure =
            Failure { service: "books", error: &Bug::UnexpectedEvent.into(), request_id: RequestId(1) };
        pair.farewell(&failure, &mut out);
        assert_eq!(out.client, b"farewell");
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_a_bug_and_no_panic() {
        let bug = Some(Error::from(Bug::UnexpectedEvent));
        let mut out = Output::default();
        let mut pair = Pair::<Caller, Callee>::new(route(CleartextPassword::Verified), Transport::Tcp);
        assert_eq!(pair.handle(Side::Target, Event::Bytes(b""), &mut out).err(), bug);
        assert_eq!(pair.retry([0; 32], &mut out).err(), bug);
    }

    #[test]
    fn every_protocol_calls_an_answer_out_of_place_a_bug_and_goes_on() {
        for protocol in crate::protocols::ALL {
            for transcript in protocol.transcripts().into_iter().take(1) {
                let mut out = Output::default();
                let mut machine = protocol.handshake(route(CleartextPassword::Verified), Transport::Unix);
                let mut next = machine.start(Entropy { client: [0; 32], target: [0; 32] }, &mut out);
                for side in [Side::Client, Side::Target] {
                    let next = machine.handle(side, Event::Connected(Transport::Tcp), &mut out);
                    assert_eq!(next.err(), Some(Bug::UnexpectedEvent.into()), "{}", protocol.name());
                }
                let speaks_first = matches!(next, Ok(Next::Want(Side::Client, Want::Bytes)));
                for bytes in transcript.sent(Side::Client).filter(|_| speaks_first) {
                    next = machine.handle(Side::Client, Event::Bytes(bytes), &mut out);
                }
                assert_eq!(describe(&next), "wants the credential");
                let next = machine.handle(Side::Target, Event::Connected(Transport::Tcp), &mut out);
                assert_eq!(next.err(), Some(Bug::UnexpectedEvent.into()));
                let credential = crate::testing::credential(&[("username", b"svc")]);
                let next = machine.handle(Side::Target, Event::Credential(credential), &mut out);
                let said = describe(&next);
                assert!(["wants a connection", "wants permission"].contains(&&*said), "{said}");
            }
        }
    }
}
