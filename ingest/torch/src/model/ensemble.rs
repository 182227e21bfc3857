//! Several networks as one model: what people type, and how their descriptors become one.
//!
//! Each network's descriptor has unit length before its weight counts; the whole is normalised again. The released code of Yokoo
//! et al. does the same for its six networks of 512 numbers.

use cairn::{Error, Result};

use super::Architecture;
use super::module::{ENDINGS, is_named_so};

/// Most networks of a model.
pub const MAX_MEMBERS: usize = 16;
/// What a weight may be.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// What people call a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Built(Architecture),
    /// A file of somebody else's, or the name by which a database keeps it; it ends with `.pt` or `.onnx`.
    Module(String),
}

impl Word {
    fn parse(word: &str) -> Result<Self> {
        if is_named_so(word) {
            return Ok(Self::Module(word.to_owned()));
        }
        word.parse().map(Self::Built)
    }

    fn text(&self) -> &str {
        match self {
            Self::Built(architecture) => architecture.word(),
            Self::Module(name) => name,
        }
    }
}

/// Networks and their weights, from text like `lite0-gem+net.pt:0.5`; a weight that is not given is 1.
///
/// # Errors
/// `Invalid`: there is no such model, a weight is no number from 0.01 to 100, or there are more than [`MAX_MEMBERS`].
pub(crate) fn parse(text: &str) -> Result<Vec<(Word, f64)>> {
    let members = text.split('+').map(member).collect::<Result<Vec<_>>>()?;
    match members.as_slice() {
        // The descriptor of one network has unit length, whatever its weight.
        [(word, _)] => Ok(vec![(word.clone(), 1.0)]),
        _ if members.len() > MAX_MEMBERS => {
            Err(Error::invalid(format!("an ensemble of {} networks is too large", members.len()))
                .help(format!("name at most {MAX_MEMBERS}")))
        }
        _ => Ok(members),
    }
}

fn member(text: &str) -> Result<(Word, f64)> {
    // A path may have a colon; the weight stands behind the ending then.
    let behind = |ending: &&str| text.rfind(&format!("{ending}:")).map(|at| at + ending.len());
    let of_module = ENDINGS.iter().find_map(behind).map(|at| (&text[..at], &text[at + 1..]));
    let parted = if is_named_so(text) { None } else { of_module.or_else(|| text.split_once(':')) };
    let (name, weight) = parted.map_or((text, None), |(name, weight)| (name, Some(weight)));
    let weight = weight.map_or(Ok(1.0), |given| {
        given.parse().ok().filter(|weight| WEIGHTS.contains(weight)).ok_or_else(|| {
            Error::invalid(format!("'{given}' cannot be the weight of {name}"))
                .help("a weight is a number from 0.01 to 100, for example lite0-gem+lite2-gem:0.5")
        })
    });
    Ok((Word::parse(name)?, weight?))
}

/// Networks and weights as people type them; weights of 1 are left out.
pub(crate) fn text(members: impl Iterator<Item = (Word, f64)>) -> String {
    let word = |(word, weight): (Word, f64)| match weight {
        1.0 => word.text().to_owned(),
        _ => format!("{}:{weight}", word.text()),
    };
    members.map(word).collect::<Vec<_>>().join("+")
}

/// The descriptor of an ensemble: unit vectors times their weights, one behind the other, at unit length.
pub(crate) fn concatenated(parts: &[(f64, Vec<f32>)]) -> Vec<f32> {
    // The parts have unit length already, as nearly as f32 can say; the length is computed in f64 all the same.
    let numbers = || parts.iter().flat_map(|(weight, part)| part.iter().map(move |&x| weight * f64::from(x)));
    let length = numbers().map(|x| x * x).sum::<f64>().sqrt();
    numbers().map(|x| (x / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::model::extract::unit_rows;
    use crate::testing::shared_npy;

    /// It catches: another order, a weight before the first normalisation, or no second one.
    #[test]
    fn descriptors_are_joined_as_the_released_code_does() {
        let file = |name: &str| shared_npy(&format!("golden/ensemble_{name}.npy"));
        let Some(expected) = file("out") else { return };
        let rows = |name: &str| unit_rows(&file(name).unwrap()).unwrap().into_iter();
        let expected: Vec<Vec<f32>> = expected.try_into().unwrap();
        assert_eq!(expected.len(), 40);
        let parts = rows("in0").zip(rows("in1")).zip(rows("in2"));
        for (row, (((first, second), third), golden)) in parts.zip(&expected).enumerate() {
            let found = concatenated(&[(0.5, first), (1.0, second), (1.0, third)]);
            assert_eq!(found.len(), golden.len());
            assert!(found.iter().zip(golden).all(|(a, b)| (a - b).abs() < 1e-6), "row {row}");
        }
    }

    #[test]
    fn ensembles_are_read_as_they_are_written() {
        let [lite0, lite2] = [Architecture::Lite0, Architecture::Lite2].map(Word::Built);
        assert_eq!(parse("lite0-gem").unwrap(), [(lite0.clone(), 1.0)]);
        assert_eq!(parse("lite0-gem:3").unwrap(), [(lite0.clone(), 1.0)]);
        let members = parse("lite0-gem+lite2-gem:0.5+lite0-gem:1").unwrap();
        assert_eq!(members, [(lite0.clone(), 1.0), (lite2, 0.5), (lite0.clone(), 1.0)]);
        assert_eq!(text(members.into_iter()), "lite0-gem+lite2-gem:0.5+lite0-gem");
        let module = |name: &str| Word::Module(name.to_owned());
        for (given, name, weight) in [
            ("a:b/net.pt:0.5", "a:b/net.pt", 0.5),
            ("a.pt:1/net.pt", "a.pt:1/net.pt", 1.0),
            ("net.onnx:2", "net.onnx", 2.0),
        ] {
            let members = parse(&format!("lite0-gem+{given}")).unwrap();
            assert_eq!(members, [(lite0.clone(), 1.0), (module(name), weight)]);
            assert_eq!(text(members.into_iter()), format!("lite0-gem+{given}"));
        }
        for (wrong, why) in [
            ("net.pt:0+lite0-gem", "'0' cannot be the weight of net.pt"),
            (".pt", "no model '.pt'"),
            ("", "no model ''"),
            ("lite0-gem+", "no model ''"),
            ("lite0-gem+lite9", "no model 'lite9'"),
            ("lite0-gem+lite2-gem:", "'' cannot be the weight"),
            ("lite0-gem+lite2-gem:0", "'0' cannot be the weight"),
            ("lite0-gem+lite2-gem:-1", "'-1' cannot be the weight"),
            ("lite0-gem+lite2-gem:nan", "'nan' cannot be the weight"),
            ("lite0-gem+lite2-gem:1:2", "'1:2' cannot be the weight"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.to_string().contains(why) && error.next_step().is_some(), "{wrong}: {error}");
        }
        let many = vec!["lite0-gem"; MAX_MEMBERS + 1].join("+");
        assert!(parse(&many).unwrap_err().to_string().contains("too large"));
    }
}
