//! Keys that are added, lost, put back and taken away.

use super::*;

const RECORD: &str = "policy 7 password https://registry.example";

fn places(folder: &Path) -> KeyPlaces {
    KeyPlaces { main: folder.join("sealing.key"), is_given: false, added: folder.join("sealing.added.key") }
}

fn open(folder: &Path, sealed_by: &[&str]) -> SealingKeys {
    let sealed_by = sealed_by.iter().map(|id| (*id).to_owned()).collect();
    SealingKeys::open(places(folder), &sealed_by, &Chance::system()).unwrap()
}

fn secret() -> Secret {
    Secret::new("hunter22")
}

#[tokio::test]
async fn a_key_is_added_seals_and_the_one_before_is_retired() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path(), &[]);
    let old = keys.current().unwrap();
    let sealed = keys.seal(RECORD, &secret()).unwrap();
    let new = keys.add().unwrap();
    assert_ne!(old, new);
    assert_eq!(keys.current(), Some(new.clone()));
    let ids = |keys: &SealingKeys| keys.list().into_iter().map(|key| (key.id, key.seals)).collect::<Vec<_>>();
    assert_eq!(ids(&keys), [(new.clone(), true), (old.clone(), false)]);
    let again = open(folder.path(), &[&old]);
    assert_eq!(ids(&again), ids(&keys), "as it stands on the disk");
    assert_eq!(again.unseal(RECORD, &sealed).unwrap().expose(), "hunter22");
    assert_eq!(keys.seal(RECORD, &secret()).unwrap().key_id(), Some(new.as_str()));

    let held = keys.hold().await;
    assert!(matches!(keys.retire(&new, &held), Err(KeyChangeError::Seals(_))));
    assert!(matches!(keys.retire("0123456789abcdef", &held), Err(KeyChangeError::Unknown(_))));
    keys.retire(&old, &held).unwrap();
    drop(held);
    assert_eq!(ids(&keys), [(new.clone(), true)]);
    assert_eq!(keys.unseal(RECORD, &sealed).err(), Some(SealError::UnknownKey { key: old.clone() }));
    assert_eq!(keys.missing(), BTreeSet::from([old]));
    let text = std::fs::read_to_string(folder.path().join("sealing.key")).unwrap();
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2, "{text}");
}

/// A daemon whose key file was lost made a new one in its place once an operator
/// asked it to: the old file, put back by hand, then replaced the new key.
#[test]
fn a_lost_file_is_put_back_beside_a_key_that_was_made_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (main, aside) = (folder.path().join("sealing.key"), folder.path().join("aside"));
    let keys = open(folder.path(), &[]);
    let old = keys.current().unwrap();
    let sealed = keys.seal(RECORD, &secret()).unwrap();
    std::fs::rename(&main, &aside).unwrap();

    let keys = open(folder.path(), &[&old]);
    assert!(!main.exists(), "nothing is made over what another key sealed");
    assert_eq!((keys.current(), keys.missing()), (None, BTreeSet::from([old.clone()])));
    assert_eq!(keys.seal(RECORD, &secret()).err(), Some(SealError::NoKey));
    assert_eq!(keys.unseal(RECORD, &sealed).err(), Some(SealError::UnknownKey { key: old.clone() }));
    assert!(keys.make_if_lost().unwrap() && !keys.make_if_lost().unwrap());
    let newer = keys.seal(RECORD, &secret()).unwrap();
    assert!(!main.exists());
    let added = keys.add().unwrap();
    assert!(!main.exists() && keys.current() == Some(added.clone()));

    std::fs::rename(&aside, &main).unwrap();
    assert_eq!(keys.look().unwrap(), BTreeSet::from([old.clone()]));
    for keys in [keys, open(folder.path(), &[&old, &added])] {
        assert_eq!((keys.current(), keys.missing()), (Some(old.clone()), BTreeSet::new()));
        for sealed in [&sealed, &newer] {
            assert_eq!(keys.unseal(RECORD, sealed).unwrap().expose(), "hunter22");
        }
    }
}

#[test]
fn a_key_is_found_again_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (main, aside) = (folder.path().join("sealing.key"), folder.path().join("aside"));
    let first = open(folder.path(), &[]);
    let sealed = first.seal(RECORD, &secret()).unwrap();
    std::fs::rename(&main, &aside).unwrap();
    let keys = open(folder.path(), &[&first.current().unwrap()]);
    std::fs::rename(&aside, &main).unwrap();
    assert_eq!(keys.unseal(RECORD, &sealed).unwrap().expose(), "hunter22");
    assert!(keys.missing().is_empty());
}

#[tokio::test]
async fn the_service_managers_file_is_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let made = open(folder.path(), &[]);
    let second = made.add().unwrap();
    let old = made.list()[1].id.clone();
    let places = KeyPlaces { is_given: true, ..places(folder.path()) };
    let before = std::fs::read(&places.main).unwrap();
    let keys = SealingKeys::open(places.clone(), &BTreeSet::new(), &Chance::system()).unwrap();
    assert_eq!(keys.current(), Some(second));
    assert!(matches!(keys.add(), Err(KeyChangeError::Given { .. })));
    assert!(matches!(keys.retire(&old, &keys.hold().await), Err(KeyChangeError::Given { .. })));
    assert_eq!(std::fs::read(&places.main).unwrap(), before);
    let words = keys.add().unwrap_err().to_string();
    assert!(words.contains("tidegate key generate") && words.contains("restart"), "{words}");
}

#[tokio::test]
async fn the_last_key_that_was_made_beside_goes_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(folder.path(), &["0123456789abcdef"]);
    keys.make_if_lost().unwrap();
    let beside = keys.current().unwrap();
    let other = tempfile::tempdir().unwrap();
    open(other.path(), &[]);
    std::fs::copy(other.path().join("sealing.key"), folder.path().join("sealing.key")).unwrap();
    keys.look().unwrap();
    keys.retire(&beside, &keys.hold().await).unwrap();
    assert!(!folder.path().join("sealing.added.key").exists());
    assert_eq!(open(folder.path(), &[]).list().len(), 1);
}

/// A key file with a wrong mode, or half a line, kept the whole registry from
/// starting on a host that nobody visits.
#[test]
fn a_file_that_cannot_be_used_is_as_one_that_is_lost() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("sealing.key");
    let keys = open(folder.path(), &[]);
    assert!(keys.is_whole());
    let old = keys.current().unwrap();
    let sealed = keys.seal(RECORD, &secret()).unwrap();
    let text = std::fs::read_to_string(&main).unwrap();
    let expose = || std::fs::set_permissions(&main, std::fs::Permissions::from_mode(0o644)).unwrap();
    let repair = || {
        std::fs::write(&main, &text).unwrap();
        std::fs::set_permissions(&main, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let (cut, nothing) =
        (|| std::fs::write(&main, &text[..text.len() - 9]).unwrap(), || std::fs::write(&main, "").unwrap());
    let breaks: [(&dyn Fn(), &str); 3] = [(&expose, "0644"), (&cut, "line"), (&nothing, "line")];
    for (spoil, word) in breaks {
        for sealed_by in [vec![], vec![old.as_str()]] {
            repair();
            spoil();
            let before = std::fs::read(&main).unwrap();
            let keys = open(folder.path(), &sealed_by);
            let why = keys.unusable().unwrap();
            assert!(why.contains("sealing.key") && why.contains(word), "{why}");
            assert!(!keys.is_whole() && keys.current().is_none());
            assert_eq!(keys.seal(RECORD, &secret()).err(), Some(SealError::NoKey));
            assert!(keys.add().is_err() && keys.look().is_err());
            assert!(keys.make_if_lost().unwrap());
            let newer = keys.seal(RECORD, &secret()).unwrap();
            assert_eq!(std::fs::read(&main).unwrap(), before, "what is wrong is for an operator to look at");
            repair();
            keys.look().unwrap();
            assert!(keys.is_whole());
            assert_eq!(keys.current(), Some(old.clone()));
            for sealed in [&sealed, &newer] {
                assert_eq!(keys.unseal(RECORD, sealed).unwrap().expose(), "hunter22");
            }
            std::fs::remove_file(folder.path().join("sealing.added.key")).unwrap();
        }
    }
}
