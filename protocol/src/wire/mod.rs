//! Bytes in and out: a reader that checks every access, a writer that patches lengths, and message borders.
//!
//! Owns nothing of any protocol's meaning.

mod framing;
mod reader;
mod writer;

pub(crate) use framing::{FrameError, NumberedPacket, numbered_packet, stated_length, typed_message};
pub(crate) use reader::{Missing, Reader};
pub(crate) use writer::Writer;
