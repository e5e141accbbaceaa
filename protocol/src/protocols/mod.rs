//! The registry: every protocol the broker speaks.
//!
//! Configuration, metric labels, fragmentation tests and fuzz targets walk [`ALL`].

mod mysql;
mod postgres;

use crate::Protocol;

/// Every protocol, in the order of the documentation.
pub static ALL: &[&dyn Protocol] = &[&postgres::Postgres, &mysql::Mysql];

/// The protocol that the configuration calls `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Protocol> {
    ALL.iter().copied().find(|protocol| protocol.name() == name)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{ALL, by_name};
    use crate::testing::Cut;

    /// Plays every transcript of every protocol, cut as `cuts` says, and collects what went otherwise.
    fn play(cuts: impl Fn(&Cut) -> bool) -> Vec<String> {
        let mut failures = Vec::new();
        for &protocol in ALL {
            for transcript in protocol.transcripts() {
                let cuts = transcript.cuts().into_iter().filter(&cuts);
                failures.extend(cuts.filter_map(|cut| transcript.play(protocol, cut).err()).take(1));
            }
        }
        failures
    }

    fn assert_none(failures: &[String]) {
        assert!(failures.is_empty(), "{} transcripts failed:\n{}", failures.len(), failures.join("\n"));
    }

    #[test]
    fn every_transcript_plays_as_it_is_written() {
        assert_none(&play(|cut| *cut == Cut::Whole));
    }

    #[test]
    fn every_transcript_plays_the_same_byte_by_byte() {
        assert_none(&play(|cut| *cut == Cut::Bytes));
    }

    #[test]
    fn every_transcript_plays_the_same_cut_at_any_point() {
        assert_none(&play(|cut| matches!(cut, Cut::At(..))));
    }

    #[test]
    fn every_protocol_has_transcripts_with_names_of_their_own() {
        for protocol in ALL {
            let transcripts = protocol.transcripts();
            assert!(!transcripts.is_empty(), "{}", protocol.name());
            let names: BTreeSet<_> = transcripts.iter().map(|transcript| transcript.name).collect();
            assert_eq!(names.len(), transcripts.len(), "{}", protocol.name());
        }
    }

    #[test]
    fn protocols_are_found_by_their_unique_names() {
        for protocol in ALL {
            let found = by_name(protocol.name()).map(crate::Protocol::name);
            assert_eq!(found, Some(protocol.name()));
            assert_eq!(ALL.iter().filter(|other| other.name() == protocol.name()).count(), 1);
        }
        assert!(by_name("PG").is_none());
    }
}
