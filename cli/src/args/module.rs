//! What goes into a TorchScript module and what comes out of it.

use clap::Args;
use serde_json::{Map, Value, json};

/// The rules of a module, where the file beside it (net.json of net.pt) does not say them, or says something else.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "TorchScript modules (--model FILE.pt)")]
pub(crate) struct ModuleArgs {
    /// Pixels of the input: N for both sides, or WIDTHxHEIGHT; 224 by default
    #[arg(long, value_name = "N", value_parser = sides)]
    input_size: Option<Value>,
    /// How a photo gets that size: its short side is scaled and the middle cut out (the default), both sides are squashed, the whole
    /// photo is padded with the mean colour, or it goes in as it is
    #[arg(long, value_name = "RULE", value_parser = ["short", "squash", "pad", "none"])]
    resize: Option<String>,
    /// Pixels of the short side before the middle is cut out; by default the longer side of the input
    #[arg(long, value_name = "N")]
    short_side: Option<u32>,
    /// Mean of R, G and B on 0 to 1, by default that of ImageNet: 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = three)]
    mean: Option<Value>,
    /// Deviation of R, G and B on 0 to 1, by default that of ImageNet: 0.229,0.224,0.225
    #[arg(long, value_name = "R,G,B", value_parser = three)]
    deviation: Option<Value>,
    /// What comes out: N x D is the descriptor; N x C x H x W is a map that GeM pools; of N x T x D the first token or the mean is it.
    /// By default what the axes say
    #[arg(long, value_name = "KIND", value_parser = ["vector", "map", "first-token", "mean-token"])]
    output: Option<String>,
    /// Exponent of GeM for a map; 3 by default
    #[arg(long, value_name = "P")]
    gem_p: Option<f64>,
}

impl ModuleArgs {
    /// The rules as JSON, with the fields of the file beside a module.
    pub(crate) fn rules(&self) -> String {
        let fields = [
            ("size", self.input_size.clone()),
            ("resize", self.resize.as_ref().map(|word| json!(word))),
            ("short_side", self.short_side.map(|side| json!(side))),
            ("mean", self.mean.clone()),
            ("deviation", self.deviation.clone()),
            ("output", self.output.as_ref().map(|word| json!(word))),
            ("gem_p", self.gem_p.map(|p| json!(p))),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(given.collect::<Map<_, _>>()).to_string()
    }
}

/// `224`, or `320x240`.
fn sides(word: &str) -> Result<Value, String> {
    let side = |word: &str| word.parse::<u32>().map_err(|_| "a number of pixels, or WIDTHxHEIGHT".to_owned());
    match word.split_once('x') {
        Some((width, height)) => Ok(json!([side(width)?, side(height)?])),
        None => Ok(json!(side(word)?)),
    }
}

/// Three numbers with commas between them.
fn three(word: &str) -> Result<Value, String> {
    let numbers: Result<Vec<f64>, _> = word.split(',').map(|part| part.trim().parse()).collect();
    match numbers {
        Ok(numbers) if numbers.len() == 3 && numbers.iter().all(|x: &f64| x.is_finite()) => Ok(json!(numbers)),
        _ => Err("three numbers, for example 0.485,0.456,0.406".to_owned()),
    }
}
