#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod arbitrary;
mod examples;
mod print;
mod refused;

use proptest::prelude::*;

use super::*;
use crate::imap::types::Command;

fn read(text: &str) -> Command {
    match command(text.as_bytes(), &Mode::default()) {
        Ok(tagged) => tagged.command,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(tagged in arbitrary::tagged(), utf8 in any::<bool>()) {
        let mode = Mode { utf8, ..Mode::default() };
        for style in [print::Style::Plain, print::Style::Quoted, print::Style::Literal] {
            let text = print::command(&tagged, utf8, style);
            let back = command(&text, &mode);
            let text = String::from_utf8_lossy(&text);
            prop_assert!(back.as_ref() == Ok(&tagged), "{text:?}: {back:?} != {tagged:?}");
        }
    }

    #[test]
    fn the_case_of_words_does_not_matter(tagged in arbitrary::tagged()) {
        // Only where nothing that a client chose has letters.
        let text = print::command(&tagged, false, print::Style::Plain);
        if let Command::Fetch(_) = &tagged.command {
            let lower = text.to_ascii_lowercase();
            prop_assert!(command(&lower, &Mode::default()).is_ok());
        }
    }

    #[test]
    fn mutations_never_panic_and_errors_point_into_the_command(
        tagged in arbitrary::tagged(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..5),
    ) {
        let mut text = print::command(&tagged, false, print::Style::Plain);
        for (at, byte, how) in changes {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
            if text.is_empty() {
                break;
            }
        }
        match command(&text, &Mode::default()) {
            Ok(_) => {}
            Err(error) => prop_assert!(error.position <= text.len(), "{error}"),
        }
    }

    #[test]
    fn every_prefix_is_refused(tagged in arbitrary::tagged()) {
        let text = print::command(&tagged, false, print::Style::Plain);
        // Without its line end a command is not whole; LF alone is one.
        for length in 0..text.len().saturating_sub(2) {
            prop_assert!(command(&text[..length], &Mode::default()).is_err(), "{length}");
        }
    }

    #[test]
    fn noise_never_panics(noise in any::<Vec<u8>>(), utf8 in any::<bool>()) {
        let mode = Mode { utf8, ..Mode::default() };
        let _ = command(&noise, &mode);
        let _ = append_rest(&noise, &mode);
    }

    #[test]
    fn words_in_any_order_never_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..24)) {
        let line = format!("a {}\r\n", words.concat());
        let _ = command(line.as_bytes(), &Mode::default());
    }
}

const WORDS: &[&str] = &[
    " ",
    " ",
    " ",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    "\"",
    "\\",
    "{3}\r\nabc",
    "{9}\r\n",
    "*",
    "%",
    "1:*",
    "1",
    "0",
    ",",
    "4294967296",
    "UID",
    "SEARCH",
    "FETCH",
    "STORE",
    "LIST",
    "SELECT",
    "APPEND",
    "OR",
    "NOT",
    "BODY",
    ".PEEK",
    "HEADER.FIELDS",
    "RETURN",
    "CHARSET",
    "UTF-8",
    "QRESYNC",
    "MODSEQ",
    "&AOk-",
    "\\Seen",
    "FLAGS",
    "1-Feb-1994",
    "\" 1-Feb-1994 00:00:00 +0000\"",
];
