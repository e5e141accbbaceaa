//! Progress for whoever waits, on standard error.

use std::io::{self, Write};

/// Says one line.
pub fn say(line: impl AsRef<str>) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr(), "{}", line.as_ref());
}
