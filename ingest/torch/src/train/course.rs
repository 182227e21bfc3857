//! Runs a training step by step: batches, learning rate, optimiser, log, checkpoints. The learner defines what is learnt.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use cairn::{Error, ErrorKind, Result};
use tch::{TchError, Tensor};

use super::checkpoint::{Identity, State};
use super::head::Norm;
use super::loss::Objective;
use super::nearest::numbers;
use super::parameter::{Parameter, Place};
use super::record::{LogFile, Step};
use super::schedule::cosine_rate;
use super::sgd::Sgd;
use crate::device::torch_error;

/// Numbers of a step in the log that a checkpoint holds: loss, accuracy, images a second.
const LOGGED: usize = 3;
/// Longest time without a checkpoint, whatever number of steps that is.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Before that, a checkpoint is due after this many times the duration of the last one: checkpoints cost 5 % at most.
const CHECKPOINT_SHARE: u32 = 20;
/// What the first one is taken to cost.
const CHECKPOINT_COST: Duration = Duration::from_millis(100);

/// What surrounds a training.
pub struct Run<'a> {
    /// Where its state is kept; where there is a file already, the training goes on from it. `None`: it cannot be cut short.
    pub checkpoint: Option<&'a Path>,
    /// Steps between two checkpoints; at least 1.
    pub every: u64,
    /// A log file (CSV, [`super::LOG_HEADER`]).
    pub log: Option<&'a Path>,
    /// Called after every step; `Break` stops the training once its state is saved.
    pub progress: &'a dyn Fn(&Step) -> ControlFlow<()>,
}

impl Run<'_> {
    /// Without checkpoint, log, or a word.
    pub fn quiet() -> Self {
        Run { checkpoint: None, every: 100, log: None, progress: &|_| ControlFlow::Continue(()) }
    }
}

/// How long and how fast is learnt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) epochs: u64,
    /// Epochs at the end in which normalisations stay as they are, statistics and parameters.
    pub(crate) frozen_epochs: u64,
    /// Learning rate of the first step, and at the end of the cosine.
    pub(crate) rate: f64,
    pub(crate) last_rate: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
}

impl Schedule {
    /// What an epoch's batches are normalised with.
    pub(crate) fn norm(&self, epoch: u64) -> Norm {
        if epoch + self.frozen_epochs >= self.epochs { Norm::Frozen } else { Norm::Batch }
    }
}

/// What a mini-batch gives before the step.
pub(crate) struct Lesson {
    pub(crate) loss: Tensor,
    pub(crate) accuracy: f64,
}

impl Lesson {
    /// Descriptors (n, d) and their classes (n).
    pub(crate) fn of(objective: &mut Objective, y: &Tensor, targets: &Tensor) -> Result<Self, TchError> {
        objective.adapt(y, targets)?;
        Ok(Self { loss: objective.value(y, targets)?, accuracy: objective.accuracy(y, targets)? })
    }
}

/// What learns. Its parameters and buffers are handles: the course moves them in place.
pub(crate) trait Learner {
    /// The mini-batches of an epoch, as many in each epoch.
    fn batches(&self, epoch: u64) -> Vec<Vec<u32>>;
    fn parameters(&self) -> Vec<Parameter>;
    /// What is saved beside the parameters and moved by nobody but the learner.
    fn buffers(&self) -> Vec<Place>;
    /// AdaCos' scale.
    fn scale(&mut self) -> &mut f64;
    /// The loss of mini-batch `at` of the training.
    fn lesson(&mut self, at: u64, batch: &[u32], norm: Norm) -> Result<Lesson>;
}

/// A training between two steps.
pub(crate) struct Course<L> {
    pub(crate) learner: L,
    schedule: Schedule,
    /// Momentum of the parameters, in their order.
    velocities: Vec<Tensor>,
    /// Batches of an epoch.
    per_epoch: u64,
    /// All steps, also those that were made before it was cut short.
    pub(crate) log: Vec<Step>,
}

impl<L: Learner> Course<L> {
    pub(crate) fn begin(learner: L, schedule: Schedule) -> Result<Self> {
        let _native = cairn::runtime::native();
        let still = |parameter: &Parameter| parameter.tensor.f_zeros_like()?.f_detach();
        let velocities = learner.parameters().iter().map(still).collect::<Result<_, _>>().map_err(torch_error)?;
        let per_epoch = learner.batches(0).len() as u64;
        Ok(Self { learner, schedule, velocities, per_epoch, log: Vec::new() })
    }

    fn steps(&self) -> u64 {
        self.per_epoch * self.schedule.epochs
    }

    /// All tensors of the state.
    fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> =
            self.learner.parameters().into_iter().map(|parameter| (parameter.name, parameter.tensor)).collect();
        let momentum: Vec<Place> = places
            .iter()
            .zip(&self.velocities)
            .map(|((name, _), velocity)| (format!("momentum.{name}"), velocity.shallow_clone()))
            .collect();
        places.extend(momentum);
        places.extend(self.learner.buffers());
        places
    }

    /// To the end, from the checkpoint if there is one.
    ///
    /// # Errors
    /// `Mismatch` and `Corrupt` for a checkpoint that is another training's or damaged; `Cancelled` when `progress` says
    /// `Break` (the state is saved first); `Invalid` when the loss leaves the numbers; `Io`.
    pub(crate) fn go(&mut self, identity: &Identity, run: &Run) -> Result<()> {
        if let Some(path) = run.checkpoint
            && let Some(state) = State::load(path, identity)?
        {
            self.restore(&state, path)?;
        }
        let mut log = run.log.map(|path| LogFile::create(path, &self.log)).transpose()?;
        let (steps, every) = (self.steps(), run.every.max(1));
        if steps == 0 {
            return Err(Error::invalid("the images do not fill one mini-batch").help("choose smaller mini-batches"));
        }
        let mut batches = (u64::MAX, Vec::new());
        let (mut saved, mut cost) = (Instant::now(), CHECKPOINT_COST);
        while (self.log.len() as u64) < steps {
            // A process that ends does not wait for the next step.
            cairn::runtime::may_end();
            let at = self.log.len() as u64;
            let (epoch, within) = (at / self.per_epoch, at % self.per_epoch);
            if batches.0 != epoch {
                batches = (epoch, self.learner.batches(epoch));
            }
            let batch: &[u32] = usize::try_from(within).ok().and_then(|i| batches.1.get(i)).map_or(&[], Vec::as_slice);
            let step = self.step(at, epoch, batch, identity, run)?;
            if let Some(log) = &mut log {
                log.step(&step)?;
            }
            self.log.push(step);
            let control = (run.progress)(&step);
            let due =
                step.step.is_multiple_of(every) || saved.elapsed() >= CHECKPOINT_EVERY.min(cost * CHECKPOINT_SHARE);
            if let Some(path) = run.checkpoint.filter(|_| due || step.step == steps || control.is_break()) {
                let begin = Instant::now();
                self.state(identity)?.save(path)?;
                (saved, cost) = (Instant::now(), begin.elapsed());
            }
            if control.is_break() && step.step < steps {
                let error = Error::new(ErrorKind::Cancelled, format!("stopped after step {} of {steps}", step.step));
                return Err(match run.checkpoint {
                    Some(path) => error.help(format!("run the same command again to resume from {}", path.display())),
                    None => error,
                });
            }
        }
        Ok(())
    }

    fn step(&mut self, at: u64, epoch: u64, batch: &[u32], identity: &Identity, run: &Run) -> Result<Step> {
        let start = Instant::now();
        let Schedule { epochs, rate: first, last_rate, .. } = self.schedule;
        let rate = cosine_rate(at, self.steps(), first, last_rate);
        let (loss, accuracy) = match self.learn(at, batch, rate, self.schedule.norm(epoch)) {
            Ok(learnt) => learnt,
            Err(error) => {
                // A photo that cannot be read, say: what was learnt before it is not lost.
                if let Some(path) = run.checkpoint.filter(|_| at > 0) {
                    self.state(identity)?.save(path)?;
                }
                return Err(error);
            }
        };
        let step = Step {
            step: at + 1,
            steps: self.steps(),
            epoch: epoch + 1,
            epochs,
            loss: loss as f32,
            accuracy: accuracy as f32,
            rate,
            images_per_second: (batch.len() as f64 / start.elapsed().as_secs_f64().max(1e-9)) as f32,
        };
        if loss.is_finite() {
            return Ok(step);
        }
        Err(Error::invalid(format!("the loss of step {} is {loss}: the training diverged", at + 1))
            .help(format!("start again with a learning rate below {first}")))
    }

    fn learn(&mut self, at: u64, batch: &[u32], rate: f64, norm: Norm) -> Result<(f64, f64)> {
        let lesson = self.learner.lesson(at, batch, norm)?;
        let _native = cairn::runtime::native();
        let Lesson { loss, accuracy } = lesson;
        let value = loss.f_double_value(&[]).map_err(torch_error)?;
        if value.is_finite() {
            self.descend(loss, rate, norm).map_err(torch_error)?;
        }
        Ok((value, accuracy))
    }

    fn descend(&mut self, loss: Tensor, rate: f64, norm: Norm) -> Result<(), TchError> {
        let mut parameters = self.learner.parameters();
        let tensors: Vec<&Tensor> = parameters.iter().map(|parameter| &parameter.tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &tensors, false, false)?;
        let Schedule { momentum, weight_decay, .. } = self.schedule;
        let sgd = Sgd { momentum, weight_decay };
        for ((parameter, velocity), gradient) in parameters.iter_mut().zip(&mut self.velocities).zip(&gradients) {
            if norm == Norm::Batch || !parameter.is_norm {
                sgd.step(&mut parameter.tensor, velocity, gradient, rate)?;
            }
        }
        Ok(())
    }

    fn state(&mut self, identity: &Identity) -> Result<State> {
        let _native = cairn::runtime::native();
        let mut tensors = Vec::new();
        for (name, tensor) in self.places() {
            let shape = tensor.size().into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
            tensors.push((name, shape, numbers(&tensor).map_err(torch_error)?));
        }
        let log = self.log.iter().flat_map(|step| [step.loss, step.accuracy, step.images_per_second]).collect();
        tensors.push(("log".to_owned(), vec![self.log.len(), LOGGED], log));
        Ok(State { step: self.log.len() as u64, scale: *self.learner.scale(), identity: identity.clone(), tensors })
    }

    /// Goes back to a saved state of this training.
    fn restore(&mut self, state: &State, path: &Path) -> Result<()> {
        let _native = cairn::runtime::native();
        let steps = usize::try_from(state.step.min(self.steps())).unwrap_or(0);
        let log = state.tensor(path, "log", &[steps, LOGGED])?;
        for (name, mut tensor) in self.places() {
            let size = tensor.size();
            let shape: Vec<usize> = size.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
            let saved = state.tensor(path, &name, &shape)?;
            let mut copy = || -> Result<(), TchError> {
                let saved = Tensor::f_from_slice(saved)?.f_view(size.as_slice())?.f_to_device(tensor.device())?;
                tch::no_grad(|| tensor.f_copy_(&saved))
            };
            // In place: the parameters stay the ones that the head and the loss hold.
            copy().map_err(torch_error)?;
        }
        *self.learner.scale() = state.scale;
        let Schedule { epochs, rate, last_rate, .. } = self.schedule;
        let step = |(at, logged): (u64, &[f32])| Step {
            step: at + 1,
            steps: self.steps(),
            epoch: at / self.per_epoch.max(1) + 1,
            epochs,
            loss: logged[0],
            accuracy: logged[1],
            rate: cosine_rate(at, self.steps(), rate, last_rate),
            images_per_second: logged[2],
        };
        self.log = (0..).zip(log.chunks_exact(LOGGED)).map(step).collect();
        Ok(())
    }
}
