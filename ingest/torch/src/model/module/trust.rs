//! Which networks may run on this machine: a list of digests that the operator wrote.
//!
//! A TorchScript module is code, and a database from elsewhere carries the module of its maker. It runs only where its digest is in
//! the list of this user; the vectors are searched without it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cairn::{Error, ErrorKind, Result};
use cairndb_ingest::source::open_plain;

/// The environment variable that names the list; default `cairn/trusted-networks` in `$XDG_CONFIG_HOME` or `~/.config`.
pub const TRUST_VARIABLE: &str = "CAIRN_TRUST";
/// Largest list that is read.
const MOST_BYTES: u64 = 1 << 20;
/// Bits of a file's mode by which others may write it.
const OTHERS_WRITE: u32 = 0o022;

/// The list of the networks that this user trusts: lines of a digest (BLAKE3), a space and a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustList {
    path: PathBuf,
}

impl TrustList {
    /// That of this user.
    ///
    /// # Errors
    /// `NotFound`: neither `CAIRN_TRUST` nor a home folder is set.
    pub fn of_this_user() -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let below = || {
            let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
            Some(config.join("cairn").join("trusted-networks"))
        };
        match variable(TRUST_VARIABLE).or_else(below) {
            Some(path) => Ok(Self { path }),
            None => Err(Error::not_found("there is no place for the list of trusted networks: HOME is not set")
                .help(format!("set {TRUST_VARIABLE} to a file"))),
        }
    }

    /// The list in that file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Digests and names, in the order in which they came; a list that does not exist is empty.
    ///
    /// # Errors
    /// `Invalid`: others may write the file, or it is no list; `Io`.
    pub fn entries(&self) -> Result<Vec<(blake3::Hash, String)>> {
        let (file, length) = match open_plain(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let io = |error| Error::io(&self.path, error);
        let about = file.metadata().map_err(io)?;
        if about.uid() != rustix::process::geteuid().as_raw() && about.uid() != 0 {
            let what =
                format!("{}: this list of trusted networks belongs to user {}", self.path.display(), about.uid());
            return Err(Error::invalid(what).help(format!("set {TRUST_VARIABLE} to a list of your own")));
        }
        if about.mode() & OTHERS_WRITE != 0 {
            let what = format!("{}: others may write this list of trusted networks", self.path.display());
            return Err(Error::invalid(what).help(format!("look at it, then: chmod 600 {}", self.path.display())));
        }
        let refuse = |what: String| {
            Error::invalid(format!("{}: {what}", self.path.display()))
                .help("each line is a BLAKE3 digest, a space and a name; delete the file to trust nothing, and trust what you need again")
        };
        if length > MOST_BYTES {
            return Err(refuse(format!("has {length} bytes, too many for a list of networks")));
        }
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(io)?;
        let line = |(at, line): (usize, &str)| {
            let (digest, name) = line.split_once(' ').unwrap_or((line, ""));
            let digest =
                blake3::Hash::from_hex(digest).map_err(|_| refuse(format!("line {} has no digest", at + 1)))?;
            Ok((digest, name.to_owned()))
        };
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
    }

    /// Whether a network is in it.
    ///
    /// # Errors
    /// As [`TrustList::entries`].
    pub fn has(&self, digest: blake3::Hash) -> Result<bool> {
        Ok(self.entries()?.iter().any(|(of, _)| *of == digest))
    }

    /// Adds a network. Returns whether it was not there.
    ///
    /// # Errors
    /// As [`TrustList::entries`]; the file cannot be written.
    pub fn add(&self, digest: blake3::Hash, name: &str) -> Result<bool> {
        if self.has(digest)? {
            return Ok(false);
        }
        let io =
            |error| Error::io(&self.path, error).help(format!("set {TRUST_VARIABLE} to a file that you may write"));
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = File::options().append(true).create(true).mode(0o600).open(&self.path).map_err(io)?;
        // One call, so that two programs do not mix their lines.
        file.write_all(format!("{digest} {name}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        Ok(true)
    }

    /// Takes a network out. Returns whether it was there.
    ///
    /// # Errors
    /// As [`TrustList::add`].
    pub fn remove(&self, digest: blake3::Hash) -> Result<bool> {
        let entries = self.entries()?;
        let kept: Vec<&(blake3::Hash, String)> = entries.iter().filter(|(of, _)| *of != digest).collect();
        if kept.len() == entries.len() {
            return Ok(false);
        }
        let text: String = kept.iter().map(|(of, name)| format!("{of} {name}\n")).collect();
        let io = |error| Error::io(&self.path, error);
        let beside = self.path.with_extension("new");
        let mut file = super::super::file::new_file(&beside).map_err(io)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&beside, &self.path).map_err(io)?;
        Ok(true)
    }

    /// # Errors
    /// `Mismatch`: the network is not in the list.
    pub(crate) fn must_have(&self, digest: blake3::Hash, name: &str) -> Result<()> {
        if self.has(digest)? {
            return Ok(());
        }
        let message = format!("the network {name} is code that this machine does not trust yet (BLAKE3 {digest})");
        Err(Error::new(ErrorKind::Mismatch, message).help(
            "if you know who made it: cairn trust DB (or the file) lets it run here; without it, stored images are searched as always",
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_network_is_trusted_until_it_is_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let list = TrustList::at(folder.path().join("deep/list"));
        let [one, two] = [blake3::hash(b"one"), blake3::hash(b"two")];
        assert_eq!(list.entries().unwrap(), []);
        let refused = list.must_have(one, "one.pt").unwrap_err();
        assert!(refused.kind() == ErrorKind::Mismatch && refused.message().contains(&one.to_string()), "{refused}");
        assert_eq!([list.add(one, "one.pt").unwrap(), list.add(one, "one.pt").unwrap()], [true, false]);
        assert!(list.add(two, "two words.pt").unwrap());
        list.must_have(one, "one.pt").unwrap();
        assert_eq!(list.entries().unwrap(), [(one, "one.pt".to_owned()), (two, "two words.pt".to_owned())]);
        assert_eq!([list.remove(one).unwrap(), list.remove(one).unwrap()], [true, false]);
        assert!(!list.has(one).unwrap() && list.has(two).unwrap());
        assert_eq!(std::fs::metadata(list.path()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_list_that_others_may_write_or_that_is_none_trusts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let list = TrustList::at(folder.path().join("list"));
        let digest = blake3::hash(b"one");
        list.add(digest, "one.pt").unwrap();
        std::fs::set_permissions(list.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        let refused = list.has(digest).unwrap_err();
        assert!(refused.message().contains("others may write"), "{refused}");
        std::fs::set_permissions(list.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(list.path(), "everything\n").unwrap();
        let refused = list.has(digest).unwrap_err();
        assert!(refused.message().contains("line 1 has no digest") && refused.next_step().is_some(), "{refused}");
    }
}
