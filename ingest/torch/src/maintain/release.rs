//! The files that a database keeps for a model go with the last model that needs them.

use cairn::Result;
use cairn::model::ModelInfo;

use super::recipe;
use crate::model::{Place, Settings, adapter_file, base_of, kept};

/// The beginnings of the names of files that only this dropped model needed: its adapter, its network, and what is kept of their
/// trainings, each unless one of the other models needs it too.
///
/// # Errors
/// `Mismatch`: the settings of a model cannot be read.
pub fn released(dropped: &ModelInfo, others: &[ModelInfo]) -> Result<Vec<String>> {
    let gone = Settings::parse(&dropped.settings)?;
    let made: Vec<Settings> = others.iter().map(|model| Settings::parse(&model.settings)).collect::<Result<_>>()?;
    let mut names = Vec::new();
    names.extend(gone.adapter.filter(|adapter| made.iter().all(|it| it.adapter != Some(*adapter))).map(adapter_file));
    let kept_for = |settings: &Settings| -> Vec<blake3::Hash> {
        let kept = settings.networks.iter().filter(|network| network.place == Place::Kept);
        kept.map(|network| network.digest).collect()
    };
    let needed: Vec<blake3::Hash> = made.iter().flat_map(kept_for).collect();
    names.extend(kept_for(&gone).into_iter().filter(|digest| !needed.contains(digest)).map(kept::beginning));
    if others.iter().all(|other| other.fingerprint != dropped.fingerprint) {
        names.push(recipe::name(&dropped.fingerprint));
    }
    let network = base_of(dropped)?.fingerprint;
    let networks: Vec<ModelInfo> = others.iter().map(base_of).collect::<Result<_>>()?;
    if networks.iter().all(|other| other.fingerprint != network) {
        names.push(recipe::training(&network));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::model::{Architecture, NetworkKind, NetworkSettings};

    #[test]
    fn a_network_stays_as_long_as_a_model_needs_it() {
        let info = |digest, adapter| {
            let kind = NetworkKind::Built(Architecture::Lite0);
            let network = NetworkSettings { kind, weight: 1.0, digest, place: Place::Kept };
            Settings { networks: vec![network], scales: vec![1.0], adapter }.info()
        };
        let (network, adapter) = (blake3::hash(b"network"), blake3::hash(b"adapter"));
        let (plain, trained) = (info(network, None), info(network, Some(adapter)));
        let others = [plain.clone()];
        // The network of a dropped model is the active one.
        assert_eq!(released(&trained, &others).unwrap(), [adapter_file(adapter), recipe::name(&trained.fingerprint)]);
        // A model of another network, with the same adapter as one that stays.
        let other = blake3::hash(b"other");
        let dropped = info(other, Some(adapter));
        let gone = released(&dropped, &[plain.clone(), trained.clone()]).unwrap();
        let of_other = info(other, None).fingerprint;
        assert_eq!(gone, [kept::beginning(other), recipe::name(&dropped.fingerprint), recipe::training(&of_other)]);
        // A second epoch of one model needs all of it.
        assert_eq!(released(&trained, &[plain, trained.clone()]).unwrap(), Vec::<String>::new());
    }
}
