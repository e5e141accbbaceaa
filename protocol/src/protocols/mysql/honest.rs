//! What a MySQL or MariaDB server may say that makes sense, for fuzzing.

use alloc::vec::Vec;

use super::capabilities::{Capabilities, SSL};
use super::greeting::Greeting;
use super::plugin::Plugin;
use super::transcripts::packet;
use crate::testing::fuzz::HonestTarget;

/// A server that lets in whom it likes: no method of this protocol has the server prove anything.
#[derive(Default)]
pub(super) struct HonestMysql {
    /// What was said since the client's last packet.
    said: u8,
    heard: usize,
}

const PLUGINS: [&[u8]; 9] = [
    b"mysql_native_password",
    b"caching_sha2_password",
    b"sha256_password",
    b"client_ed25519",
    b"parsec",
    b"mysql_clear_password",
    b"dialog",
    b"",
    b"\xFF",
];

const NONCE: &[u8] = b"abcdefghijklmnopqrstuvwxyz012345";

impl HonestTarget for HonestMysql {
    fn greeting(&mut self) -> Vec<u8> {
        self.greet(0, 0)
    }

    fn say(&mut self, operation: u8, byte: &mut dyn FnMut() -> u8, received: &[u8]) -> Option<Vec<u8>> {
        if operation == 0 {
            return Some(self.greet(byte(), byte()));
        }
        let payload: Vec<u8> = match operation {
            1 => alloc::vec![0, 0, 0, 2, 0, 0, 0],
            2 => b"\0\0\0\x02\x40\0\0\x02\x01x\x17\0\x15\x0Credirect_url\x07mysql:/".to_vec(),
            3 => b"\xFF\x15\x04#28000no".to_vec(),
            4 => b"\xFF\x10\x04Too many connections".to_vec(),
            5 => {
                let (plugin, len) = (plugin(byte()), usize::from(byte()));
                let nonce: Vec<u8> = NONCE.iter().copied().cycle().take(len).collect();
                [&[0xFE][..], plugin, b"\0", &nonce].concat()
            }
            6 => alloc::vec![1, 3],
            7 => alloc::vec![1, 4],
            8 => b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec(),
            9 => [&[b'P', byte()][..], &[7; 18]].concat(),
            10 => alloc::vec![0xFE],
            11 => b"\x02factor\0".to_vec(),
            12 => alloc::vec![byte(); usize::from(byte())],
            _ => return None,
        };
        if received.len() != self.heard {
            (self.heard, self.said) = (received.len(), 0);
        }
        self.said = self.said.wrapping_add(1);
        Some(packet(last_number(received).wrapping_add(self.said), payload))
    }
}

impl HonestMysql {
    fn greet(&mut self, named: u8, flags: u8) -> Vec<u8> {
        let mysql = if flags & 1 == 0 { 0x01FF_F7FF } else { 0x01FF_F7FE };
        let tls = if flags & 2 == 0 { Capabilities::default() } else { SSL };
        let greeting = Greeting {
            version: (*b"5.5.5-11.8.3-MariaDB").into(),
            connection_id: 7,
            charset: 45,
            status: 2,
            capabilities: Capabilities::new(mysql, 0x1D) | tls,
            data: NONCE.into(),
            plugin: plugin(named).into(),
        };
        let mut out = Vec::new();
        greeting.write(greeting.capabilities, b"abcdefghijklmnopqrst", &mut out);
        // Ours names its own plugin always.
        let ours = Plugin::Native.name();
        let at = out.len() - ours.len() - 1;
        let payload = [out.get(4..at).unwrap_or_default(), plugin(named), b"\0"].concat();
        packet(0, payload)
    }
}

fn plugin(number: u8) -> &'static [u8] {
    PLUGINS.get(usize::from(number) % PLUGINS.len()).copied().unwrap_or_default()
}

/// The number of the last packet in `received`.
fn last_number(mut received: &[u8]) -> u8 {
    let mut number = 0;
    while let Some((&[a, b, c, sequence], rest)) = received.split_first_chunk::<4>() {
        number = sequence;
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        received = rest.get(len..).unwrap_or_default();
    }
    number
}
