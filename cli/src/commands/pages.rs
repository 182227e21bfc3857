//! `cairn pages`: man pages and shell completions, from the definitions that parse the command line. The set-up's install runs
//! it.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::args::{Cli, Pages};
use crate::failure::{Failure, Result};
use crate::output::{Replace, Target};

/// Folder and file of a shell's completions, below a prefix.
const COMPLETIONS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions", "cairn"),
    (Shell::Zsh, "share/zsh/site-functions", "_cairn"),
    (Shell::Fish, "share/fish/vendor_completions.d", "cairn.fish"),
];
const MAN_PAGES: &str = "share/man/man1";

/// Runs the command.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn run(args: &Pages) -> Result<()> {
    let mut whole = Cli::command();
    whole.build();
    for (shell, folder, name) in COMPLETIONS {
        let mut text = Vec::new();
        generate(shell, &mut Cli::command(), "cairn", &mut text);
        write(&args.prefix.join(folder), name, &text)?;
    }
    man(&args.prefix.join(MAN_PAGES), &whole, "cairn")
}

/// The page of a command, and those of its subcommands.
fn man(folder: &Path, command: &Command, name: &str) -> Result<()> {
    let mut page = Vec::new();
    // A built command knows the name of its page: cairn-create.
    Man::new(command.clone()).render(&mut page)?;
    write(folder, &format!("{name}.1"), &page)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        man(folder, inner, &format!("{name}-{}", inner.get_name()))?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Failure::io(folder, error))?;
    Target::check(&folder.join(name), Replace::Anything)?.write(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_each_shell_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        run(&Pages { prefix: folder.path().to_owned() }).unwrap();
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let commands = ["create", "ingest", "query", "maintain"];
        for command in commands {
            let page = text(&format!("share/man/man1/cairn-{command}.1"));
            assert!(page.contains("SYNOPSIS"), "{page}");
            for (_, at, name) in COMPLETIONS {
                assert!(text(&format!("{at}/{name}")).contains(command), "{name} has no {command}");
            }
        }
        // Pages write a hyphen with a backslash.
        assert!(text("share/man/man1/cairn-maintain-train.1").contains(r"\-\-loss"));
        assert!(text("share/man/man1/cairn.1").contains("Exit codes"));
        assert!(!folder.path().join("share/man/man1/cairn-pages.1").exists());
    }
}
