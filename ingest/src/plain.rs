//! Opens plain files only: opening a pipe or a device might block, or have an effect.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cairn::{Error, Result};

/// A plain file for reading, and its length. A pipe or a device is not even opened.
///
/// # Errors
/// When it does not exist, may not be read, or is no plain file.
pub fn open_plain(path: &Path) -> Result<(File, u64)> {
    let io = |error| Error::io(path, error);
    let check = |about: std::fs::Metadata| match about.is_file() {
        true => Ok(about.len()),
        false => Err(Error::invalid(format!("{}: not a regular file", path.display()))
            .help("pipes and devices are not supported; name a file, or - for a list from standard input")),
    };
    check(std::fs::metadata(path).map_err(io)?)?;
    // A file that replaces it meanwhile is checked again, and opening a pipe does not block.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(no_wait).open(path).map_err(io)?;
    let length = check(file.metadata().map_err(io)?)?;
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// It catches: an opening that waits for the writer of a pipe, or reads a device without an end.
    #[test]
    fn pipes_devices_and_folders_are_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = open_plain(path).unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
        std::fs::write(folder.path().join("file"), "12").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        assert_eq!(open_plain(&folder.path().join("link")).unwrap().1, 2);
        assert_eq!(open_plain(&folder.path().join("no")).unwrap_err().kind(), cairn::ErrorKind::NotFound);
    }
}
