//! Removes what a database keeps for a model together with the last model that uses it.

use cairn::{Database, ModelInfo, Result};

use super::recipe;
use crate::model::{Place, Settings, adapter_file, base_of, kept};

/// Forgets the adapter and the network of a model that was dropped, each unless another model has it too.
///
/// # Errors
/// `Mismatch` when the settings of a model cannot be read; `Io`.
pub fn release(database: &Database, dropped: &ModelInfo) -> Result<()> {
    let gone = Settings::parse(&dropped.settings)?;
    let left: Vec<ModelInfo> = database.models()?.into_iter().filter_map(|entry| entry.model).collect();
    let made: Vec<Settings> = left.iter().map(|model| Settings::parse(&model.settings)).collect::<Result<_>>()?;
    if let Some(adapter) = gone.adapter.filter(|adapter| made.iter().all(|other| other.adapter != Some(*adapter))) {
        database.remove_files(&adapter_file(adapter))?;
    }
    let uses_it = |other: &Settings| other.place == Place::Kept && other.digest == gone.digest;
    if gone.place == Place::Kept && !made.iter().any(uses_it) {
        kept::forget(database, gone.digest)?;
    }
    if left.iter().all(|other| other.fingerprint != dropped.fingerprint) {
        recipe::forget(database, &dropped.fingerprint)?;
    }
    let network = base_of(dropped)?.fingerprint;
    let networks: Vec<ModelInfo> = left.iter().map(base_of).collect::<Result<_>>()?;
    if networks.iter().all(|other| other.fingerprint != network) {
        recipe::forget_origin(database, &network)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::recipe::Origin;
    use super::*;
    use crate::model::Architecture;
    use cairn::Options;

    #[test]
    fn a_network_stays_as_long_as_a_model_is_made_of_it() {
        let home = tempfile::tempdir().unwrap();
        let info = |digest, adapter| {
            let architecture = Architecture::Lite0;
            Settings { architecture, digest, scales: vec![1.0], place: Place::Kept, adapter }.info()
        };
        let (network, adapter) = (blake3::hash(b"network"), blake3::hash(b"adapter"));
        let (plain, trained) = (info(network, None), info(network, Some(adapter)));
        let database = Database::create(home.path().join("db"), Options::for_model(plain.clone(), 4)).unwrap();
        assert_eq!(kept::keep(&database, b"network").unwrap(), network);
        database.put_file(&adapter_file(adapter), b"adapter").unwrap();
        let origin = || recipe::origin(&database, &plain.fingerprint).unwrap();
        let kept_origin = Origin { asked: "a1".to_owned(), checkpoint: "c".to_owned() };
        recipe::keep_origin(&database, &plain.fingerprint, &kept_origin).unwrap();
        let files = |name: &str| database.file(name);
        // The trained model was dropped, the network is in force.
        release(&database, &trained).unwrap();
        assert_eq!(files(&adapter_file(adapter)).unwrap(), None);
        assert_eq!(kept::read(&files, network).unwrap(), Some(b"network".to_vec()));
        assert_eq!(origin(), Some(kept_origin), "the network is in force");
        // A model of another network was dropped.
        let other = kept::keep(&database, b"other").unwrap();
        release(&database, &info(other, None)).unwrap();
        assert_eq!(kept::read(&files, other).unwrap(), None);
        assert_eq!(files(&format!("network {other} 0")).unwrap(), None);
        // Nothing is made of that one any more.
        let unused = info(other, None).fingerprint;
        recipe::keep_origin(&database, &unused, &Origin { asked: "a2".to_owned(), checkpoint: "c".to_owned() })
            .unwrap();
        release(&database, &info(other, Some(adapter))).unwrap();
        assert_eq!(recipe::origin(&database, &unused).unwrap(), None);
    }
}
