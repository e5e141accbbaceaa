//! The kernel's errors in the words of Go, which users of the Go broker search their logs for.

use std::io;

/// `no such file or directory`, `address already in use`, …
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    // std says "No such file or directory (os error 2)"; Go has lower case and no number.
    let mut chars = text.split(" (os error ").next().unwrap_or_default().chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn speaks_as_go_does() {
        for (errno, expected) in [
            (Errno::NOENT, "no such file or directory"),
            (Errno::ACCESS, "permission denied"),
            (Errno::ADDRINUSE, "address already in use"),
            (Errno::ADDRNOTAVAIL, "cannot assign requested address"),
        ] {
            assert_eq!(words(&errno.into()), expected);
        }
    }
}
