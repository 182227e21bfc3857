//! Training a head on cached descriptors: the trunk stays as it is, so two CPU cores suffice.

use std::path::Path;
use std::time::Instant;

use cairn::{Error, ErrorKind, Result};
use tch::{Device, Kind, TchError, Tensor};

use super::adapter::{Adapter, Affine};
use super::batches::Pool;
use super::checkpoint::{Identity, State};
use super::head::{Norm, TrainHead};
use super::init::initial_head;
use super::loss::Objective;
use super::nearest::numbers;
use super::options::HeadOptions;
use super::random::{Mix, xavier_uniform};
use super::record::{Control, LogFile, Step};
use super::samples::{Prepared, Samples};
use super::schedule::cosine_rate;
use super::sgd::Sgd;
use super::validate::{Validation, validate};
use crate::device::{Hardware, one_thread, torch_error};

/// Tell this file's draws from others of the same seed.
const VIEWS: u64 = 0x71e5;
const CLASSES: u64 = 0xc1a5;
/// Numbers of a step in the log that a checkpoint holds: loss, accuracy, images a second.
const LOGGED: usize = 3;
/// Index of the first parameter of the head's normalisation and of the first behind them.
const NORM_PARAMETERS: std::ops::Range<usize> = 2..4;

/// What surrounds a training.
pub struct Run<'a> {
    /// Where its state is kept; where there is a file already, the training goes on from it. `None`: it cannot be cut short.
    pub checkpoint: Option<&'a Path>,
    /// Steps between two checkpoints; at least 1.
    pub every: u64,
    /// A log file (CSV, [`super::LOG_HEADER`]).
    pub log: Option<&'a Path>,
    /// Called after every step.
    pub progress: &'a dyn Fn(&Step) -> Control,
}

impl Run<'_> {
    /// Without checkpoint, log, or a word.
    pub fn quiet() -> Self {
        Run { checkpoint: None, every: 100, log: None, progress: &|_| Control::Continue }
    }
}

/// What a training gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The head.
    pub adapter: Adapter,
    /// All steps, also those that were made before it was cut short.
    pub log: Vec<Step>,
    /// mAP before and after on the images held out; `None` where none were.
    pub validation: Option<Validation>,
}

/// Trains FC + BatchNorm1d on cached descriptors (SPEC section 5, with the trunk frozen).
///
/// On the CPU the result is a function of samples and options, to the bit, however often it was cut short. Memory: one more
/// copy of the samples while the first head is computed.
///
/// # Errors
/// `Invalid` for samples or options that cannot be used, and when the loss leaves the numbers; `Mismatch` and `Corrupt` for a
/// checkpoint that is another training's or damaged; `Cancelled` when `progress` says [`Control::Stop`] (the state is saved
/// first); `Io`.
pub fn train_head(samples: &Samples, options: &HeadOptions, hardware: &Hardware, run: &Run) -> Result<Trained> {
    one_thread();
    options.check(samples.dimension)?;
    let prepared = Prepared::new(samples, options.singles, options.validation, options.seed)?;
    let identity = Identity { options: options.text(), data: digest(samples) };
    let mut training = Training::begin(&prepared, options, hardware.torch()).map_err(torch_error)??;
    if let Some(path) = run.checkpoint
        && let Some(state) = State::load(path, &identity)?
    {
        training.restore(&state, path)?;
    }
    training.go(&identity, run)?;
    let adapter = training.adapter(samples.dimension).map_err(torch_error)?;
    let validation = validate(&prepared, &adapter)?;
    Ok(Trained { adapter, log: training.log, validation })
}

fn digest(samples: &Samples) -> String {
    let Samples { dimension, vectors, image, labels } = samples;
    let mut hasher = blake3::Hasher::new();
    for length in [*dimension, vectors.len(), image.len(), labels.len()] {
        hasher.update(&(length as u64).to_le_bytes());
    }
    for row in vectors.chunks((*dimension).max(1)) {
        hasher.update(&row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }
    for number in image.iter().chain(labels) {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A training between two steps.
struct Training<'a> {
    prepared: &'a Prepared<'a>,
    options: &'a HeadOptions,
    device: Device,
    head: TrainHead,
    objective: Objective,
    /// Momentum of the parameters, in their order.
    velocities: Vec<Tensor>,
    /// Batches of an epoch.
    per_epoch: u64,
    log: Vec<Step>,
}

/// A saved tensor's place: name, and the tensor.
type Place = (String, Tensor);

impl<'a> Training<'a> {
    fn begin(prepared: &'a Prepared, options: &'a HeadOptions, device: Device) -> Result<Result<Self>, TchError> {
        let rows: Vec<Vec<f32>> = prepared.train.iter().map(|&image| prepared.plain(image)).collect();
        let input = rows.first().map_or(0, Vec::len) as i64;
        let x = Tensor::f_from_slice(&rows.concat())?.f_view([rows.len() as i64, input])?;
        drop(rows);
        let classes: Vec<i64> = prepared.classes.iter().map(|&class| i64::from(class)).collect();
        let classes = Tensor::f_from_slice(&classes)?;
        let head = match initial_head(options.init, &x, &classes, options.dimension, options.seed) {
            Ok(head) => head,
            Err(error) => return Ok(Err(error)),
        };
        let shape = [prepared.class_count as i64, options.dimension as i64];
        let class_weight = if options.centres {
            // The sum points where the mean does; cosines do not ask for the length, softmax does.
            let y = head.forward(&x, Norm::Frozen)?;
            let hot = classes.f_one_hot(shape[0])?.f_to_kind(Kind::Float)?;
            let sizes = hot.f_sum_dim_intlist([0i64].as_slice(), false, None)?.f_clamp_min(1.0)?;
            hot.f_tr()?.f_mm(&y)?.f_div(&sizes.f_unsqueeze(1)?)?
        } else {
            let mut mix = Mix::new(&[options.seed, CLASSES]);
            let drawn = xavier_uniform(&mut mix, prepared.class_count, options.dimension);
            Tensor::f_from_slice(&drawn)?.f_view(shape)?
        };
        let learn = |t: &Tensor| t.f_detach()?.f_to_device(device)?.f_contiguous()?.f_set_requires_grad(true);
        let head = TrainHead {
            weight: learn(&head.weight)?,
            bias: learn(&head.bias)?,
            gamma: learn(&head.gamma)?,
            beta: learn(&head.beta)?,
            mean: head.mean.f_to_device(device)?,
            variance: head.variance.f_to_device(device)?,
        };
        let mut objective = Objective::new(options.loss, class_weight)?;
        objective.weights = objective.weights.iter().map(learn).collect::<Result<_, _>>()?;
        let mut training =
            Self { prepared, options, device, head, objective, velocities: Vec::new(), per_epoch: 0, log: Vec::new() };
        training.velocities =
            training.parameters().iter().map(|(_, t)| t.f_zeros_like()?.f_detach()).collect::<Result<_, _>>()?;
        training.per_epoch = training.pool().epoch(0).len() as u64;
        Ok(Ok(training))
    }

    fn pool(&self) -> Pool<'_> {
        let HeadOptions { batch, sampling, seed, .. } = *self.options;
        Pool { classes: &self.prepared.classes, groups: None, batch, sampling, seed }
    }

    fn steps(&self) -> u64 {
        self.per_epoch * self.options.epochs
    }

    /// What the optimiser moves, by name.
    fn parameters(&self) -> Vec<Place> {
        let head = self.head.parameters().into_iter();
        let loss = self.objective.names().iter().copied().zip(&self.objective.weights);
        head.chain(loss).map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
    }

    /// All tensors of the state.
    fn places(&self) -> Vec<Place> {
        let mut places = self.parameters();
        let momentum: Vec<Place> = places
            .iter()
            .zip(&self.velocities)
            .map(|((name, _), velocity)| (format!("momentum.{name}"), velocity.shallow_clone()))
            .collect();
        let buffers = self.head.buffers().map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
        places.extend(momentum);
        places.extend(buffers);
        places
    }

    fn go(&mut self, identity: &Identity, run: &Run) -> Result<()> {
        let mut log = run.log.map(|path| LogFile::create(path, &self.log)).transpose()?;
        let (steps, every) = (self.steps(), run.every.max(1));
        if steps == 0 {
            return Err(Error::invalid("the images do not fill one mini-batch").help("choose smaller mini-batches"));
        }
        let mut batches = (u64::MAX, Vec::new());
        while (self.log.len() as u64) < steps {
            let at = self.log.len() as u64;
            let (epoch, within) = (at / self.per_epoch, at % self.per_epoch);
            if batches.0 != epoch {
                batches = (epoch, self.pool().epoch(epoch));
            }
            let batch: &[u32] = usize::try_from(within).ok().and_then(|i| batches.1.get(i)).map_or(&[], Vec::as_slice);
            let step = self.step(at, epoch, batch)?;
            if let Some(log) = &mut log {
                log.step(&step)?;
            }
            self.log.push(step);
            let control = (run.progress)(&step);
            let due = step.step.is_multiple_of(every) || step.step == steps || control == Control::Stop;
            if let Some(path) = run.checkpoint.filter(|_| due) {
                self.state(identity)?.save(path)?;
            }
            if control == Control::Stop && step.step < steps {
                let error = Error::new(ErrorKind::Cancelled, format!("stopped after step {} of {steps}", step.step));
                return Err(match run.checkpoint {
                    Some(path) => error.help(format!("the same command goes on from {}", path.display())),
                    None => error,
                });
            }
        }
        Ok(())
    }

    fn step(&mut self, at: u64, epoch: u64, batch: &[u32]) -> Result<Step> {
        let start = Instant::now();
        let options = self.options;
        let rate = cosine_rate(at, self.steps(), options.rate, options.last_rate);
        let norm = if epoch + options.frozen_epochs >= options.epochs { Norm::Frozen } else { Norm::Batch };
        let (loss, accuracy) = self.learn(at, batch, rate, norm).map_err(torch_error)?;
        let step = Step {
            step: at + 1,
            steps: self.steps(),
            epoch: epoch + 1,
            epochs: options.epochs,
            loss: loss as f32,
            accuracy: accuracy as f32,
            rate,
            images_per_second: (batch.len() as f64 / start.elapsed().as_secs_f64().max(1e-9)) as f32,
        };
        if loss.is_finite() {
            return Ok(step);
        }
        Err(Error::invalid(format!("the loss of step {} is {loss}: the training has left the numbers", at + 1))
            .help(format!("begin anew with a learning rate below {}", options.rate)))
    }

    fn learn(&mut self, at: u64, batch: &[u32], rate: f64, norm: Norm) -> Result<(f64, f64), TchError> {
        let rows: Vec<f32> = batch.iter().enumerate().flat_map(|(slot, &of)| self.view(at, slot, of)).collect();
        let input = rows.len() / batch.len().max(1);
        let x = Tensor::f_from_slice(&rows)?.f_view([batch.len() as i64, input as i64])?.f_to_device(self.device)?;
        let targets: Vec<i64> = batch.iter().map(|&of| i64::from(self.prepared.classes[of as usize])).collect();
        let targets = Tensor::f_from_slice(&targets)?.f_to_device(self.device)?;
        let y = self.head.forward(&x, norm)?;
        self.objective.adapt(&y, &targets)?;
        let loss = self.objective.value(&y, &targets)?;
        let accuracy = self.objective.accuracy(&y, &targets)?;
        let value = loss.f_double_value(&[])?;
        if !value.is_finite() {
            return Ok((value, accuracy));
        }
        let mut parameters: Vec<Tensor> = self.parameters().into_iter().map(|(_, tensor)| tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &parameters, false, false)?;
        let sgd = Sgd { momentum: self.options.momentum, weight_decay: self.options.weight_decay };
        let moved = parameters.iter_mut().zip(&mut self.velocities).zip(&gradients).enumerate();
        for (place, ((parameter, velocity), gradient)) in moved {
            if norm == Norm::Batch || !NORM_PARAMETERS.contains(&place) {
                sgd.step(parameter, velocity, gradient, rate)?;
            }
        }
        Ok((value, accuracy))
    }

    /// One of the rows of training image `of`, with noise and dropout, drawn for this slot of this step.
    fn view(&self, at: u64, slot: usize, of: u32) -> Vec<f32> {
        let HeadOptions { noise, dropout, seed, .. } = *self.options;
        let mut mix = Mix::new(&[seed, VIEWS, at, slot as u64]);
        let views = self.prepared.views(self.prepared.train[of as usize]);
        let mut row = views.get(mix.below(views.len())).map_or_else(Vec::new, |&row| self.prepared.unit_row(row));
        if noise > 0.0 {
            let each = noise / (row.len().max(1) as f64).sqrt();
            row.iter_mut().for_each(|x| *x += (each * mix.normal()) as f32);
        }
        if dropout > 0.0 {
            let kept = (1.0 / (1.0 - dropout)) as f32;
            row.iter_mut().for_each(|x| *x *= if mix.unit() < dropout { 0.0 } else { kept });
        }
        row
    }

    fn adapter(&self, input: usize) -> Result<Adapter, TchError> {
        let (weight, bias) = self.head.fold()?;
        let map = Affine { matrix: numbers(&weight)?, bias: numbers(&bias)? };
        Ok(Adapter::affine(input, map, self.options.concatenation))
    }

    fn state(&self, identity: &Identity) -> Result<State> {
        let mut tensors = Vec::new();
        for (name, tensor) in self.places() {
            let shape = tensor.size().into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
            tensors.push((name, shape, numbers(&tensor).map_err(torch_error)?));
        }
        let log = self.log.iter().flat_map(|step| [step.loss, step.accuracy, step.images_per_second]).collect();
        tensors.push(("log".to_owned(), vec![self.log.len(), LOGGED], log));
        Ok(State { step: self.log.len() as u64, scale: self.objective.scale, identity: identity.clone(), tensors })
    }

    /// Goes back to a saved state of this training.
    fn restore(&mut self, state: &State, path: &Path) -> Result<()> {
        let steps = usize::try_from(state.step.min(self.steps())).unwrap_or(0);
        let log = state.tensor(path, "log", &[steps, LOGGED])?;
        for (name, mut tensor) in self.places() {
            let size = tensor.size();
            let shape: Vec<usize> = size.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
            let saved = state.tensor(path, &name, &shape)?;
            let mut copy = || -> Result<(), TchError> {
                let saved = Tensor::f_from_slice(saved)?.f_view(size.as_slice())?.f_to_device(self.device)?;
                tch::no_grad(|| tensor.f_copy_(&saved))
            };
            // In place: the parameters stay the ones that the head and the loss hold.
            copy().map_err(torch_error)?;
        }
        self.objective.scale = state.scale;
        let options = self.options;
        let step = |(at, logged): (u64, &[f32])| Step {
            step: at + 1,
            steps: self.steps(),
            epoch: at / self.per_epoch.max(1) + 1,
            epochs: options.epochs,
            loss: logged[0],
            accuracy: logged[1],
            rate: cosine_rate(at, self.steps(), options.rate, options.last_rate),
            images_per_second: logged[2],
        };
        self.log = (0..).zip(log.chunks_exact(LOGGED)).map(step).collect();
        Ok(())
    }
}

#[cfg(test)]
#[path = "head_only_tests.rs"]
mod tests;
