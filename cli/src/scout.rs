//! The program as a scout: a separate process that reads a catalog before the program opens it.

use std::ffi::OsString;
use std::path::Path;

use cairn::runtime::Scout;

use crate::exit::Exit;

/// The first word of its command line. People do not type it, so no help lists it.
const WORD: &str = "look-at-the-catalog-first";
/// This program, even if its file was replaced since it started.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Does the work of a scout, if the command line says so; the exit code. No handlers are installed then: the end of the process
/// must show.
pub(crate) fn called() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let understood = cairn::runtime::scout(&words.collect::<Vec<OsString>>());
    Some(if understood { 0 } else { Exit::Usage as u8 })
}

/// From now on, such a process first reads each catalog that this machine does not know.
pub(crate) fn install() {
    if Path::new(OWN_PROGRAM).exists() {
        cairn::runtime::set_scout(Some(Scout::new(OWN_PROGRAM, [WORD])));
    }
}
