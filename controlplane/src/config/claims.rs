//! Which addresses are taken: two listeners cannot share one.
//!
//! Owns what it means that addresses meet. A second bind would fail anyway, but late and naming one side only.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::model::ListenOn;

/// Addresses with their owners.
#[derive(Default)]
pub(super) struct Claims {
    tcp: HashMap<u16, BTreeMap<IpAddr, String>>,
    unix: HashMap<PathBuf, String>,
}

impl Claims {
    /// Claims `listen_on` for `owner`, or says whose it is already.
    pub(super) fn claim(&mut self, listen_on: &ListenOn, owner: &str) -> Result<(), String> {
        match listen_on {
            ListenOn::Tcp(address) => self.claim_tcp(*address, owner),
            ListenOn::Unix { path, .. } => {
                // `./x`, `x` and the absolute path of x are one socket.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                match self.unix.get(&path) {
                    Some(other) => Err(other.clone()),
                    None => {
                        self.unix.insert(path, owner.to_owned());
                        Ok(())
                    }
                }
            }
        }
    }

    /// Claims a TCP address. Port 0 is a different port for everybody.
    pub(super) fn claim_tcp(&mut self, address: SocketAddr, owner: &str) -> Result<(), String> {
        if address.port() == 0 {
            return Ok(());
        }
        let taken = self.tcp.entry(address.port()).or_default();
        let ip = address.ip().to_canonical();
        // An address meets the ones that stand for all; one that stands for all meets every one.
        let meets = |other: IpAddr| other == ip || covers(other, ip) || covers(ip, other);
        let other = taken.iter().find(|(other, _)| meets(**other)).map(|(_, owner)| owner);
        match other {
            Some(other) => Err(other.clone()),
            None => {
                taken.insert(ip, owner.to_owned());
                Ok(())
            }
        }
    }
}

/// Whether a listener on `wide` also gets what is sent to `narrow`.
fn covers(wide: IpAddr, narrow: IpAddr) -> bool {
    match wide {
        IpAddr::V4(wide) => wide.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(wide) => wide.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(first: &str, second: &str) -> bool {
        let mut claims = Claims::default();
        claims.claim_tcp(first.parse().expect("an address"), "a").expect("nothing is taken");
        claims.claim_tcp(second.parse().expect("an address"), "b") == Err("a".to_owned())
    }

    #[test]
    fn addresses_meet_where_a_second_bind_would_fail() {
        for (first, second, expected) in [
            ("127.0.0.1:5432", "127.0.0.1:5432", true),
            ("127.0.0.1:5432", "127.0.0.1:5433", false),
            ("127.0.0.1:5432", "127.0.0.2:5432", false),
            ("0.0.0.0:5432", "127.0.0.1:5432", true),
            ("[::]:5432", "127.0.0.1:5432", true),
            ("[::]:5432", "0.0.0.0:5432", true),
            ("0.0.0.0:5432", "[::1]:5432", false),
            ("[::ffff:127.0.0.1]:5432", "127.0.0.1:5432", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(meets(first, second), expected, "{first} {second}");
            assert_eq!(meets(second, first), expected, "{second} {first}");
        }
    }

    #[test]
    fn spellings_of_one_path_are_one_socket() {
        let socket = |path: &str| {
            let access = super::super::model::SocketAccess { owner: None, group: None, mode: 0o660 };
            ListenOn::Unix { path: PathBuf::from(path), access }
        };
        let mut claims = Claims::default();
        assert_eq!(claims.claim(&socket("./run/x"), "a"), Ok(()));
        assert_eq!(claims.claim(&socket("run//x"), "b"), Err("a".to_owned()));
        assert_eq!(claims.claim(&socket("run/y"), "b"), Ok(()));
    }
}
