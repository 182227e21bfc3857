//! Stochastic gradient descent with momentum and weight decay, on plain tensors: its whole state is the list of momentum tensors,
//! which a checkpoint holds exactly.

use tch::{TchError, Tensor};

/// Momentum and weight decay of every step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sgd {
    pub(crate) momentum: f64,
    /// Added to every gradient, times the parameter itself; on every parameter, as released.
    pub(crate) weight_decay: f64,
}

impl Sgd {
    /// One step: v = momentum v + g + decay w; w = w - rate v, in place. Started from v = 0, the first step moves by g + decay w.
    pub(crate) fn step(
        &self,
        parameter: &mut Tensor,
        velocity: &mut Tensor,
        gradient: &Tensor,
        rate: f64,
    ) -> Result<(), TchError> {
        tch::no_grad(|| {
            let pull = gradient.f_add(&parameter.f_mul_scalar(self.weight_decay)?)?;
            let _ = velocity.f_mul_scalar_(self.momentum)?.f_add_(&pull)?;
            let _ = parameter.f_sub_(&velocity.f_mul_scalar(rate)?)?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use tch::nn::{self, OptimizerConfig};
    use tch::{Device, Kind};

    #[test]
    fn steps_equal_torchs_own() {
        let store = nn::VarStore::new(Device::Cpu);
        let theirs = store.root().var("w", &[3, 2], nn::Init::Const(0.7));
        let mut optimizer =
            nn::Sgd { momentum: 0.9, dampening: 0.0, wd: 1e-2, nesterov: false }.build(&store, 0.1).unwrap();
        let mut ours = Tensor::full([3, 2], 0.7, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let mut velocity = Tensor::zeros([3, 2], (Kind::Float, Device::Cpu));
        let target = Tensor::from_slice(&[1f32, -2.0, 3.0, 0.5, 0.0, 9.0]).view([3, 2]);
        let loss = |w: &Tensor| (w - &target).square().mean(Kind::Float);
        for step in 0..20 {
            let rate = super::super::schedule::cosine_rate(step, 20, 0.1, 1e-3);
            optimizer.set_lr(rate);
            optimizer.backward_step(&loss(&theirs));
            let gradient = Tensor::run_backward(&[loss(&ours)], &[&ours], false, false).remove(0);
            Sgd { momentum: 0.9, weight_decay: 1e-2 }.step(&mut ours, &mut velocity, &gradient, rate).unwrap();
            assert!(crate::testing::largest_difference(&ours.detach(), &theirs.detach()) < 1e-6);
        }
    }
}
