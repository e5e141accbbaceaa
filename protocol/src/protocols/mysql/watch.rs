//! The heads of a client's commands (MySQL documentation, "Command Phase").
//!
//! Owns finding `COM_CHANGE_USER` among them: it is a login of its own, with the client's idea of a user and a password.
//! Keeps four numbers and a few flags, whatever passes.

use alloc::boxed::Box;

use super::change_user::{ChangeUser, Facts};
use crate::{Handshake, Look, Watch};

/// Follows one client's packets.
pub(super) struct CommandWatch {
    facts: Facts,
    /// What is still to come of the packet whose head has been seen.
    unseen: usize,
    /// The packet before was as long as one can be: the next one goes on with it.
    is_continued: bool,
    /// The client sends a file, whose packets are numbered on and on, round and round, up to an empty one.
    sends_file: bool,
    /// A command has passed that is answered, and nothing has come from the target since.
    awaits_answer: bool,
    /// `COM_QUIT` has passed.
    has_quit: bool,
}

/// Length and number of a packet.
const HEADER_LEN: usize = 4;

/// The length of a packet that the next one goes on with.
const FULL: usize = 0xFF_FFFF;

const COM_QUIT: u8 = 0x01;
const COM_CHANGE_USER: u8 = 0x11;
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;
const COM_STMT_CLOSE: u8 = 0x19;

/// What a head is.
enum Head {
    /// The whole of it is not there yet.
    Incomplete,
    /// Of a packet that may pass, with so many bytes behind the header.
    Passes(usize),
    /// `COM_CHANGE_USER`.
    ChangesUser,
}

impl CommandWatch {
    /// Begins right behind the login.
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            unseen: 0,
            is_continued: false,
            sends_file: false,
            awaits_answer: false,
            has_quit: false,
        }
    }

    /// Reads the head at the front of `bytes`.
    fn on_head(&mut self, bytes: &[u8]) -> Head {
        let Some((&[a, b, c, sequence], behind)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Head::Incomplete;
        };
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let command = if len == 0 { None } else { behind.first().copied() };
        if len > 0 && command.is_none() {
            return Head::Incomplete;
        }
        let was_continued = self.is_continued;
        self.is_continued = len == FULL;
        if was_continued {
            return Head::Passes(len);
        }
        // Only a file is sent in answer to something.
        self.sends_file |= sequence != 0;
        if self.sends_file {
            self.sends_file = len > 0;
            self.awaits_answer = true;
            return Head::Passes(len);
        }
        match command {
            Some(COM_CHANGE_USER) => return Head::ChangesUser,
            Some(COM_QUIT) => self.has_quit = true,
            Some(COM_STMT_SEND_LONG_DATA | COM_STMT_CLOSE) => {}
            _ => self.awaits_answer = true,
        }
        Head::Passes(len)
    }
}

impl Watch for CommandWatch {
    fn unseen(&self) -> usize {
        self.unseen
    }

    fn pass(&mut self, len: usize) {
        self.unseen = self.unseen.saturating_sub(len);
    }

    fn look(&mut self, bytes: &[u8]) -> Look {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..)
            && !rest.is_empty()
        {
            if self.unseen == 0 {
                match self.on_head(rest) {
                    Head::Incomplete => break,
                    Head::ChangesUser => return Look::Hold(passed),
                    Head::Passes(len) => {
                        passed += HEADER_LEN;
                        self.unseen = len;
                    }
                }
            }
            let taken = self.unseen.min(bytes.len().saturating_sub(passed));
            self.unseen -= taken;
            passed += taken;
        }
        Look::Pass(passed)
    }

    fn on_answer(&mut self) {
        self.awaits_answer = false;
    }

    fn has_said_goodbye(&self) -> bool {
        self.has_quit
    }

    fn begin(&self) -> Box<dyn Handshake> {
        Box::new(ChangeUser::new(self.facts.clone(), self.awaits_answer))
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use super::{CommandWatch, FULL};
    use crate::line::Line;
    use crate::protocols::mysql::capabilities::Capabilities;
    use crate::protocols::mysql::change_user::Facts;
    use crate::protocols::mysql::fields::Place;
    use crate::protocols::mysql::transcripts::packet;
    use crate::{Look, Route, Watch};

    fn watch() -> CommandWatch {
        let flags = Capabilities::default();
        let route = Arc::new(Route::new("books".into()));
        let place = Place::of(&crate::testing::credential(&[])).unwrap();
        CommandWatch::new(Facts { route, agreed: flags, told: flags, line: Line::Unix, place })
    }

    const CHANGE_USER: &[u8] = b"\x11app\0\0\0";

    #[test]
    fn commands_pass_until_one_changes_the_user() {
        let before = [packet(0, "0E"), packet(0, "03 'SELECT 1'"), packet(0, "19 01000000")].concat();
        let all = [before.clone(), packet(0, CHANGE_USER.to_vec())].concat();
        assert_eq!(watch().look(&all), Look::Hold(before.len()));
        // Wherever it is cut.
        for cut in 0..before.len() + 5 {
            let mut watch = watch();
            let Look::Pass(passed) = watch.look(&all[..cut]) else { panic!("held at {cut}") };
            assert!(cut - passed < 5, "{passed} of {cut}");
            assert_eq!(watch.look(&all[passed..]), Look::Hold(before.len() - passed), "cut at {cut}");
        }
    }

    #[test]
    fn three_hundred_packets_of_a_file_are_no_commands_though_their_numbers_wrap() {
        let mut watch = watch();
        assert_eq!(watch.look(&packet(0, "03 'LOAD DATA LOCAL'")), Look::Pass(20));
        let mut file = Vec::new();
        for number in 2..302u16 {
            file.extend(packet(number.to_le_bytes()[0], alloc::vec![0x11; 64]));
        }
        assert_eq!(watch.look(&file), Look::Pass(file.len()));
        let end = packet(302u16.to_le_bytes()[0], "");
        assert_eq!(watch.look(&end), Look::Pass(4));
        assert_eq!(watch.look(&packet(0, CHANGE_USER.to_vec())), Look::Hold(0));
    }

    #[test]
    fn an_empty_file_is_over_at_once() {
        let mut watch = watch();
        assert_eq!(watch.look(&packet(2, "")), Look::Pass(4));
        assert_eq!(watch.look(&packet(0, CHANGE_USER.to_vec())), Look::Hold(0));
    }

    #[test]
    fn what_goes_on_with_a_full_packet_is_no_command_and_a_full_packet_passes_unseen() {
        let mut watch = watch();
        assert_eq!(watch.look(b"\xFF\xFF\xFF\0\x03"), Look::Pass(5));
        assert_eq!(watch.unseen(), FULL - 1);
        watch.pass(FULL - 1);
        // The empty end of one that was exactly as long.
        assert_eq!(watch.look(&packet(1, "")), Look::Pass(4));
        assert_eq!(watch.look(b"\xFF\xFF\xFF\0\x03"), Look::Pass(5));
        watch.pass(watch.unseen());
        assert_eq!(watch.look(&packet(1, "11 'the rest'")), Look::Pass(13));
        assert_eq!(watch.look(&packet(0, CHANGE_USER.to_vec())), Look::Hold(0));
    }

    #[test]
    fn only_what_is_answered_must_be_answered_first() {
        for (command, awaits) in
            [("03 'SELECT 1'", true), ("0E", true), ("18 01000000", false), ("19 01000000", false)]
        {
            let mut watch = watch();
            watch.look(&packet(0, command));
            assert_eq!(watch.awaits_answer, awaits, "{command}");
            watch.on_answer();
            assert!(!watch.awaits_answer);
        }
    }
}
