//! The sentence in which a client is told of a failure of ours, whatever its protocol puts around it.

use alloc::format;
use alloc::string::{String, ToString};

use crate::Failure;
use crate::limits::ERROR_CAUSE_MAX;

/// `secretless-broker <service>: <cause> (id=<request id>)`: one line of printable ASCII.
pub(crate) fn sentence(failure: &Failure<'_>) -> String {
    sentence_of(failure, &failure.error.to_string())
}

/// The same with another cause.
pub(crate) fn sentence_of(failure: &Failure<'_>, cause: &str) -> String {
    let mut cause = printable(cause);
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

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::sentence;
    use crate::{
        BrokerFailed, Denied, Error, Failure, OverLimit, RequestId, ServerMisbehaved, TargetFailed,
        Unsupported,
    };

    fn told(error: impl Into<Error>) -> String {
        sentence(&Failure { service: "books", error: &error.into(), request_id: RequestId(0x2A) })
    }

    #[test]
    fn the_text_names_service_cause_and_request() {
        assert_eq!(
            told(BrokerFailed::Shutdown),
            "secretless-broker books: the broker is shutting down (id=000000000000002a)"
        );
    }

    #[test]
    fn words_from_outside_become_one_line_of_ascii() {
        let reason = "x509:\r\n caf\u{e9}\0\u{1b}[31m\t\u{85}!".into();
        assert_eq!(
            told(TargetFailed::Tls(reason)),
            "secretless-broker books: x509: caf?[31m! (id=000000000000002a)"
        );
        let error = Error::from(BrokerFailed::Shutdown);
        let failure = Failure { service: "b\0ooks\n", error: &error, request_id: RequestId(1) };
        assert!(sentence(&failure).starts_with("secretless-broker books: the broker"));
    }

    #[test]
    fn a_long_cause_is_cut_and_says_so() {
        let text = told(TargetFailed::Tls("x".repeat(100_000)));
        let cause = &text["secretless-broker books: ".len()..];
        assert_eq!(cause, ["x".repeat(197).as_str(), "... (id=000000000000002a)"].concat());
        let exact = told(TargetFailed::Tls("x".repeat(200)));
        assert!(exact.contains(&"x".repeat(200)) && !exact.contains("..."));
    }

    #[test]
    fn the_causes_that_are_ours_alone_fit_a_line_of_200() {
        for error in [
            Error::from(Unsupported::SslMode),
            Denied::CleartextPassword.into(),
            Denied::PlaintextClient.into(),
            OverLimit::StartupPacket.into(),
            ServerMisbehaved::Scram("the iteration count is not a positive number").into(),
            ServerMisbehaved::MalformedMessage("the end of the authentication request").into(),
        ] {
            let told = told(error);
            assert!(told.len() < 200, "{} characters: {told}", told.len());
        }
    }
}
