//! The head during training: fully connected layer and batch normalisation, kept separate (docs/ALGORITHMS.md).

use tch::{Device, TchError, Tensor};

use super::parameter::{Parameter, Place, learning};
use crate::model::gem::Head;
pub(crate) use crate::model::gem::NORM_EPSILON;

/// How much of a batch's statistics goes into the running ones.
pub(crate) const NORM_MOMENTUM: f64 = 0.1;

/// x (n, input) -> BatchNorm1d(x W^T + b) (n, output), without activation.
pub(crate) struct TrainHead {
    /// (output, input)
    pub(crate) weight: Tensor,
    /// (output)
    pub(crate) bias: Tensor,
    /// Factor after the normalisation, (output).
    pub(crate) gamma: Tensor,
    /// Added after the normalisation, (output).
    pub(crate) beta: Tensor,
    /// Running mean, (output); moved by every forward with `Norm::Batch`.
    pub(crate) mean: Tensor,
    /// Running variance, unbiased, (output).
    pub(crate) variance: Tensor,
}

/// Which statistics normalise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Those of the batch; the running ones move towards them.
    Batch,
    /// The running ones, which stay as they are.
    Frozen,
}

impl TrainHead {
    /// A head of these numbers with factor 1, shift 0 and untouched statistics (mean 0, variance 1).
    pub(crate) fn new(weight: Tensor, bias: Tensor) -> Result<Self, TchError> {
        let options = (weight.f_kind()?, weight.device());
        let shape = bias.size();
        Ok(Self {
            gamma: Tensor::f_ones(&shape[..], options)?,
            beta: Tensor::f_zeros(&shape[..], options)?,
            mean: Tensor::f_zeros(&shape[..], options)?,
            variance: Tensor::f_ones(&shape[..], options)?,
            weight,
            bias,
        })
    }

    /// The same head on a device, ready to learn.
    pub(crate) fn learning(&self, device: Device) -> Result<Self, TchError> {
        Ok(Self {
            weight: learning(&self.weight, device)?,
            bias: learning(&self.bias, device)?,
            gamma: learning(&self.gamma, device)?,
            beta: learning(&self.beta, device)?,
            mean: self.mean.f_to_device(device)?,
            variance: self.variance.f_to_device(device)?,
        })
    }

    /// (n, input) -> (n, output). With [`Norm::Batch`], n must be at least 2.
    pub(crate) fn forward(&self, x: &Tensor, norm: Norm) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))?.f_batch_norm(
            Some(&self.gamma),
            Some(&self.beta),
            Some(&self.mean),
            Some(&self.variance),
            norm == Norm::Batch,
            NORM_MOMENTUM,
            NORM_EPSILON,
            false,
        )
    }

    /// The parameters by their names in weights files; the running statistics are not among them.
    pub(crate) fn parameters(&self) -> [Parameter; 4] {
        [
            Parameter::new("head.fc.weight", &self.weight, false),
            Parameter::new("head.fc.bias", &self.bias, false),
            Parameter::new("head.bn.weight", &self.gamma, true),
            Parameter::new("head.bn.bias", &self.beta, true),
        ]
    }

    /// The running statistics by their names in weights files.
    pub(crate) fn buffers(&self) -> [Place; 2] {
        let place = |name: &str, tensor: &Tensor| (name.to_owned(), tensor.shallow_clone());
        [place("head.bn.running_mean", &self.mean), place("head.bn.running_var", &self.variance)]
    }

    /// The head as one affine map in f32 on the CPU, computed in f64: weight (output, input) and bias (output).
    pub(crate) fn fold(&self) -> Result<(Tensor, Tensor), TchError> {
        tch::no_grad(|| {
            let here = |t: &Tensor| t.f_detach()?.f_to_device(Device::Cpu);
            let norm = [here(&self.gamma)?, here(&self.beta)?, here(&self.mean)?, here(&self.variance)?];
            let Head { weight, bias } = Head::fold(&here(&self.weight)?, &here(&self.bias)?, &norm)?;
            Ok((weight, bias))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use tch::Kind;

    use super::*;
    use crate::testing::{largest_difference, shared_npy};

    fn golden() -> Option<(TrainHead, Tensor, Tensor)> {
        let file = |name: &str| shared_npy(&format!("golden/model/{name}.npy"));
        let head = TrainHead {
            weight: file("fc_weight")?,
            bias: file("fc_bias")?,
            gamma: file("bn_weight")?,
            beta: file("bn_bias")?,
            mean: file("bn_mean")?,
            variance: file("bn_var")?,
        };
        Some((head, file("gem")?, file("head_raw")?))
    }

    #[test]
    fn the_frozen_head_and_its_affine_map_equal_the_golden_file() {
        let Some((head, pooled, raw)) = golden() else { return };
        let scale = raw.abs().max().double_value(&[]).max(1.0);
        let mean = head.mean.copy();
        assert!(largest_difference(&head.forward(&pooled, Norm::Frozen).unwrap(), &raw) / scale < 1e-5);
        assert_eq!(largest_difference(&head.mean, &mean), 0.0);
        let (weight, bias) = head.fold().unwrap();
        assert!(largest_difference(&pooled.linear(&weight, Some(&bias)), &raw) / scale < 1e-5);
    }

    #[test]
    fn a_batch_is_normalised_and_moves_the_running_statistics() {
        let x = Tensor::from_slice(&[1f32, 10.0, 3.0, 20.0, 5.0, 60.0]).view([3, 2]);
        let head =
            TrainHead::new(Tensor::eye(2, (Kind::Float, Device::Cpu)), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
        let head = head.unwrap();
        let y = head.forward(&x, Norm::Batch).unwrap();
        assert!(y.mean_dim([0i64].as_slice(), false, Kind::Float).abs().max().double_value(&[]) < 1e-5);
        assert!((head.mean.double_value(&[0]) - 0.3).abs() < 1e-6);
        // The unbiased variance of 1, 3, 5 is 4: 0.9 * 1 + 0.1 * 4.
        assert!((head.variance.double_value(&[0]) - 1.3).abs() < 1e-6);
    }

    #[test]
    fn gradients_of_the_head_equal_finite_differences() {
        let double = |values: &[f64], shape: &[i64]| Tensor::from_slice(values).view(shape).set_requires_grad(true);
        let mut mix = crate::random::Mix::new(&[5]);
        let mut draw = |n: usize| (0..n).map(|_| mix.between(-1.0, 1.0)).collect::<Vec<f64>>();
        let x = Tensor::from_slice(&draw(20)).view([5, 4]);
        for norm in [Norm::Batch, Norm::Frozen] {
            let mut head = TrainHead::new(double(&draw(12), &[3, 4]), double(&draw(3), &[3])).unwrap();
            head.gamma = double(&draw(3), &[3]);
            head.beta = double(&draw(3), &[3]);
            let pattern = Tensor::from_slice(&draw(15)).view([5, 3]);
            let value = |head: &TrainHead| (head.forward(&x, norm).unwrap() * &pattern).square().sum(Kind::Double);
            let parameters = head.parameters().map(|parameter| parameter.tensor);
            let gradients = Tensor::run_backward(&[value(&head)], &parameters, false, false);
            for (parameter, gradient) in parameters.iter().zip(&gradients) {
                let flat = parameter.detach().view(-1);
                for at in 0..flat.size()[0] {
                    let nudged = |by: f64| {
                        let mut entry = flat.get(at);
                        let _ = entry.g_add_scalar_(by);
                        let value = tch::no_grad(|| value(&head)).double_value(&[]);
                        let _ = entry.g_add_scalar_(-by);
                        value
                    };
                    let numeric = (nudged(1e-6) - nudged(-1e-6)) / 2e-6;
                    let exact = gradient.view(-1).double_value(&[at]);
                    assert!((numeric - exact).abs() / (1.0 + exact.abs()) < 1e-6, "{norm:?}: {exact} is not {numeric}");
                }
            }
        }
    }
}
