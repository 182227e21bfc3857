//! `cairn check`, `cairn backup`, `cairn restore`, `cairn repair`: what keeps a database sound over the years.

use std::io::Write as _;

use cairn::{Database, Outcome};

use crate::args::{Backup, Check, Repair, Restore};
use crate::failure::{Failure, Result};
use crate::output::print_outcome;
use crate::session::{must_be_sound, open};
use crate::terminal::{say, standard_output};

/// Looks at everything that is stored.
///
/// # Errors
/// When the database cannot be opened, or something is wrong.
pub(super) fn check(args: &Check) -> Result<()> {
    let database = open(&args.opened)?;
    let outcome = Outcome::Checked(database.check(args.deep)?);
    let mut out = standard_output();
    print_outcome(&mut out, args.format, &database.snapshot(), &outcome)?;
    out.flush()?;
    must_be_sound(&outcome)
}

/// Copies a database, or verifies a copy.
///
/// # Errors
/// When a folder cannot be read or written, or the backup is damaged.
pub(super) fn backup(args: &Backup) -> Result<()> {
    let text = match (&args.verify, &args.database, &args.folder) {
        (Some(folder), ..) => format!("{} is sound: {}", folder.display(), Database::verify_backup(folder)?),
        (None, Some(database), Some(folder)) => {
            let copied = Database::open(database)?.backup(folder)?;
            format!("backed up {copied} to {}", folder.display())
        }
        _ => return Err(Failure::usage("name the database and the folder of the backup")),
    };
    Ok(say(&text)?)
}

/// Makes a database of a backup.
///
/// # Errors
/// When the backup is damaged or the folder is not free.
pub(super) fn restore(args: &Restore) -> Result<()> {
    let copied = Database::restore_backup(&args.backup, &args.database)?;
    Ok(say(&format!("restored {copied} to {}", args.database.display()))?)
}

/// Makes a database usable again and tells how.
///
/// # Errors
/// When another process holds it, or not even its options can be read.
pub(super) fn repair(args: &Repair) -> Result<()> {
    for line in Database::repair(&args.database)? {
        say(&line)?;
    }
    Ok(say(&format!("repaired; look at it with: cairn check {} --deep", args.database.display()))?)
}
