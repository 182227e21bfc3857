//! What publishers call the tensors of their networks: files of several layouts are read as one.
//!
//! Cairn's own names are those of the published trunk, and `head.fc.*`, `head.bn.*`, `gem.p` for what stands behind it.

use std::collections::HashSet;

/// How a file names its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    children: Children,
    /// `fc` and `bn` stand behind the pooling, as in the release of the paper's authors; otherwise `fc` is a classifier.
    has_fc_and_bn: bool,
    /// `embeddings.1` stands behind the pooling, as in SSCD.
    has_embeddings: bool,
    /// Blocks of classy-vision have three convolutions.
    has_bottlenecks: bool,
}

/// What the numbers behind `backbone.` stand for, if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Children {
    None,
    /// `layer0` to `layer4`.
    Layers,
    /// The same of a ResNet, whose first layer holds `conv1` and `bn1` by number.
    NumberedStem,
    /// `conv1`, `bn1`, two layers without numbers, `layer1` to `layer4`.
    Resnet,
    /// `conv1` to `conv3`, a layer without numbers, `fish`.
    Fishnet,
}

impl Layout {
    /// The layout of a file with these tensors.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let names: HashSet<&str> = names.map(|name| name.strip_prefix("module.").unwrap_or(name)).collect();
        let has = |name: &str| names.contains(name);
        let children = match () {
            () if has("backbone.0.conv1.weight") => Children::Layers,
            () if has("backbone.4.fish.0.0.0.bn1.weight") => Children::Fishnet,
            () if has("backbone.0.0.weight") => Children::NumberedStem,
            () if has("backbone.0.weight") => Children::Resnet,
            () => Children::None,
        };
        Self {
            children,
            has_fc_and_bn: has("fc.weight") && has("bn.running_mean"),
            has_embeddings: has("embeddings.1.weight"),
            has_bottlenecks: names.iter().any(|name| name.ends_with("-0.convolutional_block.6.weight")),
        }
    }

    /// Cairn's name of a tensor of the file.
    pub(crate) fn name(&self, of: &str) -> String {
        let name = of.strip_prefix("module.").unwrap_or(of);
        if matches!(name, "pooling.p" | "pool.p") {
            return "gem.p".to_owned();
        }
        if let Some(part) = name.strip_prefix("embeddings.1.") {
            return format!("head.fc.{part}");
        }
        if self.has_fc_and_bn && (name.starts_with("fc.") || name.starts_with("bn.")) {
            return format!("head.{name}");
        }
        let Some(of_trunk) = name.strip_prefix("backbone.") else { return self.of_trunk(name) };
        match of_trunk.strip_prefix("fc.") {
            // SSCD of torchvision's ResNet has its last layer in the place of the classifier.
            Some(part) if !self.has_embeddings && !self.has_fc_and_bn => format!("head.fc.{part}"),
            Some(_) => name.to_owned(),
            None => self.of_trunk(&self.of_child(of_trunk)),
        }
    }

    /// Without the numbers of a trunk's children.
    fn of_child(&self, name: &str) -> String {
        let Some((number, rest)) = name.split_once('.') else { return name.to_owned() };
        let Ok(number) = number.parse::<usize>() else { return name.to_owned() };
        let child = match (self.children, number) {
            (Children::Layers, 0..5) | (Children::NumberedStem, 1..5) => format!("layer{number}"),
            (Children::NumberedStem, 0) => match rest.split_once('.') {
                Some(("0", part)) => return format!("conv1.{part}"),
                Some(("1", part)) => return format!("bn1.{part}"),
                _ => return name.to_owned(),
            },
            (Children::Resnet, 0) => "conv1".to_owned(),
            (Children::Resnet, 1) => "bn1".to_owned(),
            (Children::Resnet, 4..8) => format!("layer{}", number - 3),
            (Children::Fishnet, 0..=2) => format!("conv{}", number + 1),
            (Children::Fishnet, 4) => "fish".to_owned(),
            _ => return name.to_owned(),
        };
        format!("{child}.{rest}")
    }

    /// A ResNet's tensor by torchvision's name where it has classy-vision's.
    fn of_trunk(&self, name: &str) -> String {
        if let Some(part) = name.strip_prefix("initial_block._module.") {
            return match part.split_once('.') {
                Some(("0", part)) => format!("conv1.{part}"),
                Some(("1", part)) => format!("bn1.{part}"),
                _ => name.to_owned(),
            };
        }
        self.of_block(name).unwrap_or_else(|| name.to_owned())
    }

    /// `blocks.0.block0-1.convolutional_block.3.weight` -> `layer1.1.conv2.weight`.
    fn of_block(&self, name: &str) -> Option<String> {
        let (stage, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
        let (within, rest) = rest.strip_prefix("block")?.strip_prefix(stage)?.strip_prefix('-')?.split_once('.')?;
        let (stage, within) = (stage.parse::<usize>().ok()?, within.parse::<usize>().ok()?);
        let last = if self.has_bottlenecks { "bn3" } else { "bn2" };
        let layers = [
            ("convolutional_block.0.", "conv1"),
            ("convolutional_block.1.", "bn1"),
            ("convolutional_block.3.", "conv2"),
            ("convolutional_block.4.", "bn2"),
            ("convolutional_block.6.", "conv3"),
            ("bn.", last),
            ("downsample.0.", "downsample.0"),
            ("downsample.1.", "downsample.1"),
        ];
        let (layer, part) = layers.iter().find_map(|(from, to)| Some((to, rest.strip_prefix(from)?)))?;
        Some(format!("layer{}.{within}.{layer}.{part}", stage + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of a file, and Cairn's.
    fn all_are(pairs: &[(&str, &str)]) {
        let layout = Layout::of(pairs.iter().map(|(from, _)| *from));
        for (from, to) in pairs {
            assert_eq!(layout.name(from), *to, "{from}");
        }
    }

    #[test]
    fn published_layouts_keep_their_names() {
        all_are(&[
            ("conv1.weight", "conv1.weight"),
            ("layer4.2.bn3.running_var", "layer4.2.bn3.running_var"),
            ("fc.weight", "fc.weight"),
            ("fc.bias", "fc.bias"),
        ]);
        all_are(&[
            ("_conv_stem.weight", "_conv_stem.weight"),
            ("_bn0.running_mean", "_bn0.running_mean"),
            ("head.fc.weight", "head.fc.weight"),
            ("gem.p", "gem.p"),
        ]);
        all_are(&[("layer0.conv1.weight", "layer0.conv1.weight"), ("last_linear.weight", "last_linear.weight")]);
        all_are(&[
            ("conv1.0.weight", "conv1.0.weight"),
            ("fish.fish.9.1.3.conv3.weight", "fish.fish.9.1.3.conv3.weight"),
        ]);
    }

    #[test]
    fn the_release_of_the_papers_authors_is_read() {
        all_are(&[
            ("module.backbone.0.conv1.weight", "layer0.conv1.weight"),
            ("module.backbone.4.2.se_module.fc1.bias", "layer4.2.se_module.fc1.bias"),
            ("module.fc.weight", "head.fc.weight"),
            ("module.bn.running_mean", "head.bn.running_mean"),
            ("module.pooling.p", "gem.p"),
            ("module.final.weight", "final.weight"),
        ]);
        all_are(&[
            ("backbone.0.weight", "conv1.weight"),
            ("backbone.1.running_var", "bn1.running_var"),
            ("backbone.4.0.conv1.weight", "layer1.0.conv1.weight"),
            ("backbone.7.2.bn3.bias", "layer4.2.bn3.bias"),
        ]);
        all_are(&[
            ("backbone.conv1.0.weight", "conv1.0.weight"),
            ("backbone.fish.fish.3.1.bias", "fish.fish.3.1.bias"),
            ("fc.bias", "fc.bias"),
        ]);
        all_are(&[
            ("backbone.0.0.weight", "conv1.0.weight"),
            ("backbone.2.1.weight", "conv3.1.weight"),
            ("backbone.4.fish.0.0.0.bn1.weight", "fish.fish.0.0.0.bn1.weight"),
        ]);
        all_are(&[
            ("backbone.0.0.weight", "conv1.weight"),
            ("backbone.0.1.bias", "bn1.bias"),
            ("backbone.1.0.conv1.weight", "layer1.0.conv1.weight"),
        ]);
    }

    #[test]
    fn both_layouts_of_sscd_are_read() {
        all_are(&[
            ("backbone.initial_block._module.0.weight", "conv1.weight"),
            ("backbone.initial_block._module.1.running_mean", "bn1.running_mean"),
            ("backbone.blocks.0.block0-0.convolutional_block.6.weight", "layer1.0.conv3.weight"),
            ("backbone.blocks.0.block0-0.bn.weight", "layer1.0.bn3.weight"),
            ("backbone.blocks.3.block3-2.convolutional_block.4.bias", "layer4.2.bn2.bias"),
            ("backbone.blocks.1.block1-0.downsample.1.weight", "layer2.0.downsample.1.weight"),
            ("embeddings.1.weight", "head.fc.weight"),
        ]);
        all_are(&[
            ("backbone.conv1.weight", "conv1.weight"),
            ("backbone.fc.bias", "head.fc.bias"),
            ("backbone.layer1.0.bn1.weight", "layer1.0.bn1.weight"),
        ]);
        all_are(&[
            ("backbone.conv1.weight", "conv1.weight"),
            ("backbone.fc.weight", "backbone.fc.weight"),
            ("embeddings.1.weight", "head.fc.weight"),
        ]);
        // Blocks of two convolutions.
        all_are(&[
            ("backbone.blocks.0.block0-0.convolutional_block.3.weight", "layer1.0.conv2.weight"),
            ("backbone.blocks.0.block0-0.bn.weight", "layer1.0.bn2.weight"),
        ]);
    }
}
