//! The program as a scout: a process of its own that looks at a catalog before the program opens it.

use std::ffi::OsString;
use std::path::Path;

use cairn::Scout;

use crate::exit::Exit;

/// The first word of its command line. It is no command that people type, so that no help lists it.
const WORD: &str = "look-at-the-catalog-first";
/// This program, also where its file was replaced since it began.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Does the work of a scout, if the command line asks for that; the exit code. No handlers are installed by then: what ends it must show.
pub(crate) fn called() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let understood = cairn::scout(&words.collect::<Vec<OsString>>());
    Some(if understood { 0 } else { Exit::Usage as u8 })
}

/// From now on catalogs that this machine does not know are looked at by such a process first.
pub(crate) fn install() {
    if Path::new(OWN_PROGRAM).exists() {
        cairn::set_scout(Some(Scout::new(OWN_PROGRAM, [WORD])));
    }
}
