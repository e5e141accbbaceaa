//! Two halves driven as one handshake.
//!
//! Owns the carrying of values between a client half and a target half, in either order of speaking, and the
//! repetition of the target half alone. Knows no protocol: the values are the halves' own types.

use alloc::sync::Arc;

use crate::{Bug, Entropy, Error, Event, Failure, Handshake, Next, Output, Route, Side, Want};

/// The half that speaks to the application. It always begins; a protocol whose server speaks first begins by
/// giving the target half a value that means "dial".
pub trait ClientHalf: Send {
    /// What this half tells the target half: what the client asked for.
    type Request: Clone + Send;
    /// What it is told in return: what the server said.
    type Reply: Send;

    /// A half for one accepted connection.
    fn new(route: &Arc<Route>, entropy: [u8; 32]) -> Self;

    /// The first step, before any input.
    fn start(&mut self, out: &mut Output) -> Result<ClientStep<Self::Request>, Error>;

    /// Answers this half's want.
    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<ClientStep<Self::Request>, Error>;

    /// Takes what the target half gave.
    fn take(&mut self, reply: Self::Reply, out: &mut Output) -> Result<ClientStep<Self::Request>, Error>;

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
}

/// What a client half does next.
pub enum ClientStep<R> {
    /// It waits for something of its own side.
    Want(Want),
    /// It has a value for the target half and goes on when that gives one back.
    Give(R),
    /// Both legs are up.
    Relay,
    /// See [`Next::Linger`].
    Linger,
}

/// What a target half does next.
pub enum TargetStep<R> {
    /// It waits for something of its own side.
    Want(Want),
    /// It has a value for the client half.
    Give(R),
    /// The server refused the credential. If nobody has a better one, the client half is given the reply.
    Refused {
        /// What the server said.
        reply: R,
        /// See [`Handshake::refusal_is_certain`].
        certain: bool,
    },
}

/// A client half and a target half that speak of the same values.
pub struct Pair<C: ClientHalf, T: TargetHalf<Request = C::Request, Reply = C::Reply>> {
    route: Arc<Route>,
    client: C,
    target: Option<T>,
    target_entropy: [u8; 32],
    /// The first value that the client half gave: what a repeated target half begins with.
    request: Option<C::Request>,
    refusal: Option<Refusal<C::Reply>>,
}

struct Refusal<R> {
    reply: R,
    certain: bool,
}

impl<C: ClientHalf, T: TargetHalf<Request = C::Request, Reply = C::Reply>> Pair<C, T> {
    /// A pair for one accepted connection.
    pub fn new(route: Arc<Route>) -> Self {
        Self {
            client: C::new(&route, [0; 32]),
            target: None,
            target_entropy: [0; 32],
            request: None,
            refusal: None,
            route,
        }
    }

    /// Follows the client half until somebody outside must act.
    fn on_client(&mut self, step: ClientStep<C::Request>, out: &mut Output) -> Result<Next, Error> {
        match step {
            ClientStep::Want(want) => Ok(Next::Want(Side::Client, want)),
            ClientStep::Relay => Ok(Next::Relay),
            ClientStep::Linger => Ok(Next::Linger),
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

    fn on_target(&mut self, step: TargetStep<C::Reply>, out: &mut Output) -> Result<Next, Error> {
        match step {
            TargetStep::Want(want) => Ok(Next::Want(Side::Target, want)),
            TargetStep::Refused { reply, certain } => {
                self.refusal = Some(Refusal { reply, certain });
                Ok(Next::Refused)
            }
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
        self.client = C::new(&self.route, entropy.client);
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
        let Some(request) = self.request.clone() else {
            return Err(Bug::UnexpectedEvent.into());
        };
        out.used = 0;
        self.refusal = None;
        let step = self.target.insert(T::new(&self.route, entropy)).take(request, out)?;
        self.on_target(step, out)
    }

    fn refusal_is_certain(&self) -> bool {
        self.refusal.as_ref().is_some_and(|refusal| refusal.certain)
    }

    fn give_up(&mut self, out: &mut Output) -> Error {
        let Some(refusal) = self.refusal.take() else {
            return Bug::UnexpectedEvent.into();
        };
        match self.client.take(refusal.reply, out) {
            Err(error) => error,
            Ok(_) => Bug::UnexpectedEvent.into(),
        }
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        self.client.farewell(failure, out);
    }
}
