//! Certificates and keys that a setting names or holds.
//!
//! Owns which of both a value does, the reading of files, and how errors call them: a value may be a key that is not quite PEM, so no
//! error shows one that could be anything but a path.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::said::Wrong;
use crate::os_words::words;

/// PEM, or the path of a file of it.
pub(crate) struct Pem {
    pub(crate) setting: &'static str,
    pub(crate) source: PemSource,
}

/// Where it is.
pub(crate) enum PemSource {
    File(PathBuf),
    Text(Zeroizing<String>),
}

impl Pem {
    /// What `text` means as this setting.
    pub(crate) fn of(setting: &'static str, text: Zeroizing<String>) -> Result<Self, Wrong> {
        // Tools write what they know about a certificate above it.
        let source = if text.contains("-----BEGIN ") {
            PemSource::Text(text)
        } else if text.len() <= PATH_BYTES_MAX && !text.contains(char::is_control) {
            PemSource::File(text.as_str().into())
        } else {
            return Err(Wrong(format!("`{setting}` is neither PEM nor the path of a file")));
        };
        Ok(Self { setting, source })
    }

    /// A file that is found where this setting says.
    pub(crate) fn file(setting: &'static str, path: PathBuf) -> Self {
        Self { setting, source: PemSource::File(path) }
    }

    /// How errors call it.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            PemSource::File(path) => named(self.setting, path),
            PemSource::Text(_) => format!("the PEM of `{}`", self.setting),
        }
    }

    /// The certificates, at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let text = self.text()?;
        match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
            Ok(certificates) if certificates.is_empty() => {
                Err(format!("{} holds no certificate", self.name()))
            }
            Ok(certificates) => Ok(certificates),
            // The error may quote the file.
            Err(_) => Err(self.unusable()),
        }
    }

    /// The key.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.text()?).map_err(|_| self.unusable())
    }

    fn unusable(&self) -> String {
        format!("{} is no PEM of what it should hold", self.name())
    }

    /// The bytes, of a file as it is now.
    pub(crate) fn text(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let path = match &self.source {
            PemSource::Text(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
            PemSource::File(path) => path,
        };
        let failed = |error: &std::io::Error| format!("open {}: {}", self.name(), words(error));
        // A FIFO without a writer would hold a blocking open for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(&error.into()))?;
        let mut file = File::from(file);
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Err(format!("{} is no file", self.name()));
        }
        // Its memory does not grow, so that nothing of a key is left behind.
        let room = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(FILE_BYTES_MAX) + 1;
        let mut bytes = Zeroizing::new(vec![0; room.max(FILE_BYTES_UNKNOWN)]);
        let mut filled = 0;
        loop {
            match file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        if filled == bytes.len() {
            return Err(format!("{} is too large, or was written to", self.name()));
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// How errors call the file at `path`: somebody may have written the secret itself where its file belongs.
pub(crate) fn named(setting: &str, path: &Path) -> String {
    match looks_like_path(&path.to_string_lossy()) {
        true => path.display().to_string(),
        false => format!("the file that `{setting}` names"),
    }
}

/// Whether people write paths like that, and nobody a key.
fn looks_like_path(text: &str) -> bool {
    ["/", "./", "../"].iter().any(|start| text.starts_with(start))
        || text.len() <= NAME_BYTES_MAX && text.ends_with(".pem")
}

/// The kernel takes no longer ones.
const PATH_BYTES_MAX: usize = 4096;

/// Of a file in the working directory.
const NAME_BYTES_MAX: usize = 255;

/// All authorities of a system have less.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A file that is generated as it is read says that it has no bytes.
const FILE_BYTES_UNKNOWN: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn pem(text: &str) -> Result<Pem, Wrong> {
        Pem::of("clientKey", Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_key_that_is_not_quite_pem_is_shown_to_nobody() {
        let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let body = key.lines().nth(1).expect("a line of it");
        for text in [
            format!("\u{feff}{key}"),
            format!("Bag Attributes\n    localKeyID: 01\n{key}"),
            key.replace("-----BEGIN PRIVATE KEY-----\n", ""),
            key.replace('\n', " ").replace("-----BEGIN PRIVATE KEY-----", ""),
            body.to_owned(),
            " hunter2".to_owned(),
            "x".repeat(5000),
        ] {
            let words = match pem(&text) {
                Ok(pem) => pem.key().err().unwrap_or_default(),
                Err(wrong) => wrong.0,
            };
            assert!(!words.contains(&body[..12]) && !words.contains("hunter2"), "{words}");
            assert!(words.is_empty() || words.contains("`clientKey`"), "{words}");
        }
        assert!(pem(&format!("Bag Attributes\n{key}")).is_ok_and(|pem| pem.key().is_ok()));
    }

    #[test]
    fn only_files_of_bounded_size_are_read() {
        let said = |path: &str| pem(path).map(|pem| pem.certificates().err().unwrap_or_default());
        assert_eq!(said("/dev/zero").as_deref(), Ok("/dev/zero is no file"));
        assert_eq!(said("/").as_deref(), Ok("/ is no file"));
        assert_eq!(said("/nonexistent").as_deref(), Ok("open /nonexistent: no such file or directory"));
        let dir = TempDir::new();
        let large = dir.file("large", "");
        File::create(&large).and_then(|file| file.set_len(1 << 33)).expect("a sparse file");
        assert!(said(&large.display().to_string()).is_ok_and(|words| words.ends_with("was written to")));
        assert!(said("/proc/self/mountinfo").is_ok_and(|words| words.ends_with("holds no certificate")));
    }
}
