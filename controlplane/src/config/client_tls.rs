//! `clientTls`: whether a service's clients speak inside TLS, and what they are shown.
//!
//! Owns its two forms, its two places, and the reading of the files that it names: what cannot be shown to anybody is an
//! error of the configuration. Does not know which protocol takes clients in TLS: it asks.

use dataplane::ServerTls;
use protocol::{ClientTls, Protocol, Secret, Transport};

use super::model::{ClientTlsConfig, ListenOn};
use super::section::{Field, Reader, Unknown};

/// The key, on the service and inside its `config:`.
pub(super) const KEY: &str = "clientTls";

/// What is read of it depends on these; `None` where they are wrong themselves.
pub(super) struct About<'a> {
    pub(super) protocol: Option<&'static dyn Protocol>,
    pub(super) listen_on: Option<&'a ListenOn>,
}

/// Reads the key where it is: `own` on the service, or `inner` in its `config:`.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    own: Option<&Field<'d>>,
    inner: Option<&Field<'d>>,
    about: &About<'_>,
) -> ClientTlsConfig {
    if let (Some(own), Some(inner)) = (own, inner) {
        reader.error(
            inner.key_place,
            &inner.path,
            format!("given here and as {}, in line {}", own.path, own.key_place.line),
            "keep one of them: on the service is the usual place",
        );
    }
    let Some(field) = own.or(inner) else { return ClientTlsConfig::default() };
    if !reader.is_mapping(field) {
        return ClientTlsConfig { mode: read_mode(reader, field), shown: None };
    }
    let Some(section) = reader.section(field) else { return ClientTlsConfig::default() };
    section.finish(reader, &["mode", "certificate", "key"], Unknown::Refused);
    let mode = section.take(reader, "mode").map_or(ClientTls::default(), |mode| read_mode(reader, &mode));
    let certificate = section.take(reader, "certificate");
    let key = section.take(reader, "key");
    let shown = match (&certificate, &key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => read_files(reader, certificate, key, mode, about),
        (Some(given), None) => lacks(reader, given, "key"),
        (None, Some(given)) => lacks(reader, given, "certificate"),
    };
    ClientTlsConfig { mode, shown }
}

fn read_mode<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> ClientTls {
    let Some(found) = reader.text(field, MODES, MODES_HELP) else { return ClientTls::default() };
    match found {
        "auto" => ClientTls::Auto,
        "required" => ClientTls::Required,
        _ if reader.is_off(field) => ClientTls::Off,
        _ => {
            reader.unexpected(field, MODES, found, MODES_HELP);
            ClientTls::default()
        }
    }
}

fn lacks(reader: &mut Reader<'_>, given: &Field<'_>, missing: &str) -> Option<ServerTls> {
    reader.error(
        given.key_place,
        &given.path,
        format!("there is no `{missing}` beside it"),
        "name the files of both, `certificate` and `key`; without either the broker makes its own",
    );
    None
}

/// Reads both files, so that every error is found.
fn read_files<'d>(
    reader: &mut Reader<'d>,
    certificate: &Field<'d>,
    key: &Field<'d>,
    mode: ClientTls,
    about: &About<'_>,
) -> Option<ServerTls> {
    let pem = read_file(reader, certificate, true);
    let key_pem = read_file(reader, key, false);
    let (pem, key_pem, protocol) = (pem?, key_pem?, about.protocol?);
    let shown = match pem.expose(|pem| ServerTls::new(pem, &key_pem, protocol.alpn())) {
        Ok(shown) => shown,
        Err(reason) => {
            reader.error(
                certificate.place,
                &certificate.path,
                format!("clients cannot be shown this: {reason}"),
                "give the certificate, those that it was issued by behind it, and its key, all in PEM form",
            );
            return None;
        }
    };
    if about.listen_on.is_some_and(|listen_on| !protocol.offers_client_tls(mode, transport(listen_on))) {
        reader.warn(
            certificate.place,
            &certificate.path,
            format!("no client is shown this: the connector `{}` takes none in TLS here", protocol.name()),
            "say `mode: required`, and listen on TCP",
        );
    }
    Some(shown)
}

fn read_file<'d>(reader: &mut Reader<'d>, field: &Field<'d>, is_public: bool) -> Option<Secret> {
    let path = reader.text(field, FILE, FILE_HELP)?;
    if path.is_empty() || path.contains('\0') {
        reader.unexpected(field, FILE, path, FILE_HELP);
        return None;
    }
    match (reader.system().file)(path, is_public) {
        Ok((content, note)) => {
            if let Some(note) = note {
                reader.warn(field.place, &field.path, note, format!("run `chmod 600 {path}`"));
            }
            Some(content)
        }
        Err(reason) => {
            reader.error(field.place, &field.path, reason, "name a file that the broker may read");
            None
        }
    }
}

/// What the clients of a listener come over.
pub(crate) fn transport(listen_on: &ListenOn) -> Transport {
    match listen_on {
        ListenOn::Tcp(_) => Transport::Tcp,
        ListenOn::Unix { .. } => Transport::Unix,
    }
}

const MODES: &str = "`auto`, `off` or `required`";
const MODES_HELP: &str = "`auto`: where the connector has a use for it; `off`: never; `required`: clients of TCP are \
                          served in TLS only";
const FILE: &str = "the path of a file";
const FILE_HELP: &str = "write it like `/etc/secretless/tls.crt`";
