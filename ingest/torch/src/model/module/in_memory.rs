//! Bytes as a file that lies in memory: libtorch reads modules from paths without copying them several times, and nothing touches a
//! disk.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use cairn::{Error, Result};
use rustix::fs::{MemfdFlags, memfd_create};

/// A file of memory; it is gone when this is dropped.
pub(super) struct InMemory(File);

impl InMemory {
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        let made = memfd_create("cairn-network", MemfdFlags::CLOEXEC).map_err(std::io::Error::from);
        let written = made.and_then(|file| {
            let mut file = File::from(file);
            file.write_all(bytes)?;
            Ok(file)
        });
        written.map(Self).map_err(|error| {
            Error::new(cairn::ErrorKind::Io, format!("the network does not fit into memory: {error}"))
                .help("end other programs, or raise the limit of this process's memory (ulimit -v)")
        })
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
