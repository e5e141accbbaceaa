//! What a PostgreSQL server may say that makes sense, for fuzzing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::testing::ScramServer;
use crate::testing::fuzz::HonestTarget;

/// A server that knows the password.
pub(super) struct HonestPostgres {
    server: ScramServer,
    /// It has sent a `server-final-message` that proves what it knows.
    proved: bool,
}

impl HonestPostgres {
    pub(super) fn new(password: &[u8]) -> Self {
        Self { server: ScramServer::new(password, b"salt", 1), proved: false }
    }
}

impl HonestTarget for HonestPostgres {
    fn say(&mut self, operation: u8, byte: &mut dyn FnMut() -> u8, received: &[u8]) -> Option<Vec<u8>> {
        Some(match operation {
            0 => authentication(u32::from(byte()), &[]),
            1 => {
                let offered = byte();
                let names = [(1, "SCRAM-SHA-256-PLUS\0"), (2, "SCRAM-SHA-256\0"), (4, "OAUTHBEARER\0")];
                let list: String =
                    names.iter().filter(|(bit, _)| offered & bit != 0).map(|(_, name)| *name).collect();
                authentication(10, format!("{list}\0").as_bytes())
            }
            2 => authentication(11, scram_said(received, false, |said| self.server.first(said)).as_bytes()),
            3 => {
                let last = scram_said(received, true, |said| self.server.last(said));
                self.proved |= !last.is_empty();
                authentication(12, last.as_bytes())
            }
            4 => authentication(5, &[byte(), byte(), byte(), byte()]),
            5 => {
                let sqlstate = match byte() & 3 {
                    0 => "28P01",
                    1 => "28000",
                    2 => "53300",
                    _ => "",
                };
                message(b'E', format!("SFATAL\0C{sqlstate}\0Mno\0\0").as_bytes())
            }
            6 => message(b'N', b"Mhello\0\0"),
            7 => message(b'v', &[0, 3, 0, byte(), 0, 0, 0, 0]),
            8 => b"S".to_vec(),
            9 => b"N".to_vec(),
            10 => message(byte(), &[]),
            _ => return None,
        })
    }

    fn may_let_in(&self, received: &[u8]) -> bool {
        let has_begun_scram = received.windows(13).any(|window| window == b"SCRAM-SHA-256");
        !has_begun_scram || self.proved
    }
}

/// What the honest server answers to the last SCRAM message in `received`; nothing if there is none.
fn scram_said(received: &[u8], last: bool, answer: impl FnOnce(&str) -> Option<String>) -> String {
    let text = String::from_utf8_lossy(received);
    // A client-final-message begins with the base64 of a gs2-header.
    let beginnings = if last {
        ["c=biws,", "c=eSws,", "c=cD10"]
    } else {
        ["n,,n=", "y,,n=", "p=tls-server-end-point,,n="]
    };
    let said = beginnings.iter().filter_map(|beginning| text.rfind(beginning)).max();
    said.and_then(|at| text.get(at..)).and_then(answer).unwrap_or_default()
}

fn authentication(method: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&method.to_be_bytes(), data].concat())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).expect("a fuzzer's message is short");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}
