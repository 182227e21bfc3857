//! The options of TRAIN and CLEAN on the command line, made of the tables of the query language: their values, defaults and help.

use std::marker::PhantomData;

use cairndb_query::options::{self, Form, Only, Part};
use cairndb_query::{Options, Setting, Span, Spanned};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

/// A statement with options.
pub(crate) trait Table {
    /// What it takes.
    fn parts() -> &'static [&'static Part];

    /// The heading of its options in the help.
    const HEADING: &'static str;
}

/// TRAIN.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Training;

impl Table for Training {
    fn parts() -> &'static [&'static Part] {
        &options::TRAIN
    }

    const HEADING: &'static str = "Training";
}

/// CLEAN.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cleaning;

impl Table for Cleaning {
    fn parts() -> &'static [&'static Part] {
        &options::CLEAN
    }

    const HEADING: &'static str = "Cleaning";
}

/// The options of a statement that were given: one argument for each option of its table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings<T> {
    given: Vec<(&'static Part, Setting)>,
    table: PhantomData<T>,
}

impl<T: Table> Settings<T> {
    /// Those that are kept among the options of the statement.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        for (part, setting) in self.given.iter().filter(|(part, _)| part.only != Only::Suspects) {
            options.set(part, Spanned { node: (*setting).into(), span: Span::default() });
        }
        options
    }

    /// The one that says how many suspects are found, if it was given.
    pub(crate) fn cut(&self) -> Option<Setting> {
        self.given.iter().find(|(part, _)| part.only == Only::Suspects).map(|(_, setting)| *setting)
    }
}

/// The name of an option on the command line.
fn id(part: &Part) -> String {
    part.name.to_ascii_lowercase()
}

/// What an option does, which values it takes, and what holds without it.
fn help(part: &Part) -> String {
    let only = match part.only {
        Only::Anywhere | Only::Steps => "",
        Only::Trunk => "with --trunk: ",
        Only::Paper => "with --rule paper: ",
        Only::Suspects => "with --rule suspects: ",
    };
    let text = format!("{only}{}", part.means);
    let mut text = text
        .chars()
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), &text[first.len_utf8()..]));
    if matches!(part.form, Form::Whole { .. } | Form::Number(_)) {
        text.push_str(&format!(" [values: {}]", part.range()));
    }
    if !matches!(part.form, Form::Flag) {
        text.push_str(&format!(" [default: {}]", part.default()));
    }
    text.replace('`', "").replace("TRUNK", "--trunk")
}

fn argument<T: Table>(part: &'static Part) -> Arg {
    let arg = Arg::new(id(part)).long(id(part)).help(help(part)).help_heading(T::HEADING);
    let arg = match &part.form {
        Form::Whole { .. } => arg.value_name("N").value_parser(value_parser!(u64)),
        Form::Number(_) => arg.value_name("X").value_parser(value_parser!(f64)).allow_negative_numbers(true),
        Form::OneOf(words) => arg.value_name("WORD").value_parser(PossibleValuesParser::new(words())),
        Form::Flag | Form::Clause(_) => arg.action(ArgAction::SetTrue),
    };
    match part.only {
        Only::Trunk => arg.requires("trunk"),
        // They say the same in two ways.
        Only::Suspects => {
            let others = T::parts().iter().filter(|other| is_argument(other) && other.only == Only::Suspects);
            let others = others.filter(|other| **other != part).map(|other| id(other));
            arg.requires("rule").conflicts_with_all(others.collect::<Vec<_>>())
        }
        Only::Anywhere | Only::Steps | Only::Paper => arg,
    }
}

fn is_argument(part: &&&'static Part) -> bool {
    part.is_option()
}

impl<T: Table> Args for Settings<T> {
    fn augment_args(command: Command) -> Command {
        command.args(T::parts().iter().filter(is_argument).map(|part| argument::<T>(part)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Table> FromArgMatches for Settings<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let setting = |part: &'static Part| {
            let id = id(part);
            match &part.form {
                Form::Whole { .. } => matches.get_one(&id).copied().map(Setting::Whole),
                Form::Number(_) => matches.get_one(&id).copied().map(Setting::Number),
                Form::OneOf(words) => {
                    let typed = matches.get_one::<String>(&id)?;
                    words().into_iter().find(|word| word == typed).map(Setting::Word)
                }
                Form::Flag | Form::Clause(_) => matches.get_flag(&id).then_some(Setting::Set),
            }
        };
        let parts = T::parts().iter().copied().filter(|part| part.is_option());
        Ok(Self { given: parts.filter_map(|part| Some((part, setting(part)?))).collect(), table: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
