//! `cairn device`: checks and times a device in one command.
//!
//! A GPU must not change results: descriptors agree with the CPU's to a cosine, votes to the last bit. Times are wall times of
//! whole calls; quote the ratio of the two devices in one run.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cairn::{Database, Keep, Operation, Options, Put, Stop};
use cairn_demo::{MOST_PLACES, Random, photos_of};
use cairn_torch::model::{Architecture, Model, ModelSpec};
use cairn_torch::train::{StepSize, TRAINING_SIZES, step_speed};
use cairn_torch::{Hardware, TorchProposer};
use cairndb_ingest::photo::{DecodeLimits, Need, Pixels, decode_for, read_file};
use cairndb_ingest::source::list_folder;
use cairndb_ingest::{Encoder as _, IngestOptions, PhotoEmbedder, ingest};

use super::demo::made;
use crate::args::measure::Device;
use crate::failure::{Failure, Result};
use crate::networks::hardware;
use crate::terminal::standard_output;

/// Descriptors of two devices must have at least this cosine; bf16 keeps 8 bits of each number.
const LEAST_COSINE: f32 = 0.99;
/// Dimension of the vectors that vote.
const VOTE_DIMENSION: usize = 512;
/// The size of the photos that are timed: 512x384, as most photos are.
const TRAINING_GROUP: usize = 1;
/// Rows per transaction of the vote check.
const VOTE_BATCH: usize = 1_000;

/// Runs the command.
///
/// # Errors
/// When the device is not available, or a check fails.
pub(super) fn run(args: &Device) -> Result<()> {
    let device = hardware(args.device)?;
    let mut out = standard_output();
    writeln!(out, "device: {}", device.describe())?;
    // The files of the check are of no use afterwards, even after a failure.
    let folder = tempfile::tempdir().map_err(|error| Failure::io(&std::env::temp_dir(), error))?;
    check(args, &device, folder.path(), &mut out)?;
    writeln!(out, "all checks passed")?;
    Ok(out.flush()?)
}

fn check(args: &Device, device: &Hardware, folder: &Path, out: &mut impl std::io::Write) -> Result<()> {
    let photos = folder.join("photos");
    let places = args.photos.div_ceil(photos_of(1)).clamp(1, MOST_PLACES);
    made(&photos, places, 7, &|| ())?;
    embedding(args, device, &photos, out)?;
    whole_path(device, &photos, &folder.join("photos.db"), out)?;
    votes(args.rows, device, folder, out)?;
    match &args.training {
        Some(model) => training(model.parse()?, args, device, out),
        None => Ok(()),
    }
}

/// Images per second of whole training steps, without reading photos.
fn training(architecture: Architecture, args: &Device, device: &Hardware, out: &mut impl std::io::Write) -> Result<()> {
    let (width, height) = TRAINING_SIZES[TRAINING_GROUP];
    let speed = step_speed(architecture, StepSize { width, height, batch: args.batch, steps: args.steps }, device)?;
    writeln!(
        out,
        "training steps of {} at {width}x{height}, {} photos each, on the device: {speed:.1} images/s",
        architecture.word(),
        args.batch
    )?;
    Ok(())
}

/// Compares descriptors with the CPU's, and measures photos per second of the network alone.
fn embedding(args: &Device, device: &Hardware, photos: &Path, out: &mut impl std::io::Write) -> Result<()> {
    let model = |hardware: &Hardware| Model::load(&ModelSpec::new(Architecture::default()), hardware);
    let on_cpu = model(&Hardware::cpu())?;
    let limits = DecodeLimits::default();
    let mut pixels = Vec::new();
    for item in list_folder(photos, None)?.items.into_iter().take(args.photos) {
        let rule = on_cpu.size_rule();
        let picture = decode_for(&read_file(&item.path, &limits)?, Need::Input(rule), &limits)?;
        pixels.push(rule.fit(&picture)?);
    }
    let (reference, seconds) = embed_all(&on_cpu, &pixels)?;
    writeln!(out, "network on the cpu, one thread: {:.1} photos/s", pixels.len() as f64 / seconds)?;
    let model = model(device)?;
    embed_all(&model, &pixels[..pixels.len().min(model.preferred_batch())])?; // the first call chooses kernels
    let (descriptors, seconds) = embed_all(&model, &pixels)?;
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let least = reference.iter().zip(&descriptors).map(cosine).fold(1.0, f32::min);
    writeln!(
        out,
        "network on the device: {:.1} photos/s, smallest cosine to the cpu {least:.5}",
        pixels.len() as f64 / seconds
    )?;
    if least < LEAST_COSINE {
        return Err(Failure::new(format!("descriptors differ: cosine {least} is below {LEAST_COSINE}")));
    }
    Ok(())
}

fn embed_all(model: &Model, pixels: &[Pixels]) -> Result<(Vec<Vec<f32>>, f64)> {
    let pictures: Vec<&Pixels> = pixels.iter().collect();
    let begin = Instant::now();
    let mut descriptors = Vec::with_capacity(pixels.len());
    for batch in pictures.chunks(model.preferred_batch()) {
        descriptors.extend(model.embed(batch)?);
    }
    Ok((descriptors, begin.elapsed().as_secs_f64()))
}

/// Photos per second from files to stored rows, including decoding and votes.
fn whole_path(device: &Hardware, photos: &Path, database: &Path, out: &mut impl std::io::Write) -> Result<()> {
    let model = Arc::new(Model::load(&ModelSpec::new(Architecture::default()), device)?);
    let options = Options::for_model(model.info().clone(), model.dimension());
    let database = Database::create(database, options)?;
    let items = list_folder(photos, None)?.items;
    let begin = Instant::now();
    let embedder = PhotoEmbedder::new(model, Keep::Thumb);
    let report = ingest(&database, &embedder, &items, &IngestOptions::default(), &Stop::new())?;
    let rate = report.added as f64 / begin.elapsed().as_secs_f64();
    writeln!(out, "files to stored rows on the device: {rate:.1} photos/s ({} photos)", report.added)?;
    if report.added != items.len() {
        return Err(Failure::new(format!("{} of {} photos were not stored", items.len() - report.added, items.len())));
    }
    Ok(())
}

/// Votes with the device's proposals and votes without must be equal to the last bit.
fn votes(rows: usize, device: &Hardware, folder: &Path, out: &mut impl std::io::Write) -> Result<()> {
    let mut results = Vec::new();
    for (name, proposer) in [("engine alone", None), ("device proposes", Some(TorchProposer::new(device)?))] {
        let database = Database::create(folder.join(name), Options::for_vectors(VOTE_DIMENSION))?;
        let mut random = Random::of(&[1]);
        let mut row = |key: String, labelled: bool| {
            let vector = (0..VOTE_DIMENSION).map(|_| random.range(-0.5, 0.5)).collect::<Vec<f32>>();
            let label = labelled.then(|| format!("label {}", key.bytes().map(usize::from).sum::<usize>() % 50));
            Operation::Put({
                let mut put = Put::new(key, vector);
                put.label = label;
                put
            })
        };
        for first in (0..rows).step_by(VOTE_BATCH) {
            let batch = (first..rows.min(first + VOTE_BATCH)).map(|n| row(format!("t{n}"), true));
            database.write(batch)?;
        }
        database.set_proposer(proposer.map(|proposer| Arc::new(proposer) as _));
        let index: Vec<Operation> = (0..rows / 4).map(|n| row(format!("i{n}"), false)).collect();
        let begin = Instant::now();
        for batch in index.chunks(VOTE_BATCH) {
            database.write(batch.to_vec())?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        writeln!(out, "votes of {} images over {rows}, {name}: {seconds:.3} s", index.len())?;
        let snapshot = database.snapshot();
        let bits = |n| Ok(snapshot.prediction(&format!("i{n}"))?.map(|vote| (vote.instance, vote.score.to_bits())));
        results.push((0..rows / 4).map(bits).collect::<cairn::Result<Vec<_>>>()?);
    }
    let different = results[0].iter().zip(&results[1]).filter(|(a, b)| a != b).count();
    writeln!(out, "predictions that differ: {different}")?;
    if different > 0 {
        return Err(Failure::new("the device changes predictions; it must only change their speed"));
    }
    Ok(())
}
