//! What a client is told when we fail: one `ErrorResponse`.
//!
//! Owns the SQLSTATEs (documentation, appendix "PostgreSQL Error Codes") and the sentence's form.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::messages::write_error;
use crate::limits::ERROR_CAUSE_MAX;
use crate::{BrokerFailed, Denied, Error, Failure, OverLimit, Unsupported};

/// Appends the `ErrorResponse` for `failure`.
pub(super) fn write_failure(out: &mut Vec<u8>, failure: &Failure<'_>) {
    write_error(out, sqlstate(failure.error), &text(failure));
}

/// The SQLSTATE by which programs tell failures apart.
fn sqlstate(error: &Error) -> &'static str {
    match error {
        // protocol_violation
        Error::Client(_) => "08P01",
        // connection_failure: the target breaks off or talks nonsense
        Error::Server(_) => "08006",
        // sqlclient_unable_to_establish_sqlconnection
        Error::Target(_) | Error::Unsupported(Unsupported::SslMode) => "08001",
        // feature_not_supported
        Error::Unsupported(_) => "0A000",
        // invalid_authorization_specification
        Error::Denied(Denied::CredentialRefused | Denied::ByTarget | Denied::CleartextPassword) => "28000",
        // program_limit_exceeded
        Error::Limit(OverLimit::StartupPacket) => "54000",
        // too_many_connections
        Error::Limit(_) => "53300",
        // admin_shutdown
        Error::Broker(BrokerFailed::Shutdown) => "57P01",
        // insufficient_resources
        Error::Broker(BrokerFailed::Resources) => "53000",
        // cannot_connect_now
        Error::Broker(_) => "57P03",
        // internal_error
        Error::Bug(_) => "XX000",
    }
}

/// `secretless-broker <service>: <cause> (id=<request id>)`: one line of printable ASCII.
fn text(failure: &Failure<'_>) -> String {
    let mut cause = printable(&failure.error.to_string());
    if cause.len() > ERROR_CAUSE_MAX {
        cause.truncate(ERROR_CAUSE_MAX - 3);
        cause.push_str("...");
    }
    format!("secretless-broker {}: {cause} (id={})", printable(failure.service), failure.request_id)
}

/// Control characters go, others that are not ASCII become a question mark.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(|c| if c.is_ascii() { c } else { '?' }).collect()
}
