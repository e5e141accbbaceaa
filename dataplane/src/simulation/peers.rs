//! The peers of the broker: clients and servers that speak PostgreSQL's startup, well or badly.
//!
//! Owns the bytes of the handshake as the peers see them, built from the protocol's documentation ("Message Formats"). Test
//! doubles: real servers and clients are met elsewhere.

use std::time::Duration;

use protocol::testing::ScramServer;
use rustix::io::Errno;

use super::network::{EndId, Network};
use super::talk::{Plan, Talk};

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    end: EndId,
    number: u64,
    plan: Plan,
    to_send: Vec<u8>,
    heard: Vec<u8>,
    /// When it breaks off, if it does before its session is open.
    gives_up: Option<Duration>,
    pub(crate) talk: Option<Talk>,
    /// Nothing more comes of it.
    pub(crate) is_over: bool,
}

impl Client {
    pub(crate) fn new(end: EndId, number: u64, plan: Plan, gives_up: Option<Duration>) -> Self {
        let parameters = format!("user\0nobody\0application_name\0{number}\0\0");
        let len = u32::try_from(parameters.len() + 8).expect("a startup message is short");
        let to_send = [&len.to_be_bytes()[..], &196_608u32.to_be_bytes(), parameters.as_bytes()].concat();
        Self { end, number, plan, to_send, heard: Vec::new(), gives_up, talk: None, is_over: false }
    }

    /// Does what can be done now.
    pub(crate) fn act(&mut self, network: &mut Network) {
        if let Some(talk) = &mut self.talk {
            talk.act(network);
            self.is_over = talk.is_over;
            return;
        }
        if self.is_over {
            return;
        }
        if self.gives_up.is_some_and(|at| network.now >= at) {
            network.close(self.end);
            self.is_over = true;
            return;
        }
        if !self.to_send.is_empty() {
            let len = network.random.between(1, self.to_send.len());
            match network.write(self.end, &self.to_send[..len]) {
                Ok(sent) => drop(self.to_send.drain(..sent)),
                Err(Errno::AGAIN) => {}
                Err(_) => self.to_send.clear(),
            }
        }
        match network.read(self.end, 4096) {
            Ok(bytes) if bytes.is_empty() => self.hang_up(network),
            Ok(bytes) => self.hear(&bytes),
            Err(Errno::AGAIN) => {}
            Err(_) => self.hang_up(network),
        }
    }

    fn hang_up(&mut self, network: &mut Network) {
        network.close(self.end);
        self.is_over = true;
    }

    /// Looks for `ReadyForQuery`, behind which the session is open.
    fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend(bytes);
        while self.heard.len() >= 5 {
            let len =
                u32::from_be_bytes([self.heard[1], self.heard[2], self.heard[3], self.heard[4]]) as usize;
            if self.heard.len() < 1 + len {
                return;
            }
            let message: Vec<u8> = self.heard.drain(..=len).collect();
            if message[0] == b'Z' {
                let mut talk = Talk::new(self.end, self.number * 2, self.plan);
                talk.hear(&std::mem::take(&mut self.heard));
                self.talk = Some(talk);
                return;
            }
        }
    }

    /// When it does something by itself.
    pub(crate) fn next(&self) -> Option<Duration> {
        if self.is_over {
            return None;
        }
        self.talk.as_ref().map(|talk| talk.next).or(self.gives_up)
    }

    /// Whom it is, for its server.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

/// How a server lets clients in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Trust,
    Cleartext,
    Scram,
    /// It breaks off when it has heard this much.
    BreakOff(usize),
    /// It never answers.
    Silence,
    /// It talks nonsense.
    Nonsense,
}

enum ServerState {
    Startup,
    Password,
    ScramFirst(ScramServer),
    ScramLast(ScramServer),
    /// Says this, then closes.
    Refused,
    /// Says this, then the session is open.
    Welcome,
    Open,
}

/// A server's end of a connection.
pub(crate) struct Server {
    end: EndId,
    login: Login,
    password: Vec<u8>,
    state: ServerState,
    /// Whose session it is, once that was said.
    pub(crate) client: Option<u64>,
    heard: Vec<u8>,
    to_send: Vec<u8>,
    pub(crate) talk: Option<Talk>,
    pub(crate) is_over: bool,
}

impl Server {
    pub(crate) fn new(end: EndId, login: Login, password: Vec<u8>) -> Self {
        Self {
            end,
            login,
            password,
            state: ServerState::Startup,
            client: None,
            heard: Vec::new(),
            to_send: Vec::new(),
            talk: None,
            is_over: false,
        }
    }

    /// Does what can be done now. `plan_of` tells what the server of a client has to say.
    pub(crate) fn act(&mut self, network: &mut Network, plan_of: impl Fn(u64) -> Plan) {
        if let Some(talk) = &mut self.talk {
            talk.act(network);
            self.is_over = talk.is_over;
            return;
        }
        if self.is_over {
            return;
        }
        match network.read(self.end, 4096) {
            Ok(bytes) if bytes.is_empty() => return self.hang_up(network),
            Ok(bytes) => self.heard.extend(bytes),
            Err(Errno::AGAIN) => {}
            Err(_) => return self.hang_up(network),
        }
        if matches!(self.login, Login::BreakOff(at) if self.heard.len() >= at) {
            return self.hang_up(network);
        }
        while self.answer() {}
        if !self.to_send.is_empty() {
            let len = network.random.between(1, self.to_send.len());
            match network.write(self.end, &self.to_send[..len]) {
                Ok(sent) => drop(self.to_send.drain(..sent)),
                Err(Errno::AGAIN) => {}
                Err(_) => return self.hang_up(network),
            }
        }
        match (&self.state, self.client) {
            (ServerState::Refused, _) if self.to_send.is_empty() => self.hang_up(network),
            (ServerState::Welcome, Some(client)) if self.to_send.is_empty() => {
                self.state = ServerState::Open;
                let mut talk = Talk::new(self.end, client * 2 + 1, plan_of(client));
                talk.hear(&std::mem::take(&mut self.heard));
                self.talk = Some(talk);
            }
            _ => {}
        }
    }

    fn hang_up(&mut self, network: &mut Network) {
        network.close(self.end);
        self.is_over = true;
    }

    /// Answers one message, if a whole one has come.
    fn answer(&mut self) -> bool {
        let body = match self.state {
            ServerState::Startup => self.take(0),
            ServerState::Password | ServerState::ScramFirst(_) | ServerState::ScramLast(_) => self.take(1),
            ServerState::Refused | ServerState::Welcome | ServerState::Open => None,
        };
        let Some(body) = body else { return false };
        self.state = match std::mem::replace(&mut self.state, ServerState::Refused) {
            ServerState::Startup => self.greet(&body),
            ServerState::Password => self.judge(body.strip_suffix(b"\0") == Some(&self.password)),
            ServerState::ScramFirst(mut scram) => {
                // The mechanism's name, a length, then the message.
                let text = String::from_utf8_lossy(&body).into_owned();
                let first = text.split_once('\0').and_then(|(_, rest)| scram.first(rest.get(4..)?));
                match first {
                    Some(first) => {
                        self.say(b'R', &[&11u32.to_be_bytes()[..], first.as_bytes()].concat());
                        ServerState::ScramLast(scram)
                    }
                    None => self.judge(false),
                }
            }
            ServerState::ScramLast(scram) => match scram.last(&String::from_utf8_lossy(&body)) {
                Some(last) => {
                    self.say(b'R', &[&12u32.to_be_bytes()[..], last.as_bytes()].concat());
                    self.judge(true)
                }
                None => self.judge(false),
            },
            state => state,
        };
        true
    }

    /// Takes a message whose length stands at `offset`: its body.
    fn take(&mut self, offset: usize) -> Option<Vec<u8>> {
        let len = self.heard.get(offset..offset + 4)?;
        let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize;
        if self.heard.len() < offset + len {
            return None;
        }
        Some(self.heard.drain(..offset + len).skip(offset + 4).collect())
    }

    fn greet(&mut self, startup: &[u8]) -> ServerState {
        let words: Vec<&[u8]> = startup[4..].split(|byte| *byte == 0).collect();
        let name = words.iter().position(|word| *word == b"application_name");
        self.client = name.and_then(|at| str::from_utf8(words.get(at + 1)?).ok()?.parse().ok());
        match self.login {
            Login::Trust => self.judge(true),
            Login::Cleartext => {
                self.say(b'R', &3u32.to_be_bytes());
                ServerState::Password
            }
            Login::Scram => {
                self.say(b'R', &[&10u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat());
                ServerState::ScramFirst(ScramServer::new(&self.password, b"a salt of the day", 2))
            }
            Login::Nonsense => {
                self.to_send.extend(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                ServerState::Refused
            }
            Login::BreakOff(_) | Login::Silence => ServerState::Startup,
        }
    }

    fn judge(&mut self, is_right: bool) -> ServerState {
        if !is_right {
            self.say(b'E', b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0");
            return ServerState::Refused;
        }
        self.say(b'R', &0u32.to_be_bytes());
        self.say(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]);
        self.say(b'Z', b"I");
        ServerState::Welcome
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        self.to_send.push(tag);
        let len = u32::try_from(body.len() + 4).expect("messages here are short");
        self.to_send.extend(len.to_be_bytes());
        self.to_send.extend(body);
    }

    /// When it does something by itself.
    pub(crate) fn next(&self) -> Option<Duration> {
        if self.is_over { None } else { self.talk.as_ref().map(|talk| talk.next) }
    }
}
